//! What could not be seen is unknown: never a pass, and never a failure either.

use super::{
    check, judged, status,
    world::{KEY_VAULT, edited, forbidden, right, silent, source},
};
use crate::domain::{
    preflight::{
        Status,
        facts::{Door, Facts, Rights, Seen, Source},
    },
    resource_id::KeyVaultId,
};

/// Checks that rest on ARM alone. The others have a second witness: Key Vault itself.
const OF_ARM: [&str; 12] = [
    "PF-06", "PF-07", "PF-08", "PF-09", "PF-10", "PF-15", "PF-17", "PF-18", "PF-19", "PF-20",
    "PF-21", "PF-22",
];

/// Nothing of ARM can be read.
fn without_arm(facts: &mut Facts, seen: &dyn Fn() -> Seen<()>) {
    fn as_seen<T>(seen: Seen<()>) -> Seen<T> {
        match seen {
            Seen::Forbidden { action, source } => Seen::Forbidden { action, source },
            Seen::Unreadable { why, source } => Seen::Unreadable { why, source },
            _ => Seen::Closed("closed"),
        }
    }
    facts.key_vault = as_seen(seen());
    facts.deleted_key_vault = as_seen(seen());
    facts.recovery_services_vault = as_seen(seen());
    facts.rsv_config = as_seen(seen());
    facts.containers = as_seen(seen());
    facts.deny_assignments = as_seen(seen());
    facts.diagnostic_settings = as_seen(seen());
    facts.rights_of_recovery_services_vault =
        Rights { assignments: as_seen(seen()), definitions: Vec::new(), definition_unread: None };
    facts.rights_of_broker =
        Rights { assignments: as_seen(seen()), definitions: Vec::new(), definition_unread: None };
}

#[test]
fn what_arm_does_not_show_is_unknown_and_names_the_missing_action() {
    let action = "Microsoft.KeyVault/vaults/read";
    let facts = edited(|facts| without_arm(facts, &|| forbidden(action)));
    let report = judged(&facts);
    for id in OF_ARM {
        let found = check(&report, id);
        assert_eq!(found.status, Status::Unknown, "{found:?}");
        assert!(found.cause.as_deref().is_some_and(|cause| cause.contains(action)), "{found:?}");
    }
    assert_eq!(report.overall, Status::Unknown);
}

#[test]
fn what_arm_does_not_answer_is_unknown() {
    let facts = edited(|facts| without_arm(facts, &silent));
    for id in OF_ARM {
        assert_eq!(status(&facts, id), Status::Unknown, "{id}");
    }
    assert_eq!(judged(&facts).overall, Status::Unknown);
}

#[test]
fn key_vault_is_a_second_witness_of_purge_protection() {
    let closed = |level: &str| {
        edited(|facts| {
            without_arm(facts, &silent);
            facts.recovery_level = Some((level.to_owned(), source()));
        })
    };
    for level in ["Recoverable", "CustomizedRecoverable", "Recoverable+ProtectedSubscription"] {
        assert_eq!(status(&closed(level), "PF-12"), Status::Pass, "{level}");
    }
    for level in ["Recoverable+Purgeable", "CustomizedRecoverable+Purgeable", "Purgeable"] {
        assert_eq!(status(&closed(level), "PF-12"), Status::Fail, "{level}");
    }
    assert_eq!(status(&closed("Purgeable"), "PF-11"), Status::Fail);
}

#[test]
fn a_definition_that_cannot_be_read_leaves_the_permission_unknown() {
    let facts = edited(|facts| facts.rights_of_recovery_services_vault.definitions.clear());
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
}

#[test]
fn a_condition_that_cannot_be_evaluated_is_no_pass() {
    let mut facts = right();
    if let Seen::Found(assignments, _) = &mut facts.rights_of_recovery_services_vault.assignments {
        assignments[0].condition = Some("@Environment[isPrivateLink] BoolEquals true".to_owned());
        assignments[0].condition_version = Some("2.0".to_owned());
    }
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
}

#[test]
fn a_key_vault_of_nobodys_configuration_is_not_asked_and_not_passed() {
    let facts = edited(|facts| {
        facts.key_vault_allowed = false;
        facts.door = Door::NotAsked("not ours");
        facts.may_get = Seen::Closed("not ours");
        for secret in &mut facts.secrets {
            secret.versions = Seen::Closed("not ours");
            secret.deleted = Seen::Closed("not ours");
        }
    });
    for id in ["PF-13", "PF-14"] {
        assert_eq!(status(&facts, id), Status::Unknown, "{id}");
    }
}

#[test]
fn with_nothing_but_a_uri_the_rest_is_skipped_and_nothing_is_passed_for_it() {
    let facts = edited(|facts| {
        facts.subject.fqdn = None;
        facts.subject.recovery_services_vault_id = None;
        facts.recovery_services_vault = Seen::NotAsked("Not given.");
        facts.rsv_config = Seen::NotAsked("Not given.");
        facts.containers = Seen::NotAsked("Not given.");
        facts.secrets.clear();
    });
    for id in [
        "PF-03", "PF-06", "PF-07", "PF-08", "PF-09", "PF-10", "PF-13", "PF-14", "PF-17", "PF-18",
        "PF-19", "PF-20",
    ] {
        assert_eq!(status(&facts, id), Status::Skipped, "{id}");
    }
}

#[test]
fn an_id_that_names_nothing_is_no_pass_though_the_uri_answers() {
    let other = KEY_VAULT.replace("rg-mars", "rg-of-others");
    let facts = edited(|facts| {
        facts.subject.key_vault_id = KeyVaultId::parse(&other).ok();
        facts.key_vault = Seen::Absent(Source { status: Some(404), ..source() });
    });
    let report = judged(&facts);
    let cause = check(&report, "PF-04").cause.as_deref().unwrap();
    assert!(status(&facts, "PF-04") == Status::Unknown && cause.contains("keyVaultId"), "{cause}");
    let facts = edited(|facts| {
        facts.subject.key_vault_id = KeyVaultId::parse(&KEY_VAULT.replace("kv-mars", "kv-b")).ok();
        facts.key_vault = silent();
    });
    assert_eq!(status(&facts, "PF-04"), Status::Fail);
}

#[test]
fn rights_in_a_key_vault_that_is_not_configured_are_of_no_use() {
    let facts = edited(|facts| facts.key_vault_allowed = false);
    let report = judged(&facts);
    let found = check(&report, "PF-16");
    assert_eq!(found.status, Status::Warn);
    assert!(found.cause.as_deref().unwrap().contains("KEY_VAULT_URIS"), "{found:?}");
}

#[test]
fn what_a_search_did_not_list_is_not_called_absent() {
    let facts = edited(|facts| facts.key_vault = Seen::Absent(source()));
    let report = judged(&facts);
    let cause = check(&report, "PF-09").cause.as_deref().unwrap();
    assert!(cause.contains("where this service may read it"), "{cause}");
}

#[test]
fn a_host_that_does_not_answer_is_no_proof_that_there_is_none() {
    let facts = edited(|facts| {
        facts.key_vault = Seen::Absent(source());
        facts.door = Door::Unreadable { why: "no answer".to_owned(), source: source() };
    });
    assert_eq!(status(&facts, "PF-04"), Status::Unknown);
}

#[test]
fn where_a_denial_is_in_doubt_no_role_is_recommended() {
    let facts = edited(|facts| facts.deny_assignments = silent());
    assert_eq!(status(&facts, "PF-09"), Status::Unknown);
    assert_eq!(check(&judged(&facts), "PF-09").remedies, []);
}
