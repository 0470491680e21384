//! What can be asked of this service, and who may ask it: one table.
//!
//! An operation's id is its OpenAPI operation id, the name of its use case and its audit action.

use thiserror::Error;

use super::principal::{Principal, Role};

/// Every operation that needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    RegisterMachine,
    ListMachines,
    GetMachine,
    UpdateMachine,
    RetireMachine,
    ListVersions,
    RequestRotation,
    ListRotations,
    GetRotation,
    CollectPassphrase,
    ConfirmRotation,
    FailRotation,
    AbandonRotation,
    ListAgentTasks,
    ScanAdoptions,
    AcceptAdoptions,
    ShowCoverage,
    RecoverSecret,
    RetrievePassphrase,
    ListAuditEvents,
    GetAuditCheckpoint,
    ProveAuditEvent,
    IssueAuditReceipt,
    ProveAuditConsistency,
    ExportAuditEvents,
    RunPreflight,
    RunMachinePreflight,
    ShowCaller,
}

/// Which machines a permitted caller may act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every machine of the caller's tenant.
    Tenant,
    /// Only the machine that is bound to the caller's `(tenant_id, object_id)`.
    OwnMachine,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the token lacks {}", .missing.iter().map(|role| role.name()).collect::<Vec<_>>().join(" and "))]
pub struct RoleMissing {
    pub missing: Vec<Role>,
}

struct Rule {
    /// All of them together open the operation for every machine.
    roles: &'static [Role],
    /// Whether an agent may do it to its own machine.
    agent: bool,
}

impl Operation {
    pub const ALL: [Self; 28] = [
        Self::RegisterMachine,
        Self::ListMachines,
        Self::GetMachine,
        Self::UpdateMachine,
        Self::RetireMachine,
        Self::ListVersions,
        Self::RequestRotation,
        Self::ListRotations,
        Self::GetRotation,
        Self::CollectPassphrase,
        Self::ConfirmRotation,
        Self::FailRotation,
        Self::AbandonRotation,
        Self::ListAgentTasks,
        Self::ScanAdoptions,
        Self::AcceptAdoptions,
        Self::ShowCoverage,
        Self::RecoverSecret,
        Self::RetrievePassphrase,
        Self::ListAuditEvents,
        Self::GetAuditCheckpoint,
        Self::ProveAuditEvent,
        Self::IssueAuditReceipt,
        Self::ProveAuditConsistency,
        Self::ExportAuditEvents,
        Self::RunPreflight,
        Self::RunMachinePreflight,
        Self::ShowCaller,
    ];

