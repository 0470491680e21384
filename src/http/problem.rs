//! What an error looks like to a caller: RFC 9457, for everything that is not a success.
//!
//! [`Code`] is the one status table. `broker::Error` maps to it without a wildcard, so a new error does
//! not compile before it has a status, a page and a title. Causes go to the log here, once, and never
//! into the answer: texts of Azure name tenants, subscriptions and object ids.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::codes::Code;
use crate::{
    azure::{KeyVaultError, KeyVaultFacts},
    broker::{Error, Refused},
};

/// A refusal on its way out. [`render`] gives it the request's id and writes it.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    /// JSON pointers into the request, with what is wrong there.
    pub errors: Vec<FieldError>,
    pub key_vault: Option<Box<KeyVaultFacts>>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// Whether the audit log tells of it already.
    pub on_record: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the request's body, or a parameter's name.
    pub pointer: String,
    pub detail: String,
}

/// How a problem looks in OpenAPI and on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// A page of this service that says what to do: `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    /// What happened in this case.
    pub detail: String,
    /// The stable name of this kind of problem.
    pub code: &'static str,
    pub request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The error of the MARS agent that this stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mars_error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub key_vault: Option<serde_json::Value>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            key_vault: None,
            retry_after: code.retryable().then_some(2),
            challenge: None,
            on_record: false,
        }
    }

    /// One that a part of the request is to blame for.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let errors = vec![FieldError { pointer, detail: detail.clone() }];
        Self { errors, ..Self::new(Code::InvalidRequest, detail) }
    }

    fn challenged(self, challenge: &str) -> Self {
        Self { challenge: Some(challenge.to_owned()), ..self }
    }

    /// Also for a part of an answer.
    pub(super) fn body(&self, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("/problems/{}", self.code.slug()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.slug(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            mars_error_code: self.code.mars_error_code(),
            key_vault: self.key_vault.as_ref().map(|facts| {
                json!({"status": facts.status, "code": facts.code, "innerCode": facts.inner_code, "requestId": facts.request_id})
            }),
            retryable: self.code.retryable(),
        }
    }

    /// Writes it.
    pub fn render(&self, request_id: &str) -> Response {
        let bytes = serde_json::to_vec(&self.body(request_id)).unwrap_or_default();
        let mut response = (self.code.status(), bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) =
            self.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Only carries the problem: the outermost layer renders it, when the request's id is known.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { on_record: refused.on_record.is_some(), ..Self::from(refused.error) }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = Code::of(&error);
        let detail = error.to_string();
        log(&error, code);
        match error {
            // RFC 6750: no token, no error code.
            Error::TokenMissing => Self::new(code, detail).challenged("Bearer"),
            Error::TokenRefused(_) | Error::TokenTooOld => {
                let challenge =
                    format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
                Self::new(code, detail).challenged(&challenge)
            }
            Error::RoleMissing(_) => {
                Self::new(code, detail).challenged("Bearer error=\"insufficient_scope\"")
            }
            Error::InvalidRequest { pointer, detail } => Self::at(pointer, detail),
            Error::KeyVault(error) => of_key_vault(code, &error),
            Error::OutcomeUnknown(error) => {
                let key_vault = Some(Box::new(error.facts().clone()));
                Self { retry_after: Some(30), key_vault, ..Self::new(code, detail) }
            }
            Error::RecoveryNotVisible => Self { retry_after: Some(10), ..Self::new(code, detail) },
            Error::RotationBeingPrepared | Error::BeingRegistered => {
                Self { retry_after: Some(30), ..Self::new(code, detail) }
            }
            Error::AuditUnavailable
            | Error::DatabaseUnavailable(_)
            | Error::AuditUnreadable(_)
            | Error::Internal(_) => Self::new(code, code.title()),
            _ => Self::new(code, detail),
        }
    }
}

fn of_key_vault(code: Code, error: &KeyVaultError) -> Problem {
    let mut problem = Problem::new(code, code.title());
    match error {
        KeyVaultError::Throttled { retry_after: Some(after), .. } => {
            problem.retry_after = Some(after.as_secs().clamp(1, 600));
        }
        KeyVaultError::PermissionMissing(KeyVaultFacts { action: Some(action), .. }) => {
            problem.detail = format!("this service's identity lacks {action} at the Key Vault");
        }
        KeyVaultError::Refused(KeyVaultFacts { status: Some(status), .. }) => {
            problem.detail = format!(
                "Key Vault answered {status}, for a reason that this service does not know"
            );
        }
        KeyVaultError::BeingDeleted(_) => problem.retry_after = Some(10),
        _ => {}
    }
    problem.key_vault = Some(Box::new(error.facts().clone()));
    problem
}

/// The causes, in the log, once. None of them holds a passphrase: no type that has one is `Display`.
fn log(error: &Error, code: Code) {
    let first = std::error::Error::source(error);
    let causes: Vec<String> =
        std::iter::successors(first, |error| error.source()).map(ToString::to_string).collect();
    let causes = causes.join(": ");
    if code.status().is_server_error() {
        tracing::error!(code = code.slug(), causes, "a request failed");
    } else {
        tracing::info!(code = code.slug(), causes, "a request was refused");
    }
}

/// On an answer whose status is an error's and whose body is not a problem's: it stays as it is.
#[derive(Clone, Copy)]
pub(super) struct NoProblem;

/// What a bare status of a library (404, 405, 413 ...) becomes.
pub(super) fn of_status(status: StatusCode) -> Problem {
    let code = Code::of_status(status);
    Problem::new(code, code.title())
}
