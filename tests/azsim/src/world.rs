//! The world azsim plays: tenants, the broker's identity, Key Vaults, who may do what in them.
//!
//! These types are the world file (JSON, camelCase), the body of the control API and the arguments of the Rust API
//! at once. What changes while azsim runs lives in `azure.rs` and `key_vault/store.rs`.

mod dev;
mod management;
mod recovery_services;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::faults::Fault;

pub use self::dev::{ADMINISTRATOR, RECOVERY_VAULT_PRINCIPAL};
pub use self::management::{
    DenyAssignment, DiagnosticSetting, Group, Machine, MachineKind, ManagementGroup, Owner, Paging,
    Permission, ResourceGroup, RoleAssignment, RoleDefinition, Subscription,
};
pub use self::recovery_services::{Container, RecoveryServicesVault, VaultIdentity};

/// The data actions the default world grants to the broker's identity, and no others.
pub const BROKER_DATA_ACTIONS: [&str; 5] = [
    "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    "Microsoft.KeyVault/vaults/secrets/getSecret/action",
    "Microsoft.KeyVault/vaults/secrets/setSecret/action",
    "Microsoft.KeyVault/vaults/secrets/update/action",
    "Microsoft.KeyVault/vaults/secrets/recover/action",
];

const TENANT_ID: &str = "70a036f6-8e4d-4615-bad6-149c02e7720d";
const SUBSCRIPTION_ID: &str = "0b1f6471-1bf0-4dda-aec3-cb9272f09591";

/// Everything azsim starts with. The first tenant is the default one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct World {
    pub tenants: Vec<String>,
    pub identity: Identity,
    pub key_vaults: Vec<KeyVaultSpec>,
    pub role_assignments: Vec<RoleAssignment>,
    pub subscriptions: Vec<Subscription>,
    pub resource_groups: Vec<ResourceGroup>,
    pub recovery_services_vaults: Vec<RecoveryServicesVault>,
    pub owners: Vec<Owner>,
    pub role_definitions: Vec<RoleDefinition>,
    pub deny_assignments: Vec<DenyAssignment>,
    pub groups: Vec<Group>,
    pub management_groups: Vec<ManagementGroup>,
    pub diagnostic_settings: Vec<DiagnosticSetting>,
    /// User-assigned identities that no machine has.
    pub user_assigned_identities: Vec<Identity>,
    /// The first one of each kind answers where no machine is named.
    pub machines: Vec<Machine>,
    /// Where the Azure Arc agent leaves its key files; a temporary directory when absent.
    pub arc_key_directory: Option<PathBuf>,
    /// How long what ARM changed about access takes to come into force. 0: at once.
    pub propagation_milliseconds: u64,
    pub paging: Paging,
    /// In force from the start, throttling among them.
    pub faults: Vec<Fault>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            tenants: vec![TENANT_ID.to_owned()],
            identity: Identity::default(),
            key_vaults: vec![KeyVaultSpec::named("kv-mars")],
            role_assignments: Vec::new(),
            subscriptions: Vec::new(),
            resource_groups: Vec::new(),
            recovery_services_vaults: Vec::new(),
            owners: Vec::new(),
            role_definitions: Vec::new(),
            deny_assignments: Vec::new(),
            groups: Vec::new(),
            management_groups: Vec::new(),
            diagnostic_settings: Vec::new(),
            user_assigned_identities: Vec::new(),
            machines: Vec::new(),
            arc_key_directory: None,
            propagation_milliseconds: 0,
            paging: Paging::default(),
            faults: Vec::new(),
        }
    }
}

/// The system-assigned identity that the App Service identity endpoint speaks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Identity {
    pub principal_id: String,
    pub client_id: String,
    pub resource_id: String,
    /// A day, as managed identities have it; shorter for tests of renewal.
    pub token_lifetime_seconds: i64,
    /// Its roles in applications that want version 2 tokens, by client id; asked for as `api://<client id>`.
    pub app_roles: BTreeMap<String, Vec<String>>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            principal_id: "3975aeed-7d08-453b-b6f4-445f32698091".to_owned(),
            client_id: "fad7d5b3-69d6-4b48-9259-8d12124e1cf1".to_owned(),
            resource_id: format!(
                "/subscriptions/{SUBSCRIPTION_ID}/resourcegroups/rg-mars/providers/Microsoft.Web/sites/passphrase-broker"
            ),
            token_lifetime_seconds: 86_400,
            app_roles: BTreeMap::new(),
        }
    }
}

