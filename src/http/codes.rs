//! The table of problem codes: slug, status, title, and the error of the MARS agent that it stands for.

use axum::http::StatusCode;

use crate::{
    azure::{KeyVaultError, KeyVaultFacts},
    broker::{Error, Obstacle},
    domain::{key_vault_id::KeyVaultRefused, reason::InvalidPurpose},
};

macro_rules! codes {
    ($($variant:ident = $slug:literal, $status:ident, $title:literal;)*) => {
        /// The stable name of a kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),* }
            }

            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

codes! {
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "The request has no valid access token";
    RoleMissing = "role-missing", FORBIDDEN, "The token lacks a role";
    GuestNotAllowed = "guest-not-allowed", FORBIDDEN, "Guests are not given passphrases";
    NotFound = "not-found", NOT_FOUND, "There is nothing here, or not for you";
    NoSigningKey = "no-signing-key", NOT_FOUND, "This service signs no checkpoints";
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "This resource has no such method";
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE, "The answer cannot be given in that form";
    InvalidRequest = "invalid-request", BAD_REQUEST, "The request is not valid";
    PayloadTooLarge = "payload-too-large", PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB";
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is not JSON";
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, "The request took too long to arrive";
    PassphrasePolicyViolation = "passphrase-policy-violation", UNPROCESSABLE_ENTITY, "MARS would not take this passphrase";
    ReasonRequired = "reason-required", UNPROCESSABLE_ENTITY, "A retrieval needs a reason and a justification";
    TicketInvalid = "ticket-invalid", UNPROCESSABLE_ENTITY, "The ticket is missing or has the wrong form";
    MachineExists = "machine-exists", CONFLICT, "The machine is registered already";
    SecretNameTaken = "secret-name-taken", CONFLICT, "The secret's name is taken";
    RotationInProgress = "rotation-in-progress", CONFLICT, "The machine has an open rotation";
    InvalidRotationState = "invalid-rotation-state", CONFLICT, "The rotation is not in a state for this";
    AgentBindingMismatch = "agent-binding-mismatch", CONFLICT, "The identity is bound to another machine";
    SecretNotDeleted = "secret-not-deleted", CONFLICT, "The secret is not deleted";
    IdempotencyInProgress = "idempotency-in-progress", CONFLICT, "The first request with this key is still running";
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The key was used for another request";
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED, "If-Match is required";
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "The machine has changed since it was read";
    RotationExpired = "rotation-expired", GONE, "The rotation's deadline has passed";
    KeyVaultUriInvalid = "key-vault-uri-invalid", BAD_REQUEST, "That is not a Key Vault URI";
    KeyVaultNotAllowed = "key-vault-not-allowed", BAD_REQUEST, "This service does not use that Key Vault";
    KeyVaultSecretSoftDeleted = "key-vault-secret-soft-deleted", CONFLICT, "The secret is soft-deleted in Key Vault";
    KeyVaultSecretBeingDeleted = "key-vault-secret-being-deleted", CONFLICT, "The secret is being deleted or recovered, which takes seconds";
    KeyVaultSoftDeleted = "key-vault-soft-deleted", FAILED_DEPENDENCY, "The Key Vault is soft-deleted";
    RsvIdentityMissing = "rsv-identity-missing", FAILED_DEPENDENCY, "The Recovery Services vault has no system identity";
    RsvPermissionMissing = "rsv-permission-missing", FAILED_DEPENDENCY, "The Recovery Services vault may not set secrets";
    KeyVaultSecretDisabled = "key-vault-secret-disabled", CONFLICT, "The secret version is disabled in Key Vault";
    KeyVaultSecretMissing = "key-vault-secret-missing", CONFLICT, "Key Vault holds no passphrase of this machine";
    BrokerPermissionMissing = "broker-permission-missing", BAD_GATEWAY, "This service's identity lacks a permission at Key Vault";
    KeyVaultFirewall = "key-vault-firewall", BAD_GATEWAY, "Key Vault's firewall refuses this service";
    KeyVaultRefused = "key-vault-refused", BAD_GATEWAY, "Key Vault refuses the request for a reason that this service does not know";
    KeyVaultThrottled = "key-vault-throttled", SERVICE_UNAVAILABLE, "Key Vault is throttling";
    KeyVaultUnavailable = "key-vault-unavailable", SERVICE_UNAVAILABLE, "Key Vault does not answer";
    ArmUnavailable = "arm-unavailable", SERVICE_UNAVAILABLE, "Azure Resource Manager does not answer";
    IdentityUnavailable = "identity-unavailable", SERVICE_UNAVAILABLE, "Entra ID's keys cannot be loaded";
    DatabaseUnavailable = "database-unavailable", SERVICE_UNAVAILABLE, "The database does not answer";
    AuditUnavailable = "audit-unavailable", SERVICE_UNAVAILABLE, "The audit log cannot be written, so nothing is released or changed";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too many requests are being worked on";
    TimedOut = "timed-out", SERVICE_UNAVAILABLE, "The request took too long to answer";
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is wrong in this service";
}

impl Code {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn retryable(self) -> bool {
        matches!(
            self.status(),
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::REQUEST_TIMEOUT
        ) || matches!(self, Self::IdempotencyInProgress | Self::KeyVaultSecretBeingDeleted)
    }

    pub fn mars_error_code(self) -> Option<&'static str> {
        match self {
            Self::KeyVaultUriInvalid => Some("100272"),
            Self::RsvIdentityMissing => Some("391224"),
            Self::RsvPermissionMissing => Some("391225"),
            Self::KeyVaultSecretSoftDeleted => Some("391282"),
            Self::KeyVaultSoftDeleted => Some("391283"),
            _ => None,
        }
    }

    pub fn of(error: &Error) -> Self {
        match error {
            Error::TokenMissing | Error::TokenRefused(_) | Error::TokenTooOld => {
                Self::Unauthenticated
            }
            Error::IdentityKeysUnavailable => Self::IdentityUnavailable,
            Error::RoleMissing(_) => Self::RoleMissing,
            Error::GuestNotAllowed => Self::GuestNotAllowed,
            Error::NotFound(_) => Self::NotFound,
            Error::InvalidRequest { .. } => Self::InvalidRequest,
            Error::PassphrasePolicyViolation(_) => Self::PassphrasePolicyViolation,
            Error::InvalidPurpose(
                InvalidPurpose::Justification { .. } | InvalidPurpose::Unprintable,
            ) => Self::ReasonRequired,
            Error::InvalidPurpose(
                InvalidPurpose::TicketRequired | InvalidPurpose::TicketPattern,
            ) => Self::TicketInvalid,
            Error::KeyVaultRefused(KeyVaultRefused::Invalid(_)) => Self::KeyVaultUriInvalid,
            Error::KeyVaultRefused(KeyVaultRefused::NotAllowed(_)) => Self::KeyVaultNotAllowed,
            Error::MachineExists => Self::MachineExists,
            Error::SecretNameTaken(_) => Self::SecretNameTaken,
            Error::AgentBindingMismatch => Self::AgentBindingMismatch,
            Error::RotationInProgress | Error::RotationBeingPrepared | Error::BeingRegistered => {
                Self::RotationInProgress
            }
            Error::InvalidRotationState(_) | Error::PassphraseDiffers { .. } => {
                Self::InvalidRotationState
            }
            Error::NewVersionDisabled { .. } | Error::VersionDisabled(_) => {
                Self::KeyVaultSecretDisabled
            }
            Error::RotationExpired => Self::RotationExpired,
            Error::IdempotencyInProgress => Self::IdempotencyInProgress,
            Error::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            Error::PreconditionFailed => Self::PreconditionFailed,
            Error::NoPassphraseStored => Self::KeyVaultSecretMissing,
            Error::Obstacle { obstacle, .. } => match obstacle {
                Obstacle::KeyVaultSoftDeleted => Self::KeyVaultSoftDeleted,
                Obstacle::IdentityMissing => Self::RsvIdentityMissing,
                Obstacle::PermissionMissing => Self::RsvPermissionMissing,
                Obstacle::SecretSoftDeleted => Self::KeyVaultSecretSoftDeleted,
            },
            Error::KeyVault(error) => Self::of_key_vault(error),
            // Whatever the answer was, what is missing is the knowledge.
            Error::OutcomeUnknown(_) | Error::RecoveryNotVisible => Self::KeyVaultUnavailable,
            Error::SecretNotDeleted => Self::SecretNotDeleted,
            Error::Overloaded => Self::Overloaded,
            Error::NoSigningKey => Self::NoSigningKey,
            Error::AuditUnavailable => Self::AuditUnavailable,
            Error::DatabaseUnavailable(_) | Error::AuditUnreadable(_) => Self::DatabaseUnavailable,
            Error::Internal(_) => Self::Internal,
        }
    }

    fn of_key_vault(error: &KeyVaultError) -> Self {
        match error {
            KeyVaultError::NotFound(_) => Self::KeyVaultSecretMissing,
            KeyVaultError::SoftDeleted(_) => Self::KeyVaultSecretSoftDeleted,
            KeyVaultError::BeingDeleted(_) => Self::KeyVaultSecretBeingDeleted,
            KeyVaultError::Disabled(_) => Self::KeyVaultSecretDisabled,
            KeyVaultError::PermissionMissing(_) => Self::BrokerPermissionMissing,
            KeyVaultError::Firewall { .. } => Self::KeyVaultFirewall,
            KeyVaultError::Throttled { .. } => Self::KeyVaultThrottled,
            KeyVaultError::Credential { .. }
            | KeyVaultError::Unavailable(_)
            | KeyVaultError::InvalidAnswer(_) => Self::KeyVaultUnavailable,
            // A conflict passes: another change of the same secret is under way.
            KeyVaultError::Refused(KeyVaultFacts { status: Some(409), .. }) => {
                Self::KeyVaultUnavailable
            }
            KeyVaultError::Refused(KeyVaultFacts { status: Some(_), .. }) => Self::KeyVaultRefused,
            // Not by Key Vault: nothing was sent.
            KeyVaultError::Refused(_) => Self::Internal,
        }
    }

    /// For answers that a library makes without a problem.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            status if status.is_client_error() => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }
}
