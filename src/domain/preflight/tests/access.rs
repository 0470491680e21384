//! What else the identity may do, young roles, and rights that only look like the ones that are needed.

use time::Duration;

use super::{
    check, commands, judged, status,
    world::{NOW, edited, found, policy, right, rights, with_key_vault},
};
use crate::domain::{
    effective_permission::SecretAction,
    preflight::{Client, Status, facts::Seen},
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
