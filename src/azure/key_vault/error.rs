//! Why Key Vault did not do it: by status and `innererror.code`, never by the message, which holds
//! names of tenants, clients and addresses and is passed on to nobody.

use std::{net::IpAddr, time::Duration};

use thiserror::Error;
use time::OffsetDateTime;

use crate::azure::{answer::ErrorObject, credential::CredentialError};

/// What may be told of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyVaultFacts {
    /// None: there was no answer.
    pub status: Option<u16>,
    pub code: Option<String>,
    pub inner_code: Option<String>,
    /// Key Vault's own id of the request, for Microsoft's support.
    pub request_id: Option<Box<str>>,
    /// The data action of Key Vault's RBAC that was tried: what is missing when it was refused.
    pub action: Option<&'static str>,
    pub evidence: Option<Box<Evidence>>,
}

/// The call itself, for a report. The host is the Key Vault's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    pub method: String,
    /// With its query, of the last page when there were several.
    pub path: String,
    /// From the first attempt to the end of the last.
    pub duration: Duration,
    /// Our address as Key Vault saw it: what its firewall decides by.
    pub client_address: Option<IpAddr>,
    /// What time it was for Key Vault when it answered.
    pub answered_at: Option<OffsetDateTime>,
    /// Whether the last attempt came as far as a connection; none when it ran out of time. The host of
    /// a deleted Key Vault does not resolve, but a proxy or a network in trouble looks the same.
    pub connected: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyVaultError {
    #[error("there is no such secret or version in the Key Vault")]
    NotFound(KeyVaultFacts),
    /// What MARS reports as 391282.
    #[error("a deleted secret holds the name until it is recovered or purged")]
    SoftDeleted(KeyVaultFacts),
    #[error("a secret of this name is being deleted or recovered, which takes seconds")]
    BeingDeleted(KeyVaultFacts),
    #[error("this version is disabled in the Key Vault")]
    Disabled(KeyVaultFacts),
    #[error("this service has no permission for this in the Key Vault")]
    PermissionMissing(KeyVaultFacts),
    #[error("the Key Vault's firewall does not let this service in")]
    Firewall(KeyVaultFacts),
    #[error("the Key Vault has too much to do")]
    Throttled { retry_after: Option<Duration>, facts: KeyVaultFacts },
    #[error("this service cannot prove its identity to the Key Vault")]
    Credential { source: CredentialError, facts: KeyVaultFacts },
    /// No answer, in time or at all, or an answer that says as much. A Key Vault that was deleted
    /// looks the same: its host name does not resolve.
    #[error("the Key Vault cannot be reached or cannot answer")]
    Unavailable(KeyVaultFacts),
    #[error("the Key Vault's answer makes no sense")]
    InvalidAnswer(KeyVaultFacts),
    #[error("the Key Vault refused the request")]
    Refused(KeyVaultFacts),
}

/// How a write failed. The difference decides whether it may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetError {
    #[error("not written: {0}")]
    Refused(#[source] KeyVaultError),
    /// The answer was lost and looking did not find the version. It may still appear.
    #[error("nobody knows whether it was written: {0}")]
    OutcomeUnknown(#[source] KeyVaultError),
}

impl KeyVaultError {
    pub fn facts(&self) -> &KeyVaultFacts {
        match self {
            Self::NotFound(facts)
            | Self::SoftDeleted(facts)
            | Self::BeingDeleted(facts)
            | Self::Disabled(facts)
            | Self::PermissionMissing(facts)
            | Self::Firewall(facts)
            | Self::Throttled { facts, .. }
            | Self::Credential { facts, .. }
            | Self::Unavailable(facts)
            | Self::InvalidAnswer(facts)
            | Self::Refused(facts) => facts,
        }
    }

    pub(super) fn facts_mut(&mut self) -> &mut KeyVaultFacts {
        match self {
            Self::NotFound(facts)
            | Self::SoftDeleted(facts)
            | Self::BeingDeleted(facts)
            | Self::Disabled(facts)
            | Self::PermissionMissing(facts)
            | Self::Firewall(facts)
            | Self::Throttled { facts, .. }
            | Self::Credential { facts, .. }
            | Self::Unavailable(facts)
            | Self::InvalidAnswer(facts)
            | Self::Refused(facts) => facts,
        }
    }

    /// A short name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::SoftDeleted(_) => "soft_deleted",
            Self::BeingDeleted(_) => "being_deleted",
            Self::Disabled(_) => "disabled",
            Self::PermissionMissing(_) => "permission_missing",
            Self::Firewall(_) => "firewall",
            Self::Throttled { .. } => "throttled",
            Self::Credential { .. } => "credential",
            Self::Unavailable(_) => "unavailable",
            Self::InvalidAnswer(_) => "invalid_answer",
            Self::Refused(_) => "refused",
        }
    }

    /// For whoever concludes from it that Key Vault answered: a refusal without Key Vault's own code may be
    /// anybody's.
    #[must_use]
    pub fn proved(self) -> Self {
        match self {
            Self::PermissionMissing(facts) if facts.code.as_deref() != Some("Forbidden") => {
                Self::InvalidAnswer(facts)
            }
            error => error,
        }
    }

    pub(super) fn classify(facts: KeyVaultFacts, retry_after: Option<Duration>) -> Self {
        // A conflict's name may stand outside of `innererror`.
        let name = facts.inner_code.as_deref().or(facts.code.as_deref());
        match (facts.status.unwrap_or_default(), name) {
            (401, _) => Self::Credential { source: CredentialError::Rejected, facts },
            (403, Some("SecretDisabled")) => Self::Disabled(facts),
            (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => Self::Firewall(facts),
            // `AccessDenied`, `ForbiddenByRbac`, `ForbiddenByPolicy`, or none at all.
            (403, _) => Self::PermissionMissing(facts),
            (404, _) if facts.code.as_deref() == Some("SecretNotFound") => Self::NotFound(facts),
            (409, Some("ObjectIsDeletedButRecoverable")) => Self::SoftDeleted(facts),
            (409, Some("ObjectIsBeingDeleted" | "ObjectIsBeingRecovered")) => {
                Self::BeingDeleted(facts)
            }
            (429, _) => Self::Throttled { retry_after, facts },
            (408 | 500..=599, _) => Self::Unavailable(facts),
            // A 404 of somebody else, a proxy perhaps, does not say that a secret is missing.
            (400..=499, _) if facts.status != Some(404) => Self::Refused(facts),
            _ => Self::InvalidAnswer(facts),
        }
    }
}

