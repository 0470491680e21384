//! The answer to "may this principal do that here?", with the facts that it rests on.
//!
//! Nothing here is a sentence: whoever asked words the evidence. "Unknown" carries every reason for the
//! doubt and is never to be shown as a pass.

/// Whether a principal may do one thing to the secrets of one Key Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectivePermission {
    Allowed {
        /// Never empty: everything that grants it, each for itself.
        by: Vec<Grant>,
        /// Everything that grants it is younger than Azure's propagation time: Key Vault may still refuse.
        propagating: bool,
    },
    Denied {
        why: Denial,
    },
    Unknown {
        /// Never empty.
        why: Vec<Doubt>,
    },
}

/// What allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    AccessPolicy {
        /// The principal's own object id, or that of a group known to hold it.
        object_id: String,
        /// The word of the policy that covers the action: `set`, `all`.
        word: String,
    },
    RoleAssignment {
        assignment_id: String,
        role_name: String,
        scope: String,
        /// The principal's own object id, or that of a group that holds it.
        principal_id: String,
        /// It has a condition, and the condition holds.
        conditional: bool,
        /// Created or changed within Azure's propagation time.
        young: bool,
    },
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The principal is of another tenant than the Key Vault, which accepts tokens of its own only.
    ForeignTenant { principal_tenant_id: String, key_vault_tenant_id: String },
    /// No access policy grants it.
    NoAccessPolicy { passed_over: Vec<PassedOver> },
    /// No role assignment grants it.
    NoRoleAssignment { passed_over: Vec<PassedOver> },
    /// A deny assignment forbids it, whatever the roles say.
    DenyAssignment { id: String, name: String, scope: String },
}

/// Something that names the principal and yet does not grant, for evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassedOver {
    /// An access policy of the principal for use through this application only.
    CompoundIdentity { object_id: String, application_id: String },
    /// An access policy of the principal under another tenant than the Key Vault's.
    OtherTenant { object_id: String, tenant_id: String },
    /// An access policy of the principal without the word.
    WordMissing { object_id: String, words: Vec<String> },
    /// A role without this data action; `control_plane_only` when it has no data actions at all (Owner).
    ActionMissing { assignment_id: String, role_name: String, control_plane_only: bool },
    /// A role assignment of somebody else, which a list for this principal should not hold.
    OtherPrincipal { assignment_id: String, principal_id: String },
    /// A role assignment that does not reach the Key Vault or that is for another secret.
    OtherScope { assignment_id: String, scope: String },
    /// A role assignment with a condition that does not hold.
    ConditionFalse { assignment_id: String, role_name: String, condition: String },
}

/// Why it cannot be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It is refused for some of the secrets that may be meant, and not for all.
    NamesDiffer { allowed: Vec<String>, refused: Vec<(String, Denial)> },
    /// No access policy grants it to the principal, and these objects' policies do: one of them may be a
    /// group that holds the principal.
    AccessPolicyGroups { object_ids: Vec<String>, passed_over: Vec<PassedOver> },
    /// The definition of an assigned role could not be read.
    DefinitionMissing { assignment_id: String, role_definition_id: String },
    /// A condition decides, and it cannot be evaluated.
    ConditionUndecided {
        assignment_id: String,
        role_name: String,
        condition: String,
        because: Undecided,
    },
    /// It is granted for one secret, and which secret is meant is not known.
    OneSecretOnly { assignment_id: String, scope: String },
    /// The deny assignments could not be read.
    DenyAssignmentsUnread,
    /// A deny assignment decides by groups, and whether the principal is in them is not known.
    DenyAssignmentGroups { id: String, name: String, groups: Vec<String> },
    /// A deny assignment stops at its own scope, the Key Vault: whether its secrets count as below is
    /// not documented.
    DenyAssignmentReach { id: String, name: String, scope: String },
    /// A deny assignment has a condition that cannot be evaluated.
    DenyAssignmentCondition { id: String, name: String, condition: String, because: Undecided },
}

/// Why a condition could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// It has a character that cannot be shown.
    NotShown,
    /// Not of the documented grammar, or longer or deeper than anything that Azure accepts.
    Unreadable,
    /// Of another version than 2.0.
    Version(String),
    /// It compares the secret's name, and which secret is meant is not known.
    SecretNotNamed,
    /// This part of it needs facts or operators that are not known here.
    Term(String),
}
