//! `POST /v1/adoptions/scan`: what MARS saved is found and proposed, nothing is guessed, and no value is read.

use std::collections::BTreeSet;

use azsim::{Container, RecoveryServicesVault, SecretSpec, VaultIdentity};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Actor, Answer, Broker, Setup, azure};

pub async fn scan(broker: &Broker, body: Value) -> Answer {
    broker.portal().post("/v1/adoptions/scan", body).await
}

/// All items of all calls.
pub async fn scan_all(broker: &Broker, mut body: Value) -> (Vec<Value>, u64, usize) {
    let (mut items, mut calls) = (Vec::new(), 0);
    loop {
        let answer = scan(broker, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        items.extend(answer.body["items"].as_array().unwrap().clone());
        calls += 1;
        if answer.body["nextCursor"].is_null() {
            return (items, answer.body["scanned"].as_u64().unwrap(), calls);
        }
        body["cursor"] = answer.body["nextCursor"].clone();
    }
}

pub fn put(broker: &Broker, secret: &str) -> String {
    azure().put_secret(&broker.key_vault, SecretSpec::new(secret, "a-value-nobody-reads")).unwrap()
}

/// A Recovery Services vault with these machines, in a subscription of its own, that the broker may read.
pub fn readable(name: &str, machines: &[&str]) -> RecoveryServicesVault {
    let principal_id = Some(Uuid::new_v4().to_string());
    let spec = RecoveryServicesVault {
        name: name.to_owned(),
        identity: Some(VaultIdentity { principal_id, ..VaultIdentity::default() }),
        subscription_id: Uuid::new_v4().to_string(),
        containers: machines.iter().map(|machine| Container::named(*machine)).collect(),
        ..RecoveryServicesVault::default()
    };
    let id = azure().add_recovery_services_vault(spec.clone());
    azure().make_owner(&azure().identity().principal_id, &id);
    spec
}

/// The proposal for this secret.
fn of<'a>(items: &'a [Value], secret: &str) -> &'a Value {
    let mut found = items.iter().filter(|item| item["secretName"] == secret);
    let first = found.next().unwrap_or_else(|| panic!("{secret} is not proposed"));
    assert!(found.next().is_none(), "{secret} is there twice");
    first
}

fn operations(broker: &Broker) -> BTreeSet<String> {
    let seen = azure().requests(&broker.key_vault).unwrap();
    let ours = seen.into_iter().filter(|seen| !seen.secret_name.is_empty());
    ours.map(|seen| seen.operation).collect()
}

#[tokio::test]
async fn machines_of_a_named_recovery_services_vault_are_proposed_in_each_way_to_write_them() {
    let broker = Broker::start(Setup::default()).await;
    let rsv = readable("rsv-scan", &["Web01.corp.example", "web02.corp.example", "WEB03"]);
    for secret in [
        "AzBackup-web01-corp-example-rsv-scan",
        "AzBackup-web02corpexample-RSV-scan",
        "AZBACKUP-web03-rsv-scan",
    ] {
        put(&broker, secret);
    }
    let (items, scanned, _) =
        scan_all(&broker, json!({"recoveryServicesVaultIds": [rsv.resource_id()]})).await;
    assert_eq!((items.len(), scanned), (3, 3));
    for (secret, fqdn) in [
        ("AzBackup-web01-corp-example-rsv-scan", "web01.corp.example"),
        ("AzBackup-web02corpexample-RSV-scan", "web02.corp.example"),
        ("AZBACKUP-web03-rsv-scan", "web03"),
    ] {
        let item = of(&items, secret);
        assert_eq!((&item["confidence"], &item["fqdn"]), (&json!("high"), &json!(fqdn)), "{item}");
        assert_eq!(
            (&item["state"], &item["agentVersion"]),
            (&json!("enabled"), &json!("2.0.9270.0"))
        );
        let id = item["recoveryServicesVaultId"].as_str().unwrap();
        assert!(id.eq_ignore_ascii_case(&rsv.resource_id()));
        assert!(item["reason"].as_str().unwrap().contains(fqdn), "{item}");
    }
    let all = json!(items).to_string();
    assert!(
        operations(&broker).is_empty() && !all.contains("a-value-nobody-reads"),
        "{:?}",
        operations(&broker)
    );
}

