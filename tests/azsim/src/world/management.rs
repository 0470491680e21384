//! The part of the world that ARM manages: subscriptions, role definitions, deny assignments, and the machines whose
//! identities ask for tokens.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Identity, SUBSCRIPTION_ID};

/// A subscription. Those in which a resource lies exist without being named here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Subscription {
    pub subscription_id: String,
    pub display_name: String,
    /// The world's default tenant when absent.
    pub tenant_id: Option<String>,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            subscription_id: SUBSCRIPTION_ID.to_owned(),
            display_name: "Mars".to_owned(),
            tenant_id: None,
        }
    }
}

/// A resource group. Those in which a resource lies exist without being named here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResourceGroup {
    pub subscription_id: String,
    pub name: String,
    pub location: String,
}

impl Default for ResourceGroup {
    fn default() -> Self {
        Self {
            subscription_id: SUBSCRIPTION_ID.to_owned(),
            name: "rg-mars".to_owned(),
            location: "westeurope".to_owned(),
        }
    }
}

/// Owner at a scope, for whoever sets the rest up through ARM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    pub principal_id: String,
    #[serde(default = "root")]
    pub scope: String,
}

/// A role assignment: of a role by its name or id, or of a list of data actions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleAssignment {
    #[serde(default = "super::new_id")]
    pub id: String,
    pub principal_id: String,
    pub scope: String,
    /// Name, GUID or resource id of a role definition. The data actions count only when absent.
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default = "service_principal")]
    pub principal_type: String,
    #[serde(default)]
    pub data_actions: Vec<String>,
    #[serde(default)]
    pub not_data_actions: Vec<String>,
    #[serde(default)]
    pub condition: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
}

impl RoleAssignment {
    /// Of nothing yet: neither a role nor data actions.
    pub fn to(principal_id: impl Into<String>, scope: impl Into<String>) -> Self {
        Self {
            id: super::new_id(),
            principal_id: principal_id.into(),
            scope: scope.into(),
            role: None,
            principal_type: service_principal(),
            data_actions: Vec::new(),
            not_data_actions: Vec::new(),
            condition: None,
            description: None,
        }
    }
}

/// One block of `permissions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permission {
    pub actions: Vec<String>,
    pub not_actions: Vec<String>,
    pub data_actions: Vec<String>,
    pub not_data_actions: Vec<String>,
}

/// A custom role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleDefinition {
    /// Its GUID.
    #[serde(default = "super::new_id")]
    pub id: String,
    pub role_name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default = "everywhere")]
    pub assignable_scopes: Vec<String>,
    pub permissions: Vec<Permission>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyAssignment {
    #[serde(default = "super::new_id")]
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub scope: String,
    pub permissions: Vec<Permission>,
    #[serde(default)]
    pub do_not_apply_to_child_scopes: bool,
    /// Object ids; `00000000-0000-0000-0000-000000000000` is everyone.
    pub principals: Vec<String>,
    #[serde(default)]
    pub exclude_principals: Vec<String>,
    #[serde(default)]
    pub condition: Option<String>,
}

/// Holds subscriptions. One that lies in another has its subscriptions named there as well.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagementGroup {
    pub name: String,
    /// Their GUIDs.
    #[serde(default)]
    pub subscriptions: Vec<String>,
}

impl ManagementGroup {
    pub fn resource_id(&self) -> String {
        format!("/providers/Microsoft.Management/managementGroups/{}", self.name)
    }
}

/// How ARM cuts its lists, but for tenants, subscriptions, groups and diagnostic settings.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Paging {
    /// Everything on one page when absent.
    pub page_size: Option<usize>,
    /// Put an empty page with a `nextLink` in front of every page.
    pub empty_pages: bool,
}

/// Members are object ids of principals or of other groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    pub id: String,
    pub members: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiagnosticSetting {
    /// The resource that it belongs to.
    pub resource_id: String,
    pub name: String,
    pub properties: Value,
}

/// A machine that may ask for tokens on loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    pub name: String,
    pub kind: MachineKind,
    #[serde(default)]
    pub system_assigned: Option<Identity>,
    #[serde(default)]
    pub user_assigned: Vec<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineKind {
    /// Asks IMDS.
    VirtualMachine,
    /// Asks the Azure Arc agent, which wants to see a file's contents first.
    Arc,
}

impl Machine {
    /// A machine in `rg-mars` with a system-assigned identity of random ids.
    pub fn new(name: impl Into<String>, kind: MachineKind) -> Self {
        let name = name.into();
        let type_name = match kind {
            MachineKind::VirtualMachine => "Microsoft.Compute/virtualMachines",
            MachineKind::Arc => "Microsoft.HybridCompute/machines",
        };
        let system_assigned = Identity {
            principal_id: Uuid::new_v4().to_string(),
            client_id: Uuid::new_v4().to_string(),
            resource_id: format!(
                "/subscriptions/{SUBSCRIPTION_ID}/resourcegroups/rg-mars/providers/{type_name}/{name}"
            ),
            ..Identity::default()
        };
        Self { name, kind, system_assigned: Some(system_assigned), user_assigned: Vec::new() }
    }
}

fn root() -> String {
    "/".to_owned()
}

fn service_principal() -> String {
    "ServicePrincipal".to_owned()
}

fn everywhere() -> Vec<String> {
    vec![root()]
}
