//! The checks of machines: which are due, and what they found. A replica claims a machine before it asks
//! Key Vault, so that no two check the same one; a replica that dies leaves it to the next round.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Refusal, write::settle_state};
use crate::{
    domain::{
        drift::SecretCondition,
        key_vault_id::SecretVersion,
        machine::{Machine, MachineId},
    },
    store::{Error, Store, within_deadline},
};

/// Puts what was found in the machine's row, if it still is as the check saw it.
pub async fn record_drift(
    connection: &mut PgConnection,
    seen: &Machine,
    secret: SecretCondition,
    foreign_versions: &[SecretVersion],
    now: OffsetDateTime,
) -> Result<Machine, Refusal> {
    let (was, is) = (names(&seen.drift.foreign_versions), names(foreign_versions));
    let done = sqlx::query!(
        "update machines set secret_condition = $2, foreign_versions = $3, last_checked_at = now(), seen_missing_at = null
         where id = $1 and secret_condition = $4 and foreign_versions = $5
           and current_version is not distinct from $6 and recovery_operation is null",
        seen.id.0,
        secret.name(),
        &is,
        seen.drift.secret.name(),
        &was,
        seen.in_force.as_ref().map(|in_force| in_force.version.as_str())
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Refusal::Changed);
    }
    settle_state(connection, seen.id, now).await.map_err(Refusal::from)
}

impl Store {
    /// Takes machines whose last check began so long ago, the longest first.
    pub async fn claim_machines_to_check(
        &self,
        every: Duration,
        limit: i64,
    ) -> Result<Vec<MachineId>, Error> {
        let query = sqlx::query_scalar!(
            "update machines set check_claimed_at = now() where id in (
                 select id from machines
                 where check_claimed_at <= now() - make_interval(secs => $1)
                   and registration_operation is null and recovery_operation is null
                 order by check_claimed_at limit $2 for update skip locked)
             returning id",
            every.as_secs_f64(),
            limit
        );
        let ids = within_deadline(query.fetch_all(&self.pool)).await?;
        Ok(ids.into_iter().map(MachineId).collect())
    }

    /// A check that found nothing new. The machine's revision stays: nobody changed it.
    pub async fn note_checked(&self, id: MachineId, secret: SecretCondition) -> Result<(), Error> {
        let query = sqlx::query!(
            "update machines set last_checked_at = now(), seen_missing_at = null,
                 secret_condition = case when secret_condition = 'unchecked' then $2 else secret_condition end
             where id = $1",
            id.0,
            secret.name()
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }

    /// A check that saw nothing at all. Whether that has lasted for so long; until then the machine is
    /// checked again after that time.
    pub async fn note_missing(
        &self,
        id: MachineId,
        every: Duration,
        lasting: Duration,
    ) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"update machines set seen_missing_at = coalesce(seen_missing_at, now()),
                   check_claimed_at = now() - make_interval(secs => $2) + make_interval(secs => $3)
               where id = $1 returning seen_missing_at <= now() - make_interval(secs => $3) as "lasts!""#,
            id.0,
            every.as_secs_f64(),
            lasting.as_secs_f64()
        );
        within_deadline(query.fetch_one(&self.pool)).await
    }

    /// How many machines a check found something of, for the metrics.
    pub async fn count_drifted_machines(&self) -> Result<i64, Error> {
        let query = sqlx::query_scalar!(
            r#"select count(*) as "count!" from machines where secret_condition not in ('unchecked', 'present')
                   or cardinality(foreign_versions) > 0 or identity_vanished"#
        );
        within_deadline(query.fetch_one(&self.pool)).await
    }
}

fn names(versions: &[SecretVersion]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}
