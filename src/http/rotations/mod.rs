//! `/v1/machines/{machineId}/rotations`: a new passphrase in two phases.

mod request;
mod response;

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use request::{
    ConfirmRotationRequest, FailRotationRequest, ListRotationsQuery, RequestRotationRequest,
};
use response::{RotationPage, RotationResponse};

use super::{
    App,
    extract::{InMachine, InRotation, Json, OptionalJson, StrictQuery, idempotency_key, page_size},
    problem::{Problem, ProblemBody},
};
use crate::domain::{caller::Caller, rotation::RotationState};

/// The Azure Backup service writes for MARS.
const MARS_WRITES_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// Begins a rotation: the new passphrase is in escrow when this answers.
///
/// An agent that asks again while its rotation is open gets the same rotation and passphrase.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations", operation_id = "request_rotation", tag = "rotations",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and request again answers the same rotation, without its passphrase. Kept 24 h.")
    ),
    request_body = RequestRotationRequest,
    responses(
        (status = 201, description = "Prepared; collected, if the passphrase is in the answer.", body = RotationResponse,
         headers(("Location" = String, description = "The rotation"))),
        (status = 409, description = "`rotation-in-progress`, `invalid-rotation-state`, `key-vault-secret-soft-deleted` (391282), `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`passphrase-policy-violation`, `idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn request_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    headers: HeaderMap,
    Json(request): Json<RequestRotationRequest>,
) -> Result<Response, Problem> {
    let request = request.parse()?;
    let key = idempotency_key(&headers, &(path.machine, &request))?;
    let requested =
        app.broker.request_rotation(&caller, path.machine, request, key.as_ref()).await?;
    let location =
        format!("/v1/machines/{}/rotations/{}", requested.machine.id, requested.rotation.id);
    let mut response =
        (StatusCode::CREATED, axum::Json(RotationResponse::from(requested))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Lists the rotations of a machine, newest first.
#[utoipa::path(
    get, path = "/v1/machines/{machineId}/rotations", operation_id = "list_rotations", tag = "rotations",
    params(("machineId" = uuid::Uuid, Path, description = "The machine"), ListRotationsQuery),
    responses((status = 200, description = "A page of rotations, without passphrases.", body = RotationPage))
)]
pub(super) async fn list_rotations(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    StrictQuery(query): StrictQuery<ListRotationsQuery>,
) -> Result<axum::Json<RotationPage>, Problem> {
    let limit = page_size(query.page_size)?;
    let before =
        query.cursor.as_deref().map(|cursor| app.cursors.open(&caller, cursor)).transpose()?;
    let before = before.and_then(|position| position.parse().ok());
    let machine = app.broker.get_machine(&caller, path.machine).await?;
    let mut rotations = app.broker.list_rotations(&caller, path.machine, before, limit + 1).await?;
    let more = rotations.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rotations.pop();
    }
    let last = rotations.last().filter(|_| more);
    let next_cursor =
        last.map(|rotation| app.cursors.seal(&caller, &rotation.sequence.to_string()));
    let items = rotations.iter().map(|rotation| RotationResponse::of(&machine, rotation)).collect();
    Ok(axum::Json(RotationPage { items, next_cursor }))
}

/// Shows a rotation.
#[utoipa::path(
    get, path = "/v1/machines/{machineId}/rotations/{rotationId}", operation_id = "get_rotation", tag = "rotations",
    params(("machineId" = uuid::Uuid, Path, description = "The machine"), ("rotationId" = uuid::Uuid, Path, description = "The rotation")),
    responses((status = 200, description = "The rotation, without its passphrase.", body = RotationResponse))
)]
pub(super) async fn get_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let (machine, rotation) = app.broker.get_rotation(&caller, path.machine, path.rotation).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}

