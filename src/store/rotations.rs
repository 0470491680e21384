//! Table `rotations`. Each change names the states that it may start from, so a late or repeated
//! message changes nothing (compare-and-set).

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Store, machines, within_deadline};
use crate::domain::{
    key_vault_id::SecretVersion,
    machine::{AgentVersion, Machine, MachineId},
    principal::Principal,
    rotation::{Collected, Rotation, RotationId, RotationState, Writer},
    secret_name::SecretName,
};

/// Why a rotation's row was not changed.
#[derive(Debug)]
pub enum Refusal {
    /// Another rotation of the machine is open.
    RotationInProgress,
    /// The rotation is not in a state in which this can happen, or somebody else took it over.
    WrongState,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.violated() {
            Some("rotations_one_open") => Self::RotationInProgress,
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

struct Row {
    id: Uuid,
    machine_id: Uuid,
    sequence: i64,
    writer: String,
    state: String,
    escrow_secret_name: String,
    escrow_version: Option<String>,
    epoch: i32,
    requested_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    collected_at: Option<OffsetDateTime>,
    confirmed_version: Option<String>,
    closed_at: Option<OffsetDateTime>,
    mars_error_code: Option<String>,
    failure_message: Option<String>,
}

/// The one list of columns.
macro_rules! select_rotations {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, machine_id, sequence as "sequence!", writer, state, escrow_secret_name, escrow_version,
                   epoch, requested_at, expires_at, collected_at, confirmed_version, closed_at,
                   mars_error_code, failure_message
               from rotations "# + $rest,
            $($argument),*
        )
    };
}

impl Store {
    pub async fn find_rotation(
        &self,
        machine: MachineId,
        id: RotationId,
    ) -> Result<Option<Rotation>, Error> {
        let query = select_rotations!("where machine_id = $1 and id = $2", machine.0, id.0);
        within_deadline(query.fetch_optional(&self.pool)).await?.map(Rotation::try_from).transpose()
    }

    pub async fn find_open_rotation(&self, machine: MachineId) -> Result<Option<Rotation>, Error> {
        let query = select_rotations!(
            "where machine_id = $1 and state in ('requested', 'prepared', 'collected')",
            machine.0
        );
        within_deadline(query.fetch_optional(&self.pool)).await?.map(Rotation::try_from).transpose()
    }

