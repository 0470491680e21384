//! A row of `machines` and the machine that it is.

use std::collections::BTreeMap;

use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        drift::{Drift, SecretCondition},
        key_vault_id::{KeyVaultUri, SecretVersion},
        machine::{
            AgentBinding, AgentVersion, Fqdn, InForce, Machine, MachineId, MachineState, Tags,
        },
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::Error,
};

pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) fqdn: String,
    pub(super) recovery_services_vault_id: String,
    pub(super) key_vault_uri: String,
    pub(super) secret_name: String,
    pub(super) agent_tenant_id: Option<Uuid>,
    pub(super) agent_object_id: Option<Uuid>,
    pub(super) agent_version: Option<String>,
    pub(super) tags: Json<BTreeMap<String, String>>,
    pub(super) state: String,
    pub(super) current_version: Option<String>,
    pub(super) current_version_since: Option<OffsetDateTime>,
    pub(super) current_rotation_sequence: i64,
    pub(super) last_checked_at: Option<OffsetDateTime>,
    pub(super) secret_condition: String,
    pub(super) foreign_versions: Vec<String>,
    pub(super) identity_vanished: bool,
    pub(super) revision: i64,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
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
        let foreign_versions: Result<_, _> =
            row.foreign_versions.iter().map(|text| SecretVersion::parse(text)).collect();
        let drift = Drift {
            checked_at: row.last_checked_at,
            secret: SecretCondition::parse(&row.secret_condition)
                .ok_or_else(|| corrupt("secret_condition"))?,
            foreign_versions: foreign_versions.map_err(|_invalid| corrupt("foreign_versions"))?,
            identity_vanished: row.identity_vanished,
        };
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
            drift,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