#[tokio::test]
async fn what_arm_does_not_tell_is_not_guessed() {
    let broker = Broker::start(Setup::default()).await;
    let hidden = RecoveryServicesVault {
        subscription_id: Uuid::new_v4().to_string(),
        ..RecoveryServicesVault::named("rsv-hidden")
    };
    let id = azure().add_recovery_services_vault(hidden);
    put(&broker, "AzBackup-a-b-c-rsv-hidden");
    put(&broker, "AzBackup-a-b-c-somewhere-else");
    let (items, ..) = scan_all(&broker, json!({"recoveryServicesVaultIds": [id]})).await;
    let item = of(&items, "AzBackup-a-b-c-rsv-hidden");
    assert_eq!(
        (&item["confidence"], &item["machinePart"]),
        (&json!("medium"), &json!("a-b-c")),
        "{item}"
    );
    assert_eq!(item["recoveryServicesVaultId"], json!(id));
    assert!(item.get("fqdn").is_none(), "{item}");
    let item = of(&items, "AzBackup-a-b-c-somewhere-else");
    assert_eq!(item["confidence"], "low");
    assert!(
        item.get("machinePart").is_none() && item.get("recoveryServicesVaultId").is_none(),
        "{item}"
    );
}

#[tokio::test]
async fn the_longest_name_a_machine_that_fits_and_two_that_do() {
    let broker = Broker::start(Setup::default()).await;
    let short = readable("prod", &["web01-rsv"]);
    let long = readable("rsv-prod", &["db.a.example", "db.b.example"]);
    for secret in ["AzBackup-web01-rsv-prod", "AzBackup-db-rsv-prod", "AzBackup-old-rsv-prod"] {
        put(&broker, secret);
    }
    let ids = json!([short.resource_id(), long.resource_id()]);
    let (items, ..) = scan_all(&broker, json!({"recoveryServicesVaultIds": ids})).await;
    let item = of(&items, "AzBackup-web01-rsv-prod");
    assert_eq!(
        (&item["confidence"], &item["fqdn"]),
        (&json!("high"), &json!("web01-rsv")),
        "{item}"
    );
    let item = of(&items, "AzBackup-db-rsv-prod");
    assert_eq!(
        (&item["confidence"], item["candidates"].as_array().unwrap().len()),
        (&json!("low"), 2),
        "{item}"
    );
    assert!(item.get("fqdn").is_none());
    let item = of(&items, "AzBackup-old-rsv-prod");
    assert_eq!(
        (&item["confidence"], &item["machinePart"]),
        (&json!("low"), &json!("old")),
        "{item}"
    );
    assert!(item["reason"].as_str().unwrap().contains("no machine of this name"), "{item}");
}

