//! One GET to Azure Resource Manager: attempts, each with a time limit, under the caller's deadline.
//!
//! There is no other method here. A GET may be repeated as often as there is time.

use std::time::{Duration, Instant};

use reqwest::{
    Response,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
};

use time::OffsetDateTime;

use super::{
    HOST, ResourceManager,
    error::{CallFacts, ResourceManagerError},
    operation::Operation,
};
use crate::{
    azure::{
        answer::{self, ERROR_LIMIT, ErrorObject, OUR_REQUEST_ID, Unread},
        credential::AccessToken,
        retry::{self, ATTEMPT_LIMIT, Deadline},
    },
    domain::retry_after::retry_after,
};

pub(super) const SCOPE: &str = "https://management.azure.com/.default";

/// A question, however many pages its answer has.
pub(super) struct Call<'a> {
    pub(super) operation: &'static Operation,
    pub(super) request_id: &'a str,
    pub(super) deadline: Deadline,
    pub(super) started: Instant,
}

pub(super) struct Answer {
    pub(super) facts: CallFacts,
    pub(super) body: Vec<u8>,
}

/// What is known of an answer before its body.
#[derive(Default)]
struct Head {
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    answered_at: Option<OffsetDateTime>,
}

type Outcome<T> = Result<T, ResourceManagerError>;

impl<'a> Call<'a> {
    pub(super) fn new(
        operation: &'static Operation,
        request_id: &'a str,
        deadline: Deadline,
    ) -> Self {
        Self { operation, request_id, deadline, started: Instant::now() }
    }

    fn facts(&self, path: &str, head: Head) -> Box<CallFacts> {
        Box::new(CallFacts {
            action: self.operation.action,
            method: "GET",
            path: path.to_owned(),
            api_version: self.operation.api_version,
            status: head.status,
            code: head.code,
            request_id: head.request_id,
            duration: self.started.elapsed(),
            answered_at: head.answered_at,
        })
    }

    pub(super) fn unavailable(&self, path: &str) -> ResourceManagerError {
        ResourceManagerError::Unavailable(self.facts(path, Head::default()))
    }
}

impl ResourceManager {
    /// `path` with its query. At most `limit` bytes of an answer are read.
    pub(super) async fn get(&self, call: &Call<'_>, path: &str, limit: usize) -> Outcome<Answer> {
        let mut attempt = 0;
        loop {
            // On the heap: many questions are asked side by side, by one future.
            let error = match Box::pin(self.attempt_as_ourselves(call, path, limit)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = match &error {
                ResourceManagerError::Unavailable(_) => None,
                ResourceManagerError::Throttled { retry_after, .. } => *retry_after,
                _ => return Err(error),
            };
            let Some(pause) = retry::pause(attempt, wait, call.deadline.left()) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// With a token; with another one when ARM does not take the first.
    async fn attempt_as_ourselves(
        &self,
        call: &Call<'_>,
        path: &str,
        limit: usize,
    ) -> Outcome<Answer> {
        let token = self.token(call, path).await?;
        let first = self.attempt(call, path, limit, &token).await;
        if !matches!(&first, Err(ResourceManagerError::Credential { .. }))
            || !self.credential.reject(SCOPE, &token)
        {
            return first;
        }
        let token = self.token(call, path).await?;
        self.attempt(call, path, limit, &token).await
    }

    async fn token(&self, call: &Call<'_>, path: &str) -> Outcome<AccessToken> {
        self.credential.token_by(call.deadline, SCOPE).await.map_err(|source| {
            let facts = call.facts(path, Head::default());
            ResourceManagerError::Credential { source, facts }
        })
    }

    /// One attempt, counted and, when it fails, logged.
    async fn attempt(
        &self,
        call: &Call<'_>,
        path: &str,
        limit: usize,
        token: &AccessToken,
    ) -> Outcome<Answer> {
        let started = Instant::now();
        let time = call.deadline.left().min(ATTEMPT_LIMIT);
        let outcome = tokio::time::timeout(time, self.exchange(call, path, limit, token)).await;
        let outcome = outcome.unwrap_or_else(|_elapsed| Err(call.unavailable(path)));
        count(call.operation, &outcome, started.elapsed());
        if let Err(error) = &outcome {
            log(call, error);
        }
        outcome
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        path: &str,
        limit: usize,
        token: &AccessToken,
    ) -> Outcome<Answer> {
        let mut request =
            self.http.get(format!("{HOST}{path}")).header(AUTHORIZATION, token.authorization());
        if let Ok(id) = HeaderValue::from_str(call.request_id) {
            request = request.header(OUR_REQUEST_ID, id);
        }
        let response = request.send().await.map_err(|_lost| call.unavailable(path))?;
        self.receive(call, path, limit, response).await
    }

    async fn receive(
        &self,
        call: &Call<'_>,
        path: &str,
        limit: usize,
        response: Response,
    ) -> Outcome<Answer> {
        let status = Some(response.status().as_u16());
        let request_id = answer::request_id(&response);
        let answered_at = answer::date(&response);
        if status == Some(200) {
            let body = answer::read(response, limit).await;
            let facts = call.facts(path, Head { status, request_id, code: None, answered_at });
            return match body {
                Ok(body) => Ok(Answer { facts: *facts, body }),
                Err(Unread::TooLarge) => Err(ResourceManagerError::InvalidAnswer(facts)),
                Err(Unread::Broken) => Err(ResourceManagerError::Unavailable(facts)),
            };
        }
        let wait = answer::header(&response, RETRY_AFTER);
        let wait = wait.and_then(|text| retry_after(text, self.clock.now()));
        // The status alone says enough when the body is lost.
        let body = answer::read(response, ERROR_LIMIT).await.unwrap_or_default();
        let mut error = ErrorObject::parse(&body);
        let facts =
            call.facts(path, Head { status, request_id, code: error.take_code(), answered_at });
        Err(ResourceManagerError::classify(facts, wait, error.message.as_deref()))
    }
}

fn count(operation: &Operation, outcome: &Outcome<Answer>, took: Duration) {
    let label = outcome.as_ref().map_or_else(ResourceManagerError::code, |_answer| "ok");
    metrics::counter!(
        "passphrase_broker_resource_manager_calls_total",
        "operation" => operation.name, "outcome" => label
    )
    .increment(1);
    metrics::histogram!(
        "passphrase_broker_resource_manager_call_seconds", "operation" => operation.name
    )
    .record(took.as_secs_f64());
}

/// A resource that is not there or not ours to read is an answer to preflight, not a fault.
fn log(call: &Call<'_>, error: &ResourceManagerError) {
    let (operation, request_id, facts) = (call.operation.name, call.request_id, error.facts());
    let (outcome, status, code) = (error.code(), facts.status, facts.code.as_deref());
    let resource_manager_request_id = facts.request_id.as_deref();
    match error {
        ResourceManagerError::Forbidden { .. } | ResourceManagerError::NotFound(_) => {
            tracing::debug!(
                operation,
                request_id,
                outcome,
                status,
                code,
                resource_manager_request_id,
                "Resource Manager call failed"
            );
        }
        _ => tracing::warn!(
            operation,
            request_id,
            outcome,
            status,
            code,
            resource_manager_request_id,
            "Resource Manager call failed"
        ),
    }
}
