//! Looking rotations up.

use std::time::Duration;

use super::row::Row;
use crate::{
    domain::{
        key_vault_id::SecretVersion,
        machine::MachineId,
        rotation::{Rotation, RotationId},
    },
    store::{Error, Store, within_deadline},
};

/// The one list of columns.
macro_rules! select_rotations {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, machine_id, sequence as "sequence!", writer, state, escrow_secret_name, escrow_version,
                   epoch, confirming, requested_at, expires_at, collected_at, confirmed_version, closed_at,
                   mars_error_code, failure_message, other_versions,
                   (state in ('requested', 'prepared', 'collected') and expires_at <= now()) as "overdue!"
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
        machine: MachineId,
    ) -> Result<Vec<Rotation>, Error> {
        let query = select_rotations!(
            "where machine_id = $1 and collected_at is not null and state <> 'confirmed'
               and sequence > (select current_rotation_sequence from machines where id = $1)
             order by sequence",
            machine.0
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(Rotation::try_from).collect()
    }

    /// Versions of the machine's secret that are known already when this rotation is confirmed: in force
    /// now or once, or found different by another rotation.
    pub async fn list_known_versions(
        &self,
        machine: MachineId,
        rotation: RotationId,
    ) -> Result<Vec<SecretVersion>, Error> {
        let query = sqlx::query_scalar!(
            r#"select current_version as "version!" from machines m where id = $1 and current_version is not null
                   and not exists (select from rotations r where r.id = $2 and r.sequence = m.current_rotation_sequence)
               union select confirmed_version from rotations
                   where machine_id = $1 and id <> $2 and confirmed_version is not null
               union select unnest(other_versions) from rotations where machine_id = $1 and id <> $2"#,
            machine.0,
            rotation.0
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        let corrupt = Error::Corrupt { table: "rotations", column: "confirmed_version" };
        let versions: Result<_, _> = rows.iter().map(|text| SecretVersion::parse(text)).collect();
        versions.map_err(|_invalid| corrupt)
    }

    /// Open rotations whose deadline has passed.
    pub async fn list_overdue_rotations(&self, limit: i64) -> Result<Vec<Rotation>, Error> {
        let query = select_rotations!(
            "where state in ('requested', 'prepared', 'collected') and expires_at <= now()
             order by expires_at limit $1",
            limit
        );
        let rows = within_deadline(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(Rotation::try_from).collect()
    }

    /// Rotations on which somebody was interrupted while writing to Key Vault. From the third takeover on each
    /// doubles the time until the next: a Key Vault that refuses is not asked, nor told of in the log, for ever.
    pub async fn list_interrupted_rotations(
        &self,
        interrupted_after: Duration,
        limit: i64,
    ) -> Result<Vec<Rotation>, Error> {
        let query = select_rotations!(
            "where (state = 'requested' or confirming)
               and attempted_at <= now() - make_interval(secs => $1) * power(2, least(greatest(epoch - 3, 0), 8))
               and sequence > (select current_rotation_sequence from machines m where m.id = machine_id)
             order by attempted_at limit $2",
            interrupted_after.as_secs_f64(),
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
