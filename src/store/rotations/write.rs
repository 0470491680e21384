//! The transitions of a rotation, each in the transaction of the event that tells of it.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::Refusal;
use crate::{
    domain::{
        key_vault_id::SecretVersion,
        machine::{AgentVersion, Machine},
        principal::Principal,
        rotation::Rotation,
    },
    store::machines,
};

/// Puts the intent on record. Its deadline is as far from its beginning as `rotation` says, by PostgreSQL's clock.
pub async fn insert_rotation(
    connection: &mut PgConnection,
    rotation: &Rotation,
    requested_by: &Principal,
) -> Result<Rotation, Refusal> {
    let inserted = sqlx::query!(
        r#"insert into rotations (id, machine_id, writer, state, escrow_secret_name,
               requested_by_tenant_id, requested_by_object_id, requested_at, expires_at)
           select $1, $2, $3, 'requested', $4, $5, $6, now(), now() + ($8::timestamptz - $7::timestamptz)
           where not exists (select from machines where id = $2 and registration_operation is not null)
           returning sequence as "sequence!", requested_at, expires_at"#,
        rotation.id.0,
        rotation.machine_id.0,
        rotation.writer.name(),
        rotation.escrow_secret_name.as_str(),
        requested_by.tenant_id,
        requested_by.object_id,
        rotation.requested_at,
        rotation.expires_at
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Refusal::BeingRegistered)?;
    let (requested_at, expires_at) = (inserted.requested_at, inserted.expires_at);
    machines::settle_state(connection, rotation.machine_id, rotation.requested_at).await?;
    Ok(Rotation { sequence: inserted.sequence, requested_at, expires_at, ..rotation.clone() })
}

/// Adds a rotation of which only Key Vault knew any more. Its id is its own unless another one has it.
pub async fn insert_unsettled(
    connection: &mut PgConnection,
    rotation: &Rotation,
    found_by: &Principal,
) -> Result<(), Refusal> {
    let collected = rotation.state.unsettled().ok_or(Refusal::WrongState)?;
    let others: Vec<String> = rotation.other_versions.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "insert into rotations (id, machine_id, writer, state, escrow_secret_name, escrow_version,
             requested_by_tenant_id, requested_by_object_id, requested_at, expires_at, collected_at, closed_at,
             other_versions)
         select case when exists (select from rotations where id = $1) then gen_random_uuid() else $1 end,
             $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now(), $12",
        rotation.id.0,
        rotation.machine_id.0,
        rotation.writer.name(),
        rotation.state.name(),
        rotation.escrow_secret_name.as_str(),
        collected.escrow_version.as_str(),
        found_by.tenant_id,
        found_by.object_id,
        rotation.requested_at,
        rotation.expires_at,
        collected.at,
        &others
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes over a rotation on which somebody was interrupted, and fences off whoever was only slow. Of
/// several replicas that try, one does.
pub async fn take_over(
    connection: &mut PgConnection,
    rotation: &Rotation,
    interrupted_after: Duration,
) -> Result<Rotation, Refusal> {
    let epoch = sqlx::query_scalar!(
        "update rotations set epoch = epoch + 1, attempted_at = now()
         where id = $1 and epoch = $2 and (state = 'requested' or confirming)
           and attempted_at <= now() - make_interval(secs => $3)
         returning epoch",
        rotation.id.0,
        rotation.epoch,
        interrupted_after.as_secs_f64()
    )
    .fetch_optional(connection)
    .await?;
    epoch.map(|epoch| Rotation { epoch, ..rotation.clone() }).ok_or(Refusal::WrongState)
}

/// `requested -> prepared`, by the holder of the epoch.
pub async fn mark_prepared(
    connection: &mut PgConnection,
    rotation: &Rotation,
    escrow_version: &SecretVersion,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set state = 'prepared', escrow_version = $3
         where id = $1 and epoch = $2 and state = 'requested'",
        rotation.id.0,
        rotation.epoch,
        escrow_version.as_str()
    )
    .execute(connection)
    .await?;
    only_one(done.rows_affected())
}

/// `prepared | collected -> collected`: given again, it stays collected since the first time.
pub async fn mark_collected(
    connection: &mut PgConnection,
    rotation: &Rotation,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set state = 'collected', collected_at = coalesce(collected_at, $2)
         where id = $1 and state in ('prepared', 'collected') and expires_at > now()",
        rotation.id.0,
        now
    )
    .execute(connection)
    .await?;
    only_one(done.rows_affected())
}

