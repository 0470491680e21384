//! What is asked of a scan, and what is accepted of its proposals.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    broker::{
        Error,
        adoption::{Acceptance, Scan, ScanPosition},
    },
    domain::{
        caller::Caller,
        key_vault_id::{KeyVaultUri, SecretVersion},
        machine::{AgentVersion, Fqdn, Tags},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    http::{App, extract::map_without_repeats, problem::Problem},
};

const MOST_NAMED: usize = 200;
const MOST_ACCEPTED: usize = 100;

#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct ScanAdoptionsRequest {
    /// One of the Key Vaults that this service is configured for; left out: its default one.
    #[schema(example = "https://kv-mars.vault.azure.net/")]
    key_vault_uri: Option<String>,
    /// Recovery Services vaults that this service may not know yet, at most 200. Those of its machines, and those that it may read in their subscriptions, are known.
    #[serde(default)]
    #[schema(max_items = 200)]
    recovery_services_vault_ids: Vec<String>,
    /// `nextCursor` of the call before, with the other members as they were.
    cursor: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct AcceptAdoptionsRequest {
    /// The Key Vault that was scanned; left out: the default one.
    #[schema(example = "https://kv-mars.vault.azure.net/")]
    key_vault_uri: Option<String>,
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<AdoptionRequest>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct AdoptionRequest {
    #[schema(example = "AzBackup-srv-web01-corp-contoso-com-rsv-prod")]
    secret_name: String,
    /// The name that the machine has in MARS.
    #[schema(example = "srv-web01.corp.contoso.com", max_length = 253)]
    fqdn: String,
    recovery_services_vault_id: String,
    /// Left out: the newest one is in force. When that is disabled, name the version, or say `chosen`.
    version: Option<String>,
    /// The object id of the identity that acts as this machine.
    agent_object_id: Option<Uuid>,
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
    #[serde(default, deserialize_with = "map_without_repeats")]
    tags: BTreeMap<String, String>,
    /// True: somebody has looked at the machine's other secrets, and at newer versions of this one that are disabled, and this is the one that it uses: its newest enabled version. Without it, a machine that may have several secrets, and a secret whose newest version is disabled, are refused.
    #[serde(default)]
    chosen: bool,
}

fn invalid(pointer: String) -> impl FnOnce(&dyn std::fmt::Display) -> Problem {
    move |error| Problem::at(pointer, error.to_string())
}

fn key_vault(app: &App, asked: Option<&str>) -> Result<KeyVaultUri, Problem> {
    let chosen = app.broker.rules().key_vaults.choose(asked);
    chosen.cloned().map_err(|error| Problem::from(Error::from(error)))
}

impl ScanAdoptionsRequest {
    pub(super) fn parse(self, caller: &Caller, app: &App) -> Result<Scan, Problem> {
        let key_vault_uri = key_vault(app, self.key_vault_uri.as_deref())?;
        if self.recovery_services_vault_ids.len() > MOST_NAMED {
            let detail = "at most 200 Recovery Services vaults can be named";
            return Err(Problem::at("/recoveryServicesVaultIds", detail));
        }
        let ids = self.recovery_services_vault_ids.iter().enumerate();
        let named = ids.map(|(at, id)| {
            let pointer = format!("/recoveryServicesVaultIds/{at}");
            RecoveryServicesVaultId::parse(id).map_err(|error| invalid(pointer)(&error))
        });
        let named = named.collect::<Result<_, _>>()?;
        let from = match self.cursor {
            None => None,
            Some(cursor) => {
                let kept = app.cursors.open(caller, &cursor)?;
                let of_other = || Problem::at("/cursor", "this cursor belongs to another scan");
                Some(ScanPosition::read(&kept, &key_vault_uri).ok_or_else(of_other)?)
            }
        };
        Ok(Scan { key_vault_uri, named, from })
    }
}

impl AcceptAdoptionsRequest {
    pub(super) fn parse(self, app: &App) -> Result<(KeyVaultUri, Vec<Acceptance>), Problem> {
        let key_vault_uri = key_vault(app, self.key_vault_uri.as_deref())?;
        if !(1..=MOST_ACCEPTED).contains(&self.items.len()) {
            return Err(Problem::at("/items", "send 1 to 100 items"));
        }
        let items = self.items.into_iter().enumerate();
        let items = items.map(|(at, item)| item.parse(&format!("/items/{at}")));
        Ok((key_vault_uri, items.collect::<Result<_, _>>()?))
    }
}

impl AdoptionRequest {
    fn parse(self, at: &str) -> Result<Acceptance, Problem> {
        let wrong = |member: &str| invalid(format!("{at}/{member}"));
        let secret_name = SecretName::parse_for_machine(&self.secret_name);
        let fqdn = Fqdn::parse(&self.fqdn);
        let id = RecoveryServicesVaultId::parse(&self.recovery_services_vault_id);
        let version = self.version.as_deref().map(SecretVersion::parse).transpose();
        let agent_version = self.agent_version.as_deref().map(AgentVersion::parse).transpose();
        Ok(Acceptance {
            secret_name: secret_name.map_err(|error| wrong("secretName")(&error))?,
            fqdn: fqdn.map_err(|error| wrong("fqdn")(&error))?,
            recovery_services_vault_id: id
                .map_err(|error| wrong("recoveryServicesVaultId")(&error))?,
            version: version.map_err(|error| wrong("version")(&error))?,
            agent_object_id: self.agent_object_id,
            agent_version: agent_version.map_err(|error| wrong("agentVersion")(&error))?,
            tags: Tags::parse(self.tags).map_err(|error| wrong("tags")(&error))?,
            chosen: self.chosen,
        })
    }
}
