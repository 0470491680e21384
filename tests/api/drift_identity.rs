//! The identity of the Recovery Services vault: without it MARS cannot save the next passphrase, and it
//! "must not be disabled even temporarily". Read through ARM, where the broker may.

use std::time::{Duration, Instant};

use azsim::{RecoveryServicesVault, VaultIdentity};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Actor, Answer, Broker, Setup, azure};

/// In a subscription of its own.
fn recovery_services_vault() -> RecoveryServicesVault {
    let subscription_id = Uuid::new_v4().to_string();
    RecoveryServicesVault {
        subscription_id,
        identity: Some(identity()),
        ..RecoveryServicesVault::default()
    }
}

fn identity() -> VaultIdentity {
    let principal_id = Some(Uuid::new_v4().to_string());
    VaultIdentity { principal_id, ..VaultIdentity::default() }
}

async fn checking() -> Broker {
    let environment = [("DRIFT_CHECK_EVERY", "1s".to_owned())].into();
    Broker::start(Setup { environment, ..Setup::default() }).await
}

async fn machine_in(broker: &Broker, id: &str) -> Answer {
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["recoveryServicesVaultId"] = json!(id);
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    machine
}

async fn shown(broker: &Broker, machine: &Answer, state: &str, findings: Value) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = broker.portal().get(&format!("/v1/machines/{}", machine.id())).await;
        if found.field("state") == state && found.body["findings"] == findings {
            return;
        }
        assert!(Instant::now() < deadline, "not {state} {findings}: {}", found.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn known(broker: &Broker, identity: &str) {
    let query =
        format!("select count(*) from recovery_services_vaults where identity = '{identity}'");
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.database.count(&query).await == 0 {
        assert!(Instant::now() < deadline, "not {identity}\n{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn readable(id: &str) {
    azure().make_owner(&azure().identity().principal_id, id);
}

async fn changes(broker: &Broker) -> Vec<String> {
    let logged = broker
        .database
        .logged("action = 'check_drift' and event #>> '{details,identityIs}' is not null")
        .await;
    let word = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    let line = |event: &crate::harness::Logged| {
        let (was, is) = (event.text("/details/identityWas"), event.text("/details/identityIs"));
        format!("{} -> {}", word(was), word(is))
    };
    logged.iter().map(line).collect()
}

#[tokio::test]
async fn an_identity_that_vanished_marks_every_machine_until_it_is_back() {
    let broker = checking().await;
    let mut spec = recovery_services_vault();
    let id = azure().add_recovery_services_vault(spec.clone());
    readable(&id);
    let machines = [
        machine_in(&broker, &id).await,
        machine_in(&broker, &id.to_uppercase().replace("/SUBSCRIPTIONS/", "/subscriptions/")).await,
    ];
    known(&broker, "present").await;
    assert!(changes(&broker).await.is_empty());
    spec.identity = Some(VaultIdentity::default());
    azure().add_recovery_services_vault(spec.clone());
    for machine in &machines {
        shown(&broker, machine, "drifted", json!(["identityVanished"])).await;
    }
    let late = machine_in(&broker, &id).await;
    shown(&broker, &late, "drifted", json!(["identityVanished"])).await;
    let retrieved = broker.helpdesk().retrieve(machines[0].id()).await;
    assert_eq!(retrieved.field("passphrase"), machines[0].field("passphrase"));
    spec.identity = Some(identity());
    azure().add_recovery_services_vault(spec);
    for machine in machines.iter().chain([&late]) {
        shown(&broker, machine, "active", json!([])).await;
    }
    let changes = changes(&broker).await;
    assert_eq!(
        (changes.first().unwrap().as_str(), changes.last().unwrap().as_str()),
        ("present -> vanished", "vanished -> present")
    );
}

#[tokio::test]
async fn an_identity_that_never_was_or_cannot_be_read_marks_nothing() {
    let broker = checking().await;
    let without = RecoveryServicesVault { identity: None, ..recovery_services_vault() };
    let id = azure().add_recovery_services_vault(without);
    readable(&id);
    let unreadable = azure().add_recovery_services_vault(recovery_services_vault());
    let machines = [machine_in(&broker, &id).await, machine_in(&broker, &unreadable).await];
    known(&broker, "absent").await;
    known(&broker, "unknown").await;
    for machine in &machines {
        shown(&broker, machine, "active", json!([])).await;
    }
    let why = "select count(*) from recovery_services_vaults where unreadable = 'forbidden: Microsoft.RecoveryServices/Vaults/backupProtectionContainers/read'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.database.count(why).await == 0 {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(changes(&broker).await.is_empty());
}

#[tokio::test]
async fn another_identity_in_place_of_the_known_one_is_on_record() {
    let broker = checking().await;
    let mut spec = recovery_services_vault();
    let id = azure().add_recovery_services_vault(spec.clone());
    readable(&id);
    let machine = machine_in(&broker, &id).await;
    known(&broker, "present").await;
    spec.identity = Some(identity());
    azure().add_recovery_services_vault(spec);
    let deadline = Instant::now() + Duration::from_secs(20);
    while changes(&broker).await != ["present -> present"] {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shown(&broker, &machine, "active", json!([])).await;
}