/// The machine says that it uses the passphrase: from now on a confirmation that is interrupted is
/// finished without it.
pub async fn mark_confirming(
    connection: &mut PgConnection,
    rotation: &Rotation,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set confirming = true, attempted_at = now()
         where id = $1 and collected_at is not null and state in ('collected', 'indeterminate', 'failed')",
        rotation.id.0
    )
    .execute(connection)
    .await?;
    only_one(done.rows_affected())
}

/// That the machine has not taken back what it said, before it is finished without it.
pub async fn check_confirming(
    connection: &mut PgConnection,
    rotation: &Rotation,
) -> Result<(), Refusal> {
    let found = sqlx::query_scalar!(
        "select 1 from rotations where id = $1 and epoch = $2 and confirming for update",
        rotation.id.0,
        rotation.epoch
    )
    .fetch_optional(connection)
    .await?;
    found.map(drop).ok_or(Refusal::WrongState)
}

/// `collected | indeterminate | failed (after collection) -> confirmed`, and the new passphrase is in
/// force, unless a later rotation's is already.
pub async fn mark_confirmed(
    connection: &mut PgConnection,
    rotation: &Rotation,
    version: &SecretVersion,
    agent_version: Option<&AgentVersion>,
    now: OffsetDateTime,
) -> Result<Machine, Refusal> {
    let others: Vec<String> = rotation.other_versions.iter().map(ToString::to_string).collect();
    let done = sqlx::query!(
        "update rotations set state = 'confirmed', confirmed_version = $2, closed_at = $3, confirming = false,
             other_versions = $4, mars_error_code = null, failure_message = null
         where id = $1 and collected_at is not null and state in ('collected', 'indeterminate', 'failed')",
        rotation.id.0,
        version.as_str(),
        now,
        &others
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
    // What an earlier rotation's confirmation had begun is not to be finished any more.
    sqlx::query!(
        "update rotations set confirming = false where machine_id = $1 and sequence < $2 and confirming",
        rotation.machine_id.0,
        rotation.sequence
    )
    .execute(&mut *connection)
    .await?;
    if !machines::put_in_force(connection, rotation, version, agent_version, now).await? {
        return Err(Refusal::WrongState);
    }
    machines::settle_state(connection, rotation.machine_id, now).await.map_err(Refusal::from)
}

/// `requested | prepared | collected | indeterminate -> failed`.
pub async fn mark_failed(
    connection: &mut PgConnection,
    rotation: &Rotation,
    mars_error_code: Option<&str>,
    message: Option<&str>,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set state = 'failed', closed_at = $2, mars_error_code = $3, failure_message = $4,
             confirming = false
         where id = $1 and epoch = $5 and state in ('requested', 'prepared', 'collected', 'indeterminate')",
        rotation.id.0,
        now,
        mars_error_code,
        message,
        rotation.epoch
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
    machines::settle_state(connection, rotation.machine_id, now).await?;
    Ok(())
}

/// `collected | indeterminate | failed (after collection) -> indeterminate`: Key Vault holds another
/// passphrase in these versions, newest first.
pub async fn mark_different(
    connection: &mut PgConnection,
    rotation: &Rotation,
    other_versions: &[SecretVersion],
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let others: Vec<String> = other_versions.iter().map(ToString::to_string).collect();
    let done = sqlx::query!(
        "update rotations set state = 'indeterminate', other_versions = $2, closed_at = coalesce(closed_at, $3),
             mars_error_code = null, failure_message = null
         where id = $1 and collected_at is not null and state in ('collected', 'indeterminate', 'failed')",
        rotation.id.0,
        &others,
        now
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
    machines::settle_state(connection, rotation.machine_id, now).await?;
    Ok(())
}

/// `requested | prepared -> abandoned`: nobody has seen it.
pub async fn mark_abandoned(
    connection: &mut PgConnection,
    rotation: &Rotation,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set state = 'abandoned', closed_at = $2
         where id = $1 and state in ('requested', 'prepared')",
        rotation.id.0,
        now
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
    machines::settle_state(connection, rotation.machine_id, now).await?;
    Ok(())
}

/// `requested | prepared -> expired`, `collected -> indeterminate`, once the deadline has passed.
pub async fn mark_overdue(
    connection: &mut PgConnection,
    rotation: &Rotation,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let done = sqlx::query!(
        "update rotations set closed_at = $2,
             state = case when collected_at is null then 'expired' else 'indeterminate' end
         where id = $1 and state = $3 and expires_at <= now()",
        rotation.id.0,
        now,
        rotation.state.name()
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
    machines::settle_state(connection, rotation.machine_id, now).await?;
    Ok(())
}

fn only_one(rows: u64) -> Result<(), Refusal> {
    if rows == 1 { Ok(()) } else { Err(Refusal::WrongState) }
}
