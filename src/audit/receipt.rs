//! Evidence that an audit event is durable. Without it no passphrase leaves this process.
//!
//! ```
//! // A receipt opens what it was issued for, once.
//! use passphrase_broker::{audit::ReleaseReceipt, azure::SealedPassphrases};
//! fn once(sealed: SealedPassphrases, receipt: ReleaseReceipt) -> usize {
//!     sealed.open(receipt).map_or(0, |opened| opened.len())
//! }
//! ```
//! ```compile_fail,E0451
//! // A receipt cannot be forged: its fields are private to the log.
//! use passphrase_broker::audit::{ReadId, Recorded, ReleaseReceipt};
//! fn forge(read: ReadId, event: Recorded) -> ReleaseReceipt {
//!     ReleaseReceipt { read, event }
//! }
//! ```
//! ```compile_fail,E0382
//! // A receipt cannot be used twice: opening takes it.
//! use passphrase_broker::{audit::ReleaseReceipt, azure::SealedPassphrases};
//! fn twice(first: SealedPassphrases, second: SealedPassphrases, receipt: ReleaseReceipt) {
//!     let _ = first.open(receipt);
//!     let _ = second.open(receipt);
//! }
//! ```
//! ```compile_fail,E0599
//! // Nor can it be copied.
//! use passphrase_broker::audit::ReleaseReceipt;
//! fn copy(receipt: ReleaseReceipt) -> (ReleaseReceipt, ReleaseReceipt) {
//!     (receipt.clone(), receipt)
//! }
//! ```

use uuid::Uuid;

use crate::domain::audit_event::AuditEvent;

/// Names one reading of Key Vault, so that a receipt opens what it was issued for and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadId(Uuid);

impl ReadId {
    pub(crate) fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

/// An event that says "released", bound to the reading whose passphrases it names. Made by the
/// sealed passphrases themselves, so that the event cannot name other versions than they hold.
#[derive(Debug)]
pub struct Release {
    pub(super) read: ReadId,
    pub(super) event: AuditEvent,
}

impl Release {
    pub(crate) fn of(read: ReadId, event: AuditEvent) -> Self {
        Self { read, event }
    }
}

/// An event that is committed: where it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub sequence: i64,
    pub event_id: Uuid,
}

/// Proof that a [`Release`] is committed. Opens the passphrases of that reading, once.
#[derive(Debug)]
pub struct ReleaseReceipt {
    pub(super) read: ReadId,
    pub(super) event: Recorded,
}

impl ReleaseReceipt {
    /// Whether this was issued for that reading.
    pub fn covers(&self, read: ReadId) -> bool {
        self.read == read
    }

    pub fn event(&self) -> Recorded {
        self.event
    }
}
