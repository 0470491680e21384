//! What preflight asks of the registry: who else has a secret, and which Key Vaults are in use.

use uuid::Uuid;

use crate::{
    domain::{
        key_vault_id::KeyVaultUri, machine::Fqdn, recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::{Error, Store, within_deadline},
};

/// Enough for a person to see what is going on.
const ENOUGH: i64 = 10;

impl Store {
    /// The names of other machines of this tenant that have one of these secrets.
    pub async fn list_machines_by_secret(
        &self,
        tenant_id: Uuid,
        key_vault_uri: &KeyVaultUri,
        names: &[SecretName],
        of: (&Fqdn, &RecoveryServicesVaultId),
    ) -> Result<Vec<String>, Error> {
        let names: Vec<String> =
            names.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
        let query = sqlx::query_scalar!(
            "select fqdn from machines
             where tenant_id = $1 and key_vault_uri = $2 and lower(secret_name) = any($3)
               and not (fqdn = $4 and lower(recovery_services_vault_id) = $5)
             order by fqdn limit $6",
            tenant_id,
            key_vault_uri.as_str(),
            &names,
            of.0.as_str(),
            of.1.folded(),
            ENOUGH,
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }

    /// The Key Vaults that this tenant's machines have their secrets in.
    pub async fn list_key_vaults(&self, tenant_id: Uuid) -> Result<Vec<String>, Error> {
        let query = sqlx::query_scalar!(
            "select distinct key_vault_uri from machines
             where tenant_id = $1 and retired_at is null order by 1 limit $2",
            tenant_id,
            ENOUGH,
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }
}
