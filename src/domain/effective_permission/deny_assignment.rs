//! Whether a deny assignment forbids it, in three values.

use super::{
    DenyAssignment, Doubt, Groups, PrincipalRef, Question, RoleAssignment, SecretAction,
    condition::{self, Together},
    role_based::belongs,
    same,
    scope::{Reach, reach},
};

/// Stands for everybody in the tenant.
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

pub(super) enum Forbids {
    Yes,
    No,
    Maybe(Doubt),
}

/// Whether the principal is one of those named.
enum Named {
    Yes,
    No,
    /// If it is in one of these groups.
    Perhaps(Vec<String>),
}

/// `assignments` are the principal's: one that was made to a group proves its membership.
pub(super) fn forbids(
    question: &Question<'_>,
    denial: &DenyAssignment,
    assignments: &[RoleAssignment],
) -> Forbids {
    let (id, name, scope) = (denial.id.clone(), denial.name.clone(), denial.scope.clone());
    let mut doubt = match conditions(question, denial) {
        Together::Hold { .. } => None,
        Together::Fail(_) => return Forbids::No,
        Together::Unknown(condition, because) => {
            let (id, name) = (id.clone(), name.clone());
            Some(Doubt::DenyAssignmentCondition { id, name, condition, because })
        }
    };
    match who(question, denial, assignments) {
        Named::Yes => {}
        Named::No => return Forbids::No,
        Named::Perhaps(groups) => {
            let (id, name) = (id.clone(), name.clone());
            doubt = doubt.or(Some(Doubt::DenyAssignmentGroups { id, name, groups }));
        }
    }
    match where_to(question, denial) {
        Some(true) => {}
        Some(false) => return Forbids::No,
        None => doubt = doubt.or(Some(Doubt::DenyAssignmentReach { id, name, scope })),
    }
    doubt.map_or(Forbids::Yes, Forbids::Maybe)
}

/// One block that is about the action and whose conditions hold is enough.
fn conditions(question: &Question<'_>, denial: &DenyAssignment) -> Together {
    let mut result = Together::Fail(String::new());
    for block in denial.permissions.iter().filter(|block| block.covers(question)) {
        let written = [(denial.condition.as_deref(), None), (block.condition.as_deref(), None)];
        match condition::together(&written, question) {
            holds @ Together::Hold { .. } => return holds,
            unknown @ Together::Unknown(..) => result = unknown,
            Together::Fail(_) => {}
        }
    }
    result
}

fn who(question: &Question<'_>, denial: &DenyAssignment, assignments: &[RoleAssignment]) -> Named {
    let named = |list: &[PrincipalRef]| named(question, list, assignments);
    match (named(&denial.principals), named(&denial.exclude_principals)) {
        (Named::No, _) | (_, Named::Yes) => Named::No,
        (Named::Yes, Named::No) => Named::Yes,
        (Named::Perhaps(groups), Named::No) | (Named::Yes, Named::Perhaps(groups)) => {
            Named::Perhaps(groups)
        }
        (Named::Perhaps(groups), Named::Perhaps(others)) => {
            Named::Perhaps(groups.into_iter().chain(others).collect())
        }
    }
}

fn named(question: &Question<'_>, list: &[PrincipalRef], assignments: &[RoleAssignment]) -> Named {
    let mut groups = Vec::new();
    for PrincipalRef { id, principal_type } in list {
        let is_known_group = match question.groups {
            Groups::Known(_) => question.groups.hold(id),
            Groups::Partly { .. } => {
                question.groups.hold(id)
                    || assignments
                        .iter()
                        .any(|own| same(&own.principal_id, id) && belongs(question, own))
            }
        };
        if id == EVERYONE || same(id, &question.principal.object_id) || is_known_group {
            return Named::Yes;
        }
        let kind = principal_type.as_deref().unwrap_or_default();
        let is_one_principal = same(kind, "User") || same(kind, "ServicePrincipal");
        let is_another_group = matches!(question.groups, Groups::Known(_)) && same(kind, "Group");
        if !is_one_principal && !is_another_group {
            groups.push(id.clone());
        }
    }
    if groups.is_empty() { Named::No } else { Named::Perhaps(groups) }
}

/// `None` when it is not documented.
fn where_to(question: &Question<'_>, denial: &DenyAssignment) -> Option<bool> {
    match (reach(&denial.scope, question), denial.do_not_apply_to_child_scopes) {
        (Reach::Elsewhere, _) | (Reach::Above, true) => Some(false),
        (Reach::Above | Reach::KeyVault, false) | (Reach::Secret, _) => Some(true),
        // A list is asked of the Key Vault itself.
        (Reach::KeyVault, true) if question.action == SecretAction::List => Some(true),
        (Reach::KeyVault, true) | (Reach::SomeSecret, _) => None,
    }
}
