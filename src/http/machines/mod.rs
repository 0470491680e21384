//! `/v1/machines`: register, list, get, change, retire.

mod request;
mod response;

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use request::{ListMachinesQuery, RegisterMachineRequest, UpdateMachineRequest};
use response::MachinePage;
pub(super) use response::MachineResponse;
use serde::Serialize;

use super::{
    App,
    extract::{InMachine, Json, StrictQuery, idempotency_key, if_match, page_size},
    passphrase::ReleasedPassphrase,
    problem::{Problem, ProblemBody},
};
use crate::domain::{caller::Caller, machine::Machine};

/// Registers a machine, and puts its first passphrase in Key Vault.
///
/// Repeating a registration that was interrupted (503, or a lost connection) finishes it after 30 seconds, and answers the passphrase within 5 minutes.
#[utoipa::path(
    post, path = "/v1/machines", operation_id = "register_machine", tag = "machines",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and request again answers the same machine, without its passphrase. Kept 24 h.")),
    request_body = RegisterMachineRequest,
    responses(
        (status = 201, description = "Registered. A generated passphrase is in this answer, and in no other.", body = MachineResponse,
         headers(("Location" = String, description = "The machine"), ("ETag" = String, description = "Its revision, for If-Match"))),
        (status = 409, description = "`machine-exists`, `secret-name-taken`, `agent-binding-mismatch`, `key-vault-secret-soft-deleted` (391282), `key-vault-secret-missing`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`passphrase-policy-violation`, `idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn register_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(request): Json<RegisterMachineRequest>,
) -> Result<Response, Problem> {
    let registration = request.parse(&app)?;
    let key = idempotency_key(&headers, &registration)?;
    let registered = app.broker.register_machine(&caller, registration, key.as_ref()).await?;
    let mut body = MachineResponse::of(&registered.machine, app.broker.rules());
    body.passphrase = registered.passphrase.map(ReleasedPassphrase);
    body.passphrase_omitted = registered.replayed;
    let mut response = with_etag(StatusCode::CREATED, &registered.machine, body);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/machines/{}", registered.machine.id))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Lists machines, oldest first.
#[utoipa::path(
    get, path = "/v1/machines", operation_id = "list_machines", tag = "machines", params(ListMachinesQuery),
    responses((status = 200, description = "A page of machines.", body = MachinePage))
)]
pub(super) async fn list_machines(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<ListMachinesQuery>,
) -> Result<axum::Json<MachinePage>, Problem> {
    let limit = page_size(query.page_size)?;
    let filter = query.parse(&caller, &app)?;
    let mut machines = app.broker.list_machines(filter, limit + 1).await?;
    let more = machines.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        machines.pop();
    }
    let last = machines.last().filter(|_| more);
    let next_cursor = last.map(|machine| app.cursors.seal(&caller, &machine.id.to_string()));
    let items =
        machines.iter().map(|machine| MachineResponse::of(machine, app.broker.rules())).collect();
    Ok(axum::Json(MachinePage { items, next_cursor }))
}

/// Shows a machine.
#[utoipa::path(
    get, path = "/v1/machines/{machineId}", operation_id = "get_machine", tag = "machines",
    params(("machineId" = uuid::Uuid, Path, description = "The machine")),
    responses((status = 200, description = "The machine.", body = MachineResponse, headers(("ETag" = String, description = "Its revision, for If-Match"))))
)]
pub(super) async fn get_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
) -> Result<Response, Problem> {
    let machine = app.broker.get_machine(&caller, path.machine).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::of(&machine, app.broker.rules())))
}

/// Changes a machine, by JSON merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/v1/machines/{machineId}", operation_id = "update_machine", tag = "machines",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"),
        ("If-Match" = String, Header, description = "The ETag of the machine as it was read")
    ),
    request_body(content = UpdateMachineRequest, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The machine as it is now.", body = MachineResponse, headers(("ETag" = String, description = "Its revision, for If-Match"))),
        (status = 409, description = "`agent-binding-mismatch`, `secret-name-taken`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "`precondition-failed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`precondition-required`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn update_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    headers: HeaderMap,
    Json(request): Json<UpdateMachineRequest>,
) -> Result<Response, Problem> {
    let revision = if_match(&headers)?;
    let changes = request.parse()?;
    let machine = app.broker.update_machine(&caller, path.machine, revision, changes).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::of(&machine, app.broker.rules())))
}

/// Takes a machine out of service. Its secret stays, and every version of it can still be retrieved.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/retire", operation_id = "retire_machine", tag = "machines",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again answers the machine as it is. Kept 24 h.")
    ),
    responses(
        (status = 200, description = "Retired, now or before.", body = MachineResponse),
        (status = 409, description = "`rotation-in-progress`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retire_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers, &path.machine)?;
    let machine = app.broker.retire_machine(&caller, path.machine, key.as_ref()).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::of(&machine, app.broker.rules())))
}

pub(super) fn with_etag(status: StatusCode, machine: &Machine, body: impl Serialize) -> Response {
    let etag = format!("\"{}\"", machine.revision);
    (status, [(header::ETAG, etag)], axum::Json(body)).into_response()
}
