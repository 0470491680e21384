//! Passphrases as Key Vault gave them, sealed: they open with the receipt of an audit event that
//! names exactly them, and in no other way.

use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    audit::{ReadId, Release, ReleaseReceipt},
    domain::{audit_event::AuditEvent, key_vault_id::SecretIdentifier, passphrase::Passphrase},
};

pub(super) struct Entry {
    pub(super) identifier: SecretIdentifier,
    pub(super) created_at: Option<OffsetDateTime>,
    pub(super) passphrase: Passphrase,
}

/// What one reading of Key Vault brought, in the order that was asked for.
///
/// ```
/// // What is sealed has names that anybody may see.
/// fn names(sealed: passphrase_broker::azure::SealedPassphrases) -> Vec<String> {
///     sealed.identifiers().map(ToString::to_string).collect()
/// }
/// ```
/// ```compile_fail,E0616
/// // The entries cannot be reached without a receipt.
/// fn peek(sealed: passphrase_broker::azure::SealedPassphrases) {
///     let _ = sealed.entries;
/// }
/// ```
/// ```compile_fail,E0277
/// // Nor are they shown.
/// fn show(sealed: passphrase_broker::azure::SealedPassphrases) {
///     println!("{sealed:?}");
/// }
/// ```
pub struct SealedPassphrases {
    read: ReadId,
    entries: Vec<Entry>,
}

/// A passphrase whose release is on record.
pub struct Opened {
    pub identifier: SecretIdentifier,
    /// When Key Vault stored this version.
    pub created_at: Option<OffsetDateTime>,
    pub passphrase: Passphrase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this receipt was issued for another reading of Key Vault")]
pub struct WrongReceipt;

impl SealedPassphrases {
    pub(super) fn seal(entries: Vec<Entry>) -> Self {
        Self { read: ReadId::fresh(), entries }
    }

    pub fn identifiers(&self) -> impl Iterator<Item = &SecretIdentifier> {
        self.entries.iter().map(|entry| &entry.identifier)
    }

    /// The event that must be durable before these open. It names every version held here.
    pub fn release(&self, event: AuditEvent) -> Release {
        Release::of(self.read, event.naming(self.identifiers()))
    }

    /// Takes the receipt: it opens once, and nothing when it was issued for another reading.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt that is used is used up")]
    pub fn open(self, receipt: ReleaseReceipt) -> Result<Vec<Opened>, WrongReceipt> {
        if !receipt.covers(self.read) {
            return Err(WrongReceipt);
        }
        Ok(self.entries.into_iter().map(Opened::from).collect())
    }

    /// Several readings as one, in their order, to be released by one event. None of none.
    pub fn join(readings: impl IntoIterator<Item = Self>) -> Option<Self> {
        let entries: Vec<Entry> =
            readings.into_iter().flat_map(|reading| reading.entries).collect();
        (!entries.is_empty()).then(|| Self::seal(entries))
    }

    /// Whether this is a reading of exactly one passphrase, and that one.
    pub fn holds(&self, passphrase: &Passphrase) -> bool {
        matches!(self.entries.as_slice(), [only] if only.passphrase.same_as(passphrase))
    }

    /// Whether both hold the same passphrases in the same order: for comparing what MARS wrote
    /// with what is in escrow, without opening either.
    pub fn same_as(&self, other: &Self) -> bool {
        let pairs = self.entries.iter().zip(&other.entries);
        let differences =
            pairs.filter(|(mine, theirs)| !mine.passphrase.same_as(&theirs.passphrase)).count();
        self.entries.len() == other.entries.len() && differences == 0
    }
}

impl From<Entry> for Opened {
    fn from(entry: Entry) -> Self {
        let Entry { identifier, created_at, passphrase } = entry;
        Self { identifier, created_at, passphrase }
    }
}
