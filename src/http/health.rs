//! `/livez`, `/readyz`, `/metrics`: for whoever runs this.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    problem::{Problem, of_status},
};
use crate::broker::{Clocks, Readiness};

/// Probes of several balancers must not become a load of their own on Key Vault.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Bad news for a shorter while: a start must not wait for this cache.
const BAD_NEWS_REMEMBERED: Duration = Duration::from_millis(250);

/// The last look at the dependencies. One at a time looks again.
#[derive(Default)]
pub struct ReadinessCache {
    last: Mutex<Option<(Instant, Readiness)>>,
    looking: tokio::sync::Mutex<()>,
}

impl ReadinessCache {
    fn last(&self) -> MutexGuard<'_, Option<(Instant, Readiness)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadinessResponse {
    ready: bool,
    /// `stopping` while this replica is about to end: send requests to another.
    service: &'static str,
    /// PostgreSQL answers and has the schema.
    database: &'static str,
    /// Events can be written.
    audit_log: &'static str,
    /// Why nothing is recorded, when the log itself is why: it was compared with its anchors and does not agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_log_reason: Option<&'static str>,
    /// Key Vault answers this service's identity.
    key_vault: &'static str,
    /// The keys of Entra ID are loaded and young enough.
    identity_keys: &'static str,
    /// `skewed`: this replica's clock is more than 60 seconds from PostgreSQL's. `unknown`: PostgreSQL does not answer.
    clock: &'static str,
}

/// Answers as long as the process runs.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "operations",
    responses((status = 200, description = "Alive.", body = String, content_type = "text/plain")))]
pub(super) async fn livez() -> &'static str {
    "alive\n"
}

/// Tells which dependency is down, and whether this replica is about to end.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "operations",
    responses(
        (status = 200, description = "All dependencies answer.", body = ReadinessResponse),
        (status = 503, description = "One of them is `down`, the clock is `skewed`, or this replica is `stopping`.", body = ReadinessResponse),
    ))]
pub(super) async fn readyz(
    State(app): State<Arc<App>>,
) -> (StatusCode, axum::Json<ReadinessResponse>) {
    let readiness = readiness(&app).await;
    let stopping = app.stopping.is_cancelled();
    let word = |up| if up { "ok" } else { "down" };
    let ready = all_up(readiness) && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = ReadinessResponse {
        ready,
        service: if stopping { "stopping" } else { "ok" },
        database: word(readiness.database),
        audit_log: word(readiness.audit_log),
        audit_log_reason: readiness.audit_read_only,
        key_vault: word(readiness.key_vault),
        identity_keys: word(readiness.identity_keys),
        clock: match readiness.clocks {
            Clocks::Agree => "ok",
            Clocks::Apart => "skewed",
            Clocks::Unknown => "unknown",
        },
    };
    (status, axum::Json(body))
}

async fn readiness(app: &App) -> Readiness {
    // A replica that is about to end says so at once: nothing that could be asked changes that.
    let last = *app.readiness.last();
    if let (Some((_, readiness)), true) = (last, app.stopping.is_cancelled()) {
        return readiness;
    }
    let _one_at_a_time = app.readiness.looking.lock().await;
    let last = *app.readiness.last();
    let fresh = last.filter(|(at, readiness)| {
        let remembered = if all_up(*readiness) { REMEMBERED } else { BAD_NEWS_REMEMBERED };
        at.elapsed() < remembered
    });
    if let Some((_, readiness)) = fresh {
        return readiness;
    }
    let readiness = app.broker.readiness().await;
    *app.readiness.last() = Some((Instant::now(), readiness));
    readiness
}

fn all_up(readiness: Readiness) -> bool {
    readiness.database
        && readiness.audit_log
        && readiness.key_vault
        && readiness.identity_keys
        && readiness.clocks == Clocks::Agree
}

/// Metrics in Prometheus' text format. Not found here when they are served on a port of their own.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let render = app.metrics.ok_or_else(|| of_status(StatusCode::NOT_FOUND))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render())
        .into_response())
}
