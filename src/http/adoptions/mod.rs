//! `/v1/adoptions`: machines whose passphrase MARS saved before this service was there.

mod request;
mod response;

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use request::{AcceptAdoptionsRequest, ScanAdoptionsRequest};
use response::{AdoptionOutcomes, AdoptionProposals};

use super::{
    App,
    bracket::outcome,
    extract::{Json, OptionalJson, idempotency_key},
    problem::{Problem, ProblemBody},
};
use crate::{
    broker::{Refused, adoption::Accepted},
    domain::{caller::Caller, secret_name::SecretName},
};

/// Lists what MARS saved in a Key Vault, and proposes machines. No value is read.
///
/// One call scans for 6 seconds at most, within a budget that leaves Key Vault to people; `nextCursor` goes
/// on. Names are compared with those of known machines, in each way MARS may write them, and are never
/// taken apart at a hyphen. Doubtful ones are shown with every candidate.
#[utoipa::path(
    post, path = "/v1/adoptions/scan", operation_id = "scan_adoptions", tag = "adoptions",
    request_body = Option<ScanAdoptionsRequest>,
    responses((status = 200, description = "What these pages hold.", body = AdoptionProposals))
)]
pub(super) async fn scan_adoptions(
    caller: Caller,
    State(app): State<Arc<App>>,
    OptionalJson(request): OptionalJson<ScanAdoptionsRequest>,
) -> Result<axum::Json<AdoptionProposals>, Problem> {
    let scan = request.parse(&caller, &app)?;
    let key_vault_uri = scan.key_vault_uri.clone();
    let scanned = app.broker.scan_adoptions(&caller, scan).await?;
    Ok(axum::Json(AdoptionProposals::of(&caller, &app, &key_vault_uri, scanned)))
}

/// Registers machines with the secrets that MARS saved: up to 100, each with its own outcome.
///
/// No value is read. Repeating a request answers the machines that it registered, and tries the others again.
#[utoipa::path(
    post, path = "/v1/adoptions", operation_id = "accept_adoptions", tag = "adoptions",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with another body is refused. Kept 24 h.")),
    request_body = AcceptAdoptionsRequest,
    responses(
        (status = 201, description = "An outcome for each item, in their order: a machine or a problem.", body = AdoptionOutcomes),
        (status = 409, description = "`idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept_adoptions(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(request): Json<AcceptAdoptionsRequest>,
) -> Result<(StatusCode, axum::Json<AdoptionOutcomes>), Problem> {
    let (key_vault_uri, items) = request.parse(&app)?;
    let key = idempotency_key(&headers, &(&key_vault_uri, &items))?;
    let names: Vec<SecretName> = items.iter().map(|item| item.secret_name.clone()).collect();
    let outcomes =
        app.broker.accept_adoptions(&caller, &key_vault_uri, items, key.as_ref()).await?;
    let mut told = Vec::with_capacity(names.len());
    for (name, result) in names.into_iter().zip(outcomes) {
        let result = on_record(&caller, &app, &name, result).await;
        told.push((name, result));
    }
    let request_id = &caller.request().request_id;
    let body = AdoptionOutcomes::of(told, app.broker.rules(), request_id);
    Ok((StatusCode::CREATED, axum::Json(body)))
}

/// The bracket puts refused requests on record; this is a part of one that is answered.
async fn on_record(
    caller: &Caller,
    app: &App,
    name: &SecretName,
    result: Result<Accepted, Refused>,
) -> Result<Accepted, Problem> {
    let problem = match result {
        Ok(accepted) => return Ok(accepted),
        Err(refused) => Problem::from(refused),
    };
    if !problem.on_record {
        let (outcome, code) = (outcome(&problem), problem.code.slug());
        app.broker.record_refused_adoption(caller, name, outcome, code).await?;
    }
    Err(problem)
}
