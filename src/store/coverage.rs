//! Reading for the report of coverage: pages by key, because a report has as many rows as there are machines.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Store, within_deadline};
use crate::domain::{
    drift::{Drift, SecretCondition},
    key_vault_id::SecretVersion,
    machine::{MachineId, MachineState},
};

/// A registered machine, and what ARM told of it.
#[derive(Debug, Clone)]
pub struct CoveredMachine {
    pub id: MachineId,
    /// The Recovery Services vault's id, folded.
    pub folded_id: String,
    pub fqdn: String,
    pub state: MachineState,
    pub secret_name: String,
    pub current_version_since: Option<OffsetDateTime>,
    pub rotated: bool,
    pub drift: Drift,
    /// ARM's, else the registered one.
    pub agent_version: Option<String>,
    /// None: ARM did not tell it among the machines there.
    pub registration_status: Option<String>,
}

/// A machine that ARM told and that nobody has registered here.
#[derive(Debug, Clone)]
pub struct UnregisteredContainer {
    pub folded_id: String,
    pub name: String,
    pub agent_version: Option<String>,
    pub registration_status: Option<String>,
}

/// What ARM told of a Recovery Services vault, and when.
#[derive(Debug, Clone)]
pub struct Inventory {
    pub folded_id: String,
    pub id: String,
    pub identity: String,
    pub containers_read_at: Option<OffsetDateTime>,
    /// Why ARM did not tell when it was last asked.
    pub unreadable: Option<String>,
}

/// What is known of the machines of a Recovery Services vault, in numbers.
#[derive(Debug, Clone)]
pub struct CoverageCounts {
    pub folded_id: String,
    pub registered: i64,
    pub retrievable: i64,
    pub unregistered: i64,
}

impl Store {
    /// In the order of (Recovery Services vault, id), after this key. `only`: of one, by its folded id.
    pub async fn list_covered_machines(
        &self,
        tenant_id: Uuid,
        only: Option<&str>,
        after: (&str, Uuid),
        limit: i64,
    ) -> Result<Vec<CoveredMachine>, Error> {
        let query = sqlx::query!(
            r#"select m.id, lower(m.recovery_services_vault_id) as "folded_id!", m.fqdn, m.state, m.secret_name,
                   m.current_version_since, m.current_rotation_sequence > 0 as "rotated!", m.last_checked_at,
                   m.secret_condition, m.foreign_versions, m.identity_vanished,
                   coalesce(c.agent_version, m.agent_version) as agent_version, c.registration_status as "registration_status?"
               from machines m
               left join lateral (
                   select c.agent_version, coalesce(c.registration_status, '') as registration_status
                   from mars_containers c
                   where c.tenant_id = m.tenant_id and c.folded_id = lower(m.recovery_services_vault_id)
                     and c.name in (m.fqdn, split_part(m.fqdn, '.', 1))
                   order by c.name <> m.fqdn limit 1) c on true
               where m.tenant_id = $1 and ($2::text is null or lower(m.recovery_services_vault_id) = $2)
                 and (lower(m.recovery_services_vault_id), m.id) > ($3, $4)
               order by lower(m.recovery_services_vault_id), m.id limit $5"#,
            tenant_id,
            only,
            after.0,
            after.1,
            limit
        );
        let corrupt = |column| Error::Corrupt { table: "machines", column };
        let mut machines = Vec::new();
        for row in within_deadline(query.fetch_all(&self.pool)).await? {
            let foreign: Result<_, _> =
                row.foreign_versions.iter().map(|text| SecretVersion::parse(text)).collect();
            let drift = Drift {
                checked_at: row.last_checked_at,
                secret: SecretCondition::parse(&row.secret_condition)
                    .ok_or_else(|| corrupt("secret_condition"))?,
                foreign_versions: foreign.map_err(|_invalid| corrupt("foreign_versions"))?,
                identity_vanished: row.identity_vanished,
            };
            machines.push(CoveredMachine {
                id: MachineId(row.id),
                folded_id: row.folded_id,
                fqdn: row.fqdn,
                state: MachineState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
                secret_name: row.secret_name,
                current_version_since: row.current_version_since,
                rotated: row.rotated,
                drift,
                agent_version: row.agent_version,
                registration_status: row.registration_status,
            });
        }
        Ok(machines)
    }