    pub fn id(self) -> &'static str {
        match self {
            Self::RegisterMachine => "register_machine",
            Self::ListMachines => "list_machines",
            Self::GetMachine => "get_machine",
            Self::UpdateMachine => "update_machine",
            Self::RetireMachine => "retire_machine",
            Self::ListVersions => "list_versions",
            Self::RequestRotation => "request_rotation",
            Self::ListRotations => "list_rotations",
            Self::GetRotation => "get_rotation",
            Self::CollectPassphrase => "collect_passphrase",
            Self::ConfirmRotation => "confirm_rotation",
            Self::FailRotation => "fail_rotation",
            Self::AbandonRotation => "abandon_rotation",
            Self::ListAgentTasks => "list_agent_tasks",
            Self::ScanAdoptions => "scan_adoptions",
            Self::AcceptAdoptions => "accept_adoptions",
            Self::ShowCoverage => "show_coverage",
            Self::RecoverSecret => "recover_secret",
            Self::RetrievePassphrase => "retrieve_passphrase",
            Self::ListAuditEvents => "list_audit_events",
            Self::GetAuditCheckpoint => "get_audit_checkpoint",
            Self::ProveAuditEvent => "prove_audit_event",
            Self::IssueAuditReceipt => "issue_audit_receipt",
            Self::ProveAuditConsistency => "prove_audit_consistency",
            Self::ExportAuditEvents => "export_audit_events",
            Self::RunPreflight => "run_preflight",
            Self::RunMachinePreflight => "run_machine_preflight",
            Self::ShowCaller => "show_caller",
        }
    }

    /// Whether each call leaves an audit event: it changes something, releases a passphrase or reads
    /// the audit log. Refusals of it do too.
    pub fn is_audited(self) -> bool {
        match self {
            Self::RegisterMachine
            | Self::UpdateMachine
            | Self::RetireMachine
            | Self::RequestRotation
            | Self::CollectPassphrase
            | Self::ConfirmRotation
            | Self::FailRotation
            | Self::AbandonRotation
            | Self::AcceptAdoptions
            | Self::RecoverSecret
            | Self::RetrievePassphrase
            | Self::ListAuditEvents
            | Self::GetAuditCheckpoint
            | Self::ProveAuditEvent
            | Self::IssueAuditReceipt
            | Self::ProveAuditConsistency
            | Self::ExportAuditEvents => true,
            Self::ListMachines
            | Self::GetMachine
            | Self::ListVersions
            | Self::ListRotations
            | Self::GetRotation
            | Self::ListAgentTasks
            | Self::ScanAdoptions
            | Self::ShowCoverage
            | Self::RunPreflight
            | Self::RunMachinePreflight
            | Self::ShowCaller => false,
        }
    }

    fn rule(self) -> Rule {
        let people = |roles| Rule { roles, agent: false };
        let people_or_agent = |roles| Rule { roles, agent: true };
        match self {
            Self::RegisterMachine
            | Self::UpdateMachine
            | Self::RetireMachine
            | Self::ScanAdoptions
            | Self::AcceptAdoptions => people(&[Role::MachinesRegister]),
            Self::ListMachines | Self::ListVersions | Self::ShowCoverage => {
                people(&[Role::MachinesRead])
            }
            Self::GetMachine | Self::ListRotations | Self::GetRotation => {
                people_or_agent(&[Role::MachinesRead])
            }
            Self::RequestRotation | Self::ConfirmRotation | Self::FailRotation => {
                people_or_agent(&[Role::PassphrasesRotate])
            }
            // Whoever is not the machine itself sees a passphrase here, so it takes both roles.
            Self::CollectPassphrase => {
                people_or_agent(&[Role::PassphrasesRotate, Role::PassphrasesRetrieve])
            }
            Self::AbandonRotation | Self::RecoverSecret => people(&[Role::PassphrasesRotate]),
            Self::ListAgentTasks => Rule { roles: &[Role::Agent], agent: true },
            Self::RetrievePassphrase => people(&[Role::PassphrasesRetrieve]),
            Self::ListAuditEvents
            | Self::GetAuditCheckpoint
            | Self::ProveAuditEvent
            | Self::ProveAuditConsistency
            | Self::ExportAuditEvents => people(&[Role::AuditRead]),
            Self::RunPreflight | Self::RunMachinePreflight => people(&[Role::PreflightRun]),
            // A receipt is also for whoever's act it is of: the use case looks.
            Self::IssueAuditReceipt | Self::ShowCaller => people(&[]),
        }
    }

    /// The roles that open this operation to people and applications, for OpenAPI and error texts.
    pub fn roles(self) -> &'static [Role] {
        self.rule().roles
    }

    /// Whether an agent may do this to its own machine.
    pub fn open_to_agents(self) -> bool {
        self.rule().agent
    }

    /// Decides. A caller with the roles of people is not narrowed by also being an agent.
    pub fn permit(self, principal: &Principal) -> Result<Scope, RoleMissing> {
        let rule = self.rule();
        if rule.agent && rule.roles == [Role::Agent] {
            return if principal.is_agent() {
                Ok(Scope::OwnMachine)
            } else {
                Err(RoleMissing { missing: vec![Role::Agent] })
            };
        }
        let missing: Vec<Role> =
            rule.roles.iter().copied().filter(|role| !principal.roles.contains(*role)).collect();
        if missing.is_empty() {
            Ok(Scope::Tenant)
        } else if rule.agent && principal.is_agent() {
            Ok(Scope::OwnMachine)
        } else {
            Err(RoleMissing { missing })
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::principal::{PrincipalKind, Roles};

    fn principal(kind: PrincipalKind, roles: &[&str]) -> Principal {
        Principal {
            kind,
            tenant_id: Uuid::nil(),
            object_id: Uuid::nil(),
            client_id: None,
            roles: Roles::from_names(roles.iter().copied()),
            guest: false,
            issued_at: 0,
        }
    }

    #[test]
    fn a_person_with_the_agent_role_is_no_agent() {
        let person = principal(PrincipalKind::User, &["Agent"]);
        for operation in Operation::ALL {
            let permitted = operation.permit(&person).is_ok();
            let open = [Operation::IssueAuditReceipt, Operation::ShowCaller].contains(&operation);
            assert_eq!(permitted, open, "{operation:?}");
        }
    }

    #[test]
    fn an_agent_is_confined_to_its_own_machine() {
        let agent = principal(PrincipalKind::Application, &["Agent"]);
        for operation in Operation::ALL.into_iter().filter(|operation| operation.open_to_agents()) {
            assert_eq!(operation.permit(&agent), Ok(Scope::OwnMachine), "{operation:?}");
        }
    }

    #[test]
    fn collecting_for_a_machine_takes_both_roles() {
        let one = principal(PrincipalKind::User, &["Passphrases.Rotate"]);
        let refusal = Operation::CollectPassphrase.permit(&one).unwrap_err();
        assert_eq!(refusal.to_string(), "the token lacks Passphrases.Retrieve");
        let both = principal(PrincipalKind::User, &["Passphrases.Rotate", "Passphrases.Retrieve"]);
        assert_eq!(Operation::CollectPassphrase.permit(&both), Ok(Scope::Tenant));
    }
}
