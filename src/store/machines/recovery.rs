//! The recovery of a machine's deleted secret: that one is under way, and that it has ended.
//!
//! Recovering twice does no harm, so nobody is fenced off: whoever sees the secret again may end it.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Refusal, write::settle_state};
use crate::{
    domain::machine::{Machine, MachineId},
    store::{Error, Store, within_deadline},
};

/// A recovery that has begun and not ended.
#[derive(Debug)]
pub struct OpenRecovery {
    pub machine: Machine,
    pub operation: Uuid,
    pub age: Duration,
}

/// Puts the intent in the machine's row.
pub async fn begin_recovery(
    connection: &mut PgConnection,
    id: MachineId,
    operation: Uuid,
) -> Result<(), Refusal> {
    sqlx::query!(
        "update machines set recovery_operation = $2, recovery_started_at = now() where id = $1",
        id.0,
        operation
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends it, and puts the machine's state right. `back`: the secret is; whether the version in force can be
/// read, the next check tells. With `only`: unless that operation has been ended, or begun anew, by somebody
/// else.
pub async fn end_recovery(
    connection: &mut PgConnection,
    id: MachineId,
    back: bool,
    only: Option<Uuid>,
    now: OffsetDateTime,
) -> Result<Machine, Refusal> {
    let done = sqlx::query!(
        "update machines set recovery_operation = null, recovery_started_at = null, seen_missing_at = null,
             secret_condition = case when $3 then 'present' else secret_condition end,
             check_claimed_at = case when $3 then '-infinity' else check_claimed_at end
         where id = $1 and ($2::uuid is null or recovery_operation = $2)",
        id.0,
        only,
        back
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Refusal::Changed);
    }
    settle_state(connection, id, now).await.map_err(Refusal::from)
}

impl Store {
    /// Whether a recovery of this machine's secret has begun and not ended.
    pub async fn is_being_recovered(&self, id: MachineId) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists(select from machines where id = $1 and recovery_operation is not null) as "open!""#,
            id.0
        );
        within_deadline(query.fetch_one(&self.pool)).await
    }

    /// Recoveries that began so long ago.
    pub async fn list_open_recoveries(
        &self,
        after: Duration,
        limit: i64,
    ) -> Result<Vec<OpenRecovery>, Error> {
        let query = sqlx::query!(
            r#"select id, recovery_operation as "operation!",
                   extract(epoch from now() - recovery_started_at)::float8 as "seconds!"
               from machines where recovery_operation is not null
                 and recovery_started_at <= now() - make_interval(secs => $1)
               order by recovery_started_at limit $2"#,
            after.as_secs_f64(),
            limit
        );
        let mut found = Vec::new();
        for row in within_deadline(query.fetch_all(&self.pool)).await? {
            let machine = self.find_machine_by_id(MachineId(row.id)).await?;
            let age = Duration::try_from_secs_f64(row.seconds).unwrap_or_default();
            let open = |machine| OpenRecovery { machine, operation: row.operation, age };
            found.extend(machine.map(open));
        }
        Ok(found)
    }
}