/// One Key Vault. Absent members take the defaults of `KeyVaultSpec::default()`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyVaultSpec {
    pub name: String,
    pub location: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// The world's default tenant when absent.
    pub tenant_id: Option<String>,
    /// Role assignments made together with the Key Vault; they decide only while `settings.access` is RBAC.
    pub grants: Vec<Grant>,
    pub settings: Settings,
    pub secrets: Vec<SecretSpec>,
}

impl KeyVaultSpec {
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The id ARM knows it by, in ARM's own case.
    pub fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.KeyVault/vaults/{}",
            self.subscription_id, self.resource_group, self.name
        )
    }
}

impl Default for KeyVaultSpec {
    fn default() -> Self {
        Self {
            name: format!("kv-{}", &Uuid::new_v4().simple().to_string()[..20]),
            location: "westeurope".to_owned(),
            subscription_id: SUBSCRIPTION_ID.to_owned(),
            resource_group: "rg-mars".to_owned(),
            tenant_id: None,
            grants: vec![Grant::default()],
            settings: Settings::default(),
            secrets: Vec::new(),
        }
    }
}

/// What may be changed on a Key Vault while azsim runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    pub access: Access,
    pub purge_protection: bool,
    pub soft_delete_retention_days: u32,
    /// How long delete, recover and purge take to become visible. 0: at once.
    pub lag_milliseconds: u64,
    pub network: Network,
    /// Put an empty page with a `nextLink` in front of every page, as `/deletedsecrets` really does.
    pub empty_pages: bool,
    /// The Key Vault itself is soft-deleted: its host name no longer resolves.
    pub soft_deleted: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access: Access::Rbac,
            purge_protection: true,
            soft_delete_retention_days: 90,
            lag_milliseconds: 0,
            network: Network::Open,
            empty_pages: false,
            soft_deleted: false,
        }
    }
}

/// Who decides: role assignments or the Key Vault's own access policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    Rbac,
    Policies(Vec<AccessPolicy>),
}

/// Permission words are `get`, `list`, `set`, `delete`, `recover`, `backup`, `restore`, `purge` or `all`, which is all
/// but `purge`; in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPolicy {
    /// A principal or a group.
    pub object_id: String,
    pub secrets: Vec<String>,
    /// With it the policy is for the object through this application only, and decides nothing here.
    #[serde(default)]
    pub application_id: Option<String>,
    /// The Key Vault's when absent. One of another tenant decides nothing.
    #[serde(default)]
    pub tenant_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    Open,
    /// 403 `ForbiddenByFirewall` for every caller.
    FirewallDenies,
    /// 403 `ForbiddenByConnection` for every caller.
    PublicAccessDisabled,
}

/// Data actions for a principal at one Key Vault, or at one of its secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Grant {
    /// The broker's identity when absent.
    pub principal_id: Option<String>,
    pub secret_name: Option<String>,
    pub data_actions: Vec<String>,
    pub not_data_actions: Vec<String>,
    pub condition: Option<String>,
}

impl Grant {
    pub fn to(principal_id: impl Into<String>, data_actions: &[&str]) -> Self {
        Self {
            principal_id: Some(principal_id.into()),
            data_actions: data_actions.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            principal_id: None,
            secret_name: None,
            data_actions: BROKER_DATA_ACTIONS.map(str::to_owned).to_vec(),
            not_data_actions: Vec::new(),
            condition: None,
        }
    }
}

/// A secret put there by the world, past tokens and permissions. Each one is a new version.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSpec {
    pub name: String,
    pub value: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Seconds since 1970, like `expires`. Both only inform: Key Vault gives the value all the same.
    #[serde(default)]
    pub not_before: Option<i64>,
    #[serde(default)]
    pub expires: Option<i64>,
    /// Soft-deleted, once this version is there.
    #[serde(default)]
    pub deleted: bool,
}

impl SecretSpec {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            enabled: true,
            content_type: None,
            tags: BTreeMap::new(),
            not_before: None,
            expires: None,
            deleted: false,
        }
    }
}

impl fmt::Debug for SecretSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

const fn yes() -> bool {
    true
}
