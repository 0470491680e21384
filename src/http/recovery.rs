//! `/v1/machines/{machineId}/recover`: a soft-deleted secret comes back.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    extract::{InMachine, idempotency_key},
    machines::{MachineResponse, with_etag},
    problem::{Problem, ProblemBody},
};
use crate::domain::caller::Caller;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecoveryResponse {
    #[serde(flatten)]
    machine: MachineResponse,
    /// The names of the secrets that came back: the machine's own, the escrow secret beside it, or both. Empty in the replay of a request.
    recovered_secrets: Vec<String>,
}

/// Brings a machine's soft-deleted secret back, with all its versions (the MARS agent reports 391282).
///
/// Also the escrow secret beside it. This waits until Key Vault shows them again, 9 seconds at most; when
/// Key Vault takes longer it answers 503 `key-vault-unavailable`, and repeating the request finishes it.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/recover", operation_id = "recover_secret", tag = "machines",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again recovers nothing more. Kept 24 h.")
    ),
    responses(
        (status = 200, description = "The secret is back, and the machine in the state that it has with it.", body = RecoveryResponse,
         headers(("ETag" = String, description = "The machine's revision, for If-Match"))),
        (status = 409, description = "`secret-not-deleted`, `key-vault-secret-missing`: it is neither there nor deleted, `key-vault-secret-being-deleted`: try again in 10 seconds, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn recover_secret(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers, &path.machine)?;
    let recovered = app.broker.recover_secret(&caller, path.machine, key.as_ref()).await?;
    let body = RecoveryResponse {
        machine: MachineResponse::of(&recovered.machine, app.broker.rules()),
        recovered_secrets: recovered.secrets.iter().map(ToString::to_string).collect(),
    };
    Ok(with_etag(StatusCode::OK, &recovered.machine, body))
}
