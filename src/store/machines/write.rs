//! Changing machines, in the transaction of the event that tells of it.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Refusal, row::Row};
use crate::{
    domain::{
        key_vault_id::SecretVersion,
        machine::{AgentVersion, Machine, MachineId},
        rotation::Rotation,
    },
    store::{Error, recovery_services_vaults::remember_recovery_services_vault},
};

/// Adds a machine, with the operation that is writing its first passphrase.
pub async fn insert_machine(
    connection: &mut PgConnection,
    machine: &Machine,
    operation: Option<Uuid>,
) -> Result<(), Refusal> {
    let (tenant_id, within) = (machine.tenant_id, &machine.recovery_services_vault_id);
    remember_recovery_services_vault(connection, tenant_id, within).await?;
    let foreign_versions: Vec<String> =
        machine.drift.foreign_versions.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "insert into machines (id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
             agent_tenant_id, agent_object_id, agent_version, tags, state, current_version,
             current_version_since, registration_operation, registration_attempted_at, created_at, updated_at,
             search_text, foreign_versions)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
             case when $14::uuid is not null then now() end, $15, $15, $16, $17)",
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
        &foreign_versions,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Takes an interrupted registration over. Whoever was slow finds its operation replaced.
pub async fn take_registration_over(
    connection: &mut PgConnection,
    id: MachineId,
    from: Uuid,
    to: Uuid,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update machines set registration_operation = $3, registration_attempted_at = now()
         where id = $1 and registration_operation = $2",
        id.0,
        from,
        to
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
        "update machines set registration_operation = null, registration_attempted_at = null,
             current_version = $3, current_version_since = $4, state = 'active'
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

/// Writes what a caller may change, if the row is still at `machine.revision`. While the first passphrase
/// is being written, the secret keeps the name under which that happens.
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
           where id = $1 and revision = $2 and (registration_operation is null or secret_name = $3)
           returning id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
               agent_tenant_id, agent_object_id, agent_version,
               tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
               current_version_since, current_rotation_sequence, last_checked_at, secret_condition,
                   foreign_versions, identity_vanished, revision, created_at, updated_at"#,
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
pub(in crate::store) async fn put_in_force(
    connection: &mut PgConnection,
    rotation: &Rotation,
    version: &SecretVersion,
    agent_version: Option<&AgentVersion>,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update machines set current_version = $2, current_version_since = $3, current_rotation_sequence = $4,
             agent_version = coalesce($5, agent_version),
             state = case state when 'awaitingPassphrase' then 'active' else state end,
             secret_condition = 'present', foreign_versions = '{}', seen_missing_at = null,
             -- What was found of the old one is history. Whether there is more, a check tells soon.
             check_claimed_at = case when cardinality(foreign_versions) > 0 then '-infinity' else check_claimed_at end
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

/// Works the state out anew from the machine, its rotations and its drift.
pub async fn settle_state(
    connection: &mut PgConnection,
    id: MachineId,
    now: OffsetDateTime,
) -> Result<Machine, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"update machines m set revision = revision + 1, updated_at = $2, state = state_of_machine(m)
           where id = $1
           returning id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name,
               agent_tenant_id, agent_object_id, agent_version,
               tags as "tags: Json<BTreeMap<String, String>>", state, current_version,
               current_version_since, current_rotation_sequence, last_checked_at, secret_condition,
                   foreign_versions, identity_vanished, revision, created_at, updated_at"#,
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
