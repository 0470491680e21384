//! The log's partitions are made ahead of need, by PostgreSQL itself: this asks it to, now and then, and
//! warns when too few are ready. Without one, events are refused and with them what they stand for.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::AuditLog;

/// A partition of a million events lasts minutes under the heaviest load that was measured.
const EVERY: Duration = Duration::from_secs(30);

impl AuditLog {
    /// Never ends.
    pub async fn keep_partitions_ready(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.make_partitions().await {
                tracing::warn!(%error, "no partitions of the audit log could be made");
            }
        }
    }

    async fn make_partitions(&self) -> Result<(), sqlx::Error> {
        let made =
            sqlx::query_scalar!("select make_audit_partitions()").fetch_one(&self.pool).await;
        // Counted whether or not that worked.
        let counted = sqlx::query!(
            r#"select (select count(*) from audit_partitions_ahead) as "ready!",
                      (select partitions_ahead from audit_log_settings) as "wanted!""#
        )
        .fetch_one(&self.pool)
        .await?;
        let ready = u32::try_from(counted.ready).unwrap_or(u32::MAX);
        metrics::gauge!("passphrase_broker_audit_partitions_ready").set(f64::from(ready));
        if counted.ready < i64::from(counted.wanted) {
            tracing::warn!(
                ready,
                wanted = counted.wanted,
                "few partitions of the audit log are ready"
            );
        }
        if let Some(made @ 1..) = made? {
            tracing::info!(made, "partitions of the audit log were made");
        }
        Ok(())
    }
}
