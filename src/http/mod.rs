//! The HTTP edge: the only room that uses `axum` and `utoipa`. One file per noun, named like the path.
//!
//! A request passes [`edge`] (request id, security headers, problems), then [`bracket`] (who is it, may
//! they, and is it on record), then its handler, which only translates: JSON in, use case, JSON out.

mod accept;
mod adoptions;
mod agent;
mod audit_checkpoint;
mod audit_events;
mod audit_export;
mod audit_proofs;
mod bracket;
mod codes;
mod coverage;
mod cursor;
mod edge;
mod extract;
mod health;
mod machines;
mod me;
mod openapi;
mod passphrase;
mod preflight;
mod problem;
mod problem_pages;
mod recovery;
mod retrievals;
mod rotations;
mod versions;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use cursor::CursorKey;
pub use openapi::openapi_json;

use crate::broker::Broker;

/// A body that is larger is refused; the longest legal one has a few KiB.
const LARGEST_BODY: usize = 64 * 1024;

/// What handlers share.
pub struct App {
    pub broker: Broker,
    pub cursors: CursorKey,
    pub limits: HttpLimits,
    /// Renders the metrics; none when they are served on another port.
    pub metrics: Option<fn() -> String>,
    /// Cancelled when load balancers are to send requests elsewhere.
    pub stopping: CancellationToken,
    /// Calls that go on although their client has hung up; shutdown waits for them.
    pub tasks: TaskTracker,
    pub in_progress: Semaphore,
    /// Exports of the log that are being read.
    pub exports: Arc<Semaphore>,
    pub readiness: health::ReadinessCache,
    pub operations: openapi::OperationTable,
}

#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    pub request_timeout: Duration,
    pub body_timeout: Duration,
    pub concurrent_requests: usize,
}

impl App {
    pub fn new(
        broker: Broker,
        cursors: CursorKey,
        limits: HttpLimits,
        metrics: Option<fn() -> String>,
        stopping: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let in_progress = Semaphore::new(limits.concurrent_requests);
        let operations = openapi::OperationTable::new(&openapi::document());
        Self {
            broker,
            cursors,
            limits,
            metrics,
            stopping,
            tasks,
            in_progress,
            exports: Arc::new(Semaphore::new(audit_export::AT_ONCE)),
            readiness: health::ReadinessCache::default(),
            operations,
        }
    }
}

/// Every operation that needs a token: the list of routes.
fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(machines::register_machine, machines::list_machines))
        .routes(routes!(machines::get_machine, machines::update_machine))
        .routes(routes!(machines::retire_machine))
        .routes(routes!(versions::list_versions))
        .routes(routes!(rotations::request_rotation, rotations::list_rotations))
        .routes(routes!(rotations::get_rotation))
        .routes(routes!(rotations::collect_passphrase))
        .routes(routes!(rotations::confirm_rotation))
        .routes(routes!(rotations::fail_rotation))
        .routes(routes!(rotations::abandon_rotation))
        .routes(routes!(adoptions::scan_adoptions))
        .routes(routes!(adoptions::accept_adoptions))
        .routes(routes!(coverage::show_coverage))
        .routes(routes!(agent::list_agent_tasks))
        .routes(routes!(recovery::recover_secret))
        .routes(routes!(retrievals::retrieve_passphrase))
        .routes(routes!(audit_events::list_audit_events))
        .routes(routes!(audit_checkpoint::get_audit_checkpoint))
        .routes(routes!(audit_proofs::prove_audit_event))
        .routes(routes!(audit_proofs::issue_audit_receipt))
        .routes(routes!(audit_proofs::prove_audit_consistency))
        .routes(routes!(audit_export::export_audit_events))
        .routes(routes!(preflight::run_preflight))
        .routes(routes!(preflight::run_machine_preflight))
        .routes(routes!(me::show_caller))
}

/// What anybody may ask.
fn open_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(problem_pages::problem_page))
        .routes(routes!(audit_checkpoint::list_audit_public_keys))
}

/// The whole service as one router.
pub fn router(app: Arc<App>) -> Router {
    let bracket = middleware::from_fn_with_state(Arc::clone(&app), bracket::bracket);
    let (operations, _) = operations().split_for_parts();
    let (open, _) = open_routes().split_for_parts();
    operations
        .route_layer(bracket)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .merge(open)
        .merge(openapi::pages())
        .fallback(edge::nothing_here)
        .with_state(Arc::clone(&app))
        .layer(middleware::from_fn_with_state(app, edge::edge))
}