    /// In the order of (Recovery Services vault, name), after this key.
    pub async fn list_unregistered_containers(
        &self,
        tenant_id: Uuid,
        only: Option<&str>,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<UnregisteredContainer>, Error> {
        let query = sqlx::query_as!(
            UnregisteredContainer,
            "select c.folded_id, c.name, c.agent_version, c.registration_status from mars_containers c
             where c.tenant_id = $1 and ($2::text is null or c.folded_id = $2)
               and (c.folded_id, c.name) > ($3, $4)
               and not exists (select from machines m where m.tenant_id = c.tenant_id and m.fqdn = c.name
                   and lower(m.recovery_services_vault_id) = c.folded_id and m.retired_at is null)
               and (position('.' in c.name) > 0 or not exists (select from machines m
                   where m.tenant_id = c.tenant_id and lower(m.recovery_services_vault_id) = c.folded_id
                     and split_part(m.fqdn, '.', 1) = c.name and m.retired_at is null))
             order by c.folded_id, c.name limit $5",
            tenant_id,
            only,
            after.0,
            after.1,
            limit
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }

    /// Recovery Services vaults of which no machine is known: folded ids after this one.
    pub async fn list_empty_recovery_services_vaults(
        &self,
        tenant_id: Uuid,
        only: Option<&str>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, Error> {
        let query = sqlx::query_scalar!(
            "select r.folded_id from recovery_services_vaults r
             where r.tenant_id = $1 and ($2::text is null or r.folded_id = $2) and r.folded_id > $3
               and not exists (select from mars_containers c
                   where c.tenant_id = r.tenant_id and c.folded_id = r.folded_id)
               and not exists (select from machines m
                   where m.tenant_id = r.tenant_id and lower(m.recovery_services_vault_id) = r.folded_id)
             order by r.folded_id limit $4",
            tenant_id,
            only,
            after,
            limit
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }

    /// What ARM told of these (folded ids).
    pub async fn list_inventories(
        &self,
        tenant_id: Uuid,
        ids: &[String],
    ) -> Result<Vec<Inventory>, Error> {
        let query = sqlx::query_as!(
            Inventory,
            "select folded_id, id, identity, containers_read_at, unreadable from recovery_services_vaults
             where tenant_id = $1 and folded_id = any($2) order by folded_id",
            tenant_id,
            ids
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }

    /// The numbers of these (folded ids). Retired machines do not count.
    pub async fn count_coverage(
        &self,
        tenant_id: Uuid,
        ids: &[String],
    ) -> Result<Vec<CoverageCounts>, Error> {
        let query = sqlx::query_as!(
            CoverageCounts,
            r#"select r.folded_id as "folded_id!", n.registered as "registered!", n.retrievable as "retrievable!",
                   u.unregistered as "unregistered!"
               from unnest($2::text[]) as r (folded_id)
               cross join lateral (
                   select count(*) as registered, count(*) filter (where current_version is not null
                       and secret_condition in ('unchecked', 'present')) as retrievable
                   from machines m where m.tenant_id = $1 and m.retired_at is null
                     and lower(m.recovery_services_vault_id) = r.folded_id) n
               cross join lateral (
                   select count(*) as unregistered from mars_containers c
                   where c.tenant_id = $1 and c.folded_id = r.folded_id
                     and not exists (select from machines m where m.tenant_id = $1 and m.fqdn = c.name
                         and lower(m.recovery_services_vault_id) = c.folded_id and m.retired_at is null)
                     and (position('.' in c.name) > 0 or not exists (select from machines m
                         where m.tenant_id = $1 and lower(m.recovery_services_vault_id) = c.folded_id
                           and split_part(m.fqdn, '.', 1) = c.name and m.retired_at is null))) u"#,
            tenant_id,
            ids
        );
        within_deadline(query.fetch_all(&self.pool)).await
    }
}
