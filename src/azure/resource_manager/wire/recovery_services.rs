//! A Recovery Services vault as ARM shows it, what Azure Backup is set to there, and the machines
//! that MARS registered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{is_within, shown};
use crate::domain::{
    recovery_services_resource::{
        MarsContainer, RecoveryServicesVaultConfig, RecoveryServicesVaultResource, ResourceIdentity,
    },
    recovery_services_vault::RecoveryServicesVaultId,
    resource_id::SubscriptionId,
};

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct RecoveryServicesVault {
    id: String,
    location: Option<String>,
    identity: Option<Identity>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    r#type: Option<String>,
    principal_id: Option<String>,
    tenant_id: Option<String>,
    user_assigned_identities: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Properties {
    public_network_access: Option<String>,
    provisioning_state: Option<String>,
    security_settings: Option<SecuritySettings>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SecuritySettings {
    immutability_settings: Option<Immutability>,
    soft_delete_settings: Option<SoftDelete>,
    multi_user_authorization: Option<String>,
}

#[derive(Deserialize)]
struct Immutability {
    state: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SoftDelete {
    soft_delete_state: Option<String>,
    enhanced_security_state: Option<String>,
}

impl RecoveryServicesVault {
    pub(in crate::azure::resource_manager) fn read_within(
        self,
        subscription: SubscriptionId,
    ) -> Option<RecoveryServicesVaultResource> {
        let id = RecoveryServicesVaultId::parse(&self.id).ok()?;
        (id.subscription_id() == subscription).then(|| self.read(&id))?
    }

    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: &RecoveryServicesVaultId,
    ) -> Option<RecoveryServicesVaultResource> {
        let id = RecoveryServicesVaultId::parse(&self.id).ok().filter(|id| id == asked)?;
        let user_assigned_principals =
            self.identity.as_ref().map(Identity::user_assigned_principals).unwrap_or_default();
        let identity = match self.identity {
            None => ResourceIdentity::Absent { was_taken_away: false },
            Some(identity) => identity.read()?,
        };
        let properties = self.properties.unwrap_or_default();
        let security = properties.security_settings.unwrap_or_default();
        let soft_delete = security.soft_delete_settings.unwrap_or_default();
        Some(RecoveryServicesVaultResource {
            id,
            location: shown(self.location)?,
            identity,
            user_assigned_principals,
            public_network_access: shown(properties.public_network_access),
            immutability: shown(security.immutability_settings.and_then(|it| it.state)),
            soft_delete: shown(soft_delete.soft_delete_state),
            enhanced_security: shown(soft_delete.enhanced_security_state),
            multi_user_authorization: shown(security.multi_user_authorization),
            provisioning_state: shown(properties.provisioning_state),
        })
    }
}

impl Identity {
    fn user_assigned_principals(&self) -> Vec<Uuid> {
        let told = self.user_assigned_identities.iter().flat_map(BTreeMap::values);
        told.filter_map(|one| Uuid::try_parse(one.get("principalId")?.as_str()?).ok()).collect()
    }

    fn read(self) -> Option<ResourceIdentity> {
        let ids = self.user_assigned_identities.unwrap_or_default().into_keys();
        let ids = ids.map(|id| shown(Some(id))).collect::<Option<Vec<String>>>()?;
        let (principal_id, tenant_id) = (guid(self.principal_id)?, guid(self.tenant_id)?);
        ResourceIdentity::of_type(&self.r#type?, principal_id, tenant_id, ids).ok()
    }
}

/// An empty id is none; what is no GUID cannot be read.
#[expect(clippy::option_option, reason = "absent and unreadable are different")]
fn guid(text: Option<String>) -> Option<Option<Uuid>> {
    match text.filter(|text| !text.is_empty()) {
        None => Some(None),
        Some(text) => Uuid::try_parse(&text).ok().map(Some),
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Container {
    id: String,
    name: Option<String>,
    properties: ContainerProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProperties {
    friendly_name: Option<String>,
    registration_status: Option<String>,
    agent_version: Option<String>,
    protected_item_count: Option<u64>,
    container_health_state: Option<String>,
    health_status: Option<String>,
}

impl Container {
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: &RecoveryServicesVaultId,
    ) -> Option<MarsContainer> {
        is_within(&self.id, asked.as_str()).then_some(())?;
        let properties = self.properties;
        let name = shown(self.name)?;
        let after_kind = || name.rsplit(';').next().map(str::to_owned);
        Some(MarsContainer {
            friendly_name: shown(properties.friendly_name).or_else(after_kind)?,
            registration_status: shown(properties.registration_status),
            agent_version: shown(properties.agent_version),
            protected_items: properties.protected_item_count,
            health: shown(properties.container_health_state)
                .or_else(|| shown(properties.health_status)),
            name,
        })
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Config {
    id: String,
    properties: ConfigProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigProperties {
    enhanced_security_state: Option<String>,
    soft_delete_feature_state: Option<String>,
    soft_delete_retention_period_in_days: Option<u32>,
}

impl Config {
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: &RecoveryServicesVaultId,
    ) -> Option<RecoveryServicesVaultConfig> {
        is_within(&self.id, asked.as_str()).then_some(())?;
        Some(RecoveryServicesVaultConfig {
            enhanced_security: shown(self.properties.enhanced_security_state),
            soft_delete: shown(self.properties.soft_delete_feature_state),
            soft_delete_retention_days: self.properties.soft_delete_retention_period_in_days,
        })
    }
}
