//! Keeping what ARM told.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{DueRecoveryServicesVault, KnownIdentity};
use crate::{
    domain::{
        machine::MachineId, recovery_services_resource::MarsContainer,
        recovery_services_vault::RecoveryServicesVaultId,
    },
    store::{Error, Store, within_deadline},
};

/// Adds one that a machine is in. The checks ask about it soon.
pub async fn remember_recovery_services_vault(
    connection: &mut PgConnection,
    tenant_id: Uuid,
    id: &RecoveryServicesVaultId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into recovery_services_vaults (tenant_id, folded_id, id) values ($1, $2, $3) on conflict do nothing",
        tenant_id,
        id.folded(),
        id.as_str()
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Puts a change of the identity in the row and in those of its machines, whose state may change with it.
pub async fn record_identity(
    connection: &mut PgConnection,
    seen: &DueRecoveryServicesVault,
    identity: KnownIdentity,
) -> Result<(), sqlx::Error> {
    let folded = seen.id.folded();
    sqlx::query!(
        "update recovery_services_vaults set identity = $3, principal_id = $4 where tenant_id = $1 and folded_id = $2",
        seen.tenant_id,
        folded,
        identity.name(),
        identity.principal_id()
    )
    .execute(&mut *connection)
    .await?;
    let vanished = identity == KnownIdentity::Vanished;
    sqlx::query!(
        "update machines set identity_vanished = $3
         where tenant_id = $1 and lower(recovery_services_vault_id) = $2 and identity_vanished <> $3",
        seen.tenant_id,
        folded,
        vanished
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update machines m set state = state_of_machine(m), revision = revision + 1, updated_at = now()
         where tenant_id = $1 and lower(recovery_services_vault_id) = $2 and state <> state_of_machine(m)",
        seen.tenant_id,
        folded
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Adds those that were found beside the known ones.
    pub async fn remember_recovery_services_vaults(
        &self,
        tenant_id: Uuid,
        ids: &[RecoveryServicesVaultId],
    ) -> Result<(), Error> {
        let spelled: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let query = sqlx::query!(
            "insert into recovery_services_vaults (tenant_id, folded_id, id)
             select $1, lower(id), id from unnest($2::text[]) as found (id) on conflict do nothing",
            tenant_id,
            &spelled
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }

    /// What was unknown of the identity before.
    pub async fn keep_identity(
        &self,
        seen: &DueRecoveryServicesVault,
        identity: KnownIdentity,
    ) -> Result<(), Error> {
        let kept = async {
            let mut transaction = self.pool.begin().await?;
            record_identity(&mut transaction, seen, identity).await?;
            transaction.commit().await
        };
        within_deadline(kept).await
    }

    /// One of the machines there.
    pub async fn find_any_machine_in(
        &self,
        of: &DueRecoveryServicesVault,
    ) -> Result<Option<MachineId>, Error> {
        let query = sqlx::query_scalar!(
            "select id from machines where tenant_id = $1 and lower(recovery_services_vault_id) = $2
             order by id limit 1",
            of.tenant_id,
            of.id.folded()
        );
        Ok(within_deadline(query.fetch_optional(&self.pool)).await?.map(MachineId))
    }

    /// Whether a machine there is not marked although the identity has vanished.
    pub async fn lacks_mark_of_identity(
        &self,
        of: &DueRecoveryServicesVault,
    ) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists(select from machines where tenant_id = $1
                   and lower(recovery_services_vault_id) = $2 and not identity_vanished) as "lacks!""#,
            of.tenant_id,
            of.id.folded()
        );
        within_deadline(query.fetch_one(&self.pool)).await
    }

    /// ARM told all machines that are registered there.
    pub async fn keep_containers(
        &self,
        of: &DueRecoveryServicesVault,
        containers: &[MarsContainer],
    ) -> Result<(), Error> {
        let folded = of.id.folded();
        let names: Vec<String> =
            containers.iter().map(|container| container.friendly_name.to_lowercase()).collect();
        let column = |text: fn(&MarsContainer) -> Option<String>| -> Vec<Option<String>> {
            containers.iter().map(text).collect()
        };
        let agent_versions = column(|container| container.agent_version.clone());
        let statuses = column(|container| container.registration_status.clone());
        let health = column(|container| container.health.clone());
        let items: Vec<Option<i64>> = containers
            .iter()
            .map(|container| container.protected_items.and_then(|items| items.try_into().ok()))
            .collect();
        let kept = async {
            let mut transaction = self.pool.begin().await?;
            sqlx::query!(
                "delete from mars_containers where tenant_id = $1 and folded_id = $2 and name <> all($3)",
                of.tenant_id,
                folded,
                &names
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                "insert into mars_containers (tenant_id, folded_id, name, agent_version, registration_status, health, protected_items)
                 select distinct on (name) $1, $2, name, agent_version, registration_status, health, items
                 from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
                     as told (name, agent_version, registration_status, health, items)
                 where length(name) between 1 and 512
                 on conflict (tenant_id, folded_id, name) do update set agent_version = excluded.agent_version,
                     registration_status = excluded.registration_status, health = excluded.health,
                     protected_items = excluded.protected_items",
                of.tenant_id,
                folded,
                &names,
                &agent_versions as _,
                &statuses as _,
                &health as _,
                &items as _
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                "update recovery_services_vaults set containers_read_at = now(), last_checked_at = now(), unreadable = null
                 where tenant_id = $1 and folded_id = $2",
                of.tenant_id,
                folded
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        within_deadline(kept).await
    }

    /// ARM did not tell. What it told before stays, with its time.
    pub async fn note_unreadable(
        &self,
        of: &DueRecoveryServicesVault,
        why: &str,
    ) -> Result<(), Error> {
        let query = sqlx::query!(
            "update recovery_services_vaults set unreadable = $3, last_checked_at = now()
             where tenant_id = $1 and folded_id = $2",
            of.tenant_id,
            of.id.folded(),
            why
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }
}
