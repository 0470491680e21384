//! A Key Vault as ARM shows it, in the provider's own order. What is not set does not appear.
//!
//! `Settings` of the data plane has the last word where it and the `Facet` speak of the same.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};

use super::{KIND, Tags};
use crate::{
    azure::Azure,
    key_vault::KeyVault,
    resource_manager::{caller::Caller, estate::same},
    world::{Access, AccessPolicy, Network, Settings},
};

/// Those properties that the data plane never asks for.
#[derive(Clone, Default)]
pub(crate) struct Facet {
    pub(in crate::resource_manager) tags: Tags,
    /// As clients gave them; `Settings` has what counts for secrets.
    pub(super) policies: Vec<Policy>,
    pub(super) network_acls: Option<NetworkAcls>,
    pub(super) enabled_for: EnabledFor,
    pub(super) system_data: Option<SystemData>,
    pub(super) deleted_at: Option<OffsetDateTime>,
    /// Made by ARM and not looked at since: its name is still being registered.
    pub(super) is_new: bool,
}

/// Other services that may fetch from the Key Vault.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct EnabledFor {
    #[serde(rename = "enabledForDeployment", skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<bool>,
    #[serde(rename = "enabledForDiskEncryption", skip_serializing_if = "Option::is_none")]
    pub(super) disk_encryption: Option<bool>,
    #[serde(rename = "enabledForTemplateDeployment", skip_serializing_if = "Option::is_none")]
    pub(super) template_deployment: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SystemData {
    created_by: String,
    created_by_type: &'static str,
    created_at: String,
    last_modified_by: String,
    last_modified_by_type: &'static str,
    last_modified_at: String,
}

impl SystemData {
    pub(super) fn by(caller: &Caller) -> Self {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let now = OffsetDateTime::now_utc().format(format).unwrap_or_default();
        let kind = if caller.is_user { "User" } else { "Application" };
        Self {
            created_by: caller.oid.clone(),
            created_by_type: kind,
            created_at: now.clone(),
            last_modified_by: caller.oid.clone(),
            last_modified_by_type: kind,
            last_modified_at: now,
        }
    }

    /// Changed again; who made it stays.
    pub(super) fn after(self, former: Option<Self>) -> Self {
        let Some(former) = former else {
            return self;
        };
        Self {
            created_by: former.created_by,
            created_by_type: former.created_by_type,
            created_at: former.created_at,
            ..self
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Policy {
    pub(super) tenant_id: String,
    pub(super) object_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) application_id: Option<String>,
    #[serde(default)]
    pub(super) permissions: Permissions,
}

impl Policy {
    pub(super) fn is_for(&self, other: &Self) -> bool {
        let application = |policy: &Self| policy.application_id.clone().unwrap_or_default();
        same(&self.tenant_id, &other.tenant_id)
            && same(&self.object_id, &other.object_id)
            && same(&application(self), &application(other))
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Permissions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secrets: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificates: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage: Option<Vec<String>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkAcls {
    #[serde(default = "azure_services")]
    pub(super) bypass: String,
    #[serde(default = "allow")]
    pub(super) default_action: String,
    #[serde(default)]
    pub(super) ip_rules: Vec<IpRule>,
    #[serde(default)]
    pub(super) virtual_network_rules: Vec<NetworkRule>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IpRule {
    pub(super) value: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NetworkRule {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    id: String,
    name: String,
    r#type: &'static str,
    location: String,
    tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_data: Option<SystemData>,
    properties: Properties,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    sku: Sku,
    tenant_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_acls: Option<NetworkAcls>,
    access_policies: Vec<Policy>,
    #[serde(flatten)]
    enabled_for: EnabledFor,
    enable_soft_delete: bool,
    soft_delete_retention_in_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_rbac_authorization: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_purge_protection: Option<bool>,
    vault_uri: String,
    provisioning_state: &'static str,
    public_network_access: &'static str,
}

#[derive(Serialize)]
struct Sku {
    family: &'static str,
    name: &'static str,
}

impl Body {
    pub(super) fn of(azure: &Azure, key_vault: &KeyVault) -> Self {
        let (facet, settings) = (azure.facet(key_vault.host()), key_vault.settings());
        let (state, slash) = if facet.is_new { ("RegisteringDns", "") } else { ("Succeeded", "/") };
        let tenant_id = key_vault.tenant_id();
        let properties = Properties {
            sku: Sku { family: "A", name: "standard" },
            tenant_id: tenant_id.to_owned(),
            network_acls: network_acls(&facet, &settings),
            access_policies: policies(&facet, &settings, tenant_id),
            enabled_for: EnabledFor {
                deployment: Some(facet.enabled_for.deployment.unwrap_or_default()),
                ..facet.enabled_for.clone()
            },
            enable_soft_delete: true,
            soft_delete_retention_in_days: settings.soft_delete_retention_days,
            enable_rbac_authorization: Some(settings.access == Access::Rbac),
            enable_purge_protection: settings.purge_protection.then_some(true),
            vault_uri: format!("https://{}.vault.azure.net{slash}", key_vault.spec.name),
            provisioning_state: state,
            public_network_access: match settings.network {
                Network::PublicAccessDisabled => "Disabled",
                _ => "Enabled",
            },
        };
        Self {
            id: key_vault.spec.resource_id(),
            name: key_vault.spec.name.clone(),
            r#type: KIND,
            location: key_vault.spec.location.clone(),
            tags: facet.tags,
            system_data: facet.system_data,
            properties,
        }
    }
}

/// The settings have the last word: the control API changes them past ARM.
pub(super) fn policies(facet: &Facet, settings: &Settings, tenant_id: &str) -> Vec<Policy> {
    let Access::Policies(counting) = &settings.access else {
        return facet.policies.clone();
    };
    let others = facet
        .policies
        .iter()
        .filter(|policy| policy.application_id.is_some() || !same(&policy.tenant_id, tenant_id));
    let own = counting.iter().map(|given: &AccessPolicy| {
        let known = facet
            .policies
            .iter()
            .find(|policy| {
                same(&policy.object_id, &given.object_id) && policy.application_id.is_none()
            })
            .filter(|_| given.application_id.is_none());
        let mut permissions = known.map(|policy| policy.permissions.clone()).unwrap_or_default();
        permissions.secrets = Some(given.secrets.clone());
        Policy {
            tenant_id: given.tenant_id.clone().unwrap_or_else(|| tenant_id.to_owned()),
            object_id: given.object_id.clone(),
            application_id: given.application_id.clone(),
            permissions,
        }
    });
    own.chain(others.cloned()).collect()
}

fn network_acls(facet: &Facet, settings: &Settings) -> Option<NetworkAcls> {
    let denies = settings.network == Network::FirewallDenies;
    let closed = || NetworkAcls {
        bypass: azure_services(),
        default_action: "Deny".to_owned(),
        ip_rules: Vec::new(),
        virtual_network_rules: Vec::new(),
    };
    facet.network_acls.clone().or_else(|| denies.then(closed))
}

fn azure_services() -> String {
    "AzureServices".to_owned()
}

fn allow() -> String {
    "Allow".to_owned()
}