    /// Newest first; `before` is the page's cursor.
    pub async fn list_rotations(
        &self,
        machine: MachineId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Rotation>, Error> {
        let query = select_rotations!(
            "where machine_id = $1 and ($2::bigint is null or sequence < $2) order by sequence desc limit $3",
            machine.0,
            before,
            limit
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(Rotation::try_from).collect()
    }

    /// The rotations whose passphrase may be in use although nobody confirmed it: those that were
    /// collected after the passphrase in force, oldest first.
    pub async fn list_unsettled_rotations(
        &self,
        machine: &Machine,
    ) -> Result<Vec<Rotation>, Error> {
        let confirmed = machine.in_force.as_ref().map_or(0, |in_force| in_force.rotation_sequence);
        let query = select_rotations!(
            "where machine_id = $1 and sequence > $2 and collected_at is not null and state <> 'confirmed'
             order by sequence",
            machine.id.0,
            confirmed
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(Rotation::try_from).collect()
    }

    /// Open rotations whose deadline has passed, and those that were interrupted while being prepared.
    pub async fn list_rotations_to_reconcile(
        &self,
        now: OffsetDateTime,
        interrupted_before: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<Rotation>, Error> {
        let query = select_rotations!(
            "where state in ('requested', 'prepared', 'collected')
               and (expires_at <= $1 or (state = 'requested' and requested_at <= $2))
             order by expires_at limit $3",
            now,
            interrupted_before,
            limit
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(Rotation::try_from).collect()
    }

    /// How many rotations are in each open or unsettled state, for the metrics.
    pub async fn count_rotations_by_state(&self) -> Result<Vec<(String, i64)>, Error> {
        let query = sqlx::query!(
            r#"select state, count(*) as "count!" from rotations
               where state in ('requested', 'prepared', 'collected', 'indeterminate') group by state"#
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
    }
}

/// Puts the intent on record.
pub async fn insert_rotation(
    connection: &mut PgConnection,
    rotation: &Rotation,
    requested_by: &Principal,
) -> Result<Rotation, Refusal> {
    let sequence = sqlx::query_scalar!(
        r#"insert into rotations (id, machine_id, writer, state, escrow_secret_name,
               requested_by_tenant_id, requested_by_object_id, requested_at, expires_at)
           values ($1, $2, $3, 'requested', $4, $5, $6, $7, $8) returning sequence as "sequence!""#,
        rotation.id.0,
        rotation.machine_id.0,
        rotation.writer.name(),
        rotation.escrow_secret_name.as_str(),
        requested_by.tenant_id,
        requested_by.object_id,
        rotation.requested_at,
        rotation.expires_at
    )
    .fetch_one(&mut *connection)
    .await?;
    machines::settle_state(connection, rotation.machine_id, rotation.requested_at).await?;
    Ok(Rotation { sequence, ..rotation.clone() })
}

/// Takes over a rotation whose preparation was interrupted, and fences off whoever was slow.
pub async fn take_over(
    connection: &mut PgConnection,
    rotation: &Rotation,
) -> Result<Rotation, Refusal> {
    let epoch = sqlx::query_scalar!(
        "update rotations set epoch = epoch + 1 where id = $1 and state = 'requested' and epoch = $2 returning epoch",
        rotation.id.0,
        rotation.epoch
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
         where id = $1 and state in ('prepared', 'collected') and expires_at > $2",
        rotation.id.0,
        now
    )
    .execute(connection)
    .await?;
    only_one(done.rows_affected())
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
    let done = sqlx::query!(
        "update rotations set state = 'confirmed', confirmed_version = $2, closed_at = $3,
             mars_error_code = null, failure_message = null
         where id = $1 and collected_at is not null and state in ('collected', 'indeterminate', 'failed')",
        rotation.id.0,
        version.as_str(),
        now
    )
    .execute(&mut *connection)
    .await?;
    only_one(done.rows_affected())?;
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
        "update rotations set state = 'failed', closed_at = $2, mars_error_code = $3, failure_message = $4
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
         where id = $1 and state = $3 and expires_at <= $2",
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

impl TryFrom<Row> for Rotation {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |column| Error::Corrupt { table: "rotations", column };
        let version =
            |text: Option<&String>| text.map(|text| SecretVersion::parse(text)).transpose();
        let escrow_version =
            version(row.escrow_version.as_ref()).map_err(|_invalid| corrupt("escrow_version"))?;
        let collected = escrow_version
            .clone()
            .zip(row.collected_at)
            .map(|(escrow_version, at)| Collected { escrow_version, at });
        let state = match (row.state.as_str(), escrow_version, collected) {
            ("requested", None, None) => RotationState::Requested,
            ("prepared", Some(escrow_version), None) => RotationState::Prepared { escrow_version },
            ("collected", _, Some(collected)) => RotationState::Collected(collected),
            ("confirmed", _, Some(collected)) => RotationState::Confirmed {
                collected,
                version: version(row.confirmed_version.as_ref())
                    .ok()
                    .flatten()
                    .ok_or_else(|| corrupt("confirmed_version"))?,
                at: row.closed_at.ok_or_else(|| corrupt("closed_at"))?,
            },
            ("failed", _, collected) => RotationState::Failed {
                collected,
                mars_error_code: row.mars_error_code,
                message: row.failure_message,
            },
            ("abandoned", _, None) => RotationState::Abandoned,
            ("expired", _, None) => RotationState::Expired,
            ("indeterminate", _, Some(collected)) => RotationState::Indeterminate(collected),
            _ => return Err(corrupt("state")),
        };
        Ok(Self {
            id: RotationId(row.id),
            machine_id: MachineId(row.machine_id),
            sequence: row.sequence,
            writer: Writer::parse(&row.writer).ok_or_else(|| corrupt("writer"))?,
            state,
            escrow_secret_name: SecretName::parse(&row.escrow_secret_name)
                .map_err(|_invalid| corrupt("escrow_secret_name"))?,
            epoch: row.epoch,
            requested_at: row.requested_at,
            expires_at: row.expires_at,
        })
    }
}
