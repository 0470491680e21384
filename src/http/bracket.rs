//! The bracket around every operation: who is it, may they, does it end in time, and is it on record.
//!
//! A use case puts its success on record itself, before the answer. Whatever is refused or fails,
//! wherever that happens, is put on record here, so no refusal can be forgotten by a handler.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Path, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use uuid::Uuid;

use super::{
    App,
    codes::Code,
    problem::{NoProblem, Problem, of_status},
};
use crate::{
    broker::{Error, Refusal},
    domain::{
        audit_event::Outcome,
        caller::{Caller, RequestFacts},
        machine::MachineId,
        operation::Operation,
        principal::Principal,
    },
};

/// A caller is answered within 5 s even when the log cannot be written (reliability goal A1), also by a
/// machine that has much to do.
const LONGEST_REFUSAL: Duration = Duration::from_millis(3_600);

pub(super) async fn bracket(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(operation) = path.and_then(|path| app.operations.find(request.method(), path)) else {
        // No operation of ours: the router answers 405. A handler behind it would find no caller.
        return next.run(request).await;
    };
    if !operation.is_audited() {
        return run(app, operation, request, next).await;
    }
    // A client that hangs up must not stop a write halfway, nor keep an event from being written.
    let task = Arc::clone(&app).tasks.spawn(run(app, operation, request, next));
    task.await.unwrap_or_else(|_panic| of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response())
}

async fn run(app: Arc<App>, operation: Operation, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let Some(facts) = request.extensions().get::<RequestFacts>().cloned() else {
        return of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    };
    let (mut parts, body) = request.into_parts();
    let machine_id = machine_in(&mut parts).await;
    let (principal, response) = match identify(&app, operation, &parts.headers, facts.clone()).await
    {
        Err((principal, error)) => (principal, Problem::from(error).into_response()),
        Ok((principal, caller)) => {
            parts.extensions.insert(caller);
            let response = answer(&app, Request::from_parts(parts, body), next).await;
            (Some(principal), response)
        }
    };
    fail_point!(
        ("answer.before {}", operation.id()),
        of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
    );
    let refused = response.extensions().get::<Problem>();
    let Some(problem) = refused.filter(|problem| operation.is_audited() && !problem.on_record)
    else {
        return response;
    };
    let refusal = Refusal { outcome: outcome(problem), problem: problem.code.slug(), machine_id };
    let record = app.broker.record_refusal(operation, principal.as_deref(), &facts, refusal);
    let left = LONGEST_REFUSAL.saturating_sub(started.elapsed()).max(Duration::from_millis(200));
    match tokio::time::timeout(left, record).await {
        Ok(Ok(())) => response,
        Ok(Err(_)) | Err(_) => Problem::from(Error::AuditUnavailable).into_response(),
    }
}

type Identified = (Arc<Principal>, Caller);

async fn identify(
    app: &App,
    operation: Operation,
    headers: &axum::http::HeaderMap,
    facts: RequestFacts,
) -> Result<Identified, (Option<Arc<Principal>>, Error)> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next().and_then(|value| value.to_str().ok()), given.next()) {
        // Two headers: which one would a proxy in front have looked at?
        (_, Some(_)) | (None, _) => None,
        (Some(value), None) => {
            value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        }
    };
    let Some((_, token)) = token else {
        metrics::counter!("passphrase_broker_unauthenticated_requests_total").increment(1);
        return Err((None, Error::TokenMissing));
    };
    let principal = app.broker.authenticate(token.trim()).await.map_err(|error| {
        metrics::counter!("passphrase_broker_unauthenticated_requests_total").increment(1);
        (None, error)
    })?;
    match app.broker.authorize(operation, &principal, facts) {
        Ok(caller) => Ok((principal, caller)),
        Err(error) => Err((Some(principal), error)),
    }
}

async fn answer(app: &App, request: Request, next: Next) -> Response {
    let Ok(_permit) = app.in_progress.try_acquire() else {
        return Problem::new(Code::Overloaded, Code::Overloaded.title()).into_response();
    };
    let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(app.limits.request_timeout, handler).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        Err(_late) => Problem::new(Code::TimedOut, Code::TimedOut.title()).into_response(),
    };
    // An extractor of a library answers without a problem; the log needs its code all the same.
    let status = response.status();
    let bare = (status.is_client_error() || status.is_server_error())
        && response.extensions().get::<Problem>().is_none()
        && response.extensions().get::<NoProblem>().is_none();
    if bare { of_status(status).into_response() } else { response }
}

/// The machine that the path names, for the log; a path that names none in a legal way has none.
async fn machine_in(parts: &mut axum::http::request::Parts) -> Option<MachineId> {
    let Path(names) =
        Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, &())
            .await
            .ok()?;
    Uuid::try_parse(names.get("machineId")?).ok().map(MachineId)
}

pub(super) fn outcome(problem: &Problem) -> Outcome {
    if problem.code.status().is_server_error() { Outcome::Failed } else { Outcome::Denied }
}
