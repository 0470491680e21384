//! `kill -9` of the broker between Key Vault's write and the database. Another replica on the same
//! database mends it: its reconciler, or the caller's repetition. The help desk is right all along.

use std::time::{Duration, Instant};

use azsim::{Effect, FaultGuard};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup, secret_name_of};

/// Sends a request whose answer nobody will hear.
fn send(actor: &Actor, path: &str, body: &Value) {
    let request = actor.request(Method::POST, path).json(body);
    tokio::spawn(async move { drop(request.send().await) });
}

/// Kills the broker while Key Vault holds its request, lets the machine and rotation seem old, and
/// starts another replica. The held request goes on when `fault` is dropped, as it would in Azure.
async fn killed(broker: &Broker, fault: &FaultGuard, there: impl Fn() -> bool) -> Broker {
    fault.reached(1).await;
    while !there() {
        tokio::task::yield_now().await;
    }
    broker.signal("KILL");
    broker.wait();
    let database = broker.database.clone();
    for old in [
        "update machines set registration_attempted_at = registration_attempted_at - interval '301 seconds'",
        "update rotations set attempted_at = attempted_at - interval '31 seconds'",
    ] {
        database.execute(old).await;
    }
    let replica_of = Some((broker.key_vault.clone(), broker.tenant.clone()));
    Broker::start(Setup { database: Some(database), replica_of, ..Setup::default() }).await
}

