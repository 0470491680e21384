//! What else the identity may do, young roles, and rights that only look like the ones that are needed.

use time::Duration;

use super::{
    check, commands, judged, status,
    world::{BROKER, NOW, denial, edited, found, policy, right, rights, with_key_vault},
};
use crate::domain::{
    effective_permission::{AccessPolicy, PrincipalRef, SecretAction},
    preflight::{
        Client, Status,
        facts::{Facts, Seen},
    },
};

const PRINCIPAL: &str = "708fa728-22b1-49fb-afc1-e871561e8f36";

#[test]
fn more_rights_than_setting_are_warned_of_and_narrowed() {
    let officer = edited(|facts| {
        facts.rights_of_recovery_services_vault = rights(PRINCIPAL, &SecretAction::ALL);
    });
    assert_eq!(
        (status(&officer, "PF-09"), status(&officer, "PF-10")),
        (Status::Pass, Status::Warn)
    );
    let lines = commands(&officer, "PF-10", Client::Az);
    let narrow = lines.find("role assignment create").unwrap();
    let away = lines.find("role assignment delete").unwrap();
    assert!(narrow < away, "{lines}");
}

#[test]
fn changing_attributes_is_more_than_setting_by_a_role_and_part_of_it_by_a_policy() {
    let update = edited(|facts| {
        facts.rights_of_recovery_services_vault =
            rights(PRINCIPAL, &[SecretAction::Set, SecretAction::Update]);
    });
    assert_eq!(status(&update, "PF-10"), Status::Warn);
    let policy = with_key_vault(|resource| {
        resource.rbac = false;
        resource.access_policies = vec![policy(PRINCIPAL, &["set"])];
    });
    assert_eq!(status(&policy, "PF-10"), Status::Pass);
}

#[test]
fn an_access_policy_of_the_identity_is_enough() {
    let facts = with_key_vault(|resource| {
        resource.rbac = false;
        resource.access_policies = vec![policy(&PRINCIPAL.to_uppercase(), &["Set"])];
    });
    assert_eq!((status(&facts, "PF-09"), status(&facts, "PF-10")), (Status::Pass, Status::Pass));
    assert_eq!(status(&facts, "PF-21"), Status::Skipped);
}

#[test]
fn a_policy_keeps_the_other_words_of_the_identity() {
    let facts = with_key_vault(|resource| {
        resource.rbac = false;
        resource.access_policies = vec![policy(PRINCIPAL, &["Get", "List"])];
    });
    assert_eq!(status(&facts, "PF-09"), Status::Fail);
    let lines = commands(&facts, "PF-09", Client::Az);
    assert!(lines.contains("--secret-permissions set get list"), "{lines}");
}

/// A Key Vault with these access policies.
fn with_policies(policies: Vec<AccessPolicy>) -> Facts {
    with_key_vault(|resource| {
        resource.rbac = false;
        resource.access_policies = policies;
    })
}

#[test]
fn an_access_policy_of_somebody_else_may_be_a_groups() {
    let group = "0a000000-0000-4000-8000-0000000000aa";
    let facts = with_policies(vec![policy(group, &["set"]), policy(BROKER, &["set"])]);
    let report = judged(&facts);
    let found = check(&report, "PF-09");
    assert_eq!((found.status, found.mars_error_code), (Status::Unknown, Some("391225")));
    let cause = found.cause.as_deref().unwrap();
    for part in ["one other object's", "is a group", "for hours"] {
        assert!(cause.contains(part), "{cause}");
    }
    assert!(found.evidence.iter().any(|it| it.fact.contains(group)), "{:?}", found.evidence);
    assert!(commands(&facts, "PF-09", Client::Az).contains("--secret-permissions set"));
}

#[test]
fn whoever_is_known_to_be_no_group_leaves_no_doubt() {
    let (user, other) =
        ("0a000000-0000-4000-8000-0000000000aa", "0a000000-0000-4000-8000-0000000000bb");
    let mut facts = with_policies(vec![policy(BROKER, &["set"]), policy(user, &["all"])]);
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
    let mut denial = denial();
    denial.exclude_principals =
        vec![PrincipalRef { id: user.to_owned(), principal_type: Some("User".to_owned()) }];
    facts.deny_assignments = found(vec![denial]);
    assert_eq!(status(&facts, "PF-09"), Status::Fail);
    if let Seen::Found(resource, _) = &mut facts.key_vault {
        resource.access_policies.push(policy(other, &["set"]));
    }
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
    if let Seen::Found(rsv, _) = &mut facts.recovery_services_vault {
        rsv.user_assigned_principals = vec![other.parse().unwrap()];
    }
    assert_eq!(status(&facts, "PF-09"), Status::Fail);
}

