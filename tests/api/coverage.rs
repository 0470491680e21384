//! `GET /v1/coverage`: which machines are safe, which are not, why, and what nobody could find out.

use std::collections::BTreeSet;

use azsim::{Container, RecoveryServicesVault};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    adoption_scan::readable,
    coverage_csv::csv,
    harness::{Answer, Broker, Setup, azure},
};

pub async fn machine_in(
    broker: &Broker,
    rsv: &RecoveryServicesVault,
    fqdn: &str,
    source: &str,
) -> Answer {
    let body = json!({"fqdn": fqdn, "recoveryServicesVaultId": rsv.resource_id(), "agentVersion": "2.0.9000.0",
        "passphrase": {"source": source}});
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    machine
}

pub async fn coverage(broker: &Broker, query: &str) -> Answer {
    let answer = broker.portal().get(&format!("/v1/coverage?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn item<'a>(answer: &'a Answer, fqdn: &str) -> &'a Value {
    let items = answer.body["items"].as_array().unwrap();
    items
        .iter()
        .find(|item| item["fqdn"] == fqdn)
        .unwrap_or_else(|| panic!("no {fqdn}: {}", answer.text))
}

#[tokio::test]
async fn each_machine_says_whether_it_is_safe_and_why_not() {
    let broker = Broker::start(Setup::default()).await;
    let names = ["safe.example", "gone.example", "empty.example", "stranger.example"];
    let rsv = readable("rsv-covered", &names);
    let safe = machine_in(&broker, &rsv, "safe.example", "generated").await;
    let gone = machine_in(&broker, &rsv, "gone.example", "generated").await;
    machine_in(&broker, &rsv, "empty.example", "none").await;
    machine_in(&broker, &rsv, "unknown-to-arm.example", "generated").await;
    broker.helpdesk().retrieve(safe.id()).await;
    let mark = format!(
        "update machines set secret_condition = 'softDeleted', last_checked_at = now() where id = '{}'",
        gone.id()
    );
    broker.database.execute(&mark).await;
    let report = coverage(&broker, "").await;
    let found = item(&report, "safe.example");
    assert_eq!(
        (&found["retrievable"], &found["reasons"], &found["machineId"]),
        (&json!(true), &json!([]), &safe.body["id"])
    );
    assert_eq!(
        (&found["agentVersion"], &found["registrationStatus"]),
        (&json!("2.0.9270.0"), &json!("Registered"))
    );
    assert!(
        found["lastRetrievedAt"].is_string() && found.get("lastRotatedAt").is_none(),
        "{found}"
    );
    let found = item(&report, "gone.example");
    assert_eq!(
        (&found["retrievable"], &found["reasons"]),
        (&json!(false), &json!(["secretSoftDeleted"]))
    );
    assert!(
        found["lastCheckedAt"].is_string() && found.get("lastRetrievedAt").is_none(),
        "{found}"
    );
    assert_eq!(item(&report, "empty.example")["reasons"], json!(["awaitingPassphrase"]));
    let found = item(&report, "stranger.example");
    assert_eq!(
        (&found["retrievable"], &found["reasons"]),
        (&json!(false), &json!(["notRegistered"]))
    );
    assert!(found.get("machineId").is_none());
    let found = item(&report, "unknown-to-arm.example");
    assert_eq!(
        (&found["retrievable"], &found["agentVersion"]),
        (&json!(true), &json!("2.0.9000.0"))
    );
    assert!(found.get("registrationStatus").is_none());
    let of = &report.body["recoveryServicesVaults"][0];
    assert_eq!(
        (&of["inventory"], &of["registered"], &of["retrievable"]),
        (&json!("complete"), &json!(4), &json!(2))
    );
    assert_eq!((&of["notRetrievable"], &of["notRegistered"]), (&json!(2), &json!(1)), "{of}");
}

#[tokio::test]
async fn a_rotation_and_a_short_name_count() {
    let broker = Broker::start(Setup::default()).await;
    let rsv = readable("rsv-short", &["web01"]);
    let agent = broker.agent();
    let body = json!({"fqdn": "web01.corp.example", "recoveryServicesVaultId": rsv.resource_id(),
        "agentObjectId": agent.object_id, "passphrase": {"source": "generated"}});
    let machine = broker.portal().post("/v1/machines", body).await;
    let rotation = agent.rotate(machine.id()).await;
    assert_eq!(agent.settle(machine.id(), rotation.id(), "confirm").await.status, 200);
    let report = coverage(&broker, "").await;
    assert_eq!(report.body["items"].as_array().unwrap().len(), 1, "{}", report.text);
    let found = item(&report, "web01.corp.example");
    assert!(
        found["lastRotatedAt"].is_string() && found["registrationStatus"] == "Registered",
        "{found}"
    );
    assert_eq!(report.body["recoveryServicesVaults"][0]["notRegistered"], 0);
}

#[tokio::test]
async fn what_arm_does_not_tell_is_unknown_and_not_complete() {
    let broker = Broker::start(Setup::default()).await;
    let hidden = RecoveryServicesVault {
        subscription_id: Uuid::new_v4().to_string(),
        containers: vec![Container::named("secret.example")],
        ..RecoveryServicesVault::named("rsv-hidden")
    };
    azure().add_recovery_services_vault(hidden.clone());
    machine_in(&broker, &hidden, "known.example", "generated").await;
    let report = coverage(&broker, "").await;
    let of = &report.body["recoveryServicesVaults"][0];
    assert_eq!((&of["inventory"], &of["registered"]), (&json!("unknown"), &json!(1)), "{of}");
    assert!(of["reason"].as_str().unwrap().contains("backupProtectionContainers/read"), "{of}");
    assert!(of.get("notRegistered").is_none() && of.get("readAt").is_none(), "{of}");
    assert_eq!(item(&report, "known.example")["retrievable"], true);
    let text = coverage(&broker, "format=csv").await.text;
    assert!(csv(&text)[1][13].starts_with("unknown: forbidden"), "{text}");
}

#[tokio::test]
async fn a_recovery_services_vault_without_machines_has_its_line() {
    let broker = Broker::start(Setup::default()).await;
    let known = readable("rsv-known", &[]);
    let beside = RecoveryServicesVault { name: "rsv-beside".to_owned(), ..known.clone() };
    azure().add_recovery_services_vault(beside);
    azure().make_owner(
        &azure().identity().principal_id,
        &format!("/subscriptions/{}", known.subscription_id),
    );
    machine_in(&broker, &known, "known.example", "generated").await;
    assert_eq!(broker.portal().post("/v1/adoptions/scan", json!({})).await.status, 200);
    let report = coverage(&broker, "").await;
    let ids: Vec<&str> = report.body["recoveryServicesVaults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["id"].as_str().unwrap())
        .collect();
    assert!(ids.len() == 2 && ids.iter().any(|id| id.ends_with("/rsv-beside")), "{ids:?}");
    let rows = csv(&coverage(&broker, "format=csv").await.text);
    let beside = rows.iter().find(|row| row[0].ends_with("/rsv-beside")).unwrap();
    assert_eq!((beside[1].as_str(), beside[4].as_str(), beside[13].as_str()), ("", "", "complete"));
}

#[tokio::test]
async fn pages_have_no_gaps_and_one_recovery_services_vault_can_be_asked_for() {
    let broker = Broker::start(Setup::default()).await;
    let strangers: Vec<String> = (0..7).map(|number| format!("stranger{number}.example")).collect();
    let strangers: Vec<&str> = strangers.iter().map(String::as_str).collect();
    let [one, other] = [readable("rsv-one", &strangers), readable("rsv-two", &[])];
    let mut expected: BTreeSet<String> = strangers.iter().map(|name| (*name).to_owned()).collect();
    for number in 0..11 {
        let (rsv, fqdn) =
            (if number % 2 == 0 { &one } else { &other }, format!("srv{number}.example"));
        machine_in(&broker, rsv, &fqdn, "none").await;
        expected.insert(fqdn);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = coverage(&broker, &format!("pageSize=3{cursor}")).await;
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["fqdn"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    let only = coverage(
        &broker,
        &format!("pageSize=200&recoveryServicesVaultId={}", other.resource_id().to_uppercase()),
    )
    .await;
    assert_eq!(only.body["items"].as_array().unwrap().len(), 5, "{}", only.text);
}
