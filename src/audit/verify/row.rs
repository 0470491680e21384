//! One event as it is stored, and what can be seen to be wrong with it alone.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::{recorded_at::RecordedAt, verifier::Leaf};
use crate::audit::tree::{Hash, leaf_hash, sha256};

pub(super) struct Row {
    pub(super) sequence: i64,
    pub(super) body: Vec<u8>,
    pub(super) recorded_at: RecordedAt,
    pub(super) leaf: Vec<u8>,
    pub(super) nodes: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    pub(super) event_id: Uuid,
    pub(super) operation_id: Uuid,
    pub(super) action: String,
    pub(super) outcome: String,
    pub(super) actor_tenant_id: Option<Uuid>,
    pub(super) actor_object_id: Option<Uuid>,
    pub(super) machine_id: Option<Uuid>,
    /// Whether the table of the tree says the same; none: it has no such event.
    pub(super) fits_tree: Option<bool>,
}

/// What the columns to search by are taken from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: Uuid,
    operation_id: Uuid,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    actor: Actor,
    machine_id: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    tenant_id: Option<Uuid>,
    object_id: Option<Uuid>,
}

impl Row {
    pub(super) fn leaf(&self) -> Leaf<'_> {
        let hash = leaf_hash(&self.body);
        let sequence = u64::try_from(self.sequence).unwrap_or_default();
        let mut problems = Vec::new();
        if self.leaf != hash {
            problems.push(ANOTHER_BODY.to_owned());
        }
        if self.fingerprint != fingerprint(sequence, self.recorded_at, &self.leaf) {
            problems.push(ANOTHER_PLACE.to_owned());
        }
        if self.fits_tree != Some(true) {
            problems.push("the table of the tree knows it otherwise".to_owned());
        }
        match self.disagreement() {
            None => problems.push("its body is not an event".to_owned()),
            Some(columns) if !columns.is_empty() => {
                problems
                    .push(format!("its columns disagree with its body: {}", columns.join(", ")));
            }
            Some(_) => {}
        }
        Leaf { sequence, hash, nodes: &self.nodes, problems }
    }

    /// The columns that are not what the body says; nothing when it says nothing.
    fn disagreement(&self) -> Option<Vec<&'static str>> {
        let body: Body<'_> = serde_json::from_slice(&self.body).ok()?;
        let columns = [
            ("event_id", self.event_id == body.id),
            ("operation_id", self.operation_id == body.operation_id),
            ("action", self.action == body.action),
            ("outcome", self.outcome == body.outcome),
            ("actor_tenant_id", self.actor_tenant_id == body.actor.tenant_id),
            ("actor_object_id", self.actor_object_id == body.actor.object_id),
            ("machine_id", self.machine_id == body.machine_id),
        ];
        Some(columns.into_iter().filter(|(_, agrees)| !agrees).map(|(name, _)| name).collect())
    }
}

pub(super) const ANOTHER_BODY: &str = "its body is not the one that was hashed";
pub(super) const ANOTHER_PLACE: &str = "it is not where and when it was recorded";

/// What ties a leaf to its place and time.
pub(super) fn fingerprint(sequence: u64, recorded_at: RecordedAt, leaf: &[u8]) -> Hash {
    sha256(&[&sequence.to_be_bytes(), &recorded_at.to_be_bytes(), leaf])
}
