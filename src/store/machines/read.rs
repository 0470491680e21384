//! Looking machines up.

use std::{collections::BTreeMap, time::Duration};

use sqlx::types::Json;
use uuid::Uuid;

use super::{MachineFilter, Registering, row::Row};
use crate::{
    domain::{
        key_vault_id::KeyVaultUri,
        machine::{AgentBinding, Fqdn, Machine, MachineId, MachineState},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::{Error, Store, within_deadline},
};

/// The one list of columns.
macro_rules! select_machines {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
                   agent_tenant_id, agent_object_id, agent_version,
                   tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
                   current_version_since, current_rotation_sequence, last_checked_at, secret_condition,
                   foreign_versions, identity_vanished, revision, created_at, updated_at
               from machines "# + $rest,
            $($argument),*
        )
    };
}

impl Store {
    /// A machine of this tenant; for an agent, only the one that is bound to it. One query for both,
    /// so that "unknown" and "not yours" take the same time.
    pub async fn find_machine(
        &self,
        tenant_id: Uuid,
        id: MachineId,
        bound_to: Option<AgentBinding>,
    ) -> Result<Option<Machine>, Error> {
        let query = select_machines!(
            "where id = $1 and tenant_id = $2
               and ($3::uuid is null or (agent_tenant_id = $3 and agent_object_id = $4 and retired_at is null))",
            id.0,
            tenant_id,
            bound_to.map(|agent| agent.tenant_id),
            bound_to.map(|agent| agent.object_id),
        );
        within_deadline(query.fetch_optional(&self.pool)).await?.map(Machine::try_from).transpose()
    }

    /// For this service's own work, which no tenant asked for.
    pub async fn find_machine_by_id(&self, id: MachineId) -> Result<Option<Machine>, Error> {
        let query = select_machines!("where id = $1", id.0);
        within_deadline(query.fetch_optional(&self.pool)).await?.map(Machine::try_from).transpose()
    }

    pub async fn find_machine_of_agent(
        &self,
        agent: AgentBinding,
    ) -> Result<Option<Machine>, Error> {
        let query = select_machines!(
            "where agent_tenant_id = $1 and agent_object_id = $2 and retired_at is null",
            agent.tenant_id,
            agent.object_id,
        );
        within_deadline(query.fetch_optional(&self.pool)).await?.map(Machine::try_from).transpose()
    }

    /// The machine that has this name in this Recovery Services vault, and who is still writing its first
    /// passphrase, if somebody is.
    pub async fn find_registered_machine(
        &self,
        tenant_id: Uuid,
        fqdn: &Fqdn,
        recovery_services_vault_id: &RecoveryServicesVaultId,
    ) -> Result<Option<(Machine, Option<Registering>)>, Error> {
        let query = sqlx::query!(
            "select id, registration_operation as operation,
                 extract(epoch from now() - registration_attempted_at)::float8 as seconds
             from machines where tenant_id = $1 and fqdn = $2 and lower(recovery_services_vault_id) = $3
               and retired_at is null",
            tenant_id,
            fqdn.as_str(),
            recovery_services_vault_id.folded(),
        );
        let Some(found) = within_deadline(query.fetch_optional(&self.pool)).await? else {
            return Ok(None);
        };
        let machine = self.find_machine(tenant_id, MachineId(found.id), None).await?;
        let age =
            Duration::try_from_secs_f64(found.seconds.unwrap_or_default()).unwrap_or_default();
        let registering = found.operation.map(|operation| Registering { operation, age });
        Ok(machine.map(|machine| (machine, registering)))
    }

    /// Whether a machine has this secret, of any tenant, retired or not.
    pub async fn is_secret_taken(
        &self,
        key_vault_uri: &KeyVaultUri,
        secret_name: &SecretName,
    ) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists(select from machines where key_vault_uri = $1 and lower(secret_name) = lower($2)) as "taken!""#,
            key_vault_uri.as_str(),
            secret_name.as_str()
        );
        within_deadline(query.fetch_one(&self.pool)).await
    }

    /// Registrations that nobody has attempted to finish for so long.
    pub async fn list_interrupted_registrations(
        &self,
        abandoned_after: Duration,
        limit: i64,
    ) -> Result<Vec<(Machine, Uuid)>, Error> {
        let query = sqlx::query!(
            r#"select id, registration_operation as "operation!" from machines
               where registration_operation is not null
                 and registration_attempted_at <= now() - make_interval(secs => $1)
               order by registration_attempted_at limit $2"#,
            abandoned_after.as_secs_f64(),
            limit
        );
        let mut found = Vec::new();
        for row in within_deadline(query.fetch_all(&self.pool)).await? {
            let machine = self.find_machine_by_id(MachineId(row.id)).await?;
            found.extend(machine.map(|machine| (machine, row.operation)));
        }
        Ok(found)
    }

    /// At most `limit` machines.
    pub async fn list_machines(
        &self,
        filter: MachineFilter,
        limit: i64,
    ) -> Result<Vec<Machine>, Error> {
        let rows = within_deadline(self.select_page(filter, limit)).await?;
        rows.into_iter().map(Machine::try_from).collect()
    }

    async fn select_page(
        &self,
        filter: MachineFilter,
        limit: i64,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // The trigram index serves a rare text, the key a common one: the plan depends on the values.
        sqlx::query!("set local plan_cache_mode = 'force_custom_plan'")
            .execute(&mut *transaction)
            .await?;
        select_machines!(
            "where tenant_id = $1
               and ($2::text is null or search_text like $2)
               and ($3::text is null or state = $3)
               and ($4::text is null or lower(recovery_services_vault_id) = $4)
               and ($5::uuid is null or id > $5)
             order by id limit $6",
            filter.tenant_id,
            filter.search.as_deref().map(contains_pattern),
            filter.state.map(MachineState::name),
            filter.recovery_services_vault_id.map(|id| id.folded()),
            filter.after.map(|id| id.0),
            limit,
        )
        .fetch_all(&mut *transaction)
        .await
    }
}

/// A `like` pattern for "contains", in which nothing that was searched for is special.
fn contains_pattern(search: &str) -> String {
    let escaped =
        search.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_searched_for_is_special() {
        assert_eq!(contains_pattern(r"A_b%\"), r"%a\_b\%\\%");
    }
}
