//! `/v1/machines/{machineId}/versions`: what Key Vault holds of a machine. No values.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    extract::{InMachine, StrictQuery, page_size},
    problem::Problem,
};
use crate::{
    broker::versions::{MachineVersion, VersionStatus},
    domain::caller::Caller,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionResponse {
    version: String,
    secret_identifier: String,
    /// `current`: in force. `superseded`: it was once, or somebody else wrote it.
    status: &'static str,
    enabled: bool,
    /// Whether this service wrote it.
    written_here: bool,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    updated_at: Option<OffsetDateTime>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionPage {
    items: Vec<VersionResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListVersionsQuery {
    /// 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Lists the versions of a machine's secret, newest first.
#[utoipa::path(
    get, path = "/v1/machines/{machineId}/versions", operation_id = "list_versions", tag = "machines",
    params(("machineId" = Uuid, Path, description = "The machine"), ListVersionsQuery),
    responses(
        (status = 200, description = "A page of versions, without values.", body = VersionPage),
    )
)]
pub(super) async fn list_versions(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    StrictQuery(query): StrictQuery<ListVersionsQuery>,
) -> Result<axum::Json<VersionPage>, Problem> {
    let size = usize::try_from(page_size(query.page_size)?).unwrap_or(usize::MAX);
    let after =
        query.cursor.as_deref().map(|cursor| app.cursors.open(&caller, cursor)).transpose()?;
    let versions = app.broker.list_versions(&caller, path.machine).await?;
    let first = after.map_or(0, |last| {
        versions
            .iter()
            .position(|version| version.properties.identifier.version.as_str() == last)
            .map_or(0, |found| found + 1)
    });
    let rest = versions.get(first..).unwrap_or_default();
    let page: Vec<VersionResponse> = rest.iter().take(size).map(VersionResponse::from).collect();
    let last = page.last().filter(|_| rest.len() > size);
    let next_cursor = last.map(|version| app.cursors.seal(&caller, &version.version));
    Ok(axum::Json(VersionPage { items: page, next_cursor }))
}

/// The name of a status, here and in a retrieval.
pub(super) fn status_name(status: VersionStatus) -> &'static str {
    match status {
        VersionStatus::Current => "current",
        VersionStatus::Superseded => "superseded",
        VersionStatus::Unconfirmed => "unconfirmed",
    }
}

impl From<&MachineVersion> for VersionResponse {
    fn from(version: &MachineVersion) -> Self {
        let properties = &version.properties;
        Self {
            version: properties.identifier.version.to_string(),
            secret_identifier: properties.identifier.to_string(),
            status: status_name(version.status),
            enabled: properties.enabled,
            written_here: version.written_here,
            created_at: properties.created_at,
            updated_at: properties.updated_at,
        }
    }
}
