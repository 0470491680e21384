//! What a listing says of a secret as a whole, which is what it says of the newest version, and what that
//! means for a proposal.

use super::judge::Confidence;
use crate::azure::ListedSecret;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    Enabled,
    /// Its newest version is.
    Disabled,
    SoftDeleted,
}

impl SecretState {
    pub(super) fn of(secret: &ListedSecret) -> Self {
        if secret.deleted_at.is_some() || secret.purged_at.is_some() {
            Self::SoftDeleted
        } else if secret.enabled {
            Self::Enabled
        } else {
            Self::Disabled
        }
    }

    /// Behind the reason for a confidence.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Enabled => "",
            Self::Disabled => {
                "; its newest version is disabled, and somebody has to say which one is in force"
            }
            Self::SoftDeleted => "; it is soft-deleted (391282) and has to be recovered first",
        }
    }

    /// Which version is in force nobody can tell when the newest one is disabled, however sure the machine is.
    pub(super) fn at_most(self, confidence: Confidence) -> Confidence {
        match self {
            Self::Enabled | Self::SoftDeleted => confidence,
            Self::Disabled => Confidence::Low,
        }
    }
}
