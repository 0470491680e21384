//! Table `machines`.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Store, within_deadline};
use crate::domain::{
    key_vault_id::{KeyVaultUri, SecretVersion},
    machine::{AgentBinding, AgentVersion, Fqdn, InForce, Machine, MachineId, MachineState, Tags},
    recovery_services_vault::RecoveryServicesVaultId,
    rotation::Rotation,
    secret_name::SecretName,
};

/// Why a machine's row was not written.
#[derive(Debug)]
pub enum Refusal {
    /// The same fqdn and Recovery Services vault.
    MachineExists,
    SecretNameTaken,
    /// The agent's identity is bound to another machine.
    AgentTaken,
    /// The row is not as the caller last saw it.
    Changed,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.violated() {
            Some("machines_one_per_fqdn_and_vault") => Self::MachineExists,
            Some("machines_one_per_secret") => Self::SecretNameTaken,
            Some("machines_one_per_agent") => Self::AgentTaken,
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

/// A page of machines, oldest first.
#[derive(Debug, Clone)]
pub struct MachineFilter {
    pub tenant_id: Uuid,
    /// Part of a name, a secret's name or a tag.
    pub search: Option<String>,
    pub state: Option<MachineState>,
    pub recovery_services_vault_id: Option<RecoveryServicesVaultId>,
    /// Only machines after this one: the page's cursor.
    pub after: Option<MachineId>,
}

struct Row {
    id: Uuid,
    tenant_id: Uuid,
    fqdn: String,
    recovery_services_vault_id: String,
    key_vault_uri: String,
    secret_name: String,
    agent_tenant_id: Option<Uuid>,
    agent_object_id: Option<Uuid>,
    agent_version: Option<String>,
    tags: Json<BTreeMap<String, String>>,
    state: String,
    current_version: Option<String>,
    current_version_since: Option<OffsetDateTime>,
    current_rotation_sequence: i64,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

/// The one list of columns.
macro_rules! select_machines {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
                   agent_tenant_id, agent_object_id, agent_version,
                   tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
                   current_version_since, current_rotation_sequence, revision, created_at, updated_at
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

    /// The machine whose first passphrase is still being written, for a registration that is repeated.
    pub async fn find_interrupted_registration(
        &self,
        tenant_id: Uuid,
        fqdn: &Fqdn,
        recovery_services_vault_id: &RecoveryServicesVaultId,
    ) -> Result<Option<(Machine, Uuid)>, Error> {
        let query = sqlx::query!(
            r#"select id, registration_operation as "operation!" from machines
               where tenant_id = $1 and fqdn = $2 and lower(recovery_services_vault_id) = $3
                 and retired_at is null and registration_operation is not null"#,
            tenant_id,
            fqdn.as_str(),
            recovery_services_vault_id.folded(),
        );
        let Some(found) = within_deadline(query.fetch_optional(&self.pool)).await? else {
            return Ok(None);
        };
        let machine = self.find_machine(tenant_id, MachineId(found.id), None).await?;
        Ok(machine.map(|machine| (machine, found.operation)))
    }

    /// Registrations that nobody has touched since.
    pub async fn list_interrupted_registrations(
        &self,
        untouched_since: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<(Machine, Uuid)>, Error> {
        let query = sqlx::query!(
            r#"select id, registration_operation as "operation!" from machines
               where registration_operation is not null and updated_at <= $1 limit $2"#,
            untouched_since,
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

/// Adds a machine, with the operation that is writing its first passphrase.
pub async fn insert_machine(
    connection: &mut PgConnection,
    machine: &Machine,
    operation: Option<Uuid>,
) -> Result<(), Refusal> {
    sqlx::query!(
        "insert into machines (id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
             agent_tenant_id, agent_object_id, agent_version, tags, state, current_version,
             current_version_since, registration_operation, created_at, updated_at, search_text)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16)",
        machine.id.0,
        machine.tenant_id,
        machine.fqdn.as_str(),
        machine.recovery_services_vault_id.as_str(),
        machine.key_vault_uri.as_str(),
        machine.secret_name.as_str(),
        machine.agent.map(|agent| agent.tenant_id),
        machine.agent.map(|agent| agent.object_id),
        machine.agent_version.as_ref().map(AgentVersion::as_str),
        Json(&machine.tags) as _,
        machine.state.name(),
        machine.in_force.as_ref().map(|in_force| in_force.version.as_str()),
        machine.in_force.as_ref().map(|in_force| in_force.since),
        operation,
        machine.created_at,
        search_text(machine),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes an interrupted registration over. Whoever was slow finds its operation replaced.
pub async fn take_registration_over(
    connection: &mut PgConnection,
    id: MachineId,
    from: Uuid,
    to: Uuid,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update machines set registration_operation = $3, updated_at = $4
         where id = $1 and registration_operation = $2",
        id.0,
        from,
        to,
        now
    )
    .execute(connection)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Refusal::Changed) }
}

/// Puts the first passphrase in force, if this operation is still the one that writes it.
pub async fn complete_registration(
    connection: &mut PgConnection,
    id: MachineId,
    operation: Uuid,
    version: &SecretVersion,
    since: OffsetDateTime,
) -> Result<Machine, Refusal> {
    let done = sqlx::query!(
        "update machines set registration_operation = null, current_version = $3, current_version_since = $4,
             state = 'active'
         where id = $1 and registration_operation = $2",
        id.0,
        operation,
        version.as_str(),
        since
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Refusal::Changed);
    }
    settle_state(connection, id, since).await.map_err(Refusal::from)
}

/// Takes a registration back whose passphrase Key Vault certainly does not hold.
pub async fn withdraw_registration(
    connection: &mut PgConnection,
    id: MachineId,
    operation: Uuid,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "delete from machines where id = $1 and registration_operation = $2",
        id.0,
        operation
    )
    .execute(connection)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Refusal::Changed) }
}

