//! A Key Vault, a principal and its rights, set up in one line.

use time::{Duration, OffsetDateTime, macros::datetime};

use crate::domain::effective_permission::*;

pub(super) const P: &str = "aaaaaaaa-0000-0000-0000-00000000000a";
pub(super) const OTHER: &str = "bbbbbbbb-0000-0000-0000-00000000000b";
pub(super) const GROUP: &str = "cccccccc-0000-0000-0000-00000000000c";
pub(super) const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";
pub(super) const TENANT: &str = "dddddddd-0000-0000-0000-00000000000d";
pub(super) const SUBSCRIPTION: &str = "/subscriptions/s";
pub(super) const RESOURCE_GROUP: &str = "/subscriptions/s/resourceGroups/rg";
pub(super) const KEY_VAULT: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-mars";
pub(super) const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/mg";
pub(super) const SECRET: &str = "AzBackup-web01-rsv";
pub(super) const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// Name of a role, and its data actions.
pub(super) const OFFICER: (&str, &str) = ("Officer", "Microsoft.KeyVault/vaults/secrets/*");
pub(super) const SETTER: (&str, &str) =
    ("Setter", "Microsoft.KeyVault/vaults/secrets/setSecret/action");
pub(super) const READER: (&str, &str) =
    ("Reader", "Microsoft.KeyVault/vaults/secrets/getSecret/action");

#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) principal: SecurityPrincipal,
    pub(super) key_vault: KeyVaultScope,
    pub(super) action: SecretAction,
    pub(super) secret_name: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    /// Where not all groups are known: some of them, and what is no group.
    pub(super) holding: Vec<String>,
    pub(super) no_groups: Vec<String>,
    /// In force instead of roles.
    pub(super) policies: Option<Vec<AccessPolicy>>,
    pub(super) assignments: Vec<RoleAssignment>,
    pub(super) definitions: Vec<RoleDefinition>,
    pub(super) denials: Option<Vec<DenyAssignment>>,
}

/// Nobody has any right.
pub(super) fn scene() -> Scene {
    Scene {
        principal: SecurityPrincipal { object_id: P.to_owned(), tenant_id: TENANT.to_owned() },
        key_vault: KeyVaultScope { id: KEY_VAULT.to_owned(), tenant_id: TENANT.to_owned() },
        action: SecretAction::Set,
        secret_name: Some(SECRET.to_owned()),
        groups: None,
        holding: Vec::new(),
        no_groups: Vec::new(),
        policies: None,
        assignments: Vec::new(),
        definitions: Vec::new(),
        denials: Some(Vec::new()),
    }
}

pub(super) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

impl Scene {
    pub(super) fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn asks(self, action: SecretAction) -> Self {
        self.but(|scene| scene.action = action)
    }

    pub(super) fn about(self, secret_name: Option<&str>) -> Self {
        self.but(|scene| scene.secret_name = secret_name.map(str::to_owned))
    }

    /// A role of one block, and an old assignment of it to P.
    pub(super) fn holds(self, (name, data_actions): (&str, &str), scope: &str) -> Self {
        let block = Permission { data_actions: strings(&[data_actions]), ..Permission::default() };
        self.role(name, vec![block]).assigned(name, scope)
    }

    pub(super) fn role(self, name: &str, permissions: Vec<Permission>) -> Self {
        let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{name}");
        let role = RoleDefinition { id, name: name.to_owned(), permissions };
        self.but(|scene| scene.definitions.push(role))
    }

    pub(super) fn assigned(self, role: &str, scope: &str) -> Self {
        let assignment = RoleAssignment {
            id: format!("assignment of {role}"),
            role_definition_id: format!(
                "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{role}"
            ),
            principal_id: P.to_owned(),
            principal_type: Some("ServicePrincipal".to_owned()),
            scope: scope.to_owned(),
            condition: None,
            condition_version: None,
            created_on: Some(NOW - Duration::days(30)),
            updated_on: Some(NOW - Duration::days(30)),
        };
        self.but(|scene| scene.assignments.push(assignment))
    }

    /// Changes the last assignment.
    pub(super) fn which(self, change: impl FnOnce(&mut RoleAssignment)) -> Self {
        self.but(|scene| change(scene.assignments.last_mut().unwrap()))
    }

    pub(super) fn under(self, condition: &str) -> Self {
        self.which(|assignment| assignment.condition = Some(condition.to_owned()))
    }

    pub(super) fn aged(self, minutes: i64) -> Self {
        self.which(|assignment| assignment.created_on = Some(NOW - Duration::minutes(minutes)))
            .which(|assignment| assignment.updated_on = assignment.created_on)
    }

    pub(super) fn denied(self, denial: DenyAssignment) -> Self {
        self.but(|scene| scene.denials.get_or_insert_default().push(denial))
    }

    pub(super) fn policy(self, object_id: &str, words: &[&str]) -> Self {
        let policy = AccessPolicy {
            tenant_id: TENANT.to_owned(),
            object_id: object_id.to_owned(),
            application_id: None,
            secret_permissions: strings(words),
        };
        self.but(|scene| scene.policies.get_or_insert_default().push(policy))
    }

    /// Changes the last policy.
    pub(super) fn whose(self, change: impl FnOnce(&mut AccessPolicy)) -> Self {
        self.but(|scene| change(scene.policies.as_mut().unwrap().last_mut().unwrap()))
    }

    fn known_groups(&self) -> Groups<'_> {
        let partly = Groups::Partly { holding: &self.holding, no_groups: &self.no_groups };
        self.groups.as_deref().map_or(partly, Groups::Known)
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            principal: &self.principal,
            action: self.action,
            key_vault: &self.key_vault,
            secret_name: self.secret_name.as_deref(),
            groups: self.known_groups(),
            now: NOW,
        }
    }

    pub(super) fn rights(&self) -> Rights<'_> {
        match &self.policies {
            Some(policies) => Rights::AccessPolicies(policies),
            None => Rights::Rbac {
                assignments: &self.assignments,
                definitions: &self.definitions,
                deny_assignments: self.denials.as_deref(),
            },
        }
    }

    pub(super) fn answer(&self) -> EffectivePermission {
        decide(&self.question(), self.rights())
    }

    /// The answer and the kinds of its reasons: `denied: DenyAssignment`.
    pub(super) fn answer_in_short(&self) -> String {
        match self.answer() {
            EffectivePermission::Allowed { propagating: false, .. } => "allowed".to_owned(),
            EffectivePermission::Allowed { .. } => "propagating".to_owned(),
            EffectivePermission::Denied { why } => format!("denied: {}", kind(&why)),
            EffectivePermission::Unknown { why } => {
                let kinds: Vec<String> = why.iter().map(kind).collect();
                format!("unknown: {}", kinds.join(", "))
            }
        }
    }
}

/// The name of the variant.
pub(super) fn kind(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
