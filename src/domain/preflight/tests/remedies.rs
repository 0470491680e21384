//! Commands that have to take what is there already into account.

use super::{
    commands, status,
    world::{KEY_VAULT, edited, found, right, rights, source},
};
use crate::domain::{
    effective_permission::SecretAction,
    preflight::{
        Client, Status,
        facts::{DeletedSecretFacts, Facts, Seen, Source},
    },
    secret_name::SecretName,
};

const PRINCIPAL: &str = "708fa728-22b1-49fb-afc1-e871561e8f36";
const SUBSCRIPTION: &str = "0b1f6471-1bf0-4dda-aec3-cb9272f09591";
const OTHER: &str = "5b1e0a4c-0000-4000-8000-0000000000aa";
const OTHER_NAMES: &str = "((!(ActionMatches{'Microsoft.KeyVault/vaults/secrets/setSecret/action'})) OR \
                           (@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'Other-'))";

/// The identity's role, under a condition that its secret does not meet.
fn conditioned(role: &str) -> Facts {
    let mut held = rights(PRINCIPAL, &[SecretAction::Set]);
    role.clone_into(&mut held.definitions[0].name);
    if let Seen::Found(assignments, _) = &mut held.assignments {
        assignments[0].condition = Some(OTHER_NAMES.to_owned());
        assignments[0].condition_version = Some("2.0".to_owned());
    }
    edited(|facts| facts.rights_of_recovery_services_vault = held)
}

/// Azure keeps one assignment of a role: a second one would silently be the first.
#[test]
fn a_condition_on_the_same_role_is_taken_away_first() {
    let facts = conditioned("MARS passphrase writer (0b1f6471)");
    assert_eq!(status(&facts, "PF-09"), Status::Fail);
    let lines = commands(&facts, "PF-09", Client::Az);
    let first = format!(
        "az role assignment delete --ids {KEY_VAULT}/providers/Microsoft.Authorization/roleAssignments/1"
    );
    assert!(lines.starts_with(&first), "{lines}");
    let powershell = commands(&facts, "PF-09", Client::PowerShell);
    assert!(powershell.contains("Remove-AzRoleAssignment -ObjectId 708fa728"), "{powershell}");
}

#[test]
fn a_condition_that_nobody_can_evaluate_is_taken_away_first() {
    let mut facts = conditioned("MARS passphrase writer (0b1f6471)");
    if let Seen::Found(assignments, _) = &mut facts.rights_of_recovery_services_vault.assignments {
        assignments[0].condition = Some("@Environment[isPrivateLink] BoolEquals true".to_owned());
    }
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
    let lines = commands(&facts, "PF-09", Client::Az);
    assert!(lines.starts_with("az role assignment delete --ids"), "{lines}");
}

#[test]
fn each_name_that_lies_deleted_is_told_and_recovered() {
    let deleted = || found(DeletedSecretFacts { disabled: false, scheduled_purge_at: None });
    let facts = edited(|facts| {
        let mut other = facts.secrets[0].clone();
        other.name = SecretName::parse("AzBackup-srv-web01-rsv-prod").unwrap();
        facts.secrets.push(other);
        facts.secrets.iter_mut().for_each(|secret| secret.deleted = deleted());
    });
    let lines = commands(&facts, "PF-13", Client::Az);
    for secret in &facts.secrets {
        assert!(lines.contains(&format!("--name {} ", secret.name)), "{lines}");
    }
}

#[test]
fn a_condition_on_another_role_stays() {
    let facts = conditioned("Writers of our own");
    assert_eq!(status(&facts, "PF-09"), Status::Fail);
    let lines = commands(&facts, "PF-09", Client::Az);
    assert!(!lines.contains("delete") && lines.contains("role assignment create"), "{lines}");
}

#[test]
fn of_two_versions_in_one_second_a_disabled_one_is_told() {
    let mut facts = right();
    if let Seen::Found(versions, _) = &mut facts.secrets[0].versions {
        versions.push(versions[0].clone());
        versions[0].enabled = false;
        versions[0].version = "1aa00000000000000000000000000000".to_owned();
    }
    assert_eq!(status(&facts, "PF-14"), Status::Warn);
    let lines = commands(&facts, "PF-14", Client::Az);
    assert!(lines.contains("--version 1aa0"), "{lines}");
}

#[test]
fn each_subscription_that_cannot_be_read_gets_the_role_that_reads() {
    let refused = |action: &str, subscription: &str| {
        let call = format!("GET https://management.azure.com/subscriptions/{subscription}/x");
        (action.to_owned(), Source { call, status: Some(403), ..source() })
    };
    let facts = edited(|facts| {
        let (action, source) = refused("Microsoft.RecoveryServices/Vaults/read", OTHER);
        facts.recovery_services_vault = Seen::Forbidden { action, source };
        let (action, source) = refused("Microsoft.Insights/diagnosticSettings/read", SUBSCRIPTION);
        facts.diagnostic_settings = Seen::Forbidden { action, source };
    });
    assert_eq!(status(&facts, "PF-16"), Status::Warn);
    let lines = commands(&facts, "PF-16", Client::Az);
    for subscription in [OTHER, SUBSCRIPTION] {
        let scope = format!("--scope /subscriptions/{subscription} ");
        assert!(lines.contains(&scope), "{lines}");
    }
}

#[test]
fn powershell_is_told_the_subscription_first() {
    let facts = edited(|facts| {
        if let Seen::Found(key_vault, _) = &mut facts.key_vault {
            key_vault.purge_protection = false;
        }
    });
    let lines = commands(&facts, "PF-12", Client::PowerShell);
    assert!(lines.starts_with(&format!("Set-AzContext -Subscription {SUBSCRIPTION}\n")), "{lines}");
}
