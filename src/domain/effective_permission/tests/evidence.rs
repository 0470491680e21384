//! What an answer tells besides yes and no, and what a principal may do too much.

use super::scene::*;
use crate::domain::effective_permission::*;

#[test]
fn a_grant_names_assignment_role_scope_and_group() {
    let scene = scene().holds(SETTER, RESOURCE_GROUP).aged(1).under("ActionMatches{'*'}");
    let scene = scene.which(|own| own.principal_id = GROUP.to_owned());
    let scene = scene.which(|own| own.principal_type = Some("Group".to_owned()));
    let grant = Grant::RoleAssignment {
        assignment_id: "assignment of Setter".to_owned(),
        role_name: "Setter".to_owned(),
        scope: RESOURCE_GROUP.to_owned(),
        principal_id: GROUP.to_owned(),
        conditional: true,
        young: true,
    };
    let expected = EffectivePermission::Allowed { by: vec![grant], propagating: true };
    assert_eq!(scene.answer(), expected);
}

#[test]
fn a_denial_tells_what_each_assignment_lacks() {
    let owner = Permission { actions: strings(&["*"]), ..Permission::default() };
    let scene = scene()
        .role("Owner", vec![owner])
        .assigned("Owner", "/")
        .holds(READER, KEY_VAULT)
        .holds(SETTER, "/subscriptions/other")
        .holds(OFFICER, KEY_VAULT)
        .under("ActionMatches{'x'}");
    let EffectivePermission::Denied { why: Denial::NoRoleAssignment { passed_over } } =
        scene.answer()
    else {
        panic!("{:?}", scene.answer());
    };
    let missing = |role: &str, control_plane_only| PassedOver::ActionMissing {
        assignment_id: format!("assignment of {role}"),
        role_name: role.to_owned(),
        control_plane_only,
    };
    assert_eq!(passed_over[..2], [missing("Owner", true), missing("Reader", false)]);
    let kinds: Vec<String> = passed_over[2..].iter().map(kind).collect();
    assert_eq!(kinds, ["OtherScope", "ConditionFalse"]);
}

#[test]
fn a_doubt_quotes_the_part_that_is_beyond_us() {
    let scene = scene().holds(SETTER, "/").under("ActionMatches{'*'} AND  (Exists @Principal[a])");
    let EffectivePermission::Unknown { why } = scene.answer() else { panic!() };
    let [Doubt::ConditionUndecided { because, .. }] = why.as_slice() else { panic!("{why:?}") };
    assert_eq!(*because, Undecided::Term("Exists @Principal[a]".to_owned()));
}
