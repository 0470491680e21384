//! Who may do what to the secrets of a Key Vault, from what ARM says about it and nothing else.
//!
//! Azure has no call that answers this for somebody else's identity, so preflight works it out: [`decide`]
//! takes the access policies or the roles that were read, and answers allowed, denied or unknown with the
//! facts behind it. Pure: what could not be read comes in as such and is never taken for a permission.

mod access_policy;
mod condition;
mod deny_assignment;
mod names;
mod outcome;
mod pattern;
mod rights;
mod role_based;
mod scope;
mod secret_action;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

pub use self::{
    names::decide_for_each,
    outcome::{Denial, Doubt, EffectivePermission, Grant, PassedOver, Undecided},
    rights::{
        AccessPolicy, DenyAssignment, NOT_SHOWN, Permission, PrincipalRef, RoleAssignment,
        RoleDefinition,
    },
    secret_action::SecretAction,
};

/// Whose rights are asked about. Both ids are GUIDs, compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityPrincipal {
    pub object_id: String,
    pub tenant_id: String,
}

/// The Key Vault in ARM's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVaultScope {
    /// `/subscriptions/.../providers/Microsoft.KeyVault/vaults/<name>`.
    pub id: String,
    pub tenant_id: String,
}

impl KeyVaultScope {
    /// The last part of the id, in the spelling of the id: conditions compare it with case.
    pub fn name(&self) -> &str {
        self.id.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub principal: &'a SecurityPrincipal,
    pub action: SecretAction,
    pub key_vault: &'a KeyVaultScope,
    /// Without it the question is about any secret.
    pub secret_name: Option<&'a str>,
    pub groups: Groups<'a>,
    pub now: OffsetDateTime,
}

/// The groups that hold the principal, directly or through other groups, by object id.
#[derive(Debug, Clone, Copy)]
pub enum Groups<'a> {
    Known(&'a [String]),
    /// There may be more of them.
    Partly {
        holding: &'a [String],
        /// Objects that are no groups: users, applications, managed identities.
        no_groups: &'a [String],
    },
}

impl Groups<'_> {
    pub const NOT_KNOWN: Self = Self::Partly { holding: &[], no_groups: &[] };

    fn hold(&self, id: &str) -> bool {
        let (Self::Known(groups) | Self::Partly { holding: groups, .. }) = self;
        groups.iter().any(|group| same(group, id))
    }

    /// Whether this object may be a group that holds the principal and is not among those known.
    fn may_hold(&self, id: &str) -> bool {
        match self {
            Self::Known(_) => false,
            Self::Partly { no_groups, .. } => {
                !id.is_empty() && !no_groups.iter().any(|other| same(other, id))
            }
        }
    }
}

/// What was read of the Key Vault's permissions: one kind of them is in force, never both.
#[derive(Debug, Clone, Copy)]
pub enum Rights<'a> {
    /// `enableRbacAuthorization` is false or absent.
    AccessPolicies(&'a [AccessPolicy]),
    /// `enableRbacAuthorization` is true.
    Rbac {
        /// As `atScope() and assignedTo('<object id>')` lists them at the Key Vault: all are the principal's,
        /// its own or through its groups.
        assignments: &'a [RoleAssignment],
        /// Those that could be read.
        definitions: &'a [RoleDefinition],
        /// As `atScope()` lists them at the Key Vault; `None` when they could not be read.
        deny_assignments: Option<&'a [DenyAssignment]>,
    },
}

/// Whether the principal may do it.
pub fn decide(question: &Question<'_>, rights: Rights<'_>) -> EffectivePermission {
    let tenants = (&question.principal.tenant_id, &question.key_vault.tenant_id);
    if !same(tenants.0, tenants.1) {
        let (principal_tenant_id, key_vault_tenant_id) = (tenants.0.clone(), tenants.1.clone());
        let why = Denial::ForeignTenant { principal_tenant_id, key_vault_tenant_id };
        return EffectivePermission::Denied { why };
    }
    match rights {
        Rights::AccessPolicies(policies) => access_policy::decide(question, policies),
        Rights::Rbac { assignments, definitions, deny_assignments } => {
            role_based::decide(question, assignments, definitions, deny_assignments)
        }
    }
}

/// Whether two of Azure's words or ids are the same. Nothing is the same as nothing: it was not said.
fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && one.eq_ignore_ascii_case(other)
}
