//! What can go wrong, in the words of somebody who has to act on it. `http/problem.rs` gives each its
//! status; there is no other table.

use thiserror::Error;

use super::Obstacle;
use crate::{
    audit::{AuditUnavailable, ListError, Recorded},
    azure::{KeyVaultError, TokenError, WrongReceipt},
    domain::{
        key_vault_id::KeyVaultRefused,
        operation::RoleMissing,
        passphrase::{NoRandomness, PolicyViolation},
        reason::InvalidPurpose,
        secret_name::InvalidSecretName,
    },
    store,
};

/// Why a name is taken that some machine has.
pub(super) const ANOTHER_MACHINE: &str =
    "another machine has this secret; choose another secretName";

#[derive(Debug, Error)]
pub enum Error {
    #[error("a bearer token is required")]
    TokenMissing,
    #[error(transparent)]
    TokenRefused(TokenError),
    /// The token was issued too long ago for what it is used for.
    #[error("the token is older than 75 minutes; sign in again to be given a passphrase")]
    TokenTooOld,
    /// Entra ID's keys are not known, so no token can be believed.
    #[error("the keys of Entra ID could not be loaded")]
    IdentityKeysUnavailable,
    #[error(transparent)]
    RoleMissing(#[from] RoleMissing),
    #[error("guests of the tenant cannot be given a passphrase")]
    GuestNotAllowed,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{detail}")]
    InvalidRequest { pointer: &'static str, detail: String },
    #[error(transparent)]
    PassphrasePolicyViolation(#[from] PolicyViolation),
    #[error(transparent)]
    InvalidPurpose(#[from] InvalidPurpose),
    #[error(transparent)]
    KeyVaultRefused(#[from] KeyVaultRefused),
    #[error("this machine is registered already, with this Recovery Services vault")]
    MachineExists,
    #[error("{0}")]
    SecretNameTaken(&'static str),
    #[error("the agent's identity is bound to another machine")]
    AgentBindingMismatch,
    #[error("the machine has a rotation that is still open")]
    RotationInProgress,
    #[error("the machine's rotation is still being prepared; ask again in 30 seconds")]
    RotationBeingPrepared,
    #[error("the machine's first passphrase is still being written; ask again in 30 seconds")]
    BeingRegistered,
    #[error("{0}")]
    InvalidRotationState(&'static str),
    /// MARS, or somebody else, saved another passphrase than the one that was handed out.
    #[error(
        "Key Vault holds another passphrase than this rotation's, in version {versions}; both are kept as candidates. Let MARS save the right one and confirm again"
    )]
    PassphraseDiffers { versions: String },
    #[error("version {versions} is new and disabled: nobody can tell whose passphrase it holds")]
    NewVersionDisabled { versions: String },
    /// Shown, not guessed: the versions that could be put in force.
    #[error("{0}")]
    VersionDisabled(String),
    #[error("the rotation's deadline has passed")]
    RotationExpired,
    #[error("the first request with this Idempotency-Key is still running")]
    IdempotencyInProgress,
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    #[error("the machine was changed since it was read")]
    PreconditionFailed,
    /// There is nothing to retrieve.
    #[error("no passphrase of this machine is stored in Key Vault")]
    NoPassphraseStored,
    #[error("the machine's secret is not deleted in Key Vault")]
    SecretNotDeleted,
    /// Key Vault has taken the recovery, and its effect is not there yet.
    #[error(
        "Key Vault has taken the recovery and does not show the secret yet, which takes up to half a minute; repeat the request after 10 seconds to finish it"
    )]
    RecoveryNotVisible,
    #[error("this service has no key to sign checkpoints with")]
    NoSigningKey,
    /// Azure is not set up for it, as preflight would say.
    #[error("{detail}")]
    Obstacle { obstacle: Obstacle, detail: String },
    #[error("Key Vault")]
    KeyVault(#[source] KeyVaultError),
    /// A write whose answer was lost, and looking did not find it. It may still appear.
    #[error(
        "nobody knows whether Key Vault stored it; repeat the request after 30 seconds to finish it"
    )]
    OutcomeUnknown(#[source] KeyVaultError),
    /// As many as there may be of this kind are at work.
    #[error("too many of these are being worked on; try again in a moment")]
    Overloaded,
    #[error("the audit log")]
    AuditUnavailable,
    #[error("the database")]
    DatabaseUnavailable(#[source] store::Error),
    #[error("the audit log could not be read")]
    AuditUnreadable(#[source] ListError),
    /// A bug of ours, or a machine that gives no randomness.
    #[error("{0}")]
    Internal(&'static str),
}

/// An error, and whether the log already tells of it. What is not on record yet, the bracket around
/// every audited operation puts there.
#[derive(Debug)]
pub struct Refused {
    pub error: Error,
    pub on_record: Option<Recorded>,
}

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { error: error.into(), on_record: None }
    }
}

impl From<AuditUnavailable> for Error {
    fn from(AuditUnavailable: AuditUnavailable) -> Self {
        Self::AuditUnavailable
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::DatabaseUnavailable(error)
    }
}

impl From<KeyVaultError> for Error {
    fn from(error: KeyVaultError) -> Self {
        Self::KeyVault(error)
    }
}

impl From<ListError> for Error {
    fn from(error: ListError) -> Self {
        Self::AuditUnreadable(error)
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        if matches!(error, TokenError::KeysUnavailable) {
            Self::IdentityKeysUnavailable
        } else {
            Self::TokenRefused(error)
        }
    }
}

impl From<InvalidSecretName> for Error {
    fn from(error: InvalidSecretName) -> Self {
        Self::InvalidRequest { pointer: "/secretName", detail: error.to_string() }
    }
}

impl From<NoRandomness> for Error {
    fn from(NoRandomness: NoRandomness) -> Self {
        Self::Internal("no randomness")
    }
}

impl From<WrongReceipt> for Error {
    fn from(_: WrongReceipt) -> Self {
        Self::Internal("a receipt did not fit its passphrases")
    }
}

impl From<store::machines::Refusal> for Error {
    fn from(refusal: store::machines::Refusal) -> Self {
        use store::machines::Refusal;
        match refusal {
            Refusal::MachineExists => Self::MachineExists,
            Refusal::SecretNameTaken => Self::SecretNameTaken(ANOTHER_MACHINE),
            Refusal::AgentTaken => Self::AgentBindingMismatch,
            Refusal::Changed => Self::PreconditionFailed,
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<store::rotations::Refusal> for Error {
    fn from(refusal: store::rotations::Refusal) -> Self {
        use store::rotations::Refusal;
        match refusal {
            Refusal::RotationInProgress => Self::RotationInProgress,
            Refusal::BeingRegistered => Self::BeingRegistered,
            Refusal::WrongState => Self::InvalidRotationState("the rotation has moved on"),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl<E: Into<Error>> From<crate::audit::NotRecorded<E>> for Error {
    fn from(not_recorded: crate::audit::NotRecorded<E>) -> Self {
        match not_recorded {
            crate::audit::NotRecorded::Unavailable(unavailable) => unavailable.into(),
            crate::audit::NotRecorded::Refused(refusal) => refusal.into(),
        }
    }
}