#[tokio::test]
async fn deleted_disabled_registered_and_doubled_secrets_are_told_and_others_are_not_shown() {
    let broker = Broker::start(Setup::default()).await;
    let rsv = readable("rsv-odd", &["one.example", "two", "three"]);
    let named = json!({"recoveryServicesVaultIds": [rsv.resource_id()]});
    for other in
        ["sql-admin-password", "AzBackupPending-two-rsv-odd", "AzBackup", "NotAzBackup-two-rsv-odd"]
    {
        put(&broker, other);
    }
    for secret in ["AzBackup-one-rsv-odd", "AzBackup-one-example-rsv-odd", "AzBackup-two-rsv-odd"] {
        put(&broker, secret);
    }
    broker.soft_delete("AzBackup-two-rsv-odd").await;
    put(&broker, "AzBackup-three-rsv-odd");
    let disabled = put(&broker, "AzBackup-three-rsv-odd");
    azure().set_enabled(&broker.key_vault, "AzBackup-three-rsv-odd", &disabled, false).unwrap();
    let machine = broker.portal().register().await;
    let (items, scanned, _) = scan_all(&broker, named).await;
    assert_eq!((items.len(), scanned), (5, 9));
    for (secret, other) in [
        ("AzBackup-one-rsv-odd", "AzBackup-one-example-rsv-odd"),
        ("AzBackup-one-example-rsv-odd", "AzBackup-one-rsv-odd"),
    ] {
        let item = of(&items, secret);
        assert_eq!(item["confidence"], "low", "{item}");
        assert!(item["reason"].as_str().unwrap().contains(other), "{item}");
        assert!(item["otherNames"].as_array().unwrap().contains(&json!(other)), "{item}");
    }
    let item = of(&items, "AzBackup-two-rsv-odd");
    assert_eq!((&item["state"], &item["fqdn"]), (&json!("softDeleted"), &json!("two")), "{item}");
    assert!(
        item["purgedAt"].is_string() && item["reason"].as_str().unwrap().contains("391282"),
        "{item}"
    );
    let item = of(&items, "AzBackup-three-rsv-odd");
    assert_eq!(
        (&item["state"], &item["confidence"], &item["fqdn"]),
        (&json!("disabled"), &json!("low"), &json!("three")),
        "{item}"
    );
    let item = of(&items, machine.field("secretName"));
    assert_eq!(
        (&item["machineId"], &item["confidence"]),
        (&machine.body["id"], &json!("high")),
        "{item}"
    );
}

/// A request that accepts it would be refused with all its items.
#[tokio::test]
async fn a_name_that_no_machine_can_have_is_shown_without_a_candidate() {
    let broker = Broker::start(Setup::default()).await;
    for secret in ["AzBackup-", "azbackup--rsv-none", "AzBackup-one-rsv-none"] {
        put(&broker, secret);
    }
    let rsv = readable("rsv-none", &["one"]);
    let named = json!({"recoveryServicesVaultIds": [rsv.resource_id()]});
    let (items, ..) = scan_all(&broker, named).await;
    let item = of(&items, "AzBackup-");
    assert_eq!(item["confidence"], "low", "{item}");
    assert!(item["reason"].as_str().unwrap().starts_with("no machine can have it"), "{item}");
    for secret in ["AzBackup-", "azbackup--rsv-none"] {
        let item = of(&items, secret);
        for member in ["fqdn", "candidates", "recoveryServicesVaultId", "machinePart"] {
            assert!(item.get(member).is_none(), "{member}: {item}");
        }
    }
    assert_eq!(of(&items, "AzBackup-one-rsv-none")["confidence"], "high");
}

#[tokio::test]
async fn recovery_services_vaults_beside_a_registered_machines_are_found_by_themselves() {
    let broker = Broker::start(Setup::default()).await;
    let known = readable("rsv-known", &[]);
    let beside = RecoveryServicesVault {
        name: "rsv-beside".to_owned(),
        containers: vec!["far.example".into()],
        ..known.clone()
    };
    let id = azure().add_recovery_services_vault(beside.clone());
    let subscription = format!("/subscriptions/{}", known.subscription_id);
    azure().make_owner(&azure().identity().principal_id, &subscription);
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["recoveryServicesVaultId"] = json!(known.resource_id());
    assert_eq!(broker.portal().post("/v1/machines", body).await.status, 201);
    put(&broker, "AzBackup-far-example-rsv-beside");
    let (items, ..) = scan_all(&broker, json!({})).await;
    let item = of(&items, "AzBackup-far-example-rsv-beside");
    assert_eq!(
        (&item["confidence"], &item["fqdn"]),
        (&json!("high"), &json!("far.example")),
        "{item}"
    );
    assert!(item["recoveryServicesVaultId"].as_str().unwrap().eq_ignore_ascii_case(&id));
}
