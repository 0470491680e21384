//! Settings whose content is shown to nobody: not by `Debug`, and so in no log.

use std::{fmt, path::PathBuf, sync::Arc};

use zeroize::Zeroizing;

use crate::audit::note::SigningKeys;

/// Certificates that are trusted besides the system's own; checked to hold at least one.
#[derive(Clone)]
pub struct ExtraCa {
    pub path: PathBuf,
    pub pem: Vec<u8>,
}

impl fmt::Debug for ExtraCa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ExtraCa({})", self.path.display())
    }
}

/// Authenticates the cursors of collections. All replicas share it, or a page asked of another
/// replica is refused.
#[derive(Clone)]
pub struct CursorKey(Zeroizing<[u8; 32]>);

impl CursorKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CursorKey([REDACTED])")
    }
}

/// What checkpoints of the audit log are signed with.
#[derive(Clone)]
pub struct AuditSigningKeys(pub Arc<SigningKeys>);

impl fmt::Debug for AuditSigningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AuditSigningKeys([REDACTED])")
    }
}
