//! Why Azure Resource Manager did not say it, and what may be shown of a call: by status and
//! `error.code`, never by the message.
//!
//! Every call knows beforehand which action it needs, so a refusal names it without reading anything.

use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;

use crate::azure::credential::CredentialError;

/// What ARM says of something that is not there. A 404 with another code, or without one, says something
/// else, or is somebody else's.
const NOT_FOUND: [&str; 5] = [
    "ResourceNotFound",
    "ResourceGroupNotFound",
    "SubscriptionNotFound",
    "ParentResourceNotFound",
    "RoleDefinitionDoesNotExist",
];

/// One call, as evidence: what was asked and what came back. Nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    /// The permission that this call needs.
    pub action: &'static str,
    pub method: &'static str,
    /// Path and query, of the last page when there were several.
    pub path: String,
    pub api_version: &'static str,
    /// None: there was no answer.
    pub status: Option<u16>,
    pub code: Option<String>,
    /// ARM's own id of the request, for Microsoft's support.
    pub request_id: Option<String>,
    /// From the first attempt to the end of the last.
    pub duration: Duration,
    /// What time it was for ARM when it answered.
    pub answered_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResourceManagerError {
    /// Also when there is no such resource: ARM does not tell a stranger.
    #[error("this service has no permission to read this in Azure Resource Manager")]
    Forbidden {
        /// The action in the text of the refusal. A hint; `action()` is what is known.
        told: Option<String>,
        facts: Box<CallFacts>,
    },
    #[error("Azure Resource Manager knows no such resource")]
    NotFound(Box<CallFacts>),
    #[error("Azure Resource Manager was asked too often")]
    Throttled { retry_after: Option<Duration>, facts: Box<CallFacts> },
    #[error("this service cannot prove its identity to Azure Resource Manager")]
    Credential { source: CredentialError, facts: Box<CallFacts> },
    /// No answer, in time or at all, or an answer that says as much.
    #[error("Azure Resource Manager cannot be reached or cannot answer")]
    Unavailable(Box<CallFacts>),
    #[error("the answer of Azure Resource Manager makes no sense")]
    InvalidAnswer(Box<CallFacts>),
    #[error("Azure Resource Manager refused the request")]
    Refused(Box<CallFacts>),
}

impl ResourceManagerError {
    pub fn facts(&self) -> &CallFacts {
        match self {
            Self::Forbidden { facts, .. }
            | Self::NotFound(facts)
            | Self::Throttled { facts, .. }
            | Self::Credential { facts, .. }
            | Self::Unavailable(facts)
            | Self::InvalidAnswer(facts)
            | Self::Refused(facts) => facts,
        }
    }

    /// The permission that the call needs, at the resource or above it.
    pub fn action(&self) -> &'static str {
        self.facts().action
    }

    /// A short name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::Throttled { .. } => "throttled",
            Self::Credential { .. } => "credential",
            Self::Unavailable(_) => "unavailable",
            Self::InvalidAnswer(_) => "invalid_answer",
            Self::Refused(_) => "refused",
        }
    }

    pub(super) fn classify(
        facts: Box<CallFacts>,
        retry_after: Option<Duration>,
        message: Option<&str>,
    ) -> Self {
        let not_found = facts.code.as_deref().is_some_and(|code| NOT_FOUND.contains(&code));
        match facts.status.unwrap_or_default() {
            401 => Self::Credential { source: CredentialError::Rejected, facts },
            403 => Self::Forbidden { told: message.and_then(action_in), facts },
            404 if not_found => Self::NotFound(facts),
            429 => Self::Throttled { retry_after, facts },
            408 | 500..=599 => Self::Unavailable(facts),
            400..=499 if facts.status != Some(404) => Self::Refused(facts),
            _ => Self::InvalidAnswer(facts),
        }
    }
}

/// `Microsoft.KeyVault/vaults/read` in `... to perform action 'Microsoft.KeyVault/vaults/read' over ...`.
fn action_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("to perform action '")?;
    let (action, _) = rest.split_once('\'')?;
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-');
    let tidy = (3..=200).contains(&action.len()) && action.bytes().all(legal);
    tidy.then(|| action.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, message: Option<&str>) -> ResourceManagerError {
        coded(status, (status == 404).then_some("ResourceNotFound"), message)
    }

    fn coded(status: u16, code: Option<&str>, message: Option<&str>) -> ResourceManagerError {
        let facts = CallFacts {
            action: "Microsoft.KeyVault/vaults/read",
            method: "GET",
            path: "/".to_owned(),
            api_version: "2026-02-01",
            status: Some(status),
            code: code.map(str::to_owned),
            request_id: None,
            duration: Duration::ZERO,
            answered_at: None,
        };
        ResourceManagerError::classify(Box::new(facts), None, message)
    }

    #[test]
    fn every_status_has_its_kind() {
        for (status, kind) in [
            (401, "credential"),
            (403, "forbidden"),
            (404, "not_found"),
            (408, "unavailable"),
            (429, "throttled"),
            (400, "refused"),
            (409, "refused"),
            (500, "unavailable"),
            (503, "unavailable"),
            (204, "invalid_answer"),
            (302, "invalid_answer"),
            (999, "invalid_answer"),
        ] {
            assert_eq!(of(status, None).code(), kind, "{status}");
        }
    }

    #[test]
    fn only_arms_own_not_found_says_that_it_is_not_there() {
        for code in NOT_FOUND {
            assert_eq!(coded(404, Some(code), None).code(), "not_found", "{code}");
        }
        for code in [None, Some("InvalidResourceType"), Some("SecretNotFound")] {
            assert_eq!(coded(404, code, None).code(), "invalid_answer", "{code:?}");
        }
    }

    #[test]
    fn the_action_in_a_refusal_is_a_hint() {
        let told = |message: &str| match of(403, Some(message)) {
            ResourceManagerError::Forbidden { told, .. } => told,
            other => panic!("{other}"),
        };
        let text = "The client 'a' with object id 'b' does not have authorization to perform action \
                    'Microsoft.KeyVault/deletedVaults/read' over scope '/subscriptions/x' or ...";
        assert_eq!(told(text).as_deref(), Some("Microsoft.KeyVault/deletedVaults/read"));
        for nothing in [
            "",
            "No.",
            "to perform action 'Microsoft",
            "to perform action '' over",
            "to perform action '<script>' over",
            "to perform action 'a\u{1b}[2Jb' over",
        ] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
        assert_eq!(of(403, Some(text)).action(), "Microsoft.KeyVault/vaults/read");
        assert_eq!(of(404, Some(text)).code(), "not_found");
    }
}
