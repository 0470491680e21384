//! A world to try things in: a Key Vault, a Recovery Services vault that writes to it, an administrator, two machines.
//!
//! `azsim --dev` starts it; the ids are fixed, so that examples can name them.

use uuid::Uuid;

use super::{
    Identity, KeyVaultSpec, Machine, MachineKind, Owner, RecoveryServicesVault, RoleAssignment,
    SUBSCRIPTION_ID, VaultIdentity, World,
};

/// Owner of everything in `World::dev()`.
pub const ADMINISTRATOR: &str = "5963f50c-7c43-405c-af7e-53294de76abd";
/// The principal of `rsv-mars` in `World::dev()`.
pub const RECOVERY_VAULT_PRINCIPAL: &str = "708fa728-22b1-49fb-afc1-e871561e8f36";

impl World {
    /// `kv-mars`; `rsv-mars` with a system-assigned identity that is Key Vault Secrets Officer there; an administrator
    /// who may do everything in ARM; the virtual machine `vm-mars`, and `srv01` in Azure Arc.
    pub fn dev() -> Self {
        let key_vault = KeyVaultSpec::named("kv-mars");
        let officer = RoleAssignment {
            role: Some("Key Vault Secrets Officer".to_owned()),
            ..RoleAssignment::to(RECOVERY_VAULT_PRINCIPAL, key_vault.resource_id())
        };
        let identity = VaultIdentity {
            principal_id: Some(RECOVERY_VAULT_PRINCIPAL.to_owned()),
            user_assigned: Vec::new(),
        };
        let vault = RecoveryServicesVault {
            identity: Some(identity),
            containers: vec!["srv01".into(), "srv02".into()],
            ..RecoveryServicesVault::named("rsv-mars")
        };
        let owner = |principal_id: &str| Owner {
            principal_id: principal_id.to_owned(),
            scope: format!("/subscriptions/{SUBSCRIPTION_ID}"),
        };
        let user_assigned = Identity {
            principal_id: Uuid::new_v4().to_string(),
            client_id: Uuid::new_v4().to_string(),
            resource_id: format!(
                "/subscriptions/{SUBSCRIPTION_ID}/resourcegroups/rg-mars/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-mars"
            ),
            ..Identity::default()
        };
        let virtual_machine = Machine {
            user_assigned: vec![user_assigned],
            ..Machine::new("vm-mars", MachineKind::VirtualMachine)
        };
        Self {
            key_vaults: vec![key_vault],
            role_assignments: vec![officer],
            recovery_services_vaults: vec![vault],
            owners: vec![owner(ADMINISTRATOR)],
            machines: vec![virtual_machine, Machine::new("srv01", MachineKind::Arc)],
            ..Self::default()
        }
    }
}
