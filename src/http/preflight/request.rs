//! What a preflight is asked about. The URI alone may be anything: telling what was pasted is part of it.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        machine::{AgentVersion, Fqdn},
        preflight::{Status, facts::Subject},
        recovery_services_vault::RecoveryServicesVaultId,
        resource_id::KeyVaultId,
    },
    http::problem::Problem,
};

/// The longest address that a portal shows is shorter.
const LONGEST_URI: usize = 2048;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct PreflightRequest {
    /// What would be pasted into MARS.
    #[schema(example = "https://kv-mars.vault.azure.net/", max_length = 2048)]
    key_vault_uri: String,
    /// Left out: looked for by its name, in the subscriptions that this service may read.
    #[schema(
        example = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-mars/providers/Microsoft.KeyVault/vaults/kv-mars"
    )]
    key_vault_id: Option<String>,
    #[schema(
        example = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rsv-prod"
    )]
    recovery_services_vault_id: Option<String>,
    /// The name that the machine has in MARS.
    #[schema(example = "srv-web01.corp.contoso.com", max_length = 253)]
    fqdn: Option<String>,
    /// Left out: what Azure reports of the machine.
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PreflightQuery {
    /// `fail`, `unknown` or `warn`: answer 424 when `overall` is that or worse. Left out: always 200.
    fail_on: Option<String>,
    /// How wide the table of `text/plain` may be, in characters: 60 to 500; 110 when left out.
    #[param(minimum = 60, maximum = 500)]
    columns: Option<u16>,
}

pub(super) struct Wanted {
    pub(super) fail_on: Option<Status>,
    pub(super) columns: usize,
}

impl PreflightRequest {
    pub(super) fn parse(self) -> Result<Subject, Problem> {
        if self.key_vault_uri.len() > LONGEST_URI {
            return Err(Problem::at("/keyVaultUri", "this is longer than any URI of a Key Vault"));
        }
        let at = |pointer: &'static str| {
            move |error: &dyn std::fmt::Display| Problem::at(pointer, error.to_string())
        };
        let key_vault_id = self.key_vault_id.as_deref().map(KeyVaultId::parse).transpose();
        let rsv = self
            .recovery_services_vault_id
            .as_deref()
            .map(RecoveryServicesVaultId::parse)
            .transpose();
        let fqdn = self.fqdn.as_deref().map(Fqdn::parse).transpose();
        let agent_version = self.agent_version.as_deref().map(AgentVersion::parse).transpose();
        Ok(Subject {
            key_vault_uri: self.key_vault_uri,
            key_vault_id: key_vault_id.map_err(|error| at("/keyVaultId")(&error))?,
            recovery_services_vault_id: rsv
                .map_err(|error| at("/recoveryServicesVaultId")(&error))?,
            fqdn: fqdn.map_err(|error| at("/fqdn")(&error))?,
            agent_version: agent_version.map_err(|error| at("/agentVersion")(&error))?,
            registered_agent_version: None,
            secret_name: None,
        })
    }
}

impl PreflightQuery {
    pub(super) fn parse(&self) -> Result<Wanted, Problem> {
        let fail_on = match self.fail_on.as_deref() {
            None => None,
            Some("fail") => Some(Status::Fail),
            Some("unknown") => Some(Status::Unknown),
            Some("warn") => Some(Status::Warn),
            Some(_) => return Err(Problem::at("failOn", "expected fail, unknown or warn")),
        };
        let columns = self.columns.unwrap_or(110);
        if !(60..=500).contains(&columns) {
            return Err(Problem::at("columns", "expected 60 to 500"));
        }
        Ok(Wanted { fail_on, columns: usize::from(columns) })
    }
}
