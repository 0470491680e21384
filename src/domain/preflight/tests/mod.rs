//! One thing wrong at a time in a world where all is right: the check that names it, and with what.

mod access;
mod machine;
mod remedies;
mod unproven;
mod world;
mod wrong;

use super::{Client, Report, Status, facts::Facts, report};
use world::{NOW, right, source};

/// What a check says in a report.
fn status(facts: &Facts, id: &str) -> Status {
    check(&judged(facts), id).status
}

fn judged(facts: &Facts) -> Report {
    report(facts, NOW)
}

fn check<'a>(report: &'a Report, id: &str) -> &'a super::Check {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

/// The lines for one client, one after the other.
fn commands(facts: &Facts, id: &str, client: Client) -> String {
    let report = judged(facts);
    let remedies = check(&report, id).remedies.iter().filter(|remedy| remedy.client == client);
    remedies.flat_map(|remedy| remedy.commands.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn when_all_is_right_all_passes() {
    let report = judged(&right());
    for check in &report.checks {
        assert_eq!(check.status, Status::Pass, "{check:?}");
        assert!(check.remedies.is_empty() && check.mars_error_code.is_none(), "{check:?}");
    }
    assert_eq!(report.overall, Status::Pass);
}

#[test]
fn the_checks_are_numbered_without_a_gap() {
    let ids: Vec<&str> = judged(&right()).checks.iter().map(|check| check.id).collect();
    let wanted: Vec<String> = (1..=26).map(|number| format!("PF-{number:02}")).collect();
    assert_eq!(ids, wanted);
}

#[test]
fn the_worst_check_decides() {
    use Status::{Fail, Pass, Skipped, Unknown, Warn};
    let mut order = vec![Unknown, Skipped, Fail, Pass, Warn];
    order.sort();
    assert_eq!(order, [Skipped, Pass, Warn, Unknown, Fail]);
}

#[test]
fn every_failure_says_why_and_what_it_rests_on() {
    for (name, facts) in wrong::all() {
        for check in judged(&facts).checks {
            let told = check.cause.as_deref().is_some_and(|cause| cause.ends_with(['.', '?', ')']));
            assert!(told, "{name}: {check:?}");
            let no_evidence = check.evidence.is_empty() && check.status == Status::Fail;
            assert!(
                !no_evidence || matches!(check.id, "PF-01" | "PF-02" | "PF-03"),
                "{name}: {check:?}"
            );
        }
    }
}

/// Microsoft's error, the world that has it, the check, and parts of the az lines that mend it.
#[test]
fn each_of_microsofts_errors_is_named_with_its_code_and_a_remedy() {
    let wanted = [
        (
            "identity removed",
            "PF-07",
            Some("391224"),
            "az backup vault identity assign --system-assigned",
        ),
        (
            "identity never made",
            "PF-07",
            Some("391224"),
            "--resource-group rg-backup --name rsv-prod",
        ),
        ("user-assigned only", "PF-07", Some("391224"), "--system-assigned"),
        (
            "no role",
            "PF-09",
            Some("391225"),
            "--assignee-object-id 708fa728-22b1-49fb-afc1-e871561e8f36",
        ),
        ("no policy", "PF-09", Some("391225"), "az keyvault set-policy --name kv-mars"),
        ("portal page", "PF-01", Some("100272"), "az keyvault list"),
        (
            "secret deleted",
            "PF-13",
            Some("391282"),
            "az keyvault secret recover --vault-name kv-mars --name AzBackup-srv-web01",
        ),
        ("secret disabled and deleted", "PF-13", Some("391282"), "az keyvault secret recover"),
        (
            "key vault deleted",
            "PF-05",
            Some("391283"),
            "az keyvault recover --name kv-mars --location westeurope",
        ),
        ("registration incomplete", "PF-18", Some("Registration is incomplete"), ""),
        ("no purge protection", "PF-12", None, "--enable-purge-protection true"),
        (
            "firewall",
            "PF-15",
            None,
            "az keyvault network-rule add --name kv-mars --resource-group rg-mars",
        ),
        ("old agent", "PF-17", None, ""),
        ("deny assignment", "PF-21", Some("391225"), ""),
        ("other tenant", "PF-08", Some("391225"), ""),
    ];
    let worlds = wrong::all();
    for (name, id, code, line) in wanted {
        let (_, facts) = worlds.iter().find(|(known, _)| *known == name).unwrap();
        let report = judged(facts);
        let found = check(&report, id);
        assert_eq!(
            (found.status, found.mars_error_code),
            (Status::Fail, code),
            "{name}: {found:?}"
        );
        assert_eq!(report.overall, Status::Fail, "{name}");
        let commands = commands(facts, id, Client::Az);
        assert!(commands.contains(line), "{name}: {commands}");
    }
}

#[test]
fn consequences_are_told() {
    let worlds = wrong::all();
    let cause = |name: &str, id: &str| {
        let (_, facts) = worlds.iter().find(|(known, _)| *known == name).unwrap();
        check(&judged(facts), id).cause.clone().unwrap_or_default()
    };
    assert!(cause("no purge protection", "PF-12").contains("cannot be undone"));
    let recovered = cause("key vault deleted", "PF-05");
    assert!(
        recovered.contains("neither role assignments nor Event Grid")
            && recovered.contains("391225")
    );
    assert!(cause("user-assigned only", "PF-07").contains("not support a user-assigned"));
}

#[test]
fn an_irreversible_command_is_announced_for_every_client() {
    let worlds = wrong::all();
    let (_, facts) = worlds.iter().find(|(name, _)| *name == "no purge protection").unwrap();
    let report = judged(facts);
    let remedies = &check(&report, "PF-12").remedies;
    assert_eq!(remedies.len(), 3);
    assert!(remedies.iter().all(|remedy| remedy.text.contains("annot be undone")), "{remedies:?}");
}

#[test]
fn a_skewed_clock_is_warned_of() {
    let mut facts = right();
    facts.clock_ahead = Some((-61, source()));
    assert_eq!(status(&facts, "PF-25"), Status::Warn);
    facts.clock_ahead = Some((60, source()));
    assert_eq!(status(&facts, "PF-25"), Status::Pass);
}