impl KeyVaultFacts {
    /// Of an answer that is an error. A body that cannot be read leaves the codes out.
    pub(super) fn of_error(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let mut error = ErrorObject::parse(body);
        Self {
            status: Some(status),
            code: error.take_code(),
            inner_code: error.take_inner_code(),
            request_id: request_id.map(Into::into),
            ..Self::default()
        }
    }

    pub(super) fn of_success(status: u16, request_id: Option<String>) -> Self {
        let request_id = request_id.map(Into::into);
        Self { status: Some(status), request_id, ..Self::default() }
    }

    pub(super) fn evidence_mut(&mut self) -> &mut Evidence {
        self.evidence.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RBAC: &str = r#"{"error":{"code":"Forbidden","message":"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: appid=a;oid=b;iss=https://sts.windows.net/c/\r\nAction: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: kv;location=eastus\r\n","innererror":{"code":"ForbiddenByRbac"}}}"#;

    fn code(status: u16, body: &str) -> &'static str {
        KeyVaultError::classify(KeyVaultFacts::of_error(status, None, body.as_bytes()), None).code()
    }

    fn body(code: &str, inner: &str) -> String {
        format!(
            r#"{{"error":{{"code":"{code}","message":"m","innererror":{{"code":"{inner}"}}}}}}"#
        )
    }

    #[test]
    fn a_message_with_line_breaks_does_not_hide_the_code() {
        let facts = KeyVaultFacts::of_error(403, None, RBAC.as_bytes());
        assert_eq!(facts.code.as_deref(), Some("Forbidden"));
        assert_eq!(facts.inner_code.as_deref(), Some("ForbiddenByRbac"));
        assert_eq!(code(403, RBAC), "permission_missing");
    }

    #[test]
    fn every_refusal_has_its_kind() {
        let forbidden = |inner| code(403, &body("Forbidden", inner));
        assert_eq!(forbidden("AccessDenied"), "permission_missing");
        assert_eq!(forbidden("ForbiddenByPolicy"), "permission_missing");
        assert_eq!(forbidden("ForbiddenByFirewall"), "firewall");
        assert_eq!(forbidden("ForbiddenByConnection"), "firewall");
        assert_eq!(forbidden("SecretDisabled"), "disabled");
        assert_eq!(forbidden("SomethingNew"), "permission_missing");
        let conflict = |inner| code(409, &body("Conflict", inner));
        assert_eq!(conflict("ObjectIsDeletedButRecoverable"), "soft_deleted");
        assert_eq!(conflict("ObjectIsBeingDeleted"), "being_deleted");
        let outside = r#"{"error":{"code":"ObjectIsBeingRecovered","message":"m"}}"#;
        assert_eq!(code(409, outside), "being_deleted");
        assert_eq!(conflict("SomethingNew"), "refused");
        assert_eq!(code(404, &body("SecretNotFound", "")), "not_found");
        assert_eq!(code(400, &body("BadParameter", "")), "refused");
        assert_eq!(code(401, ""), "credential");
        assert_eq!(code(429, "<html>"), "throttled");
        assert_eq!(code(503, ""), "unavailable");
        assert_eq!(code(302, ""), "invalid_answer");
    }

    #[test]
    fn only_key_vaults_own_not_found_says_that_it_is_not_there() {
        let other = body("ResourceNotFound", "");
        let message = r#"{"error":{"message":"SecretNotFound"}}"#;
        for rubbish in ["", "{}", "<html>404</html>", other.as_str(), message] {
            assert_eq!(code(404, rubbish), "invalid_answer", "{rubbish}");
        }
    }

    #[test]
    fn a_refusal_is_key_vaults_own_when_it_says_forbidden() {
        let unless = |body: &str| {
            let facts = KeyVaultFacts::of_error(403, None, body.as_bytes());
            KeyVaultError::classify(facts, None).proved().code()
        };
        assert_eq!(unless(RBAC), "permission_missing");
        assert_eq!(unless(&body("Forbidden", "AccessDenied")), "permission_missing");
        for rubbish in ["", "{}", "<html>403</html>", &body("AuthorizationFailed", "")] {
            assert_eq!(unless(rubbish), "invalid_answer", "{rubbish}");
        }
    }

    #[test]
    fn a_secret_named_like_an_error_changes_nothing() {
        let body =
            r#"{"error":{"code":"SecretNotFound","message":"SecretDisabled ForbiddenByRbac"}}"#;
        assert_eq!(code(404, body), "not_found");
    }
}
