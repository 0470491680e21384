//! One row of the log, and what can be seen to be wrong with it alone.

use std::borrow::Cow;

use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::tree::{Hash, leaf_hash, sha256};

/// From 1970 to 2000, where PostgreSQL counts from.
const POSTGRESQL_EPOCH_SECONDS: i128 = 946_684_800;

pub struct Row {
    pub sequence: i64,
    pub body: Vec<u8>,
    pub recorded_at: OffsetDateTime,
    pub leaf: Vec<u8>,
    pub nodes: Vec<u8>,
    pub fingerprint: Vec<u8>,
    pub event_id: Uuid,
    pub operation_id: Uuid,
    pub action: String,
    pub outcome: String,
    pub actor_tenant_id: Option<Uuid>,
    pub actor_object_id: Option<Uuid>,
    pub machine_id: Option<Uuid>,
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
    pub(super) fn true_leaf(&self) -> Hash {
        leaf_hash(&self.body)
    }

    pub(super) fn problems(&self, true_leaf: &Hash) -> Vec<String> {
        let mut problems = Vec::new();
        if self.leaf != true_leaf {
            problems.push("its body is not the one that was hashed".to_owned());
        }
        if self.fingerprint != self.true_fingerprint() {
            problems.push("it is not where and when it was recorded".to_owned());
        }
        match self.disagreement() {
            None => problems.push("its body is not an event".to_owned()),
            Some(columns) if !columns.is_empty() => {
                problems
                    .push(format!("its columns disagree with its body: {}", columns.join(", ")));
            }
            Some(_) => {}
        }
        problems
    }

    fn true_fingerprint(&self) -> Hash {
        let seconds = i128::from(self.recorded_at.unix_timestamp()) - POSTGRESQL_EPOCH_SECONDS;
        let micros = seconds * 1_000_000 + i128::from(self.recorded_at.microsecond());
        let micros = i64::try_from(micros).unwrap_or_default();
        sha256(&[&self.sequence.to_be_bytes(), &micros.to_be_bytes(), &self.leaf])
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
