//! Tables `recovery_services_vaults` and `mars_containers`: what ARM told, and when. A copy for reports and
//! for telling what has changed; ARM itself is asked by the checks.

mod matching;
mod read;
mod write;

pub use matching::{Holder, KnownName, KnownRecoveryServicesVault};
pub use read::DueRecoveryServicesVault;
pub use write::{record_identity, remember_recovery_services_vault};

use uuid::Uuid;

/// What is known of the identity by which MARS saves passphrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownIdentity {
    Unknown,
    Present(Uuid),
    /// As far as anybody knows it never had one.
    Absent,
    /// It had one, and has none any more.
    Vanished,
}

impl KnownIdentity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Present(_) => "present",
            Self::Absent => "absent",
            Self::Vanished => "vanished",
        }
    }

    fn parse(name: &str, principal_id: Option<Uuid>) -> Option<Self> {
        match (name, principal_id) {
            ("unknown", None) => Some(Self::Unknown),
            ("present", Some(principal_id)) => Some(Self::Present(principal_id)),
            ("absent", None) => Some(Self::Absent),
            ("vanished", None) => Some(Self::Vanished),
            _ => None,
        }
    }

    fn principal_id(self) -> Option<Uuid> {
        match self {
            Self::Present(principal_id) => Some(principal_id),
            Self::Unknown | Self::Absent | Self::Vanished => None,
        }
    }
}
