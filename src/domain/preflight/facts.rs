//! What a preflight asked, and what it saw: the input of every check.

use std::net::IpAddr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    effective_permission::{DenyAssignment, RoleAssignment, RoleDefinition},
    key_vault_id::KeyVaultUri,
    key_vault_resource::{DeletedKeyVault, DiagnosticSetting, KeyVaultResource},
    machine::{AgentVersion, Fqdn, Machine},
    recovery_services_resource::{
        MarsContainer, RecoveryServicesVaultConfig, RecoveryServicesVaultResource,
    },
    recovery_services_vault::RecoveryServicesVaultId,
    resource_id::KeyVaultId,
    secret_name::SecretName,
};

/// One call, as evidence: what was called and what came back. It holds no token and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `GET https://...`
    pub call: String,
    /// None: there was no answer.
    pub status: Option<u16>,
    pub code: Option<String>,
    /// Azure's own id of the request, for Microsoft's support.
    pub request_id: Option<String>,
    pub milliseconds: u64,
    /// What time it was for Azure.
    pub answered_at: Option<OffsetDateTime>,
}

/// What became of a question to Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    Found(T, Source),
    /// Azure says that there is none.
    Absent(Source),
    /// This service may not ask. `action` is what its identity lacks.
    Forbidden {
        action: String,
        source: Source,
    },
    /// No answer, or none that makes sense.
    Unreadable {
        why: String,
        source: Source,
    },
    /// Nothing was given to ask about.
    NotAsked(&'static str),
    /// It matters, and this service must not or cannot ask.
    Closed(&'static str),
}

impl<T> Seen<T> {
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value, _) => Some(value),
            _ => None,
        }
    }

    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Found(_, source)
            | Self::Absent(source)
            | Self::Forbidden { source, .. }
            | Self::Unreadable { source, .. } => Some(source),
            Self::NotAsked(_) | Self::Closed(_) => None,
        }
    }
}

/// The Key Vault that the caller wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// As it was given; it may be anything.
    pub key_vault_uri: String,
    pub key_vault_id: Option<KeyVaultId>,
    pub recovery_services_vault_id: Option<RecoveryServicesVaultId>,
    pub fqdn: Option<Fqdn>,
    /// As the caller says.
    pub agent_version: Option<AgentVersion>,
    /// As the registry says, and so perhaps old.
    pub registered_agent_version: Option<AgentVersion>,
    /// The machine's own, when it is registered: then nothing is guessed.
    pub secret_name: Option<SecretName>,
}

impl Subject {
    /// All that the registry knows of a machine.
    pub fn of(machine: &Machine) -> Self {
        Self {
            key_vault_uri: machine.key_vault_uri.to_string(),
            key_vault_id: None,
            recovery_services_vault_id: Some(machine.recovery_services_vault_id.clone()),
            fqdn: Some(machine.fqdn.clone()),
            agent_version: None,
            registered_agent_version: machine.agent_version.clone(),
            secret_name: Some(machine.secret_name.clone()),
        }
    }
}

/// A secret under one of the names that MARS may give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFacts {
    pub name: SecretName,
    pub versions: Seen<Vec<VersionFacts>>,
    pub deleted: Seen<DeletedSecretFacts>,
}

/// What is known of a version: all but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFacts {
    pub version: String,
    pub enabled: bool,
    pub created_at: Option<OffsetDateTime>,
    pub not_before: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    pub recovery_level: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedSecretFacts {
    /// Key Vault keeps the details of a disabled one to itself.
    pub disabled: bool,
    pub scheduled_purge_at: Option<OffsetDateTime>,
}

/// What Key Vault's own door said to this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    Open(Source),
    /// The firewall's or the private endpoint's refusal.
    Firewall {
        client_address: Option<IpAddr>,
        source: Source,
    },
    /// It answers, and this service's identity may not list.
    Forbidden(Source),
    Unreadable {
        why: String,
        source: Source,
    },
    /// Nothing was given to ask, or this Key Vault is none of this service's.
    NotAsked(&'static str),
}

/// The roles and refusals that apply to one principal at the Key Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub assignments: Seen<Vec<RoleAssignment>>,
    /// Of those assignments; one that could not be read is missing.
    pub definitions: Vec<RoleDefinition>,
    /// Why the first of the missing ones is missing.
    pub definition_unread: Option<Seen<()>>,
}

/// This service's own identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub object_id: String,
    pub tenant_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub subject: Subject,
    /// The URI, when it is one.
    pub key_vault_uri: Option<KeyVaultUri>,
    /// Whether this service is configured for it; only then was its data plane asked.
    pub key_vault_allowed: bool,
    pub key_vault: Seen<KeyVaultResource>,
    pub deleted_key_vault: Seen<DeletedKeyVault>,
    pub recovery_services_vault: Seen<RecoveryServicesVaultResource>,
    pub rsv_config: Seen<RecoveryServicesVaultConfig>,
    pub containers: Seen<Vec<MarsContainer>>,
    pub rights_of_recovery_services_vault: Rights,
    pub rights_of_broker: Rights,
    /// Everybody's role assignments at the Key Vault and above, where access policies decide: they tell of what kind
    /// an object is.
    pub role_holders: Seen<Vec<RoleAssignment>>,
    pub deny_assignments: Seen<Vec<DenyAssignment>>,
    pub diagnostic_settings: Seen<Vec<DiagnosticSetting>>,
    pub broker: Option<Identity>,
    /// Reading the list of secrets, and where Key Vault saw the request come from.
    pub door: Door,
    /// Reading a secret that does not exist: "not found" means that it may.
    pub may_get: Seen<bool>,
    pub secrets: Vec<SecretFacts>,
    /// The recovery level of any secret in the Key Vault.
    pub recovery_level: Option<(String, Source)>,
    /// Other machines that are registered with one of these secrets.
    pub shared_with: Result<Vec<String>, &'static str>,
    /// The Key Vaults of the tenant's machines.
    pub key_vaults_in_use: Result<Vec<String>, &'static str>,
    /// By how many seconds this service's clock is ahead of Azure's.
    pub clock_ahead: Option<(i64, Source)>,
    pub machine_id: Option<Uuid>,
}
