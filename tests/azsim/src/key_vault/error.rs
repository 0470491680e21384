//! The data plane's refusals, word for word where a real answer was seen (`README.md`, "How sure").

use serde::Serialize;

use crate::http::Answer;

#[derive(Debug)]
pub(crate) struct ServiceError {
    pub(super) status: u16,
    code: &'static str,
    message: String,
    inner: Option<&'static str>,
    challenge: bool,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    innererror: Option<Inner<'a>>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
}

impl ServiceError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), inner: None, challenge: false }
    }

    fn inner(self, inner: &'static str) -> Self {
        Self { inner: Some(inner), ..self }
    }

    pub(super) fn answer(&self, tenant_id: &str) -> Answer {
        let innererror = self.inner.map(|code| Inner { code });
        let error = Body { code: self.code, message: &self.message, innererror };
        let answer = Answer::json(self.status, &Envelope { error });
        if !self.challenge {
            return answer;
        }
        let challenge = format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{tenant_id}\", resource=\"https://vault.azure.net\""
        );
        answer.with("WWW-Authenticate", &challenge)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self { challenge: true, ..Self::new(401, "Unauthorized", message) }
    }

    pub(super) fn missing_token() -> Self {
        Self::unauthorized("AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.")
    }

    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    pub(super) fn invalid_name(name: &str) -> Self {
        Self::bad_parameter(format!("The request URI contains an invalid name: {name}"))
    }

    pub(super) fn malformed_backup() -> Self {
        let message = "Backup blob contains invalid or corrupt version.";
        Self::new(400, "Malformed backup blob", message)
    }

    pub(super) fn method_not_allowed(method: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("HTTP {method} not allowed"))
    }

    pub(super) fn not_found(name_or_id: &str) -> Self {
        let message = format!(
            "A secret with (name/id) {name_or_id} was not found in this key vault. If you recently deleted this \
             secret you may be able to recover it using the correct recovery command. For help resolving this \
             issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        Self::new(404, "SecretNotFound", message)
    }

    pub(super) fn deleted_not_found(name: &str) -> Self {
        Self::new(404, "SecretNotFound", format!("Deleted Secret not found: {name}"))
    }

    pub(super) fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message).inner(inner)
    }

    pub(super) fn disabled() -> Self {
        Self::forbidden("SecretDisabled", "Operation get is not allowed on a disabled secret.")
    }

    pub(super) fn purge_protected(name: &str, location: &str) -> Self {
        let message = format!(
            "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault \
             service will automatically purge it after the retention period has passed.\r\n\
             Vault: {name};location={location}"
        );
        Self::new(403, "Forbidden", message)
    }

    fn conflict(inner: &'static str, message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message).inner(inner)
    }

    pub(super) fn deleted_but_recoverable(name: &str) -> Self {
        let message = format!(
            "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this \
             state, the secret can only be recovered or purged."
        );
        Self::conflict("ObjectIsDeletedButRecoverable", message)
    }

    pub(super) fn being_deleted() -> Self {
        Self::conflict("ObjectIsBeingDeleted", "Secret is currently being deleted.")
    }

    pub(super) fn being_deleted_cannot_be_recreated(name: &str) -> Self {
        let message = format!(
            "Secret {name} is currently being deleted and cannot be re-created; retry later."
        );
        Self::conflict("ObjectIsBeingDeleted", message)
    }

    pub(super) fn being_recovered(name: &str) -> Self {
        let message = format!("Secret {name} is currently being recovered.");
        Self::conflict("ObjectIsBeingRecovered", message)
    }

    pub(super) fn already_exists(name: &str) -> Self {
        let message = format!("Secret {name} already exists; a backup cannot be restored over it.");
        Self::new(409, "Conflict", message)
    }
}
