//! What proves the log to others: `/v1/audit/events/{sequence}/proof`, `.../receipt` and
//! `/v1/audit/checkpoint/consistency`. Hashes are base64, as in the checkpoints.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    accept::prefers,
    codes::Code,
    extract::StrictQuery,
    problem::{Problem, ProblemBody},
};
use crate::{
    audit::{ConsistencyProof, InclusionProof, StoredCheckpoint, TlogProof},
    domain::caller::Caller,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InclusionProofResponse {
    /// The event's sequence.
    leaf_index: u64,
    /// SHA-256 of a zero byte and the event's stored bytes.
    leaf_hash: String,
    /// How many events the checkpoint covers.
    tree_size: u64,
    root_hash: String,
    /// From the leaf's sibling up to the root's child.
    hashes: Vec<String>,
    /// The signed note that says `treeSize` and `rootHash`.
    checkpoint: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsistencyProofResponse {
    from_size: u64,
    from_root_hash: String,
    to_size: u64,
    to_root_hash: String,
    /// In the order of RFC 6962, section 2.1.2.
    hashes: Vec<String>,
    /// The signed note that says `toSize` and `toRootHash`.
    checkpoint: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProofQuery {
    /// The size of a checkpoint that was made. The newest that covers the event when left out; one is made if none does.
    size: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyQuery {
    /// How many events the older log had; of a checkpoint that is held elsewhere, its second line.
    from: u64,
    /// The size of a checkpoint that was made; the newest when left out.
    to: Option<u64>,
}

/// Proves that an event is in the log of a checkpoint (RFC 6962, section 2.1.1). As text (`Accept: text/plain`) it is a
/// C2SP tlog-proof. This leaves an event itself.
#[utoipa::path(
    get, path = "/v1/audit/events/{sequence}/proof", operation_id = "prove_audit_event", tag = "audit",
    params(("sequence" = u64, Path, description = "The event's place in the log."), ProofQuery),
    responses((status = 200, description = "The proof.", content((InclusionProofResponse = "application/json"), (String = "text/plain"))))
)]
pub(super) async fn prove_audit_event(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(sequence): Path<String>,
    StrictQuery(query): StrictQuery<ProofQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sequence = number(&sequence)?;
    let (proof, checkpoint) = app.broker.prove_audit_event(&caller, sequence, query.size).await?;
    let mut response = if prefers(&headers, &["text/plain", "text/*"]) {
        text(&TlogProof::of(proof, None, checkpoint.note))
    } else {
        axum::Json(InclusionProofResponse::of(&proof, checkpoint)).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// An event with the proof that it is in the log, to keep elsewhere: a C2SP tlog-proof whose extra data are the event's
/// exact bytes. `audit verify --receipt` verifies it offline. It holds no passphrase.
///
/// For `Audit.Read`, and without it for whoever's own act the event tells of: a retrieval's answer has its sequence.
/// To everybody else there is no such event. This leaves an event itself.
#[utoipa::path(
    get, path = "/v1/audit/events/{sequence}/receipt", operation_id = "issue_audit_receipt", tag = "audit",
    params(("sequence" = u64, Path, description = "The event's place in the log.")),
    responses((status = 200, description = "The receipt.", body = String, content_type = "text/plain"))
)]
pub(super) async fn issue_audit_receipt(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(sequence): Path<String>,
) -> Result<Response, Problem> {
    let receipt = app.broker.issue_audit_receipt(&caller, number(&sequence)?).await?;
    Ok(text(&receipt))
}

/// Proves that the log as it was is the beginning of the log of a checkpoint (RFC 6962, section 2.1.2): nothing that was
/// in it has changed since. This leaves an event itself.
#[utoipa::path(
    get, path = "/v1/audit/checkpoint/consistency", operation_id = "prove_audit_consistency", tag = "audit",
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The proof.", body = ConsistencyProofResponse),
        (status = 404, description = "`no-signing-key`: no checkpoint was ever made, and this service has no key to sign one.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn prove_audit_consistency(
    caller: Caller,
    State(app): State<Arc<App>>,
    StrictQuery(query): StrictQuery<ConsistencyQuery>,
) -> Result<axum::Json<ConsistencyProofResponse>, Problem> {
    let (proof, checkpoint) =
        app.broker.prove_audit_consistency(&caller, query.from, query.to).await?;
    Ok(axum::Json(ConsistencyProofResponse::of(&proof, checkpoint)))
}

/// What is no number names no event.
fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_no_number| Problem::new(Code::NotFound, "there is no such audit event"))
}

fn text(proof: &TlogProof) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], proof.to_string()).into_response()
}

fn base64(hashes: &[[u8; 32]]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

impl InclusionProofResponse {
    fn of(proof: &InclusionProof, checkpoint: StoredCheckpoint) -> Self {
        Self {
            leaf_index: proof.index,
            leaf_hash: STANDARD.encode(proof.leaf),
            tree_size: proof.tree.size,
            root_hash: STANDARD.encode(proof.tree.root),
            hashes: base64(&proof.hashes),
            checkpoint: checkpoint.note,
        }
    }
}

impl ConsistencyProofResponse {
    fn of(proof: &ConsistencyProof, checkpoint: StoredCheckpoint) -> Self {
        Self {
            from_size: proof.from.size,
            from_root_hash: STANDARD.encode(proof.from.root),
            to_size: proof.to.size,
            to_root_hash: STANDARD.encode(proof.to.root),
            hashes: base64(&proof.hashes),
            checkpoint: checkpoint.note,
        }
    }
}
