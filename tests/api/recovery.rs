//! `POST /v1/machines/{machineId}/recover`: a soft-deleted secret comes back (391282), on record, however
//! the recovery was interrupted.

use std::time::{Duration, Instant};

use azsim::{Effect, FaultGuard};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup, azure, refusal};

async fn recover(actor: &Actor, machine: &str) -> Answer {
    actor.act(&format!("/v1/machines/{machine}/recover")).await
}

/// A machine whose secret somebody deleted.
async fn bereft(broker: &Broker) -> Answer {
    let machine = broker.portal().register().await;
    broker.soft_delete(machine.field("secretName")).await;
    machine
}

async fn retrievable(broker: &Broker, machine: &Answer) {
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.status, 201, "{}", retrieved.text);
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
}

async fn outcomes(broker: &Broker, machine: &Answer) -> Vec<String> {
    let condition = format!("machine_id = '{}' and action like '%recover%'", machine.id());
    broker.database.logged(&condition).await.into_iter().map(|event| event.outcome).collect()
}

fn lag(broker: &Broker, milliseconds: u64) {
    azure()
        .change_settings(&broker.key_vault, |settings| settings.lag_milliseconds = milliseconds)
        .unwrap();
}

/// A broker with a Key Vault of its own, whose speed does not change others'.
async fn apart() -> Broker {
    Broker::start(Setup::default()).await
}

#[tokio::test]
async fn a_deleted_secret_comes_back_and_the_log_names_it() {
    let broker = Broker::shared().await;
    let machine = bereft(broker).await;
    let back = recover(&broker.portal(), machine.id()).await;
    assert_eq!((back.status, back.field("state")), (200, "active"), "{}", back.text);
    assert_eq!(back.body["recoveredSecrets"], json!([machine.field("secretName")]));
    assert!(!back.text.contains(machine.field("passphrase")));
    retrievable(broker, &machine).await;
    let condition = format!("machine_id = '{}' and action = 'recover_secret'", machine.id());
    let logged = broker.database.logged(&condition).await;
    let outcomes: Vec<&str> = logged.iter().map(|event| event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["intended", "succeeded"]);
    assert_eq!(logged[1].text("/secrets/0/version"), machine.field("currentVersion"));
    assert_eq!(logged[1].text("/details/recovered"), machine.field("secretName"));
    let asked = broker.requests_on(machine.field("secretName"));
    let reads = asked.iter().filter(|seen| seen.operation == "key_vault.get_secret");
    assert_eq!(reads.count(), 1, "only the help desk's");
}

#[tokio::test]
async fn the_escrow_secret_comes_back_with_it() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    for secret in [machine.field("secretName"), &machine.escrow_name()] {
        broker.soft_delete(secret).await;
    }
    let back = recover(&broker.portal(), machine.id()).await;
    assert_eq!((back.status, back.field("state")), (200, "rotating"), "{}", back.text);
    let both = json!([machine.field("secretName"), machine.escrow_name()]);
    assert_eq!(back.body["recoveredSecrets"], both);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"][0]["passphrase"], rotation.body["passphrase"]);
    broker.soft_delete(&machine.escrow_name()).await;
    let again = recover(&broker.portal(), machine.id()).await;
    assert_eq!(again.body["recoveredSecrets"], json!([machine.escrow_name()]), "{}", again.text);
}

#[tokio::test]
async fn a_disabled_secret_comes_back_too() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    azure().set_enabled(&broker.key_vault, secret, "", false).unwrap();
    broker.soft_delete(secret).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.problem(), (409, "key-vault-secret-soft-deleted"), "{}", retrieved.text);
    let back = recover(&broker.portal(), machine.id()).await;
    assert_eq!(back.status, 200, "{}", back.text);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.problem(), (409, "key-vault-secret-disabled"));
}

