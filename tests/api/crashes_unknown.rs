//! Writes of which nobody knows whether they took effect: answered 503, left resumable, and finished by
//! a repetition with one version, also when the write arrives late.
//!
//! An operation counts as interrupted 20 seconds after it began: the tests move that moment back through
//! the database. The reconciler may come first then; both ways end the same, and that is what is asserted.

use std::time::{Duration, Instant};

use azsim::Effect;
use serde_json::json;

use crate::harness::{Actor, Answer, Broker, Setup, secret_name_of};

const UNAVAILABLE: (u16, &str) = (503, "key-vault-unavailable");

fn unknown() -> [Effect; 2] {
    [Effect::DropBefore, Effect::refuse(503, "")]
}

/// Lets the operation seem to have been interrupted long ago.
async fn long_ago(broker: &Broker, table: &str, column: &str) {
    let statement = format!("update {table} set {column} = {column} - interval '31 seconds'");
    broker.database.execute(&statement).await;
}

/// The one version of the secret is what the help desk gets, alone.
async fn only_version_in_force(broker: &Broker, fqdn: &str, secret: &str) {
    let found = broker.portal().get(&format!("/v1/machines?q={fqdn}")).await;
    assert_eq!(found.body["items"].as_array().unwrap().len(), 1, "{}", found.text);
    assert_eq!(found.body["items"][0]["state"], "active");
    let versions = broker.versions(secret);
    assert_eq!(versions.len(), 1);
    let id = found.body["items"][0]["id"].as_str().unwrap();
    let retrieved = broker.helpdesk().retrieve(id).await;
    assert_eq!(retrieved.field("passphrase"), versions[0].value);
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

/// Repeats a request until it is not in the way of the reconciler, which may be at it this moment.
async fn repeated(request: impl AsyncFn() -> Answer) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = request().await;
        let busy = matches!(answer.problem(), (409, "rotation-in-progress") | (412, _));
        if !busy || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Repeated after the time of interruption, or finished by the reconciler before that.
async fn register_again(broker: &Broker, body: &serde_json::Value) {
    long_ago(broker, "machines", "registration_attempted_at").await;
    let again = repeated(async || broker.portal().post("/v1/machines", body.clone()).await).await;
    if again.status == 201 {
        let versions = broker.versions(&secret_name_of(body));
        assert_eq!(again.field("passphrase"), versions[0].value);
    } else {
        assert_eq!(again.problem(), (409, "machine-exists"), "{}", again.text);
    }
    let fqdn = body["fqdn"].as_str().unwrap();
    only_version_in_force(broker, fqdn, &secret_name_of(body)).await;
}

#[tokio::test]
async fn a_registration_of_unknown_outcome_is_finished_by_repeating_it() {
    let broker = Broker::start(Setup::default()).await;
    let run = |effect: Effect| async {
        let body = Actor::registration(&json!({"source": "generated"}));
        let fault = broker.fault_once("set_secret", &secret_name_of(&body), effect);
        let lost = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!((lost.problem(), fault.hits()), (UNAVAILABLE, 1), "{}", lost.text);
        assert_eq!(broker.versions(&secret_name_of(&body)).len(), 0);
        let early = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(early.problem(), (409, "machine-exists"), "{}", early.text);
        body
    };
    let [drop, refuse] = unknown();
    for body in [run(drop).await, run(refuse).await] {
        register_again(&broker, &body).await;
    }
}

#[tokio::test]
async fn a_first_passphrase_that_arrives_late_is_the_only_one() {
    let broker = Broker::start(Setup::default()).await;
    let body = Actor::registration(&json!({"source": "generated"}));
    let secret = secret_name_of(&body);
    let fault = broker.fault_once("set_secret", &secret, Effect::HoldBefore);
    let lost = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(lost.problem(), UNAVAILABLE, "{}", lost.text);
    fault.release();
    while broker.versions(&secret).is_empty() {
        tokio::task::yield_now().await;
    }
    register_again(&broker, &body).await;
}

#[tokio::test]
async fn a_provided_passphrase_of_unknown_outcome_is_in_force_after_the_repetition() {
    let broker = Broker::start(Setup::default()).await;
    let value = "made-up-and-provided-by-a-portal";
    let body = Actor::registration(&json!({"source": "provided", "value": value}));
    let secret = secret_name_of(&body);
    let fault = broker.fault_once("set_secret", &secret, Effect::refuse(500, ""));
    let lost = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!((lost.problem(), fault.hits()), (UNAVAILABLE, 1), "{}", lost.text);
    long_ago(&broker, "machines", "registration_attempted_at").await;
    let again = repeated(async || broker.portal().post("/v1/machines", body.clone()).await).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert!(!again.text.contains(value));
    assert_eq!(broker.versions(&secret)[0].value, value);
    only_version_in_force(&broker, body["fqdn"].as_str().unwrap(), &secret).await;
}

async fn escrow_after(broker: &Broker, effect: Effect, late: bool) -> (Actor, Answer) {
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let escrow = machine.escrow_name();
    let fault = broker.fault_once("set_secret", &escrow, effect);
    let lost = agent.rotate(machine.id()).await;
    assert_eq!((lost.problem(), fault.hits()), (UNAVAILABLE, 1), "{}", lost.text);
    fault.release();
    while late && broker.versions(&escrow).is_empty() {
        tokio::task::yield_now().await;
    }
    (agent, machine)
}

/// The old passphrase is in force all the time, and no orphan is a candidate.
async fn escrow_is_finished(broker: &Broker, agent: &Actor, machine: &Answer) {
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    long_ago(broker, "rotations", "attempted_at").await;
    let rotation = repeated(async || agent.rotate(machine.id()).await).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "collected"), "{}", rotation.text);
    let versions = broker.versions(&machine.escrow_name());
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].value, rotation.field("passphrase"));
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
}

