//! A row of `rotations` and the rotation that it is.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        key_vault_id::SecretVersion,
        machine::MachineId,
        rotation::{Collected, Rotation, RotationId, RotationState, Writer},
        secret_name::SecretName,
    },
    store::Error,
};

pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) machine_id: Uuid,
    pub(super) sequence: i64,
    pub(super) writer: String,
    pub(super) state: String,
    pub(super) escrow_secret_name: String,
    pub(super) escrow_version: Option<String>,
    pub(super) epoch: i32,
    pub(super) confirming: bool,
    pub(super) requested_at: OffsetDateTime,
    pub(super) expires_at: OffsetDateTime,
    pub(super) collected_at: Option<OffsetDateTime>,
    pub(super) confirmed_version: Option<String>,
    pub(super) closed_at: Option<OffsetDateTime>,
    pub(super) mars_error_code: Option<String>,
    pub(super) failure_message: Option<String>,
    pub(super) other_versions: Vec<String>,
    pub(super) overdue: bool,
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
        let other_versions = row.other_versions.iter().map(|text| SecretVersion::parse(text));
        Ok(Self {
            id: RotationId(row.id),
            machine_id: MachineId(row.machine_id),
            sequence: row.sequence,
            writer: Writer::parse(&row.writer).ok_or_else(|| corrupt("writer"))?,
            state,
            escrow_secret_name: SecretName::parse(&row.escrow_secret_name)
                .map_err(|_invalid| corrupt("escrow_secret_name"))?,
            other_versions: other_versions
                .collect::<Result<_, _>>()
                .map_err(|_invalid| corrupt("other_versions"))?,
            epoch: row.epoch,
            confirming: row.confirming,
            requested_at: row.requested_at,
            expires_at: row.expires_at,
            overdue: row.overdue,
        })
    }
}
