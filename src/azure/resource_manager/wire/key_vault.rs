//! Key Vaults as ARM shows them, living and deleted, and the diagnostic settings of one.

use serde::Deserialize;
use uuid::Uuid;

use super::{Item, moment, shown, words};
use crate::domain::{
    effective_permission::AccessPolicy,
    key_vault_resource::{DeletedKeyVault, DiagnosticSetting, KeyVaultNetwork, KeyVaultResource},
    resource_id::{KeyVaultId, SubscriptionId},
};

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct KeyVault {
    id: String,
    location: Option<String>,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    tenant_id: Uuid,
    #[serde(rename = "vaultUri")]
    uri: Option<String>,
    enable_soft_delete: Option<bool>,
    soft_delete_retention_in_days: Option<u32>,
    enable_purge_protection: Option<bool>,
    enable_rbac_authorization: Option<bool>,
    access_policies: Option<Vec<Policy>>,
    public_network_access: Option<String>,
    network_acls: Option<NetworkAcls>,
    private_endpoint_connections: Option<Vec<serde::de::IgnoredAny>>,
    provisioning_state: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    tenant_id: String,
    object_id: String,
    application_id: Option<String>,
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    secrets: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct NetworkAcls {
    bypass: Option<String>,
    default_action: Option<String>,
    ip_rules: Option<Vec<Item>>,
    virtual_network_rules: Option<Vec<serde::de::IgnoredAny>>,
}

impl KeyVault {
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: &KeyVaultId,
    ) -> Option<KeyVaultResource> {
        let Self { id, location, properties } = self;
        let id = KeyVaultId::parse(&id).ok().filter(|id| id == asked)?;
        let policies = properties.access_policies.unwrap_or_default();
        Some(KeyVaultResource {
            id,
            location: shown(location)?,
            tenant_id: properties.tenant_id,
            uri: shown(properties.uri)?,
            soft_delete: properties.enable_soft_delete,
            retention_days: properties.soft_delete_retention_in_days,
            purge_protection: properties.enable_purge_protection.unwrap_or_default(),
            rbac: properties.enable_rbac_authorization.unwrap_or_default(),
            access_policies: policies.into_iter().map(Policy::read).collect::<Option<_>>()?,
            network: KeyVaultNetwork {
                public_access: shown(properties.public_network_access),
                private_endpoints: properties
                    .private_endpoint_connections
                    .unwrap_or_default()
                    .len(),
                ..properties.network_acls.unwrap_or_default().read()
            },
            provisioning_state: shown(properties.provisioning_state),
        })
    }
}

impl Policy {
    fn read(self) -> Option<AccessPolicy> {
        let application_id = match self.application_id.filter(|id| !id.is_empty()) {
            None => None,
            // Left out, the policy would be anybody's.
            Some(id) => Some(shown(Some(id))?),
        };
        Some(AccessPolicy {
            tenant_id: shown(Some(self.tenant_id))?,
            object_id: shown(Some(self.object_id))?,
            application_id,
            secret_permissions: words(self.permissions.and_then(|it| it.secrets))?,
        })
    }
}

impl NetworkAcls {
    /// Without rules everybody may connect, and `bypass` is what it is by default. An action that
    /// nobody knows counts as denying.
    fn read(self) -> KeyVaultNetwork {
        let is = |text: Option<String>, word: &str| {
            text.is_none_or(|text| text.eq_ignore_ascii_case(word))
        };
        let ip_rules = self.ip_rules.unwrap_or_default();
        KeyVaultNetwork {
            public_access: None,
            default_action_deny: !is(self.default_action, "Allow"),
            bypass_azure_services: is(self.bypass, "AzureServices"),
            ip_rules: ip_rules.into_iter().filter_map(|rule| shown(rule.value)).collect(),
            virtual_network_rules: self.virtual_network_rules.unwrap_or_default().len(),
            private_endpoints: 0,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Deleted {
    properties: DeletedProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletedProperties {
    #[serde(rename = "vaultId")]
    key_vault_id: String,
    location: Option<String>,
    deletion_date: Option<String>,
    scheduled_purge_date: Option<String>,
    purge_protection_enabled: Option<bool>,
}

impl Deleted {
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: SubscriptionId,
    ) -> Option<DeletedKeyVault> {
        let properties = self.properties;
        let id = KeyVaultId::parse(&properties.key_vault_id).ok()?;
        (id.subscription_id() == asked).then_some(())?;
        Some(DeletedKeyVault {
            id,
            location: shown(properties.location)?,
            deleted_at: moment(properties.deletion_date),
            scheduled_purge_at: moment(properties.scheduled_purge_date),
            purge_protection: properties.purge_protection_enabled.unwrap_or_default(),
        })
    }
}

/// A line of a subscription's list of resources.
#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Listed {
    id: String,
}

impl Listed {
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: SubscriptionId,
        name: &str,
    ) -> Option<KeyVaultId> {
        let id = KeyVaultId::parse(&self.id).ok()?;
        (id.subscription_id() == asked && id.is_named(name)).then_some(id)
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Setting {
    name: Option<String>,
    properties: SettingProperties,
}

#[derive(Deserialize)]
struct SettingProperties {
    logs: Option<Vec<Log>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    category: Option<String>,
    category_group: Option<String>,
    enabled: Option<bool>,
}

impl Setting {
    pub(in crate::azure::resource_manager) fn read(self) -> Option<DiagnosticSetting> {
        let logs = self.properties.logs.unwrap_or_default().into_iter();
        let enabled = logs.filter(|log| log.enabled == Some(true));
        let enabled = enabled.filter_map(|log| shown(log.category.or(log.category_group)));
        Some(DiagnosticSetting { name: shown(self.name)?, enabled: enabled.collect() })
    }
}
