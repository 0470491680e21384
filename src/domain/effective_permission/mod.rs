//! Who may do what to the secrets of a Key Vault, from what ARM says about it and nothing else.
//!
//! Azure has no call that answers this for somebody else's identity, so preflight works it out: `decide`
//! takes the access policies or the roles that were read, and answers allowed, denied or unknown with the
//! facts behind it. Pure: what could not be read comes in as such and is never taken for a permission.

mod outcome;
mod rights;
mod secret_action;

use time::OffsetDateTime;

pub use self::{
    outcome::{Denial, Doubt, EffectivePermission, Grant, PassedOver},
    rights::{
        AccessPolicy, DenyAssignment, Permission, PrincipalRef, RoleAssignment, RoleDefinition,
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
pub struct KeyVaultResource {
    /// `/subscriptions/.../providers/Microsoft.KeyVault/vaults/<name>`.
    pub id: String,
    pub tenant_id: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub principal: &'a SecurityPrincipal,
    pub action: SecretAction,
    pub key_vault: &'a KeyVaultResource,
    /// Without it the question is about any secret.
    pub secret_name: Option<&'a str>,
    pub groups: Groups<'a>,
    pub now: OffsetDateTime,
}

/// The groups that hold the principal, directly or through other groups, by object id.
#[derive(Debug, Clone, Copy)]
pub enum Groups<'a> {
    Known(&'a [String]),
    NotKnown,
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