#[tokio::test]
async fn an_escrow_of_unknown_outcome_is_finished_by_repeating_the_request() {
    let broker = Broker::start(Setup::default()).await;
    for effect in unknown() {
        let (agent, machine) = escrow_after(&broker, effect, false).await;
        let early = agent.rotate(machine.id()).await;
        assert_eq!(early.problem(), (409, "rotation-in-progress"), "{}", early.text);
        escrow_is_finished(&broker, &agent, &machine).await;
    }
}

#[tokio::test]
async fn an_escrow_that_arrives_late_is_the_only_one() {
    let broker = Broker::start(Setup::default()).await;
    let (agent, machine) = escrow_after(&broker, Effect::HoldBefore, true).await;
    escrow_is_finished(&broker, &agent, &machine).await;
}

#[tokio::test]
async fn a_confirmation_of_unknown_outcome_is_finished_by_repeating_it() {
    let broker = Broker::start(Setup::default()).await;
    for effect in [Effect::DropBefore, Effect::HoldBefore] {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let rotation = agent.rotate(machine.id()).await;
        let (secret, late) = (machine.field("secretName"), effect == Effect::HoldBefore);
        let fault = broker.fault_once("set_secret", secret, effect);
        let lost = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!((lost.problem(), fault.hits()), (UNAVAILABLE, 1), "{}", lost.text);
        fault.release();
        while late && broker.versions(secret).len() < 2 {
            tokio::task::yield_now().await;
        }
        let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
        assert_eq!(broker.versions(secret).len(), 2);
        let retrieved = broker.helpdesk().retrieve(machine.id()).await;
        assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    }
}

#[tokio::test]
async fn a_confirmation_that_arrives_after_its_repetition_changes_nothing() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let secret = machine.field("secretName");
    let fault = broker.fault_once("set_secret", secret, Effect::HoldBefore);
    let lost = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(lost.problem(), UNAVAILABLE, "{}", lost.text);
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    fault.release();
    while broker.versions(secret).len() < 3 {
        tokio::task::yield_now().await;
    }
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("secretIdentifier"), confirmed.field("secretIdentifier"));
    // Key Vault's newest is the late one: it holds the same.
    assert_eq!(broker.versions(secret)[2].value, retrieved.field("passphrase"));
}
