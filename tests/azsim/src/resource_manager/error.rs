//! ARM's refusals, word for word where a real answer was seen (`README.md`, "how sure").
//!
//! `gateway` are those of ARM itself, which says so in `x-ms-failure-cause`.

use serde::Serialize;

use super::caller::Caller;
use crate::http::Answer;

#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
    /// Said by ARM itself, not by a resource provider.
    by_gateway: bool,
    challenge: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

/// A fault's throttling speaks as Key Vault does; another body is left as it was given.
pub(super) fn in_words_of_arm(answer: Answer) -> Answer {
    if !answer.body.starts_with(br#"{"error":{"code":"Throttled""#) {
        return answer;
    }
    let message = "The request is being throttled as the limit has been reached for operation type - Read_ObservationWindow_00:05:00. \
                   For more information, see - https://aka.ms/srpthrottlinglimits";
    Refused::gateway(429, "TooManyRequests", message).answer()
}

impl Refused {
    /// By a resource provider.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), by_gateway: false, challenge: None }
    }

    fn gateway(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { by_gateway: true, ..Self::new(status, code, message) }
    }

    pub(super) fn answer(&self) -> Answer {
        let error = Body { code: self.code, message: &self.message };
        let mut answer = Answer::json(self.status, &Envelope { error });
        if self.by_gateway {
            answer = answer.with("x-ms-failure-cause", "gateway");
        }
        match &self.challenge {
            Some(challenge) => answer.with("WWW-Authenticate", challenge),
            None => answer,
        }
    }

    pub(super) fn missing_token(tenant_id: &str) -> Self {
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/{tenant_id}\", error=\"invalid_token\", \
             error_description=\"The authentication failed because of missing 'Authorization' header.\""
        );
        let message = "Authentication failed. The 'Authorization' header is missing.";
        let refused = Self::gateway(401, "AuthenticationFailed", message);
        Self { challenge: Some(challenge), ..refused }
    }

    pub(super) fn invalid_token(
        tenant_id: &str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/{tenant_id}\", error=\"invalid_token\", \
             error_description=\"The access token is invalid.\""
        );
        Self { challenge: Some(challenge), ..Self::gateway(401, code, message) }
    }

    pub(super) fn not_authorized(caller: &Caller, action: &str, scope: &str) -> Self {
        let message = format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            caller.appid, caller.oid
        );
        Self::gateway(403, "AuthorizationFailed", message)
    }

    pub(super) fn no_subscription(id: &str) -> Self {
        let message = format!("The subscription '{id}' could not be found.");
        Self::gateway(404, "SubscriptionNotFound", message)
    }

    pub(super) fn no_group(name: &str) -> Self {
        let message = format!("Resource group '{name}' could not be found.");
        Self::gateway(404, "ResourceGroupNotFound", message)
    }

    pub(super) fn no_resource(kind: &str, name: &str, group: &str) -> Self {
        let message = format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to \
             https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::gateway(404, "ResourceNotFound", message)
    }

    pub(super) fn missing_api_version() -> Self {
        let message =
            "The api-version query parameter (?api-version=) is required for all requests.";
        Self::gateway(400, "MissingApiVersionParameter", message)
    }

    pub(super) fn invalid_api_version(asked: &str, known: &[&str]) -> Self {
        let message = format!(
            "The api-version '{asked}' is invalid. The supported versions are '{}'.",
            known.join(",")
        );
        Self::gateway(400, "InvalidApiVersionParameter", message)
    }

    pub(super) fn no_registered_provider(
        namespace: &str,
        kind: &str,
        asked: &str,
        known: &[&str],
    ) -> Self {
        let message = format!(
            "No registered resource provider found for location '' and API version '{asked}' for type '{kind}' of \
             '{namespace}'. The supported api-versions are '{}'.",
            known.join(", ")
        );
        Self::gateway(400, "NoRegisteredProviderFound", message)
    }

    pub(super) fn invalid_namespace(namespace: &str) -> Self {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        Self::gateway(404, "InvalidResourceNamespace", message)
    }

    pub(super) fn invalid_type(namespace: &str, kind: &str, api_version: &str) -> Self {
        let message = format!(
            "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version \
             '{api_version}'."
        );
        Self::gateway(404, "InvalidResourceType", message)
    }

    pub(super) fn unreadable() -> Self {
        let message = "The request content was invalid and could not be deserialized.";
        Self::gateway(400, "InvalidRequestContent", message)
    }

    pub(super) fn invalid_filter(filter: &str) -> Self {
        Self::gateway(400, "InvalidFilter", format!("The filter '{filter}' is not supported."))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }
}
