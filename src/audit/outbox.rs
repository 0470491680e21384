//! The log as an outbox: a sink takes the events in their order, and how far it has come is kept beside them.
//! One replica delivers at a time, by a lease; a batch counts as taken only when its sink has said so, so a
//! crash makes it come again and never makes it missing.

use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ListError;

const LARGEST_BATCH: i64 = 500;
/// Of bodies in a batch, unless a single one is longer.
const LARGEST_BATCH_BYTES: usize = 512 * 1024;
/// Longer than the attempt at a delivery, so that nobody else begins before it has ended.
const LEASE_SECONDS: f64 = 6.0;

/// A sink's own view of the log. Its connections are nobody else's: a slow sink keeps no event waiting.
pub struct Outbox {
    pool: PgPool,
    sink: &'static str,
    /// This replica.
    holder: Uuid,
}

#[derive(Debug)]
pub struct Batch {
    /// Never empty, in their order and without gaps.
    pub events: Vec<OutboxEvent>,
    /// Deliveries that failed since the last that did not.
    pub failures: u32,
}

#[derive(Debug)]
pub struct OutboxEvent {
    pub sequence: i64,
    pub recorded_at: OffsetDateTime,
    /// As it is stored.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub events: i64,
    /// How long ago the oldest of them was recorded.
    pub seconds: i64,
}

impl Outbox {
    pub fn new(pool: PgPool, sink: &'static str) -> Self {
        Self { pool, sink, holder: Uuid::new_v4() }
    }

    pub fn sink(&self) -> &'static str {
        self.sink
    }

    /// What the sink has not taken yet. A new sink begins with the oldest event that is not in the archive.
    pub async fn lag(&self) -> Result<Lag, ListError> {
        let known = sqlx::query!(
            r#"select h.size - s.position as "events!",
                      coalesce(extract(epoch from clock_timestamp() - t.recorded_at), 0)::bigint as "seconds!"
               from audit_sinks s cross join audit_head h left join audit_tree t on t.sequence = s.position
               where s.name = $1"#,
            self.sink
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(known) = known {
            return Ok(Lag { events: known.events, seconds: known.seconds });
        }
        sqlx::query!(
            "insert into audit_sinks (name, position)
             select $1, coalesce((select min(sequence) from audit_events), 0) on conflict do nothing",
            self.sink
        )
        .execute(&self.pool)
        .await?;
        Ok(Lag { events: 0, seconds: 0 })
    }

    /// The next events, when it is this replica's turn.
    pub async fn take(&self) -> Result<Option<Batch>, ListError> {
        let lease = sqlx::query!(
            "update audit_sinks set lease_holder = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
             where name = $1 and retry_at <= clock_timestamp()
               and (lease_holder = $2 or lease_until < clock_timestamp())
             returning position, failures",
            self.sink,
            self.holder,
            LEASE_SECONDS
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(lease) = lease else { return Ok(None) };
        let mut events = sqlx::query_as!(
            OutboxEvent,
            "select sequence, recorded_at, body from audit_events where sequence >= $1 order by sequence limit $2",
            lease.position,
            LARGEST_BATCH
        )
        .fetch_all(&self.pool)
        .await?;
        let mut bytes = 0;
        let fit = events.iter().take_while(|event| {
            bytes += event.body.len();
            bytes <= LARGEST_BATCH_BYTES
        });
        let fit = fit.count().max(1);
        events.truncate(fit);
        let failures = u32::try_from(lease.failures).unwrap_or_default();
        Ok((!events.is_empty()).then_some(Batch { events, failures }))
    }

    /// The sink took it. Nothing happens when another replica has the lease by now: it delivers again.
    pub async fn delivered(&self, batch: &Batch) -> Result<(), ListError> {
        let Some(last) = batch.events.last() else { return Ok(()) };
        sqlx::query!(
            "update audit_sinks set position = $3, failures = 0 where name = $1 and lease_holder = $2 and position < $3",
            self.sink,
            self.holder,
            last.sequence + 1
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The sink did not take it. No replica tries again before that time has passed.
    pub async fn failed(&self, wait: Duration) -> Result<(), ListError> {
        sqlx::query!(
            "update audit_sinks set failures = least(failures, 1000000) + 1,
                 retry_at = clock_timestamp() + make_interval(secs => $3)
             where name = $1 and lease_holder = $2",
            self.sink,
            self.holder,
            wait.as_secs_f64()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lets another replica go on at once.
    pub async fn release(&self) -> Result<(), ListError> {
        sqlx::query!(
            "update audit_sinks set lease_until = '-infinity' where name = $1 and lease_holder = $2",
            self.sink,
            self.holder
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
