//! `/v1/audit/export`: the log as NDJSON, as long as it is.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::{App, audit_events::moment, codes::Code, extract::StrictQuery, problem::Problem};
use crate::{
    audit::{Export, ExportFilter},
    domain::caller::Caller,
};

/// Each holds a connection of the log's own few for a moment, again and again.
pub(super) const AT_ONCE: usize = 2;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// RFC 3339, inclusive.
    from: Option<String>,
    /// RFC 3339, exclusive.
    to: Option<String>,
}

/// Exports the audit log, in its order, with all that it takes to verify it: NDJSON, one line that begins it, one for each
/// event, one that ends it. An export without its last line is not whole; when something fails on the way, the connection
/// is cut. `audit verify --export` verifies it without this service.
///
/// Without `to` it ends with the event that this call leaves. Events of other tenants are in it by their hashes only.
#[utoipa::path(
    get, path = "/v1/audit/export", operation_id = "export_audit_events", tag = "audit", params(ExportQuery),
    responses((status = 200, description = "The export.", body = String, content_type = "application/x-ndjson"))
)]
pub(super) async fn export_audit_events(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<ExportQuery>,
) -> Result<Response, Problem> {
    let filter = ExportFilter {
        tenant_id: caller.tenant_id(),
        from: moment("from", query.from)?,
        to: moment("to", query.to)?,
    };
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && to < from
    {
        return Err(Problem::at("to", "this is before from"));
    }
    let Ok(permit) = Arc::clone(&app.exports).try_acquire_owned() else {
        return Err(Problem::new(Code::Overloaded, Code::Overloaded.title()));
    };
    let export = app.broker.export_audit_events(&caller, filter).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, Body::from_stream(lines(export, permit))).into_response())
}

/// As fast as the client reads. An error cuts the connection.
fn lines(
    export: Export,
    permit: OwnedSemaphorePermit,
) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((export, permit), |(mut export, permit)| async move {
        let lines = export.lines().await.map_err(|error| {
            tracing::error!(%error, "an export of the audit log was cut short");
            io::Error::other("the export was cut short")
        })?;
        Ok(lines.map(|lines| (Bytes::from(lines), (export, permit))))
    })
}
