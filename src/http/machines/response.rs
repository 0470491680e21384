//! What callers are told about a machine.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    broker::Rules,
    domain::{drift::Finding, machine::Machine},
    http::passphrase::ReleasedPassphrase,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct MachineResponse {
    id: Uuid,
    fqdn: String,
    state: &'static str,
    recovery_services_vault_id: String,
    key_vault_uri: String,
    secret_name: String,
    /// The version in force, as Key Vault names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    current_version_since: Option<OffsetDateTime>,
    /// From when on the agent is told to rotate, by `ROTATION_AGE_DAYS`; absent without such a policy and while the machine is not `active`.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    rotation_due_at: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_object_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    tags: BTreeMap<String, String>,
    /// What the last check of Key Vault found that this service did not do, whatever the state: `secretSoftDeleted`, `secretMissing`, `versionDisabled` and `versionMissing` (the one in force), `foreignVersion` (somebody else wrote a later one), `identityVanished` (that of the Recovery Services vault).
    findings: Vec<&'static str>,
    /// Later versions that somebody else wrote, the newest ten, newest first: a retrieval answers them as candidates, and names those that are disabled in `unreadableCandidates`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    foreign_versions: Vec<String>,
    /// Absent while it was never checked.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    last_checked_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// Only in the answer to the registration that generated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<ReleasedPassphrase>,
    /// True in the replay of a request: a passphrase is answered once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) passphrase_omitted: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct MachinePage {
    pub(super) items: Vec<MachineResponse>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl MachineResponse {
    pub(in crate::http) fn of(machine: &Machine, rules: &Rules) -> Self {
        let in_force = machine.in_force.as_ref();
        Self {
            id: machine.id.0,
            fqdn: machine.fqdn.to_string(),
            state: machine.state.name(),
            recovery_services_vault_id: machine.recovery_services_vault_id.to_string(),
            key_vault_uri: machine.key_vault_uri.to_string(),
            secret_name: machine.secret_name.to_string(),
            secret_identifier: in_force
                .map(|in_force| machine.secret(in_force.version.clone()).to_string()),
            current_version: in_force.map(|in_force| in_force.version.to_string()),
            current_version_since: in_force.map(|in_force| in_force.since),
            rotation_due_at: rules.rotation.and_then(|policy| policy.due_at(machine)),
            agent_object_id: machine.agent.map(|agent| agent.object_id),
            agent_version: machine
                .agent_version
                .as_ref()
                .map(|version| version.as_str().to_owned()),
            tags: machine.tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            findings: machine.drift.findings().map(Finding::name).collect(),
            foreign_versions: machine
                .drift
                .foreign_versions
                .iter()
                .map(ToString::to_string)
                .collect(),
            last_checked_at: machine.drift.checked_at,
            created_at: machine.created_at,
            updated_at: machine.updated_at,
            passphrase: None,
            passphrase_omitted: false,
        }
    }
}
