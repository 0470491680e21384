//! What callers send about machines, and how it becomes words of the domain.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    broker::{
        Error,
        machines::{MachineChanges, Patch},
        registration::{AdoptedVersion, FirstPassphrase, Registration},
    },
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{AgentVersion, Fqdn, MachineId, MachineState, Tags},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    http::{App, extract::map_without_repeats, passphrase::GivenPassphrase, problem::Problem},
    store::machines::MachineFilter,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct RegisterMachineRequest {
    /// The name that the machine has in MARS.
    #[schema(example = "srv-web01.corp.contoso.com", max_length = 253)]
    fqdn: String,
    #[schema(
        example = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rsv-prod"
    )]
    recovery_services_vault_id: String,
    /// One of the Key Vaults that this service is configured for; left out: its default one.
    #[schema(example = "https://kv-mars.vault.azure.net/")]
    key_vault_uri: Option<String>,
    /// The secret that holds the passphrase; left out: named in the configured style.
    #[schema(example = "AzBackup-srv-web01-corp-contoso-com-rsv-prod")]
    secret_name: Option<String>,
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
    /// The object id of the identity that acts as this machine: the principal id of its managed identity.
    agent_object_id: Option<Uuid>,
    #[serde(default, deserialize_with = "map_without_repeats")]
    tags: BTreeMap<String, String>,
    passphrase: PassphraseRequest,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct PassphraseRequest {
    source: Source,
    /// Only with `provided`. MARS's rules hold: 16 and more printable ASCII characters.
    value: Option<GivenPassphrase>,
    /// Only with `adopted`, when the newest version is not the one in force, or is disabled.
    version: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Source {
    /// Made here, and returned once.
    Generated,
    Provided,
    /// Already in Key Vault. Its value is not read.
    Adopted,
    /// There is none yet.
    None,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListMachinesQuery {
    /// Part of a machine's name, of its secret's name or of a tag (`name=value`), 3 characters or more.
    #[param(min_length = 3, max_length = 128)]
    q: Option<String>,
    /// `awaitingPassphrase`, `active`, `rotating`, `indeterminate`, `softDeleted`, `drifted` or `retired`.
    state: Option<String>,
    recovery_services_vault_id: Option<String>,
    /// 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    pub(super) page_size: Option<i64>,
    /// `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct UpdateMachineRequest {
    /// A tag with null is removed; null removes all.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    #[serde(default)]
    tags: Patch<TagPatch>,
    /// Null unbinds the agent: it is refused from its next call on.
    #[schema(value_type = Option<Uuid>)]
    #[serde(default)]
    agent_object_id: Patch<Uuid>,
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    agent_version: Patch<String>,
    /// Only while the machine has no passphrase.
    secret_name: Option<String>,
}

/// A tag that is null is removed.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
struct TagPatch(
    #[serde(deserialize_with = "map_without_repeats")] BTreeMap<String, Option<String>>,
);

fn invalid(pointer: &'static str) -> impl FnOnce(&dyn std::fmt::Display) -> Problem {
    move |error| Problem::at(pointer, error.to_string())
}

impl RegisterMachineRequest {
    pub(super) fn parse(self, app: &App) -> Result<Registration, Problem> {
        let fqdn = Fqdn::parse(&self.fqdn).map_err(|error| invalid("/fqdn")(&error))?;
        let recovery_services_vault_id =
            RecoveryServicesVaultId::parse(&self.recovery_services_vault_id)
                .map_err(|error| invalid("/recoveryServicesVaultId")(&error))?;
        let key_vaults = &app.broker.rules().key_vaults;
        let key_vault_uri = key_vaults
            .choose(self.key_vault_uri.as_deref())
            .map_err(|error| Problem::from(Error::from(error)))?;
        let secret_name =
            self.secret_name.as_deref().map(SecretName::parse_for_machine).transpose();
        let agent_version = self.agent_version.as_deref().map(AgentVersion::parse).transpose();
        Ok(Registration {
            fqdn,
            recovery_services_vault_id,
            key_vault_uri: key_vault_uri.clone(),
            secret_name: secret_name.map_err(|error| invalid("/secretName")(&error))?,
            agent_object_id: self.agent_object_id,
            agent_version: agent_version.map_err(|error| invalid("/agentVersion")(&error))?,
            tags: Tags::parse(self.tags).map_err(|error| invalid("/tags")(&error))?,
            source: self.passphrase.parse()?,
        })
    }
}

impl PassphraseRequest {
    pub(super) fn parse(self) -> Result<FirstPassphrase, Problem> {
        match (self.source, self.value, self.version) {
            (Source::Generated, None, None) => Ok(FirstPassphrase::Generated),
            (Source::Provided, Some(value), None) => value.parse().map(FirstPassphrase::Provided),
            (Source::Provided, None, _) => {
                Err(Problem::at("/passphrase/value", "a provided passphrase has a value"))
            }
            (Source::Adopted, None, version) => {
                let version = version.as_deref().map(SecretVersion::parse).transpose();
                let version = version.map_err(|error| invalid("/passphrase/version")(&error))?;
                Ok(FirstPassphrase::Adopted { version: AdoptedVersion::of(version, false) })
            }
            (Source::None, None, None) => Ok(FirstPassphrase::None),
            (_, Some(_), _) => {
                Err(Problem::at("/passphrase/value", "only a provided passphrase has a value"))
            }
            (_, None, Some(_)) => {
                Err(Problem::at("/passphrase/version", "only an adopted passphrase has a version"))
            }
        }
    }
}

impl ListMachinesQuery {
    pub(super) fn parse(self, caller: &Caller, app: &App) -> Result<MachineFilter, Problem> {
        // Fewer than three characters have no trigram: the search would read every machine.
        let fits = |text: &String| {
            (3..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if !self.q.as_ref().is_none_or(fits) {
            return Err(Problem::at("q", "search for 3 to 128 characters"));
        }
        let state = self.state.as_deref().map(|name| {
            MachineState::parse(name).ok_or_else(|| Problem::at("state", "there is no such state"))
        });
        let recovery_services_vault_id = self
            .recovery_services_vault_id
            .as_deref()
            .map(RecoveryServicesVaultId::parse)
            .transpose();
        let after =
            self.cursor.as_deref().map(|cursor| app.cursors.open(caller, cursor)).transpose()?;
        Ok(MachineFilter {
            tenant_id: caller.tenant_id(),
            search: self.q,
            state: state.transpose()?,
            recovery_services_vault_id: recovery_services_vault_id
                .map_err(|error| invalid("recoveryServicesVaultId")(&error))?,
            after: after.and_then(|position| Uuid::try_parse(&position).ok()).map(MachineId),
        })
    }
}

impl UpdateMachineRequest {
    pub(super) fn parse(self) -> Result<MachineChanges, Problem> {
        let agent_version = self.agent_version.try_map(|text| AgentVersion::parse(&text));
        let secret_name =
            self.secret_name.as_deref().map(SecretName::parse_for_machine).transpose();
        Ok(MachineChanges {
            tags: self.tags.map(|tags| tags.0),
            agent_object_id: self.agent_object_id,
            agent_version: agent_version.map_err(|error| invalid("/agentVersion")(&error))?,
            secret_name: secret_name.map_err(|error| invalid("/secretName")(&error))?,
        })
    }
}
