//! Everything that is ever asked of Azure Resource Manager: what it is called, which action somebody
//! must be allowed for it, and in which version of the API.

/// One kind of question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// For logs and metrics.
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) api_version: &'static str,
}

/// Microsoft retires every version of Key Vault's control plane before this one on 2027-02-27.
const KEY_VAULT: &str = "2026-02-01";
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";
const RESOURCES: &str = "2021-04-01";
const RECOVERY_SERVICES: &str = "2025-02-01";
/// The first one that tells the conditions of role assignments.
const AUTHORIZATION: &str = "2022-04-01";
/// Diagnostic settings have had no version without "preview" since.
const INSIGHTS: &str = "2021-05-01-preview";

pub(super) const KEY_VAULT_RESOURCE: Operation = Operation {
    name: "key_vault",
    action: "Microsoft.KeyVault/vaults/read",
    api_version: KEY_VAULT,
};
/// Needed at the subscription.
pub(super) const DELETED_KEY_VAULTS: Operation = Operation {
    name: "deleted_key_vaults",
    action: "Microsoft.KeyVault/deletedVaults/read",
    api_version: KEY_VAULT,
};
pub(super) const FIND_KEY_VAULT: Operation = Operation {
    name: "find_key_vault",
    action: "Microsoft.KeyVault/vaults/read",
    api_version: RESOURCES,
};
/// ARM lists those in which one has any role.
pub(super) const SUBSCRIPTIONS: Operation = Operation {
    name: "subscriptions",
    action: "Microsoft.Resources/subscriptions/read",
    api_version: SUBSCRIPTIONS_VERSION,
};
pub(super) const RECOVERY_SERVICES_VAULT: Operation = Operation {
    name: "recovery_services_vault",
    action: "Microsoft.RecoveryServices/Vaults/read",
    api_version: RECOVERY_SERVICES,
};
/// Needed at the subscription; ARM leaves out what one may not read.
pub(super) const RECOVERY_SERVICES_VAULTS: Operation = Operation {
    name: "recovery_services_vaults",
    action: "Microsoft.RecoveryServices/Vaults/read",
    api_version: RECOVERY_SERVICES,
};
pub(super) const MARS_CONTAINERS: Operation = Operation {
    name: "mars_containers",
    action: "Microsoft.RecoveryServices/Vaults/backupProtectionContainers/read",
    api_version: RECOVERY_SERVICES,
};
pub(super) const RECOVERY_SERVICES_VAULT_CONFIG: Operation = Operation {
    name: "recovery_services_vault_config",
    action: "Microsoft.RecoveryServices/Vaults/backupconfig/read",
    api_version: RECOVERY_SERVICES,
};
pub(super) const ROLE_ASSIGNMENTS: Operation = Operation {
    name: "role_assignments",
    action: "Microsoft.Authorization/roleAssignments/read",
    api_version: AUTHORIZATION,
};
pub(super) const ROLE_DEFINITION: Operation = Operation {
    name: "role_definition",
    action: "Microsoft.Authorization/roleDefinitions/read",
    api_version: AUTHORIZATION,
};
pub(super) const DENY_ASSIGNMENTS: Operation = Operation {
    name: "deny_assignments",
    action: "Microsoft.Authorization/denyAssignments/read",
    api_version: AUTHORIZATION,
};
pub(super) const DIAGNOSTIC_SETTINGS: Operation = Operation {
    name: "diagnostic_settings",
    action: "Microsoft.Insights/diagnosticSettings/read",
    api_version: INSIGHTS,
};
