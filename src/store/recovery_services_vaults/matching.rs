//! What is known of names: which machines are in a Recovery Services vault, and which have a secret.

use uuid::Uuid;

use crate::{
    domain::{
        key_vault_id::KeyVaultUri, machine::MachineId,
        recovery_services_vault::RecoveryServicesVaultId,
    },
    store::{Error, Store, within_deadline},
};

/// More than any estate has; a list must have an end.
const MOST_NAMES: i64 = 500_000;

/// A machine that is known to be in a Recovery Services vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownName {
    /// Its id, folded.
    pub recovery_services_vault: String,
    /// In lower case.
    pub name: String,
    pub agent_version: Option<String>,
}

/// A machine that has a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// None: another tenant's.
    pub machine: Option<(MachineId, String)>,
    /// In lower case.
    pub secret_name: String,
}

/// A Recovery Services vault as it is known.
#[derive(Debug, Clone)]
pub struct KnownRecoveryServicesVault {
    pub id: RecoveryServicesVaultId,
    /// Whether ARM has told which machines are registered there.
    pub containers_read: bool,
    /// Why it did not, when it was last asked; none when it has not been asked.
    pub unreadable: Option<String>,
}

impl Store {
    /// Machines that ARM told of these (folded ids).
    pub async fn list_container_names(
        &self,
        tenant_id: Uuid,
        ids: &[String],
    ) -> Result<Vec<KnownName>, Error> {
        let query = sqlx::query!(
            "select folded_id, name, agent_version from mars_containers
             where tenant_id = $1 and folded_id = any($2) limit $3",
            tenant_id,
            ids,
            MOST_NAMES
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        let known = rows.into_iter().map(|row| KnownName {
            recovery_services_vault: row.folded_id,
            name: row.name,
            agent_version: row.agent_version,
        });
        Ok(known.collect())
    }

    /// Machines that are registered here, with these (folded ids), and not retired.
    pub async fn list_machine_names(
        &self,
        tenant_id: Uuid,
        ids: &[String],
    ) -> Result<Vec<KnownName>, Error> {
        let query = sqlx::query!(
            r#"select lower(recovery_services_vault_id) as "folded_id!", fqdn, agent_version from machines
               where tenant_id = $1 and lower(recovery_services_vault_id) = any($2) and retired_at is null
               limit $3"#,
            tenant_id,
            ids,
            MOST_NAMES
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        let known = rows.into_iter().map(|row| KnownName {
            recovery_services_vault: row.folded_id,
            name: row.fqdn,
            agent_version: row.agent_version,
        });
        Ok(known.collect())
    }

    /// Which of these secrets (in lower case) machines have, of whatever tenant, retired or not.
    pub async fn list_holders(
        &self,
        tenant_id: Uuid,
        key_vault: &KeyVaultUri,
        names: &[String],
    ) -> Result<Vec<Holder>, Error> {
        let query = sqlx::query!(
            r#"select lower(secret_name) as "secret_name!", id, fqdn, tenant_id from machines
               where key_vault_uri = $1 and lower(secret_name) = any($2)"#,
            key_vault.as_str(),
            names
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        let holders = rows.into_iter().map(|row| Holder {
            machine: (row.tenant_id == tenant_id).then_some((MachineId(row.id), row.fqdn)),
            secret_name: row.secret_name,
        });
        Ok(holders.collect())
    }

    /// The Recovery Services vaults of a tenant, with what is known of their machines.
    pub async fn list_known_recovery_services_vaults(
        &self,
        tenant_id: Uuid,
        limit: i64,
    ) -> Result<Vec<KnownRecoveryServicesVault>, Error> {
        let query = sqlx::query!(
            r#"select id, containers_read_at is not null as "containers_read!", unreadable
               from recovery_services_vaults where tenant_id = $1 order by folded_id limit $2"#,
            tenant_id,
            limit
        );
        let corrupt = |_invalid| Error::Corrupt { table: "recovery_services_vaults", column: "id" };
        let rows = within_deadline(query.fetch_all(&self.pool)).await?.into_iter();
        let known = rows.map(|row| {
            Ok(KnownRecoveryServicesVault {
                id: RecoveryServicesVaultId::parse(&row.id).map_err(corrupt)?,
                containers_read: row.containers_read,
                unreadable: row.unreadable,
            })
        });
        known.collect()
    }
}
