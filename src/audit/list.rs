//! Reading the log, newest first. What is listed are the stored bytes, read back as JSON.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgExecutor;
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
        let rows = in_time(self.select(filter, limit)).await?;
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
        // Times do not run backwards, so an interval of time is a range of the log: whatever else is asked
        // for is looked for in there, and partitions outside are not opened.
        let first = match filter.from {
            Some(from) => first_since(&mut *transaction, from).await?.unwrap_or(i64::MAX),
            None => 0,
        };
        let end = match filter.to {
            Some(to) => first_since(&mut *transaction, to).await?.unwrap_or(i64::MAX),
            None => i64::MAX,
        };
        let end = end.min(filter.before.unwrap_or(i64::MAX));
        let outcomes = match filter.outcome {
            Some(outcome) => vec![outcome.name().to_owned()],
            None => Outcome::ALL.map(|outcome| outcome.name().to_owned()).to_vec(),
        };
        // Outcome by outcome, each from an index that begins with what is asked for and goes on with the
        // outcome and the sequence. No reading of many events to find a few.
        sqlx::query_as!(
            Row,
            r#"select e.sequence as "sequence!", e.recorded_at as "recorded_at!", e.body as "body!"
             from unnest($1::text[]) as wanted (outcome)
             cross join lateral (
                 select sequence, recorded_at, body from audit_events
                 where outcome = wanted.outcome
                   and (actor_tenant_id = $2 or (actor_tenant_id is null and not exists
                       (select from machines m where m.id = machine_id and m.tenant_id <> $2)))
                   and ($3::uuid is null or machine_id = $3)
                   and ($4::uuid is null or actor_object_id = $4)
                   and ($5::text is null or action = $5)
                   and sequence >= $6 and sequence < $7
                 order by sequence desc limit $8) e
             order by e.sequence desc limit $8"#,
            &outcomes,
            filter.tenant_id,
            filter.machine_id.map(|id| id.0),
            filter.actor,
            filter.action,
            first,
            end,
            limit
        )
        .fetch_all(&mut *transaction)
        .await
    }
}

/// What a query of the log answers, if it does so while somebody still waits.
pub(super) async fn in_time<T>(
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ListError> {
    tokio::time::timeout(DEADLINE, query)
        .await
        .map_err(|_elapsed| ListError::Late)?
        .map_err(ListError::from)
}

/// The first event that was recorded then or later.
pub(super) async fn first_since(
    database: impl PgExecutor<'_>,
    time: OffsetDateTime,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select sequence from audit_events where recorded_at >= $1 order by recorded_at, sequence limit 1",
        time
    )
    .fetch_optional(database)
    .await
}
