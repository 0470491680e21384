//! `/v1/audit/events`: the log, newest first. Reading it is in it.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    App,
    extract::{StrictQuery, page_size},
    problem::Problem,
};
use crate::{
    audit::{EventFilter, StoredEvent},
    domain::{audit_event::Outcome, caller::Caller, machine::MachineId},
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEventResponse {
    /// Its place in the log: dense, from 0, in one order over all replicas.
    sequence: i64,
    /// When it became durable, by the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
    /// The event as it is stored: id, operationId, requestId, time, action, outcome, actor, and what else there is.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    event: serde_json::Value,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEventPage {
    items: Vec<AuditEventResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAuditEventsQuery {
    machine_id: Option<Uuid>,
    /// The object id of whoever acted.
    actor: Option<Uuid>,
    /// An operation id, such as `retrieve_passphrase`.
    #[param(max_length = 64)]
    action: Option<String>,
    /// `intended`, `succeeded`, `released`, `denied`, `failed` or `unknown`.
    outcome: Option<String>,
    /// RFC 3339, inclusive.
    from: Option<String>,
    /// RFC 3339, exclusive.
    to: Option<String>,
    /// 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Lists audit events, newest first. This leaves an event itself, which is not in its own page.
#[utoipa::path(
    get, path = "/v1/audit/events", operation_id = "list_audit_events", tag = "audit", params(ListAuditEventsQuery),
    responses((status = 200, description = "A page of events.", body = AuditEventPage))
)]
pub(super) async fn list_audit_events(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<ListAuditEventsQuery>,
) -> Result<axum::Json<AuditEventPage>, Problem> {
    let limit = page_size(query.page_size)?;
    let filter = query.parse(&caller, &app)?;
    let mut events = app.broker.list_audit_events(&caller, filter, limit + 1).await?;
    let more = events.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        events.pop();
    }
    let last = events.last().filter(|_| more);
    let next_cursor = last.map(|event| app.cursors.seal(&caller, &event.sequence.to_string()));
    Ok(axum::Json(AuditEventPage {
        items: events.into_iter().map(AuditEventResponse::from).collect(),
        next_cursor,
    }))
}

impl ListAuditEventsQuery {
    fn parse(self, caller: &Caller, app: &App) -> Result<EventFilter, Problem> {
        let outcome = self.outcome.map(|name| {
            let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
            known.ok_or_else(|| Problem::at("outcome", "there is no such outcome"))
        });
        let before =
            self.cursor.as_deref().map(|cursor| app.cursors.open(caller, cursor)).transpose()?;
        Ok(EventFilter {
            tenant_id: caller.tenant_id(),
            machine_id: self.machine_id.map(MachineId),
            actor: self.actor,
            action: self.action,
            outcome: outcome.transpose()?,
            from: moment("from", self.from)?,
            to: moment("to", self.to)?,
            before: before.and_then(|position| position.parse().ok()),
        })
    }
}

/// A time in a query.
pub(super) fn moment(
    pointer: &'static str,
    text: Option<String>,
) -> Result<Option<OffsetDateTime>, Problem> {
    let wrong =
        |_invalid| Problem::at(pointer, "a time looks like 2026-11-22T08:30:00Z (RFC 3339)");
    text.map(|text| OffsetDateTime::parse(&text, &Rfc3339).map_err(wrong)).transpose()
}

impl From<StoredEvent> for AuditEventResponse {
    fn from(stored: StoredEvent) -> Self {
        Self { sequence: stored.sequence, recorded_at: stored.recorded_at, event: stored.body }
    }
}
