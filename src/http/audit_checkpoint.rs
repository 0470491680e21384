//! `/v1/audit/checkpoint` and `/audit/public-keys`: what the log is now, signed, and who signs.

use std::sync::Arc;

use axum::{extract::State, http::header, response::IntoResponse};

use super::{App, problem::Problem, problem::ProblemBody};
use crate::domain::caller::Caller;

/// A checkpoint of the log: C2SP tlog-checkpoint in a signed note, with Ed25519. It covers every event recorded before
/// this call, and the one that this call leaves. Keep it where this service and its database cannot reach.
#[utoipa::path(
    get, path = "/v1/audit/checkpoint", operation_id = "get_audit_checkpoint", tag = "audit",
    responses(
        (status = 200, description = "The signed note.", body = String, content_type = "text/plain"),
        (status = 404, description = "`no-signing-key`: this service has no key to sign with.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_audit_checkpoint(
    caller: Caller,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    let checkpoint = app.broker.get_audit_checkpoint(&caller).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.note))
}

/// The verifier keys of the log, one a line, oldest first: `name+hash+base64`. Former keys stay here, so that old
/// checkpoints stay verifiable. Whoever verifies takes the keys from a place that this service cannot write.
#[utoipa::path(get, path = "/audit/public-keys", operation_id = "list_audit_public_keys", tag = "audit",
    responses((status = 200, description = "The keys; empty when nothing was ever signed.", body = String, content_type = "text/plain")))]
pub(super) async fn list_audit_public_keys(State(app): State<Arc<App>>) -> impl IntoResponse {
    let keys = app.broker.list_audit_public_keys();
    let mut lines = keys.join("\n");
    if !lines.is_empty() {
        lines.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines)
}
