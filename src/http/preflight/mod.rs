//! `/v1/preflight` and `/v1/machines/{machineId}/preflight`: which of Microsoft's errors is about to be met.
//!
//! The report is JSON, or a table with the commands below it for a terminal (`Accept: text/plain`).

mod request;
mod response;
mod text;

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use self::{
    request::{PreflightQuery, PreflightRequest},
    response::ReportResponse,
};
use super::{
    App,
    accept::prefers,
    extract::{InMachine, Json, StrictQuery},
    problem::{NoProblem, Problem},
};
use crate::domain::{caller::Caller, preflight::Report};

/// Finds out which of Microsoft's errors MARS would meet with this Key Vault, Recovery Services vault and machine, and
/// answers what mends it.
///
/// Nothing is written anywhere. Only `keyVaultUri` is required; what cannot be checked without the rest is `skipped`.
/// Checks PF-01 to PF-26 are made; each ends as `pass`, `warn`, `fail`, `unknown` (it could not be proved, for a missing
/// permission or an answer that did not come) or `skipped`. `overall` is the worst: `fail`, then `unknown`, `warn`, `pass`.
/// The report comes within 10 seconds, also when Azure hangs.
///
/// Secrets are looked at only in a Key Vault that this service is configured for; for others those checks are `unknown`.
///
/// For scripts: `curl -fsS ".../v1/preflight?failOn=fail"` ends with an error when the report's `overall` is `fail`, because
/// the status is 424 then; the body is the same report (`curl --fail-with-body` shows it).
#[utoipa::path(
    post, path = "/v1/preflight", operation_id = "run_preflight", tag = "preflight",
    params(PreflightQuery),
    request_body = PreflightRequest,
    responses(
        (status = 200, description = "The report.", content((ReportResponse = "application/json"), (String = "text/plain"))),
        (status = 424, description = "The report, when it is as bad as failOn says, or worse.", content((ReportResponse = "application/json"), (String = "text/plain"))),
    )
)]
pub(super) async fn run_preflight(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<PreflightQuery>,
    headers: HeaderMap,
    Json(request): Json<PreflightRequest>,
) -> Result<Response, Problem> {
    let query = query.parse()?;
    let report = app.broker.run_preflight(&caller, request.parse()?).await?;
    Ok(answer(&report, &query, &headers))
}

/// The same for a registered machine: with its own Key Vault, secret and Recovery Services vault.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/preflight", operation_id = "run_machine_preflight", tag = "preflight",
    params(("machineId" = Uuid, Path, description = "The machine"), PreflightQuery),
    responses(
        (status = 200, description = "The report.", content((ReportResponse = "application/json"), (String = "text/plain"))),
        (status = 424, description = "The report, when it is as bad as failOn says, or worse.", content((ReportResponse = "application/json"), (String = "text/plain"))),
    )
)]
pub(super) async fn run_machine_preflight(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    StrictQuery(query): StrictQuery<PreflightQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.parse()?;
    let report = app.broker.run_machine_preflight(&caller, path.machine).await?;
    Ok(answer(&report, &query, &headers))
}

fn answer(report: &Report, query: &request::Wanted, headers: &HeaderMap) -> Response {
    let failed = query.fail_on.is_some_and(|worst| report.overall >= worst);
    let status = if failed { StatusCode::FAILED_DEPENDENCY } else { StatusCode::OK };
    let mut response = if prefers(headers, &["text/plain", "text/*"]) {
        let text = text::render(report, query.columns);
        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
    } else {
        (status, axum::Json(ReportResponse::from(report))).into_response()
    };
    response.extensions_mut().insert(NoProblem);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}