#[tokio::test]
async fn what_is_not_deleted_and_what_never_was_are_told_apart() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let refused = recover(&portal, machine.id()).await;
    assert_eq!(refused.problem(), (409, "secret-not-deleted"), "{}", refused.text);
    let body = Actor::registration(&json!({"source": "none"}));
    let empty = portal.post("/v1/machines", body).await;
    let refused = recover(&portal, empty.id()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-missing"), "{}", refused.text);
    assert_eq!(outcomes(broker, &empty).await, ["intended", "failed"]);
    let nowhere = recover(&portal, &uuid::Uuid::new_v4().to_string()).await;
    assert_eq!(nowhere.problem(), (404, "not-found"));
}

#[tokio::test]
async fn every_operation_that_meets_a_deleted_secret_says_so() {
    let broker = Broker::shared().await;
    let (portal, agent) = (broker.portal(), broker.agent());
    let machine = portal.register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    broker.soft_delete(machine.field("secretName")).await;
    let told = (409, "key-vault-secret-soft-deleted");
    let version = machine.field("currentVersion");
    let exactly = broker.helpdesk().retrieve_version(machine.id(), version).await;
    assert_eq!(exactly.problem(), told, "{}", exactly.text);
    let partly = broker.helpdesk().retrieve(machine.id()).await;
    let missing = &partly.body["unreadableCandidates"][0];
    assert!(missing["hint"].as_str().unwrap().contains("391282"), "{}", partly.text);
    let confirm = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirm.problem(), told, "{}", confirm.text);
    broker.soft_delete(&machine.escrow_name()).await;
    for refused in [
        broker.helpdesk().retrieve(machine.id()).await,
        agent.settle(machine.id(), rotation.id(), "collect").await,
        agent.rotate(machine.id()).await,
    ] {
        assert_eq!(refused.problem(), told, "{}", refused.text);
        assert_eq!(refused.body["marsErrorCode"], "391282");
    }
    let mut body = Actor::registration(&json!({"source": "adopted"}));
    body["secretName"] = machine.body["secretName"].clone();
    let adopted = portal.post("/v1/machines", body).await;
    assert_eq!(adopted.problem(), told, "{}", adopted.text);
}

#[tokio::test]
async fn a_refusal_names_the_missing_permission_and_changes_nothing() {
    let broker = Broker::shared().await;
    let machine = bereft(broker).await;
    let denied = refusal(403, "Forbidden", "ForbiddenByRbac");
    let fault = broker.fault("recover_secret", machine.field("secretName"), denied);
    let refused = recover(&broker.portal(), machine.id()).await;
    assert_eq!(refused.problem(), (502, "broker-permission-missing"), "{}", refused.text);
    assert!(refused.field("detail").contains("Microsoft.KeyVault/vaults/secrets/recover/action"));
    assert_eq!(outcomes(broker, &machine).await, ["intended", "failed"]);
    fault.release();
    assert_eq!(recover(&broker.portal(), machine.id()).await.status, 200);
    retrievable(broker, &machine).await;
}

#[tokio::test]
async fn a_recovery_whose_reply_was_lost_is_seen_to_have_happened() {
    let broker = apart().await;
    for effect in [Effect::DropAfter, Effect::Truncate, Effect::Garbage] {
        lag(&broker, 0);
        let machine = bereft(&broker).await;
        lag(&broker, 700);
        let fault = broker.fault_once("recover_secret", machine.field("secretName"), effect);
        let back = recover(&broker.portal(), machine.id()).await;
        assert_eq!((back.status, fault.hits()), (200, 1), "{}", back.text);
        retrievable(&broker, &machine).await;
        assert_eq!(outcomes(&broker, &machine).await, ["intended", "succeeded"]);
    }
}

#[tokio::test]
async fn a_secret_that_is_being_deleted_is_waited_for() {
    let broker = apart().await;
    lag(&broker, 1_500);
    let machine = bereft(&broker).await;
    let back = recover(&broker.portal(), machine.id()).await;
    assert_eq!(back.status, 200, "{}", back.text);
    retrievable(&broker, &machine).await;
}

