//! The decision by Azure RBAC: what role assignments allow, unless a deny assignment forbids it.

use time::{Duration, OffsetDateTime};

use super::{
    Denial, DenyAssignment, Doubt, EffectivePermission, Grant, Groups, PassedOver, Permission,
    Question, RoleAssignment, RoleDefinition,
    condition::{self, Together},
    deny_assignment::{self, Forbids},
    pattern, same,
    scope::{Reach, reach},
};

/// Microsoft asks to allow up to ten minutes until a role assignment is in force everywhere.
const PROPAGATION: Duration = Duration::minutes(10);

/// What one role assignment contributes.
enum Contribution {
    Grants(Grant),
    Doubt(Doubt),
    Nothing(PassedOver),
}

pub(super) fn decide(
    question: &Question<'_>,
    assignments: &[RoleAssignment],
    definitions: &[RoleDefinition],
    deny_assignments: Option<&[DenyAssignment]>,
) -> EffectivePermission {
    let mut doubts_about_denials = Vec::new();
    if deny_assignments.is_none() {
        doubts_about_denials.push(Doubt::DenyAssignmentsUnread);
    }
    for denial in deny_assignments.unwrap_or_default() {
        match deny_assignment::forbids(question, denial, assignments) {
            Forbids::Yes => {
                let DenyAssignment { id, name, scope, .. } = denial.clone();
                let why = Denial::DenyAssignment { id, name, scope };
                return EffectivePermission::Denied { why };
            }
            Forbids::No => {}
            Forbids::Maybe(doubt) => doubts_about_denials.push(doubt),
        }
    }
    let (mut by, mut doubts, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    for assignment in assignments {
        match contribution(question, assignment, definitions) {
            Contribution::Grants(grant) => by.push(grant),
            Contribution::Doubt(doubt) => doubts.push(doubt),
            Contribution::Nothing(why) => passed_over.push(why),
        }
    }
    if by.is_empty() && doubts.is_empty() {
        let why = Denial::NoRoleAssignment { passed_over };
        return EffectivePermission::Denied { why };
    }
    if by.is_empty() || !doubts_about_denials.is_empty() {
        // What somebody else grants without doubt need not be doubted.
        let doubts = if by.is_empty() { doubts } else { Vec::new() };
        let why = doubts.into_iter().chain(doubts_about_denials).collect();
        return EffectivePermission::Unknown { why };
    }
    let young = |grant: &Grant| matches!(grant, Grant::RoleAssignment { young: true, .. });
    let propagating = by.iter().all(young);
    EffectivePermission::Allowed { by, propagating }
}

fn contribution(
    question: &Question<'_>,
    assignment: &RoleAssignment,
    definitions: &[RoleDefinition],
) -> Contribution {
    let assignment_id = assignment.id.clone();
    if !belongs(question, assignment) {
        let principal_id = assignment.principal_id.clone();
        return Contribution::Nothing(PassedOver::OtherPrincipal { assignment_id, principal_id });
    }
    let (reach, scope) = (reach(&assignment.scope, question), assignment.scope.clone());
    if reach == Reach::Elsewhere {
        return Contribution::Nothing(PassedOver::OtherScope { assignment_id, scope });
    }
    let id = &assignment.role_definition_id;
    let found = definitions.iter().find(|definition| same(guid(&definition.id), guid(id)));
    let Some(role) = found else { return unread(question, assignment) };
    match permission(question, assignment, role) {
        Ok(conditional) if reach != Reach::SomeSecret => {
            Contribution::Grants(Grant::RoleAssignment {
                assignment_id,
                role_name: role.name.clone(),
                scope,
                principal_id: assignment.principal_id.clone(),
                conditional,
                young: is_young(assignment, question.now),
            })
        }
        Ok(_) => Contribution::Doubt(Doubt::OneSecretOnly { assignment_id, scope }),
        Err(other) => other,
    }
}

/// Of a role whose definition could not be read, the condition may still say no.
fn unread(question: &Question<'_>, assignment: &RoleAssignment) -> Contribution {
    let (assignment_id, id) = (assignment.id.clone(), assignment.role_definition_id.clone());
    match condition::together(&[written(assignment)], question) {
        Together::Fail(condition) => {
            let role_name = guid(&id).to_owned();
            let why = PassedOver::ConditionFalse { assignment_id, role_name, condition };
            Contribution::Nothing(why)
        }
        Together::Hold { .. } | Together::Unknown(..) => {
            Contribution::Doubt(Doubt::DefinitionMissing { assignment_id, role_definition_id: id })
        }
    }
}

fn written(assignment: &RoleAssignment) -> condition::Written<'_> {
    (assignment.condition.as_deref(), assignment.condition_version.as_deref())
}

/// Whether the role grants the action, and whether it took a condition to.
fn permission(
    question: &Question<'_>,
    assignment: &RoleAssignment,
    role: &RoleDefinition,
) -> Result<bool, Contribution> {
    let ids = || (assignment.id.clone(), role.name.clone());
    let (assignment_id, role_name) = ids();
    let control_plane_only = role.permissions.iter().all(|block| block.data_actions.is_empty());
    let missing = PassedOver::ActionMissing { assignment_id, role_name, control_plane_only };
    let mut result = Contribution::Nothing(missing);
    for block in role.permissions.iter().filter(|block| block.covers(question)) {
        let (assignment_id, role_name) = ids();
        match condition::together(
            &[written(assignment), (block.condition.as_deref(), None)],
            question,
        ) {
            Together::Hold { conditional } => return Ok(conditional),
            Together::Unknown(condition, because) => {
                result = Contribution::Doubt(Doubt::ConditionUndecided {
                    assignment_id,
                    role_name,
                    condition,
                    because,
                });
            }
            Together::Fail(condition) if matches!(result, Contribution::Nothing(_)) => {
                let why = PassedOver::ConditionFalse { assignment_id, role_name, condition };
                result = Contribution::Nothing(why);
            }
            Together::Fail(_) => {}
        }
    }
    Err(result)
}

impl Permission {
    /// Conditions aside.
    pub(super) fn covers(&self, question: &Question<'_>) -> bool {
        let action = question.action.data_action();
        let any = |patterns: &[String]| patterns.iter().any(|one| pattern::covers(one, action));
        any(&self.data_actions) && !any(&self.not_data_actions)
    }
}

/// ARM filters by principal, groups included; a list that holds others all the same is not believed.
pub(super) fn belongs(question: &Question<'_>, assignment: &RoleAssignment) -> bool {
    let id = &assignment.principal_id;
    if same(id, &question.principal.object_id) {
        return true;
    }
    let kind = assignment.principal_type.as_deref().unwrap_or_default();
    let single = same(kind, "User") || same(kind, "ServicePrincipal");
    match question.groups {
        Groups::Known(_) => question.groups.hold(id),
        Groups::Partly { .. } => question.groups.hold(id) || (!single && !id.is_empty()),
    }
}

/// The last part: built-in roles have ids with and without a subscription.
fn guid(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Of unknown age is not young: ARM always tells it.
fn is_young(assignment: &RoleAssignment, now: OffsetDateTime) -> bool {
    let latest = assignment.created_on.max(assignment.updated_on);
    latest.is_some_and(|at| now - at < PROPAGATION)
}
