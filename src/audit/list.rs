//! Reading the log, newest first. What is listed are the stored bytes, read back as JSON.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::AuditLog;
use crate::domain::{audit_event::Outcome, machine::MachineId};

const DEADLINE: Duration = Duration::from_secs(3);

/// What to list. A tenant sees its own events and those of nobody in particular (callers without a
/// token, this service itself), unless they are about another tenant's machine.
#[derive(Debug, Clone)]
pub struct EventFilter {
    pub tenant_id: Uuid,
    pub machine_id: Option<MachineId>,
    /// An object id.
    pub actor: Option<Uuid>,
    pub action: Option<String>,
    pub outcome: Option<Outcome>,
    /// Inclusive.
    pub from: Option<OffsetDateTime>,
    /// Exclusive.
    pub to: Option<OffsetDateTime>,
    /// Only events before this sequence: the page's cursor.
    pub before: Option<i64>,
}

#[derive(Debug)]
pub struct StoredEvent {
    pub sequence: i64,
    pub recorded_at: OffsetDateTime,
    pub body: Value,
}

#[derive(Debug, Error)]
pub enum ListError {
    #[error("the audit log is not readable")]
    Database(#[from] sqlx::Error),
    #[error("the audit log was not readable in time")]
    Late,
}

struct Row {
    sequence: i64,
    recorded_at: OffsetDateTime,
    body: Vec<u8>,
}

impl AuditLog {
    /// At most `limit` events.
    pub async fn list(
        &self,
        filter: EventFilter,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, ListError> {
        let rows = tokio::time::timeout(DEADLINE, self.select(filter, limit))
            .await
            .map_err(|_late| ListError::Late)??;
        let stored = |row: Row| StoredEvent {
            sequence: row.sequence,
            recorded_at: row.recorded_at,
            body: serde_json::from_slice(&row.body).unwrap_or(Value::Null),
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn select(&self, filter: EventFilter, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // Each set of filters wants an index of its own, which a plan for all of them cannot choose.
        sqlx::query!("set local plan_cache_mode = 'force_custom_plan'")
            .execute(&mut *transaction)
            .await?;
        sqlx::query_as!(
            Row,
            "select sequence, recorded_at, body from audit_events
             where (actor_tenant_id = $1 or (actor_tenant_id is null and not exists
                   (select from machines m where m.id = machine_id and m.tenant_id <> $1)))
               and ($2::uuid is null or machine_id = $2)
               and ($3::uuid is null or actor_object_id = $3)
               and ($4::text is null or action = $4)
               and ($5::text is null or outcome = $5)
               and ($6::timestamptz is null or recorded_at >= $6)
               and ($7::timestamptz is null or recorded_at < $7)
               and ($8::bigint is null or sequence < $8)
             order by sequence desc limit $9",
            filter.tenant_id,
            filter.machine_id.map(|id| id.0),
            filter.actor,
            filter.action,
            filter.outcome.map(Outcome::name),
            filter.from,
            filter.to,
            filter.before,
            limit
        )
        .fetch_all(&mut *transaction)
        .await
    }
}