#[tokio::test]
async fn a_deletion_that_does_not_end_is_told_and_can_be_tried_again() {
    let broker = apart().await;
    lag(&broker, 60_000);
    let machine = bereft(&broker).await;
    let refused = recover(&broker.portal(), machine.id()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-being-deleted"), "{}", refused.text);
    assert_eq!(
        (refused.body["retryable"].as_bool(), refused.header("retry-after")),
        (Some(true), "10")
    );
}

#[tokio::test]
async fn a_recovery_that_takes_long_is_told_and_finished_by_repeating_it() {
    let broker = apart().await;
    let machine = bereft(&broker).await;
    lag(&broker, 11_000);
    let key = uuid::Uuid::new_v4().to_string();
    let path = format!("/v1/machines/{}/recover", machine.id());
    let portal = broker.portal();
    let ask = || Answer::of(portal.request(Method::POST, &path).header("idempotency-key", &key));
    let early = ask().await;
    assert_eq!(early.problem(), (503, "key-vault-unavailable"), "{}", early.text);
    assert!(early.field("detail").contains("taken the recovery"), "{}", early.text);
    let back = ask().await;
    assert_eq!((back.status, back.field("state")), (200, "active"), "{}", back.text);
    assert_eq!(outcomes(&broker, &machine).await, ["intended", "unknown", "intended", "succeeded"]);
    retrievable(&broker, &machine).await;
    let replayed = ask().await;
    assert_eq!((replayed.status, &replayed.body["recoveredSecrets"]), (200, &json!([])));
    let asked = broker.requests_on(machine.field("secretName"));
    let asked = asked.iter().filter(|seen| seen.operation == "key_vault.recover_secret");
    assert_eq!(asked.count(), 2, "once, and once for nothing");
}

/// Kills the broker while Key Vault holds its recovery, and starts another replica half a minute later.
async fn killed(effect: Effect) -> (Broker, Broker, Answer, FaultGuard) {
    let broker = apart().await;
    let machine = bereft(&broker).await;
    let fault = broker.fault_once("recover_secret", machine.field("secretName"), effect);
    let path = format!("/v1/machines/{}/recover", machine.id());
    let request = broker.portal().request(Method::POST, &path);
    tokio::spawn(async move { drop(request.send().await) });
    fault.reached(1).await;
    broker.signal("KILL");
    broker.wait();
    let database = broker.database.clone();
    database
        .execute(
            "update machines set recovery_started_at = recovery_started_at - interval '31 seconds'",
        )
        .await;
    let replica_of = Some((broker.key_vault.clone(), broker.tenant.clone()));
    let replica =
        Broker::start(Setup { database: Some(database), replica_of, ..Setup::default() }).await;
    (broker, replica, machine, fault)
}

async fn last_event(replica: &Broker, machine: &Answer) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let condition = format!("machine_id = '{}' and action = 'finish_recovery'", machine.id());
        if let Some(event) = replica.database.logged(&condition).await.pop() {
            return event.body();
        }
        assert!(Instant::now() < deadline, "not reconciled\n{}", replica.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_recovery_killed_after_its_effect_is_finished_by_the_reconciler() {
    let (_first, replica, machine, _fault) = killed(Effect::HoldAfter).await;
    let event = last_event(&replica, &machine).await;
    assert_eq!(
        (&event["outcome"], &event["actor"]["kind"]),
        (&json!("succeeded"), &json!("system"))
    );
    retrievable(&replica, &machine).await;
    let again = recover(&replica.portal(), machine.id()).await;
    assert_eq!(again.problem(), (409, "secret-not-deleted"));
}

#[tokio::test]
async fn a_recovery_killed_before_its_effect_is_given_up_and_can_be_repeated() {
    let (_first, replica, machine, fault) = killed(Effect::HoldBefore).await;
    assert_eq!(last_event(&replica, &machine).await["outcome"], "failed");
    // What was on its way arrives now, and comes before the repetition or after it.
    fault.release();
    let back = recover(&replica.portal(), machine.id()).await;
    assert!(matches!(back.status, 200 | 409), "{}", back.text);
    retrievable(&replica, &machine).await;
}
