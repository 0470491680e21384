//! Why a token is refused. The texts are for the caller: they say what is wrong with the token and
//! repeat nothing of it, and nothing is told of a token whose signature was not verified.

use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Everything about a token that nobody has vouched for.
    #[error("the access token is not a signed token of a tenant that this service accepts")]
    Invalid,
    #[error(
        "the access token is of version 1; set requestedAccessTokenVersion \
         (accessTokenAcceptedVersion) to 2 in the manifest of the app registration"
    )]
    Version1,
    #[error("the access token is of a version that this service does not accept")]
    Version,
    #[error("a required claim of the access token is missing or of the wrong type")]
    Claims,
    #[error("the issuer of the access token is not the tenant that it names")]
    Issuer,
    #[error("the access token was issued for another service: ask for a token for this one")]
    Audience,
    #[error("the access token has expired")]
    Expired,
    #[error("the access token is not valid yet: is the clock right?")]
    NotYetValid,
    #[error("the access token is valid for longer than this service accepts")]
    Lifetime,
    #[error("the access token of a user lacks the scope of this service")]
    ScopeMissing,
    #[error(
        "the access token does not say whether it is a user's or an application's; \
         add the optional claim idtyp to the app registration"
    )]
    Kind,
    /// Not the caller's fault.
    #[error("the signing keys of Entra ID cannot be fetched at the moment")]
    KeysUnavailable,
}

impl TokenError {
    /// A short name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Version1 => "version_1",
            Self::Version => "version",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Lifetime => "lifetime",
            Self::ScopeMissing => "scope_missing",
            Self::Kind => "kind",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

/// Why signing keys could not be fetched. The keys of before stay in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeysError {
    #[error("Entra ID cannot be reached")]
    Unreachable,
    #[error("Entra ID answered with status {0}")]
    Status(u16),
    #[error("Entra ID's answer is too large")]
    TooLarge,
    #[error("Entra ID's answer cannot be read")]
    Malformed,
    #[error("Entra ID's discovery document is not this tenant's")]
    Discovery,
    #[error("Entra ID published no usable signing key")]
    NoKeys,
}

impl KeysError {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Discovery => "discovery",
            Self::NoKeys => "no_keys",
        }
    }
}
