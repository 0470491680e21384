//! Deny assignments: whom they forbid what, and where that cannot be told.

use super::{Case, check, scene::*};
use crate::domain::effective_permission::*;

fn principals(list: &[(&str, &str)]) -> Vec<PrincipalRef> {
    let one = |(id, kind): &(&str, &str)| PrincipalRef {
        id: (*id).to_owned(),
        principal_type: Some((*kind).to_owned()).filter(|kind| !kind.is_empty()),
    };
    list.iter().map(one).collect()
}

fn denial(named: &[(&str, &str)]) -> DenyAssignment {
    DenyAssignment {
        id: "d".to_owned(),
        name: "Locked".to_owned(),
        permissions: vec![Permission { data_actions: strings(&["*"]), ..Permission::default() }],
        scope: KEY_VAULT.to_owned(),
        do_not_apply_to_child_scopes: false,
        principals: principals(named),
        exclude_principals: Vec::new(),
        condition: None,
    }
}

/// A setter, whom this denies or not.
fn against(named: &[(&str, &str)], change: impl FnOnce(&mut DenyAssignment)) -> Scene {
    let mut denial = denial(named);
    change(&mut denial);
    scene().holds(SETTER, KEY_VAULT).denied(denial)
}

const SELF: (&str, &str) = (P, "ServicePrincipal");
const ALL: (&str, &str) = (EVERYONE, "SystemDefined");
const IN_GROUP: (&str, &str) = (GROUP, "Group");

fn except(list: &'static [(&str, &str)]) -> impl FnOnce(&mut DenyAssignment) {
    |denial| denial.exclude_principals = principals(list)
}

fn at(scope: &'static str, stops: bool) -> impl FnOnce(&mut DenyAssignment) {
    move |denial| {
        scope.clone_into(&mut denial.scope);
        denial.do_not_apply_to_child_scopes = stops;
    }
}

fn under(condition: &'static str) -> impl FnOnce(&mut DenyAssignment) {
    |denial| denial.condition = Some(condition.to_owned())
}

fn member(scene: Scene) -> Scene {
    scene.holds(READER, KEY_VAULT).which(|own| {
        own.principal_id = GROUP.to_owned();
        own.principal_type = Some("Group".to_owned());
    })
}

#[test]
fn deny_assignments_win_over_roles() {
    check(&cases());
}

pub(super) fn cases() -> Vec<Case> {
    let (denied, groups) = ("denied: DenyAssignment", "unknown: DenyAssignmentGroups");
    let plain = |named: &[(&str, &str)]| against(named, |_| {});
    let only = |actions: &[&str], except: &[&str]| {
        let (actions, except) = (strings(actions), strings(except));
        against(&[SELF], |denial| {
            denial.permissions[0].data_actions = actions;
            denial.permissions[0].not_data_actions = except;
        })
    };
    let known = |groups: &[&str], scene: Scene| {
        let groups = strings(groups);
        scene.but(|it| it.groups = Some(groups))
    };
    let unread = |scene: Scene| scene.but(|it| it.denials = None);
    vec![
        ("it names the principal", plain(&[SELF]), denied),
        ("it names the principal in capitals", plain(&[(&P.to_uppercase(), "User")]), denied),
        ("it names everyone", plain(&[ALL]), denied),
        ("it names another principal", plain(&[(OTHER, "ServicePrincipal")]), "allowed"),
        ("it names nobody", plain(&[]), "allowed"),
        ("it denies what nobody grants", scene().denied(denial(&[SELF])), denied),
        ("everyone except the principal", against(&[ALL], except(&[SELF])), "allowed"),
        ("everyone except another", against(&[ALL], except(&[(OTHER, "User")])), denied),
        ("everyone except a group", against(&[ALL], except(&[IN_GROUP])), groups),
        ("everyone except its own group", member(against(&[ALL], except(&[IN_GROUP]))), "allowed"),
        ("a group that may hold it", plain(&[IN_GROUP]), groups),
        ("a group proved by an assignment", member(plain(&[IN_GROUP])), denied),
        (
            "a group that a stray assignment does not prove",
            plain(&[(OTHER, "Group")])
                .holds(READER, "/")
                .which(|own| own.principal_id = OTHER.to_owned()),
            groups,
        ),
        ("a group known to hold it", known(&[GROUP], plain(&[IN_GROUP])), denied),
        ("a group known not to hold it", known(&[], plain(&[IN_GROUP])), "allowed"),
        ("somebody of no stated type", plain(&[(OTHER, "")]), groups),
        (
            "a system's set other than everyone",
            known(&[], plain(&[(OTHER, "SystemDefined")])),
            groups,
        ),
        ("itself, and a group is excepted", against(&[SELF], except(&[IN_GROUP])), groups),
        (
            "a group, and the principal is excepted",
            against(&[IN_GROUP], except(&[SELF])),
            "allowed",
        ),
        ("control plane only", only(&[], &[]), "allowed"),
        (
            "the very data action",
            only(&["Microsoft.KeyVault/vaults/secrets/setSecret/action"], &[]),
            denied,
        ),
        ("another data action is denied", only(&["*/getSecret/action"], &[]), "allowed"),
        ("all but this data action", only(&["*"], &["*/setSecret/*"]), "allowed"),
        ("the resource group's", against(&[SELF], at(RESOURCE_GROUP, false)), denied),
        ("the resource group's own", against(&[SELF], at(RESOURCE_GROUP, true)), "allowed"),
        (
            "a management group's",
            against(&[SELF], at("/providers/Microsoft.Management/managementGroups/mg", false)),
            denied,
        ),
        ("another subscription's", against(&[SELF], at("/subscriptions/other", false)), "allowed"),
        (
            "the Key Vault's own",
            against(&[SELF], at(KEY_VAULT, true)),
            "unknown: DenyAssignmentReach",
        ),
        (
            "the Key Vault's own, asked about the list",
            against(&[SELF], at(KEY_VAULT, true)).holds(OFFICER, "/").asks(SecretAction::List),
            denied,
        ),
        (
            "its condition holds",
            against(&[SELF], under("ActionMatches{'*/setSecret/action'}")),
            denied,
        ),
        (
            "its condition fails",
            against(&[SELF], under("ActionMatches{'*/getSecret/action'}")),
            "allowed",
        ),
        (
            "its condition is beyond us",
            against(&[SELF], under("Exists @Principal[x]")),
            "unknown: DenyAssignmentCondition",
        ),
        (
            "a condition of its block fails",
            against(&[SELF], |denial| {
                denial.permissions[0].condition = Some("!ActionMatches{'*'}".to_owned());
            }),
            "allowed",
        ),
        (
            "they could not be read",
            unread(scene().holds(SETTER, KEY_VAULT)),
            "unknown: DenyAssignmentsUnread",
        ),
        ("unread, and nothing grants anyway", unread(scene()), "denied: NoRoleAssignment"),
        (
            "unread, like a definition",
            unread(scene().assigned("Unread", "/")),
            "unknown: DefinitionMissing, DenyAssignmentsUnread",
        ),
        ("a doubtful one and a sure one", plain(&[IN_GROUP]).denied(denial(&[SELF])), denied),
    ]
}