/// Writes what a caller may change, if the row is still at `machine.revision`.
pub async fn update_machine(
    connection: &mut PgConnection,
    machine: &Machine,
    now: OffsetDateTime,
) -> Result<Machine, Refusal> {
    let row = select_machine_after_update(connection, machine, now).await?;
    row.ok_or(Refusal::Changed)?.try_into().map_err(Refusal::Store)
}

async fn select_machine_after_update(
    connection: &mut PgConnection,
    machine: &Machine,
    now: OffsetDateTime,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"update machines set secret_name = $3, agent_tenant_id = $4, agent_object_id = $5, agent_version = $6,
               tags = $7, search_text = $8, revision = revision + 1, updated_at = $9
           where id = $1 and revision = $2
           returning id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
               agent_tenant_id, agent_object_id, agent_version,
               tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
               current_version_since, current_rotation_sequence, revision, created_at, updated_at"#,
        machine.id.0,
        machine.revision,
        machine.secret_name.as_str(),
        machine.agent.map(|agent| agent.tenant_id),
        machine.agent.map(|agent| agent.object_id),
        machine.agent_version.as_ref().map(AgentVersion::as_str),
        Json(&machine.tags) as _,
        search_text(machine),
        now
    )
    .fetch_optional(connection)
    .await
}

