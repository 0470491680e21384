//! Recovery Services vaults: their identity, and the machines whose MARS agents are registered with them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::SUBSCRIPTION_ID;

/// A Recovery Services vault with its identity and the MARS machines registered with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RecoveryServicesVault {
    pub name: String,
    pub location: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// Absent: it never had one.
    pub identity: Option<VaultIdentity>,
    /// Laid over what `properties` shows otherwise.
    pub properties: Value,
    /// `properties` of `backupconfig/vaultconfig`, laid over the usual ones.
    pub backup_config: Value,
    /// The machines registered with it.
    pub containers: Vec<Container>,
}

impl RecoveryServicesVault {
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.RecoveryServices/vaults/{}",
            self.subscription_id, self.resource_group, self.name
        )
    }
}

impl Default for RecoveryServicesVault {
    fn default() -> Self {
        Self {
            name: format!("rsv-{}", &Uuid::new_v4().simple().to_string()[..12]),
            location: "westeurope".to_owned(),
            subscription_id: SUBSCRIPTION_ID.to_owned(),
            resource_group: "rg-mars".to_owned(),
            identity: None,
            properties: Value::Null,
            backup_config: Value::Null,
            containers: Vec::new(),
        }
    }
}

/// Neither a principal nor user-assigned identities: `{"type":"None"}`, taken away again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VaultIdentity {
    /// Of the system-assigned identity.
    pub principal_id: Option<String>,
    /// Resource ids.
    pub user_assigned: Vec<String>,
}

/// A machine with a MARS agent. In a world file its name alone will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "WrittenContainer")]
pub struct Container {
    pub name: String,
    pub agent_version: String,
    pub registration_status: String,
    /// 0: nothing is backed up yet.
    pub protected_item_count: u32,
    /// Laid over what `properties` shows otherwise.
    pub properties: Value,
}

impl Container {
    /// Registered, with one item that is backed up.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            agent_version: "2.0.9270.0".to_owned(),
            registration_status: "Registered".to_owned(),
            protected_item_count: 1,
            properties: Value::Null,
        }
    }
}

impl From<&str> for Container {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenContainer {
    Name(String),
    Whole(WholeContainer),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WholeContainer {
    name: String,
    agent_version: Option<String>,
    registration_status: Option<String>,
    protected_item_count: Option<u32>,
    #[serde(default)]
    properties: Value,
}

impl From<WrittenContainer> for Container {
    fn from(written: WrittenContainer) -> Self {
        let whole = match written {
            WrittenContainer::Name(name) => return Self::named(name),
            WrittenContainer::Whole(whole) => whole,
        };
        let usual = Self::named(whole.name);
        Self {
            agent_version: whole.agent_version.unwrap_or(usual.agent_version),
            registration_status: whole.registration_status.unwrap_or(usual.registration_status),
            protected_item_count: whole.protected_item_count.unwrap_or(usual.protected_item_count),
            properties: whole.properties,
            ..usual
        }
    }
}
