//! `/v1/coverage`: which machines are safe, which are not, and why. As JSON a page at a time, as CSV whole.

mod csv;
mod response;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use response::CoverageResponse;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    App,
    accept::prefers,
    extract::{StrictQuery, page_size},
    problem::Problem,
};
use crate::{
    broker::coverage::CoveragePosition,
    domain::{caller::Caller, recovery_services_vault::RecoveryServicesVaultId},
};

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CoverageQuery {
    /// Only this one.
    recovery_services_vault_id: Option<String>,
    /// `json` or `csv`; left out: what `Accept` asks for, else `json`.
    format: Option<Format>,
    /// Of JSON: 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<i64>,
    /// Of JSON: `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Format {
    Json,
    Csv,
}

/// Shows which MARS machines have a passphrase that can be retrieved, which have none, and why.
///
/// Machines are those that are registered here and those that ARM tells of their Recovery Services vaults. Where ARM may
/// not be read, `inventory` is `unknown` with the reason: there may be machines that nobody here knows of. Nothing
/// is asked of Key Vault for this: each row says when it was last checked.
///
/// As CSV (`?format=csv` or `Accept: text/csv`) the report is whole, and safe to open in a spreadsheet: every field is in
/// quotes, and one that a spreadsheet would take for a formula begins with an apostrophe.
#[utoipa::path(
    get, path = "/v1/coverage", operation_id = "show_coverage", tag = "coverage", params(CoverageQuery),
    responses(
        (status = 200, description = "A page of the report, or all of it as CSV.", content((CoverageResponse = "application/json"), (String = "text/csv"))),
    )
)]
pub(super) async fn show_coverage(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<CoverageQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let csv = match query.format {
        Some(format) => format == Format::Csv,
        None => prefers(&headers, &["text/csv"]),
    };
    let only = query.recovery_services_vault_id.as_deref().map(RecoveryServicesVaultId::parse);
    let only = only
        .transpose()
        .map_err(|error| Problem::at("recoveryServicesVaultId", error.to_string()))?;
    let mut response = if csv {
        if query.page_size.is_some() || query.cursor.is_some() {
            return Err(Problem::at("pageSize", "CSV is whole and has no pages"));
        }
        app.broker.refresh_coverage(&caller).await;
        as_csv(app, caller, only).into_response()
    } else {
        let limit = page_size(query.page_size)?;
        let from = position(&app, &caller, query.cursor.as_deref())?;
        if from == CoveragePosition::start() {
            app.broker.refresh_coverage(&caller).await;
        }
        let page = app.broker.show_coverage(&caller, only.as_ref(), from, limit).await?;
        let ids = page.recovery_services_vaults();
        let inventories = app.broker.list_inventories(&caller, &ids).await?;
        let counts = app.broker.count_coverage(&caller, &ids).await?;
        let next_cursor = page.next.as_ref().map(|next| app.cursors.seal(&caller, &written(next)));
        let body = CoverageResponse::of(&page, &inventories, &counts, next_cursor);
        axum::Json(body).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn as_csv(app: Arc<App>, caller: Caller, only: Option<RecoveryServicesVaultId>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"coverage.csv\""),
    ];
    (headers, Body::from_stream(csv::stream(app, caller, only))).into_response()
}

fn position(app: &App, caller: &Caller, cursor: Option<&str>) -> Result<CoveragePosition, Problem> {
    let Some(cursor) = cursor else { return Ok(CoveragePosition::start()) };
    let kept = app.cursors.open(caller, cursor)?;
    read(&kept).ok_or_else(|| Problem::at("cursor", "this cursor belongs to another list"))
}

fn written(position: &CoveragePosition) -> String {
    match position {
        CoveragePosition::Machines { folded_id, id } => format!("machines\n{folded_id}\n{id}"),
        CoveragePosition::Containers { folded_id, name } => {
            format!("containers\n{folded_id}\n{name}")
        }
        CoveragePosition::Empty { folded_id } => format!("empty\n{folded_id}\n"),
    }
}

fn read(text: &str) -> Option<CoveragePosition> {
    let mut lines = text.splitn(3, '\n');
    let (kind, folded_id, rest) = (lines.next()?, lines.next()?.to_owned(), lines.next()?);
    match kind {
        "machines" => {
            Some(CoveragePosition::Machines { folded_id, id: Uuid::try_parse(rest).ok()? })
        }
        "containers" => Some(CoveragePosition::Containers { folded_id, name: rest.to_owned() }),
        "empty" => Some(CoveragePosition::Empty { folded_id }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_cursor() {
        let folded_id = || "/subscriptions/x".to_owned();
        for position in [
            CoveragePosition::start(),
            CoveragePosition::Machines { folded_id: folded_id(), id: Uuid::max() },
            CoveragePosition::Containers { folded_id: folded_id(), name: "web01".to_owned() },
            CoveragePosition::Empty { folded_id: folded_id() },
        ] {
            assert_eq!(read(&written(&position)), Some(position));
        }
        assert_eq!(read("elsewhere\n\n"), None);
    }
}