/// Retires a machine that has no open rotation. Its secret stays.
pub async fn retire_machine(
    connection: &mut PgConnection,
    id: MachineId,
    now: OffsetDateTime,
) -> Result<Option<Machine>, Refusal> {
    let done = sqlx::query!(
        "update machines set retired_at = $2, state = 'retired' where id = $1 and retired_at is null
           and not exists (select from rotations where machine_id = $1
                           and state in ('requested', 'prepared', 'collected'))",
        id.0,
        now
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    settle_state(connection, id, now).await.map(Some).map_err(Refusal::from)
}

/// Puts the passphrase of a confirmed rotation in force. False when a later rotation's already is: the
/// pointer never moves back.
pub(super) async fn put_in_force(
    connection: &mut PgConnection,
    rotation: &Rotation,
    version: &SecretVersion,
    agent_version: Option<&AgentVersion>,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update machines set current_version = $2, current_version_since = $3, current_rotation_sequence = $4,
             agent_version = coalesce($5, agent_version),
             state = case state when 'awaitingPassphrase' then 'active' else state end
         where id = $1 and current_rotation_sequence < $4",
        rotation.machine_id.0,
        version.as_str(),
        now,
        rotation.sequence,
        agent_version.map(AgentVersion::as_str)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Works the state out anew from the machine and its rotations: the one place that knows how.
pub(super) async fn settle_state(
    connection: &mut PgConnection,
    id: MachineId,
    now: OffsetDateTime,
) -> Result<Machine, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"update machines m set revision = revision + 1, updated_at = $2, state = case
               when retired_at is not null then 'retired'
               when exists (select from rotations r where r.machine_id = m.id
                   and r.state in ('requested', 'prepared', 'collected')) then 'rotating'
               when exists (select from rotations r where r.machine_id = m.id
                   and r.state = 'indeterminate' and r.sequence > m.current_rotation_sequence) then 'indeterminate'
               when current_version is null then 'awaitingPassphrase'
               else 'active' end
           where id = $1
           returning id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
               agent_tenant_id, agent_object_id, agent_version,
               tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
               current_version_since, current_rotation_sequence, revision, created_at, updated_at"#,
        id.0,
        now
    )
    .fetch_one(connection)
    .await?;
    row.try_into()
}

/// What a search looks in. Newlines part the fields, so that no search matches across two of them.
fn search_text(machine: &Machine) -> String {
    let names = [machine.fqdn.as_str().to_owned(), machine.secret_name.as_str().to_owned()];
    let tags = machine.tags.iter().map(|(name, value)| format!("{name}={value}"));
    names.into_iter().chain(tags).collect::<Vec<_>>().join("\n").to_lowercase()
}

/// A `like` pattern for "contains", in which nothing that was searched for is special.
fn contains_pattern(search: &str) -> String {
    let escaped =
        search.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

impl TryFrom<Row> for Machine {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |column| Error::Corrupt { table: "machines", column };
        let agent = row.agent_tenant_id.zip(row.agent_object_id);
        let version = row.current_version.as_deref().map(SecretVersion::parse).transpose();
        let in_force = version
            .map_err(|_invalid| corrupt("current_version"))?
            .zip(row.current_version_since)
            .map(|(version, since)| InForce {
                version,
                since,
                rotation_sequence: row.current_rotation_sequence,
            });
        let agent_version = row.agent_version.as_deref().map(AgentVersion::parse).transpose();
        Ok(Self {
            id: MachineId(row.id),
            tenant_id: row.tenant_id,
            fqdn: Fqdn::parse(&row.fqdn).map_err(|_invalid| corrupt("fqdn"))?,
            recovery_services_vault_id: RecoveryServicesVaultId::parse(
                &row.recovery_services_vault_id,
            )
            .map_err(|_invalid| corrupt("recovery_services_vault_id"))?,
            key_vault_uri: KeyVaultUri::parse(&row.key_vault_uri)
                .map_err(|_invalid| corrupt("key_vault_uri"))?,
            secret_name: SecretName::parse(&row.secret_name)
                .map_err(|_invalid| corrupt("secret_name"))?,
            agent: agent.map(|(tenant_id, object_id)| AgentBinding { tenant_id, object_id }),
            agent_version: agent_version.map_err(|_invalid| corrupt("agent_version"))?,
            tags: Tags::parse(row.tags.0).map_err(|_invalid| corrupt("tags"))?,
            state: MachineState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            in_force,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_searched_for_is_special() {
        assert_eq!(contains_pattern(r"A_b%\"), r"%a\_b\%\\%");
    }
}
