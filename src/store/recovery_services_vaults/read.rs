//! Which Recovery Services vaults are known, and which are to be asked about now.

use std::time::Duration;

use uuid::Uuid;

use super::KnownIdentity;
use crate::{
    domain::recovery_services_vault::RecoveryServicesVaultId,
    store::{Error, Store, within_deadline},
};

/// One to ask ARM about, and what was known of it.
#[derive(Debug, Clone)]
pub struct DueRecoveryServicesVault {
    pub tenant_id: Uuid,
    pub id: RecoveryServicesVaultId,
    pub identity: KnownIdentity,
}

impl Store {
    /// Those that ARM was never asked about, that it did not tell a minute ago or more, and those of which
    /// nothing was heard for a day: somebody waits, and the checks may be off.
    pub async fn list_stale_recovery_services_vaults(
        &self,
        tenant_id: Uuid,
        limit: i64,
    ) -> Result<Vec<DueRecoveryServicesVault>, Error> {
        let query = sqlx::query!(
            "select id, identity, principal_id from recovery_services_vaults
             where tenant_id = $1 and (last_checked_at is null
                 or (unreadable is not null and last_checked_at < now() - interval '1 minute')
                 or last_checked_at < now() - interval '1 day')
             order by last_checked_at nulls first limit $2",
            tenant_id,
            limit
        );
        let corrupt = |column| Error::Corrupt { table: "recovery_services_vaults", column };
        let mut due = Vec::new();
        for row in within_deadline(query.fetch_all(&self.pool)).await? {
            due.push(DueRecoveryServicesVault {
                tenant_id,
                id: RecoveryServicesVaultId::parse(&row.id).map_err(|_invalid| corrupt("id"))?,
                identity: KnownIdentity::parse(&row.identity, row.principal_id)
                    .ok_or_else(|| corrupt("identity"))?,
            });
        }
        Ok(due)
    }

    /// Takes those whose last check began so long ago, so that no two replicas ask about one.
    pub async fn claim_recovery_services_vaults(
        &self,
        every: Duration,
        limit: i64,
    ) -> Result<Vec<DueRecoveryServicesVault>, Error> {
        let query = sqlx::query!(
            "update recovery_services_vaults set check_claimed_at = now() where (tenant_id, folded_id) in (
                 select tenant_id, folded_id from recovery_services_vaults
                 where check_claimed_at <= now() - make_interval(secs => $1)
                 order by check_claimed_at limit $2 for update skip locked)
             returning tenant_id, id, identity, principal_id",
            every.as_secs_f64(),
            limit
        );
        let corrupt = |column| Error::Corrupt { table: "recovery_services_vaults", column };
        let mut due = Vec::new();
        for row in within_deadline(query.fetch_all(&self.pool)).await? {
            due.push(DueRecoveryServicesVault {
                tenant_id: row.tenant_id,
                id: RecoveryServicesVaultId::parse(&row.id).map_err(|_invalid| corrupt("id"))?,
                identity: KnownIdentity::parse(&row.identity, row.principal_id)
                    .ok_or_else(|| corrupt("identity"))?,
            });
        }
        Ok(due)
    }
}
