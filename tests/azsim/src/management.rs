//! The Rust API for what ARM manages and for the machines that ask for tokens. Nothing here lags.
//!
//! What a client of ARM changes goes through `resource_manager/` instead.

use std::{path::Path, sync::Arc};

use crate::{
    Azsim,
    access_control::{OWNER, Stamp},
    azure::{locked, write},
    machines,
    resource_manager::{ManagementRequest, RecoveryVault},
    world::{
        DenyAssignment, DiagnosticSetting, Group, Machine, ManagementGroup, Paging,
        RecoveryServicesVault, RoleAssignment, RoleDefinition,
    },
};

impl Azsim {
    /// For `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    pub fn imds_url(&self) -> String {
        format!("http://{}", self.addresses.imds)
    }

    /// For `IDENTITY_ENDPOINT` of a machine in Azure Arc.
    pub fn arc_endpoint(&self) -> String {
        format!("http://{}{}", self.addresses.arc, machines::PATH)
    }

    /// Where the key files of Azure Arc appear.
    pub fn arc_key_directory(&self) -> &Path {
        self.azure.key_files.directory()
    }

    /// Creates or replaces a machine of this name.
    pub fn add_machine(&self, machine: Machine) {
        self.azure.put_machine(machine);
    }

    /// Creates or replaces a Recovery Services vault. Answers its resource id.
    pub fn add_recovery_services_vault(&self, spec: RecoveryServicesVault) -> String {
        let id = spec.resource_id();
        locked(&self.azure.estate).put_vault(RecoveryVault::new(spec));
        id
    }

    /// Answers the id of the role assignment.
    pub fn assign(&self, assignment: &RoleAssignment) -> String {
        self.azure.assign(assignment)
    }

    /// Owner at a scope, `/` for everywhere. Answers the id of the role assignment.
    pub fn make_owner(&self, principal_id: &str, scope: &str) -> String {
        let role = Some(OWNER.to_owned());
        self.assign(&RoleAssignment { role, ..RoleAssignment::to(principal_id, scope) })
    }

    /// Creates or replaces a custom role.
    pub fn define_role(&self, role: &RoleDefinition) {
        self.azure.change_roles_at_once(|roles| roles.define(role.clone(), Stamp::by(None)));
    }

    /// Answers the id of the deny assignment.
    pub fn deny(&self, denial: DenyAssignment) -> String {
        self.azure.deny(denial)
    }

    /// Takes a deny assignment away. False if there was none.
    pub fn allow_again(&self, deny_assignment_id: &str) -> bool {
        self.azure.undeny(deny_assignment_id)
    }

    /// Creates or replaces a group.
    pub fn put_group(&self, group: &Group) {
        self.azure.put_group(group);
    }

    /// Creates or replaces a management group.
    pub fn put_management_group(&self, group: &ManagementGroup) {
        self.azure.put_management_group(group);
    }

    /// How ARM cuts its long lists from now on.
    pub fn set_paging(&self, paging: Paging) {
        locked(&self.azure.estate).paging = paging;
    }

    pub fn add_diagnostic_setting(&self, setting: DiagnosticSetting) {
        locked(&self.azure.estate).add_diagnostic_setting(setting);
    }

    /// The last 20,000 requests that ARM answered, oldest first.
    pub fn management_requests(&self) -> Vec<ManagementRequest> {
        locked(&self.azure.estate).log.all()
    }

    /// How long what clients of ARM change about access takes to come into force.
    pub fn set_propagation_milliseconds(&self, milliseconds: u64) {
        self.azure.set_propagation(milliseconds);
    }
}

impl crate::azure::Azure {
    pub(crate) fn put_machine(&self, machine: Machine) {
        let mut machines = write(&self.machines);
        let other = |known: &Machine| {
            known.kind != machine.kind || !known.name.eq_ignore_ascii_case(&machine.name)
        };
        machines.retain(other);
        machines.push(machine);
    }

    pub(crate) fn deny(&self, denial: DenyAssignment) -> String {
        let denial = Arc::new(denial);
        self.change_roles_at_once(|roles| roles.denials.push(Arc::clone(&denial)));
        denial.id.clone()
    }

    pub(crate) fn undeny(&self, id: &str) -> bool {
        let known = self.roles().denials.iter().any(|denial| denial.id == id);
        self.change_roles_at_once(|roles| roles.denials.retain(|denial| denial.id != id));
        known
    }

    pub(crate) fn put_management_group(&self, group: &ManagementGroup) {
        self.change_roles_at_once(|roles| {
            roles.management_groups.retain(|known| !known.name.eq_ignore_ascii_case(&group.name));
            roles.management_groups.push(group.clone());
        });
    }

    pub(crate) fn put_group(&self, group: &Group) {
        self.change_roles_at_once(|roles| {
            roles.groups.retain(|known| known.id != group.id);
            roles.groups.push(group.clone());
        });
    }
}
