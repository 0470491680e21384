//! What ARM says about rights at a Key Vault: access policies, role assignments, role definitions and deny
//! assignments.
//!
//! The words are Azure's and stay as Azure spelt them, so that evidence can quote them. Whoever decides
//! compares them without case.

use time::OffsetDateTime;

/// Stands in a condition for a character that cannot be shown to people. Such a condition is never evaluated.
pub const NOT_SHOWN: &str = "\u{fffd}";

/// One entry of a Key Vault's `properties.accessPolicies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    pub tenant_id: String,
    /// A user, a group or a service principal: the policy does not say which.
    pub object_id: String,
    /// With it the policy is for `object_id` *through this application* only (a compound identity).
    pub application_id: Option<String>,
    /// `properties.accessPolicies[].permissions.secrets`.
    pub secret_permissions: Vec<String>,
}

/// One role assignment, with what ARM keeps under `properties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    pub id: String,
    pub role_definition_id: String,
    /// Not always the principal that was asked about: `assignedTo()` lists its groups' assignments too.
    pub principal_id: String,
    pub principal_type: Option<String>,
    pub scope: String,
    pub condition: Option<String>,
    pub condition_version: Option<String>,
    pub created_on: Option<OffsetDateTime>,
    pub updated_on: Option<OffsetDateTime>,
}

/// A role, found by the `role_definition_id` of its assignments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    pub id: String,
    /// `properties.roleName`, for people.
    pub name: String,
    pub permissions: Vec<Permission>,
}

/// One block of a role or of a deny assignment. What a block excepts, it excepts from itself only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    pub actions: Vec<String>,
    pub not_actions: Vec<String>,
    pub data_actions: Vec<String>,
    pub not_data_actions: Vec<String>,
    /// Some built-in roles have one inside a block.
    pub condition: Option<String>,
}

/// What forbids, whatever any role allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyAssignment {
    pub id: String,
    /// `properties.denyAssignmentName`, for people.
    pub name: String,
    pub permissions: Vec<Permission>,
    pub scope: String,
    pub do_not_apply_to_child_scopes: bool,
    pub principals: Vec<PrincipalRef>,
    pub exclude_principals: Vec<PrincipalRef>,
    pub condition: Option<String>,
}

/// Who is named by a deny assignment: `{id, type}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRef {
    pub id: String,
    /// `User`, `Group`, `ServicePrincipal`, or `SystemDefined` for everyone.
    pub principal_type: Option<String>,
}