/// Releases the new passphrase to the machine's agent, or to a person who may rotate and retrieve.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/collect", operation_id = "collect_passphrase", tag = "rotations",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"), ("rotationId" = uuid::Uuid, Path, description = "The rotation"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again answers the rotation without its passphrase, which another request collects. Kept 24 h.")
    ),
    responses(
        (status = 200, description = "The passphrase to apply. Asked again, the same one.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn collect_passphrase(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    headers: HeaderMap,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let InRotation { machine, rotation } = path;
    let key = idempotency_key(&headers, &(machine, rotation))?;
    let collected = app.broker.collect_passphrase(&caller, machine, rotation, key.as_ref()).await?;
    Ok(axum::Json(collected.into()))
}

/// The machine has applied it: it is in force from now on. Repeating it changes nothing.
///
/// With writer `agent` the service looks for the version that MARS wrote and compares its passphrase with the
/// one that was handed out. Not there yet: 202, and the agent repeats this request. Another passphrase: 409
/// `invalid-rotation-state`; rotation and machine are `indeterminate`, a retrieval shows both, and a repetition
/// after MARS wrote the right one settles it.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/confirm", operation_id = "confirm_rotation", tag = "rotations",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"), ("rotationId" = uuid::Uuid, Path, description = "The rotation"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and request again answers the rotation as it is. Kept 24 h, but for a 202: then the same request looks again.")
    ),
    request_body = Option<ConfirmRotationRequest>,
    responses(
        (status = 200, description = "Confirmed, now or before.", body = RotationResponse),
        (status = 202, description = "Not confirmed: MARS has not written it yet. Repeat after `Retry-After`.", body = RotationResponse,
         headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 409, description = "`invalid-rotation-state`, `idempotency-in-progress`; `key-vault-secret-disabled`: the version that MARS wrote is disabled and cannot be compared", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`: it was never collected", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn confirm_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<ConfirmRotationRequest>,
) -> Result<Response, Problem> {
    let (InRotation { machine, rotation }, confirmation) = (path, request.parse()?);
    let key = idempotency_key(&headers, &(machine, rotation, &confirmation))?;
    let confirmed =
        app.broker.confirm_rotation(&caller, machine, rotation, confirmation, key.as_ref());
    let (machine, rotation) = confirmed.await?;
    let body = axum::Json(RotationResponse::of(&machine, &rotation));
    if matches!(rotation.state, RotationState::Confirmed { .. }) {
        return Ok(body.into_response());
    }
    let wait = [(header::RETRY_AFTER, MARS_WRITES_AFTER_SECONDS)];
    Ok((StatusCode::ACCEPTED, wait, body).into_response())
}

/// The machine could not apply it: the old passphrase stays in force. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/fail", operation_id = "fail_rotation", tag = "rotations",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"), ("rotationId" = uuid::Uuid, Path, description = "The rotation"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and request again answers the rotation as it is. Kept 24 h.")
    ),
    request_body = Option<FailRotationRequest>,
    responses(
        (status = 200, description = "Failed, now or before.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn fail_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<FailRotationRequest>,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let (InRotation { machine, rotation }, report) = (path, request.parse()?);
    let key = idempotency_key(&headers, &(machine, rotation, &report))?;
    let (machine, rotation) =
        app.broker.fail_rotation(&caller, machine, rotation, report, key.as_ref()).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}

/// Withdraws a rotation that nobody has collected. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/abandon", operation_id = "abandon_rotation", tag = "rotations",
    params(
        ("machineId" = uuid::Uuid, Path, description = "The machine"), ("rotationId" = uuid::Uuid, Path, description = "The rotation"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again answers the rotation as it is. Kept 24 h.")
    ),
    responses(
        (status = 200, description = "Abandoned, now or before.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn abandon_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    headers: HeaderMap,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let InRotation { machine, rotation } = path;
    let key = idempotency_key(&headers, &(machine, rotation))?;
    let (machine, rotation) =
        app.broker.abandon_rotation(&caller, machine, rotation, key.as_ref()).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}
