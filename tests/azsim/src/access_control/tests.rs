//! The algorithm of the decision, one fact a test.
//!
//! Over `Roles` alone; over the wire it is proved in `tests/suite/roles.rs`.

use super::*;

const READ: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
const KEY_VAULT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";

fn world() -> World {
    World::default()
}

fn assigned(role: &str, scope: &str) -> Roles {
    let given = RoleAssignment { role: Some(role.to_owned()), ..RoleAssignment::to("p", scope) };
    Roles::of(&World { role_assignments: vec![given], ..world() })
}

fn allowed(roles: &Roles, principal: &str, action: &str) -> bool {
    roles.decide(principal, action, &format!("{KEY_VAULT}/secrets/n"), Plane::Data).is_ok()
}

#[test]
fn a_built_in_role_is_found_by_name_and_holds_below_its_scope() {
    let roles = assigned("key vault secrets user", "/subscriptions/S");
    assert!(allowed(&roles, "P", READ));
    assert!(!allowed(&roles, "p", SET));
    assert!(!allowed(&roles, "q", READ));
}

#[test]
fn an_owner_reads_no_secret() {
    let roles = assigned("Owner", "/");
    assert!(!allowed(&roles, "p", READ));
    let action = "Microsoft.KeyVault/vaults/read";
    assert!(roles.decide("p", action, KEY_VAULT, Plane::Management).is_ok());
}

#[test]
fn what_one_block_excepts_another_may_grant() {
    let mut roles = assigned("Key Vault Secrets User", "/");
    let excepting = RoleAssignment {
        data_actions: vec!["*".to_owned()],
        not_data_actions: vec![READ.to_owned()],
        ..RoleAssignment::to("p", "/")
    };
    roles.assign(excepting, Stamp::by(None));
    assert!(allowed(&roles, "p", READ));
    assert!(allowed(&roles, "p", SET));
}

#[test]
fn a_group_in_a_group_hands_its_roles_on() {
    let mut roles = assigned("Key Vault Secrets User", "/");
    let group = |id: &str, member: &str| Group { id: id.into(), members: vec![member.into()] };
    roles.groups = vec![group("p", "inner"), group("inner", "someone")];
    assert!(allowed(&roles, "someone", READ));
}

fn denial(principals: &[&str], excluded: &[&str]) -> DenyAssignment {
    let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
    DenyAssignment {
        id: "d".to_owned(),
        name: String::new(),
        description: String::new(),
        scope: KEY_VAULT.to_owned(),
        permissions: vec![Permission {
            data_actions: vec!["Microsoft.KeyVault/*".to_owned()],
            ..Permission::default()
        }],
        do_not_apply_to_child_scopes: false,
        principals: owned(principals),
        exclude_principals: owned(excluded),
        condition: None,
    }
}

#[test]
fn a_denial_of_everyone_spares_whom_it_excludes() {
    let mut roles = assigned("Key Vault Secrets User", "/");
    roles.denials = vec![Arc::new(denial(&[EVERYONE], &[]))];
    let secret = format!("{KEY_VAULT}/secrets/n");
    let denied = roles.decide("p", READ, &secret, Plane::Data);
    assert_eq!(denied, Err(Denied(Some("d".to_owned()))));
    roles.denials = vec![Arc::new(denial(&[EVERYONE], &["P"]))];
    assert!(allowed(&roles, "p", READ));
}

#[test]
fn a_denial_may_stop_at_its_own_scope() {
    let mut roles = assigned("Key Vault Secrets User", "/");
    let here = DenyAssignment { do_not_apply_to_child_scopes: true, ..denial(&["p"], &[]) };
    roles.denials = vec![Arc::new(here)];
    assert!(allowed(&roles, "p", READ));
    assert!(roles.decide("p", READ, KEY_VAULT, Plane::Data).is_err());
}

#[test]
fn equal_lists_of_data_actions_are_one_role() {
    let mut roles = Roles::default();
    for principal in ["p", "q"] {
        let given = RoleAssignment {
            data_actions: BROKER_DATA_ACTIONS.map(str::to_owned).to_vec(),
            ..RoleAssignment::to(principal, "/")
        };
        roles.assign(given, Stamp::by(None));
    }
    let names: Vec<_> = roles.definitions.values().map(|role| &role.given.role_name).collect();
    assert_eq!(names, ["MARS Passphrase Broker (secrets)"]);
}