#[test]
fn whoever_has_a_role_is_of_a_known_kind() {
    let administrator = "0a000000-0000-4000-8000-0000000000aa";
    let mut facts = with_policies(vec![policy(administrator, &["all"])]);
    for (kind, expected) in [("User", Status::Fail), ("Group", Status::Unknown)] {
        facts.role_holders = rights(administrator, &[]).assignments;
        if let Seen::Found(holders, _) = &mut facts.role_holders {
            holders[0].principal_type = Some(kind.to_owned());
        }
        assert_eq!(status(&facts, "PF-09"), expected, "{kind}");
    }
}

#[test]
fn an_administrators_policy_is_no_excess_of_the_identitys() {
    let administrator = "0a000000-0000-4000-8000-0000000000aa";
    let facts = with_policies(vec![policy(administrator, &["all"]), policy(PRINCIPAL, &["set"])]);
    assert_eq!((status(&facts, "PF-09"), status(&facts, "PF-10")), (Status::Pass, Status::Pass));
    let report = judged(&facts);
    let told = &check(&report, "PF-10").evidence;
    assert!(told.iter().any(|it| it.fact.contains(administrator)), "{told:?}");
}

#[test]
fn a_group_that_a_role_assignment_shows_to_hold_the_identity_counts() {
    let group = "0a000000-0000-4000-8000-0000000000aa";
    let mut facts = with_policies(vec![policy(group, &["set"])]);
    facts.rights_of_recovery_services_vault = rights(group, &[]);
    if let Seen::Found(assignments, _) = &mut facts.rights_of_recovery_services_vault.assignments {
        assignments[0].principal_type = Some("Group".to_owned());
    }
    let report = judged(&facts);
    let found = check(&report, "PF-09");
    assert_eq!(found.status, Status::Pass);
    assert!(found.cause.as_deref().unwrap().contains("through a group"), "{:?}", found.cause);
}

#[test]
fn a_young_role_passes_with_a_warning_to_wait() {
    let mut young = right();
    if let Seen::Found(assignments, _) = &mut young.rights_of_recovery_services_vault.assignments {
        assignments[0].created_on = Some(NOW - Duration::minutes(3));
        assignments[0].updated_on = assignments[0].created_on;
    }
    assert_eq!((status(&young, "PF-09"), status(&young, "PF-20")), (Status::Pass, Status::Warn));
}

#[test]
fn an_owner_without_data_actions_is_told_so() {
    let mut facts = right();
    facts.rights_of_recovery_services_vault.definitions[0].name = "Owner".to_owned();
    facts.rights_of_recovery_services_vault.definitions[0].permissions[0].data_actions = Vec::new();
    facts.rights_of_recovery_services_vault.definitions[0].permissions[0].actions =
        vec!["*".to_owned()];
    let report = judged(&facts);
    let told = check(&report, "PF-09")
        .evidence
        .iter()
        .any(|it| it.fact.contains("no access to its secrets"));
    assert!(told && status(&facts, "PF-09") == Status::Fail, "{:?}", check(&report, "PF-09"));
}

#[test]
fn what_this_service_lacks_is_told_with_the_operations_that_would_fail() {
    let facts = edited(|facts| {
        facts.rights_of_broker = rights(
            "3975aeed-7d08-453b-b6f4-445f32698091",
            &[SecretAction::List, SecretAction::Get],
        );
        facts.may_get = found(true);
    });
    let report = judged(&facts);
    let found = check(&report, "PF-16");
    assert_eq!(found.status, Status::Fail);
    assert!(
        found
            .cause
            .as_deref()
            .is_some_and(|cause| cause.contains("rotating") && cause.contains("recovering"))
    );
    assert!(
        commands(&facts, "PF-16", Client::Az)
            .contains("Microsoft.KeyVault/vaults/secrets/recover/action")
    );
}

#[test]
fn a_condition_that_does_not_hold_is_told_in_the_cause() {
    let mut facts = right();
    let condition = "@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'azbackup-'";
    if let Seen::Found(assignments, _) = &mut facts.rights_of_recovery_services_vault.assignments {
        assignments[0].condition = Some(condition.to_owned());
        assignments[0].condition_version = Some("2.0".to_owned());
    }
    let report = judged(&facts);
    let cause = check(&report, "PF-09").cause.as_deref().unwrap();
    assert!(cause.contains("does not hold here") && cause.contains(condition), "{cause}");
}
