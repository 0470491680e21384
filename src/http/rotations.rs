//! `/v1/machines/{machineId}/rotations`: a new passphrase in two phases.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    App,
    extract::{InMachine, InRotation, Json, OptionalJson, Query, idempotency_key, page_size},
    passphrase::{GivenPassphrase, ReleasedPassphrase},
    problem::{Problem, ProblemBody},
};
use crate::{
    broker::rotation::{
        Confirmation, FailureReport, NewPassphrase, RequestedRotation, RotationRequest,
    },
    domain::{
        caller::Caller,
        machine::{AgentVersion, Machine},
        rotation::{Lifetime, Rotation, RotationState, Writer},
    },
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequestRotationRequest {
    passphrase: NewPassphraseRequest,
    /// Who writes it to `AzBackup-...` when it is confirmed. Only `broker` yet; `agent` (MARS writes by itself) is refused.
    #[schema(example = "broker")]
    writer: Option<String>,
    /// 60 to 604800; 3600 when left out.
    expires_in_seconds: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewPassphraseRequest {
    source: NewSource,
    /// Only with `provided`. MARS's rules hold: 16 and more printable ASCII characters.
    value: Option<GivenPassphrase>,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum NewSource {
    Generated,
    Provided,
}

#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ConfirmRotationRequest {
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
    /// What MARS printed, with writer `agent`.
    secret_identifier: Option<String>,
}

#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct FailRotationRequest {
    /// The code that MARS gave.
    #[schema(example = "100130", max_length = 16)]
    mars_error_code: Option<String>,
    /// At most 500 characters. Never put the passphrase here.
    #[schema(max_length = 500)]
    message: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RotationResponse {
    id: Uuid,
    machine_id: Uuid,
    /// `requested`, `prepared`, `collected`, `confirmed`, `failed`, `abandoned`, `expired` or `indeterminate`.
    state: &'static str,
    writer: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    requested_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow_secret_identifier: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    collected_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<OffsetDateTime>,
    /// The version in force since the confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mars_error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// For a caller who may collect it; then it counts as collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<ReleasedPassphrase>,
    /// True in the replay of a request: collect the passphrase instead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    passphrase_omitted: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RotationPage {
    items: Vec<RotationResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListRotationsQuery {
    /// 1 to 200; 50 when left out.
    page_size: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Begins a rotation: the new passphrase is in escrow when this answers.
///
/// An agent that asks again while its rotation is open gets the same rotation and passphrase.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations", operation_id = "request_rotation", tag = "rotations",
    params(
        ("machineId" = Uuid, Path, description = "The machine"),
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
    params(("machineId" = Uuid, Path, description = "The machine"), ListRotationsQuery),
    responses((status = 200, description = "A page of rotations, without passphrases.", body = RotationPage))
)]
pub(super) async fn list_rotations(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    Query(query): Query<ListRotationsQuery>,
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
    params(("machineId" = Uuid, Path, description = "The machine"), ("rotationId" = Uuid, Path, description = "The rotation")),
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
    params(("machineId" = Uuid, Path, description = "The machine"), ("rotationId" = Uuid, Path, description = "The rotation")),
    responses(
        (status = 200, description = "The passphrase to apply. Asked again, the same one.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn collect_passphrase(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let collected = app.broker.collect_passphrase(&caller, path.machine, path.rotation).await?;
    Ok(axum::Json(collected.into()))
}

/// The machine has applied it: it is in force from now on. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/confirm", operation_id = "confirm_rotation", tag = "rotations",
    params(("machineId" = Uuid, Path, description = "The machine"), ("rotationId" = Uuid, Path, description = "The rotation")),
    request_body = Option<ConfirmRotationRequest>,
    responses(
        (status = 200, description = "Confirmed, now or before.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`: it was never collected", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn confirm_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    OptionalJson(request): OptionalJson<ConfirmRotationRequest>,
) -> Result<axum::Json<RotationResponse>, Problem> {
    if request.secret_identifier.is_some() {
        return Err(Problem::at(
            "/secretIdentifier",
            "only with writer \"agent\", which is not there yet",
        ));
    }
    let agent_version = request.agent_version.as_deref().map(AgentVersion::parse).transpose();
    let agent_version =
        agent_version.map_err(|error| Problem::at("/agentVersion", error.to_string()))?;
    let confirmation = Confirmation { agent_version };
    let (machine, rotation) =
        app.broker.confirm_rotation(&caller, path.machine, path.rotation, confirmation).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}

/// The machine could not apply it: the old passphrase stays in force. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/fail", operation_id = "fail_rotation", tag = "rotations",
    params(("machineId" = Uuid, Path, description = "The machine"), ("rotationId" = Uuid, Path, description = "The rotation")),
    request_body = Option<FailRotationRequest>,
    responses(
        (status = 200, description = "Failed, now or before.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn fail_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
    OptionalJson(request): OptionalJson<FailRotationRequest>,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let report = request.parse()?;
    let (machine, rotation) =
        app.broker.fail_rotation(&caller, path.machine, path.rotation, report).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}

/// Withdraws a rotation that nobody has collected. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/rotations/{rotationId}/abandon", operation_id = "abandon_rotation", tag = "rotations",
    params(("machineId" = Uuid, Path, description = "The machine"), ("rotationId" = Uuid, Path, description = "The rotation")),
    responses(
        (status = 200, description = "Abandoned, now or before.", body = RotationResponse),
        (status = 409, description = "`invalid-rotation-state`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`rotation-expired`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn abandon_rotation(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InRotation,
) -> Result<axum::Json<RotationResponse>, Problem> {
    let (machine, rotation) =
        app.broker.abandon_rotation(&caller, path.machine, path.rotation).await?;
    Ok(axum::Json(RotationResponse::of(&machine, &rotation)))
}

impl RequestRotationRequest {
    fn parse(self) -> Result<RotationRequest, Problem> {
        let writer = match self.writer.as_deref().map(Writer::parse) {
            None | Some(Some(Writer::Broker)) => Writer::Broker,
            Some(Some(Writer::Agent)) => {
                return Err(Problem::at(
                    "/writer",
                    "writer \"agent\" is not there yet; use \"broker\"",
                ));
            }
            Some(None) => {
                return Err(Problem::at("/writer", "a writer is \"broker\" or \"agent\""));
            }
        };
        let lifetime = self.expires_in_seconds.map(Lifetime::from_seconds).transpose();
        let lifetime =
            lifetime.map_err(|error| Problem::at("/expiresInSeconds", error.to_string()))?;
        let passphrase = match (self.passphrase.source, self.passphrase.value) {
            (NewSource::Generated, None) => NewPassphrase::Generated,
            (NewSource::Provided, Some(value)) => NewPassphrase::Provided(value.parse()?),
            (NewSource::Generated, Some(_)) => {
                return Err(Problem::at(
                    "/passphrase/value",
                    "only a provided passphrase has a value",
                ));
            }
            (NewSource::Provided, None) => {
                return Err(Problem::at("/passphrase/value", "a provided passphrase has a value"));
            }
        };
        Ok(RotationRequest { passphrase, writer, lifetime: lifetime.unwrap_or_default() })
    }
}

impl FailRotationRequest {
    fn parse(self) -> Result<FailureReport, Problem> {
        let code_fits = |code: &String| {
            (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !self.mars_error_code.as_ref().is_none_or(code_fits) {
            return Err(Problem::at(
                "/marsErrorCode",
                "a MARS error code has 1 to 16 letters and digits",
            ));
        }
        let message_fits =
            |text: &String| text.chars().count() <= 500 && !text.chars().any(char::is_control);
        if !self.message.as_ref().is_none_or(message_fits) {
            return Err(Problem::at(
                "/message",
                "a message has at most 500 characters, and no control characters",
            ));
        }
        Ok(FailureReport { mars_error_code: self.mars_error_code, message: self.message })
    }
}

impl RotationResponse {
    pub(super) fn of(machine: &Machine, rotation: &Rotation) -> Self {
        let mut response = Self {
            id: rotation.id.0,
            machine_id: rotation.machine_id.0,
            state: rotation.state.name(),
            writer: rotation.writer.name(),
            requested_at: rotation.requested_at,
            expires_at: rotation.expires_at,
            escrow_secret_identifier: None,
            collected_at: None,
            confirmed_at: None,
            secret_identifier: None,
            mars_error_code: None,
            message: None,
            passphrase: None,
            passphrase_omitted: false,
        };
        let (escrow, collected) = match &rotation.state {
            RotationState::Prepared { escrow_version } => (Some(escrow_version), None),
            RotationState::Confirmed { collected, .. } => {
                (Some(&collected.escrow_version), Some(collected))
            }
            state => {
                (state.unsettled().map(|collected| &collected.escrow_version), state.unsettled())
            }
        };
        response.escrow_secret_identifier = escrow.map(|version| {
            machine.escrow(rotation.escrow_secret_name.clone(), version.clone()).to_string()
        });
        response.collected_at = collected.map(|collected| collected.at);
        if let RotationState::Confirmed { version, at, .. } = &rotation.state {
            response.confirmed_at = Some(*at);
            response.secret_identifier = Some(machine.secret(version.clone()).to_string());
        }
        if let RotationState::Failed { mars_error_code, message, .. } = &rotation.state {
            (response.mars_error_code, response.message) =
                (mars_error_code.clone(), message.clone());
        }
        response
    }
}

impl From<RequestedRotation> for RotationResponse {
    fn from(requested: RequestedRotation) -> Self {
        let response = Self::of(&requested.machine, &requested.rotation);
        Self {
            passphrase: requested.passphrase.map(ReleasedPassphrase),
            passphrase_omitted: requested.replayed,
            ..response
        }
    }
}
