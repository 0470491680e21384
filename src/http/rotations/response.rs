//! What callers are told about a rotation.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    broker::rotation::RequestedRotation,
    domain::{
        machine::Machine,
        rotation::{Rotation, RotationState},
    },
    http::passphrase::ReleasedPassphrase,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct RotationResponse {
    id: Uuid,
    machine_id: Uuid,
    /// `requested`, `prepared`, `collected`, `confirmed`, `failed`, `abandoned`, `expired` or `indeterminate`.
    state: &'static str,
    writer: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    requested_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow_secret_identifier: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    collected_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<OffsetDateTime>,
    /// The version in force since the confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_identifier: Option<String>,
    /// Versions that MARS or somebody else wrote meanwhile with another passphrase. Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_secret_identifiers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mars_error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// For a caller who may collect it; then it counts as collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<ReleasedPassphrase>,
    /// True in the replay of a request: collect the passphrase instead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) passphrase_omitted: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct RotationPage {
    pub(super) items: Vec<RotationResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl RotationResponse {
    pub(super) fn of(machine: &Machine, rotation: &Rotation) -> Self {
        let mut response = Self {
            id: rotation.id.0,
            machine_id: rotation.machine_id.0,
            state: rotation.state.name(),
            writer: rotation.writer.name(),
            requested_at: rotation.requested_at,
            expires_at: rotation.expires_at,
            escrow_secret_identifier: None,
            collected_at: None,
            confirmed_at: None,
            secret_identifier: None,
            other_secret_identifiers: rotation
                .other_versions
                .iter()
                .map(|version| machine.secret(version.clone()).to_string())
                .collect(),
            mars_error_code: None,
            message: None,
            passphrase: None,
            passphrase_omitted: false,
        };
        let (escrow, collected) = match &rotation.state {
            RotationState::Prepared { escrow_version } => (Some(escrow_version), None),
            RotationState::Confirmed { collected, .. } => {
                (Some(&collected.escrow_version), Some(collected))
            }
            state => {
                (state.unsettled().map(|collected| &collected.escrow_version), state.unsettled())
            }
        };
        response.escrow_secret_identifier = escrow.map(|version| {
            machine.escrow(rotation.escrow_secret_name.clone(), version.clone()).to_string()
        });
        response.collected_at = collected.map(|collected| collected.at);
        if let RotationState::Confirmed { version, at, .. } = &rotation.state {
            response.confirmed_at = Some(*at);
            response.secret_identifier = Some(machine.secret(version.clone()).to_string());
        }
        if let RotationState::Failed { mars_error_code, message, .. } = &rotation.state {
            (response.mars_error_code, response.message) =
                (mars_error_code.clone(), message.clone());
        }
        response
    }
}

impl From<RequestedRotation> for RotationResponse {
    fn from(requested: RequestedRotation) -> Self {
        let response = Self::of(&requested.machine, &requested.rotation);
        Self {
            passphrase: requested.passphrase.map(ReleasedPassphrase),
            passphrase_omitted: requested.replayed,
            ..response
        }
    }
}