async fn until(replica: &Broker, query: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while replica.database.count(query).await != wanted {
        assert!(Instant::now() < deadline, "not mended: {query}\n{}", replica.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_registration_killed_after_the_write_is_completed_by_the_reconciler() {
    let broker = Broker::start(Setup::default()).await;
    let body = Actor::registration(&json!({"source": "generated"}));
    let secret = secret_name_of(&body);
    let fault = broker.fault_once("set_secret", &secret, Effect::HoldAfter);
    send(&broker.portal(), "/v1/machines", &body);
    let replica = killed(&broker, &fault, || broker.versions(&secret).len() == 1).await;
    until(&replica, "select count(*) from machines where state = 'active'", 1).await;
    let machines = replica.portal().get("/v1/machines").await;
    let id = machines.body["items"][0]["id"].as_str().unwrap();
    let retrieved = replica.helpdesk().retrieve(id).await;
    assert_eq!(retrieved.field("passphrase"), broker.versions(&secret)[0].value);
    let again = replica.portal().post("/v1/machines", body).await;
    assert_eq!(again.problem(), (409, "machine-exists"));
    assert_eq!(broker.versions(&secret).len(), 1);
}

#[tokio::test]
async fn a_registration_killed_before_the_write_is_taken_back_and_nothing_late_is_overwritten() {
    let broker = Broker::start(Setup::default()).await;
    let body = Actor::registration(&json!({"source": "generated"}));
    let secret = secret_name_of(&body);
    let fault = broker.fault_once("set_secret", &secret, Effect::HoldBefore);
    send(&broker.portal(), "/v1/machines", &body);
    let replica = killed(&broker, &fault, || true).await;
    until(&replica, "select count(*) from machines", 0).await;
    fault.release();
    while broker.versions(&secret).is_empty() {
        tokio::task::yield_now().await;
    }
    let again = replica.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(again.problem(), (409, "secret-name-taken"), "{}", again.text);
    let mut adopted = body;
    adopted["passphrase"] = json!({"source": "adopted"});
    let machine = replica.portal().post("/v1/machines", adopted).await;
    let retrieved = replica.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), broker.versions(&secret)[0].value);
}

async fn with_machine() -> (Broker, Actor, Answer) {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    (broker, agent, machine)
}

/// What the help desk gets: the passphrase in force, and the candidates after it.
async fn help(replica: &Broker, machine: &Answer) -> (String, Vec<String>) {
    let retrieved = replica.helpdesk().retrieve(machine.id()).await;
    let text = |value: &Value| value["passphrase"].as_str().unwrap().to_owned();
    let others = retrieved.body["otherCandidates"].as_array().unwrap().iter().map(text).collect();
    (text(&retrieved.body), others)
}

#[tokio::test]
async fn a_rotation_killed_after_the_escrow_is_prepared_by_the_reconciler() {
    let (broker, agent, machine) = with_machine().await;
    let escrow = machine.escrow_name();
    let fault = broker.fault_once("set_secret", &escrow, Effect::HoldAfter);
    let body = json!({"passphrase": {"source": "generated"}});
    send(&agent, &format!("/v1/machines/{}/rotations", machine.id()), &body);
    let replica = killed(&broker, &fault, || broker.versions(&escrow).len() == 1).await;
    until(&replica, "select count(*) from rotations where state = 'prepared'", 1).await;
    assert_eq!(help(&replica, &machine).await, (machine.field("passphrase").to_owned(), vec![]));
    let resumed = agent.at(&replica).rotate(machine.id()).await;
    assert_eq!(resumed.field("passphrase"), broker.versions(&escrow)[0].value);
    assert_eq!(broker.versions(&escrow).len(), 1);
}

#[tokio::test]
async fn a_rotation_killed_before_the_escrow_fails_and_its_orphan_is_no_candidate() {
    let (broker, agent, machine) = with_machine().await;
    let escrow = machine.escrow_name();
    let fault = broker.fault_once("set_secret", &escrow, Effect::HoldBefore);
    let body = json!({"passphrase": {"source": "generated"}});
    send(&agent, &format!("/v1/machines/{}/rotations", machine.id()), &body);
    let replica = killed(&broker, &fault, || true).await;
    until(&replica, "select count(*) from rotations where state = 'failed'", 1).await;
    fault.release();
    while broker.versions(&escrow).is_empty() {
        tokio::task::yield_now().await;
    }
    let orphan = &broker.versions(&escrow)[0];
    assert_eq!(help(&replica, &machine).await, (machine.field("passphrase").to_owned(), vec![]));
    let rotation = agent.at(&replica).rotate(machine.id()).await;
    assert_ne!(rotation.field("passphrase"), orphan.value);
    let confirmed = agent.at(&replica).settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    assert_eq!(help(&replica, &machine).await, (rotation.field("passphrase").to_owned(), vec![]));
}

/// The machine said that it uses the new passphrase, and says nothing more.
async fn killed_confirmation(effect: Effect) {
    let (broker, agent, machine) = with_machine().await;
    let rotation = agent.rotate(machine.id()).await;
    let secret = machine.field("secretName");
    let written = if effect == Effect::HoldAfter { 2 } else { 1 };
    let fault = broker.fault_once("set_secret", secret, effect);
    let path = format!("/v1/machines/{}/rotations/{}/confirm", machine.id(), rotation.id());
    send(&agent, &path, &json!({}));
    let replica = killed(&broker, &fault, || broker.versions(secret).len() == written).await;
    until(&replica, "select count(*) from rotations where state = 'confirmed'", 1).await;
    let new = rotation.field("passphrase").to_owned();
    assert_eq!(help(&replica, &machine).await, (new.clone(), vec![]));
    assert_eq!(broker.versions(secret).len(), 2);
    let again = agent.at(&replica).settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((again.status, again.field("state")), (200, "confirmed"));
    fault.release();
    assert_eq!(help(&replica, &machine).await, (new, vec![]));
}

#[tokio::test]
async fn a_confirmation_killed_after_the_write_is_finished_with_one_version() {
    killed_confirmation(Effect::HoldAfter).await;
}

#[tokio::test]
async fn a_confirmation_killed_before_the_write_is_finished_and_a_late_write_changes_nothing() {
    killed_confirmation(Effect::HoldBefore).await;
}

#[tokio::test]
async fn a_confirmation_killed_while_it_disables_escrow_is_confirmed() {
    let (broker, agent, machine) = with_machine().await;
    let rotation = agent.rotate(machine.id()).await;
    let fault = broker.fault_once("update_secret", &machine.escrow_name(), Effect::HoldBefore);
    let path = format!("/v1/machines/{}/rotations/{}/confirm", machine.id(), rotation.id());
    send(&agent, &path, &json!({}));
    let replica = killed(&broker, &fault, || true).await;
    let new = rotation.field("passphrase").to_owned();
    assert_eq!(help(&replica, &machine).await, (new, vec![]));
    let again = agent.at(&replica).settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((again.status, again.field("state")), (200, "confirmed"));
    assert_eq!(broker.versions(machine.field("secretName")).len(), 2);
}
