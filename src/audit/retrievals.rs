//! When passphrases were last released, for reports: one look in an index for each machine.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{AuditLog, ListError, list::in_time};
use crate::domain::machine::MachineId;

impl AuditLog {
    /// The last retrieval of each of these machines that has had one.
    pub async fn last_retrievals(
        &self,
        machines: &[MachineId],
    ) -> Result<HashMap<MachineId, OffsetDateTime>, ListError> {
        let ids: Vec<Uuid> = machines.iter().map(|id| id.0).collect();
        let query = sqlx::query!(
            r#"select m.id as "id!", e.recorded_at from unnest($1::uuid[]) as m (id)
               cross join lateral (
                   select recorded_at from audit_events
                   where machine_id = m.id and action = 'retrieve_passphrase' and outcome = 'released'
                   order by sequence desc limit 1) e"#,
            &ids
        );
        let rows = in_time(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(|row| (MachineId(row.id), row.recorded_at)).collect())
    }
}
