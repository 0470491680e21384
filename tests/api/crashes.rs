//! Every write to Key Vault at its two failure points: refused, and "it took effect but the reply was
//! lost". The third, where nobody knows, is `crashes_unknown`; a broker that dies is `kills`.
//!
//! Each test has a broker of its own: a reply is lost with its connection.

use azsim::Effect;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup, refusal, secret_name_of};

/// What Key Vault says when it does nothing, and what a caller is told then.
fn refusals() -> [(Effect, u16, &'static str); 3] {
    [
        (refusal(403, "Forbidden", "ForbiddenByRbac"), 502, "broker-permission-missing"),
        (
            refusal(409, "Conflict", "ObjectIsDeletedButRecoverable"),
            409,
            "key-vault-secret-soft-deleted",
        ),
        (Effect::Throttle { retry_after: Some("60".to_owned()) }, 503, "key-vault-throttled"),
    ]
}

fn registration() -> Value {
    Actor::registration(&json!({"source": "generated"}))
}

async fn machines(broker: &Broker, registration: &Value) -> i64 {
    let fqdn = registration["fqdn"].as_str().unwrap();
    broker.database.count(&format!("select count(*) from machines where fqdn = '{fqdn}'")).await
}

/// The help desk gets exactly this passphrase, and no other candidate.
async fn in_force(broker: &Broker, machine: &Answer, passphrase: &str) {
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.status, 201, "{}", retrieved.text);
    assert_eq!(retrieved.field("passphrase"), passphrase);
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

#[tokio::test]
async fn a_refused_first_passphrase_leaves_no_machine_and_can_be_repeated() {
    let broker = Broker::start(Setup::default()).await;
    let portal = broker.portal();
    for (effect, status, code) in refusals() {
        let body = registration();
        let secret = secret_name_of(&body);
        let fault = broker.fault("set_secret", &secret, effect);
        let refused = portal.post("/v1/machines", body.clone()).await;
        assert_eq!(refused.problem(), (status, code), "{}", refused.text);
        assert!(!refused.text.contains("secret-name-of-azure"), "{}", refused.text);
        assert_eq!((machines(&broker, &body).await, broker.versions(&secret).len()), (0, 0));
        fault.release();
        let registered = portal.post("/v1/machines", body).await;
        assert_eq!(registered.status, 201, "{}", registered.text);
        assert_eq!(broker.versions(&secret).len(), 1);
        in_force(&broker, &registered, registered.field("passphrase")).await;
    }
}

#[tokio::test]
async fn a_first_passphrase_whose_reply_was_lost_is_found_and_not_written_twice() {
    let broker = Broker::start(Setup::default()).await;
    for effect in [Effect::DropAfter, Effect::Truncate, Effect::Garbage] {
        let body = registration();
        let secret = secret_name_of(&body);
        let fault = broker.fault_once("set_secret", &secret, effect.clone());
        let registered = broker.portal().post("/v1/machines", body).await;
        assert_eq!((registered.status, fault.hits()), (201, 1), "{effect:?} {}", registered.text);
        let versions = broker.versions(&secret);
        assert_eq!(versions.len(), 1, "{effect:?}");
        assert_eq!(versions[0].value, registered.field("passphrase"));
        in_force(&broker, &registered, &versions[0].value).await;
    }
}

#[tokio::test]
async fn a_refused_escrow_releases_nothing_and_fails_the_rotation() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    for (effect, status, code) in refusals() {
        let before = broker.versions(&machine.escrow_name()).len();
        let fault = broker.fault("set_secret", &machine.escrow_name(), effect);
        let refused = agent.rotate(machine.id()).await;
        assert_eq!(refused.problem(), (status, code), "{}", refused.text);
        assert_eq!(broker.versions(&machine.escrow_name()).len(), before);
        fault.release();
        in_force(&broker, &machine, machine.field("passphrase")).await;
        let rotation = agent.rotate(machine.id()).await;
        assert_eq!(rotation.status, 201, "{}", rotation.text);
        let failed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!(failed.status, 200);
        let back = broker
            .database
            .count(&format!(
                "select count(*) from rotations where machine_id = '{}' and state = 'failed'",
                machine.id()
            ))
            .await;
        assert!(back > 0);
        // The next round begins with the first passphrase again, so that `in_force` says the same.
        let statement = format!(
            "update machines set current_version = '{}' where id = '{}'",
            machine.field("currentVersion"),
            machine.id()
        );
        broker.database.execute(&statement).await;
    }
}

#[tokio::test]
async fn an_escrow_whose_reply_was_lost_is_found_and_not_written_twice() {
    let broker = Broker::start(Setup::default()).await;
    for effect in [Effect::DropAfter, Effect::Truncate, Effect::Garbage] {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let fault = broker.fault_once("set_secret", &machine.escrow_name(), effect.clone());
        let rotation = agent.rotate(machine.id()).await;
        assert_eq!((rotation.status, fault.hits()), (201, 1), "{effect:?} {}", rotation.text);
        let escrow = broker.versions(&machine.escrow_name());
        assert_eq!(escrow.len(), 1, "{effect:?}");
        assert_eq!(escrow[0].value, rotation.field("passphrase"));
        agent.settle(machine.id(), rotation.id(), "confirm").await;
        in_force(&broker, &machine, rotation.field("passphrase")).await;
    }
}

#[tokio::test]
async fn a_confirmation_that_key_vault_refuses_loses_nothing_and_is_repeated() {
    let broker = Broker::start(Setup::default()).await;
    for (effect, status, code) in refusals() {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let rotation = agent.rotate(machine.id()).await;
        let fault = broker.fault("set_secret", machine.field("secretName"), effect);
        let refused = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!(refused.problem(), (status, code), "{}", refused.text);
        fault.release();
        let meanwhile = broker.helpdesk().retrieve(machine.id()).await;
        assert_eq!(meanwhile.field("passphrase"), machine.field("passphrase"));
        assert_eq!(meanwhile.body["otherCandidates"][0]["passphrase"], rotation.body["passphrase"]);
        let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        assert_eq!(broker.versions(machine.field("secretName")).len(), 2);
        in_force(&broker, &machine, rotation.field("passphrase")).await;
    }
}

#[tokio::test]
async fn a_confirmation_whose_reply_was_lost_writes_one_version() {
    let broker = Broker::start(Setup::default()).await;
    for effect in [Effect::DropAfter, Effect::Truncate, Effect::Garbage] {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let rotation = agent.rotate(machine.id()).await;
        let secret = machine.field("secretName");
        let fault = broker.fault_once("set_secret", secret, effect.clone());
        let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!((confirmed.status, fault.hits()), (200, 1), "{effect:?} {}", confirmed.text);
        let versions = broker.versions(secret);
        assert_eq!(versions.len(), 2, "{effect:?}");
        assert_eq!(versions[1].value, rotation.field("passphrase"));
        assert!(confirmed.field("secretIdentifier").ends_with(&versions[1].id));
        in_force(&broker, &machine, rotation.field("passphrase")).await;
    }
}

#[tokio::test]
async fn an_escrow_version_that_could_not_be_disabled_is_disabled_by_the_next_confirmation() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let escrow = machine.escrow_name();
    let enabled = || broker.versions(&escrow).iter().filter(|version| version.enabled).count();
    for (effect, _, _) in refusals() {
        let fault = broker.fault("update_secret", &escrow, effect);
        let rotation = agent.rotate(machine.id()).await;
        let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!((confirmed.status, enabled()), (200, 1), "{}", confirmed.text);
        in_force(&broker, &machine, rotation.field("passphrase")).await;
        fault.release();
        let rotation = agent.rotate(machine.id()).await;
        agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!(enabled(), 0);
    }
}

#[tokio::test]
async fn a_disabling_whose_reply_was_lost_is_repeated_and_harms_nothing() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    for effect in [Effect::DropBefore, Effect::DropAfter, Effect::Truncate] {
        let fault = broker.fault_once("update_secret", &machine.escrow_name(), effect);
        let rotation = agent.rotate(machine.id()).await;
        let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
        assert_eq!((confirmed.status, fault.hits()), (200, 1), "{}", confirmed.text);
        assert!(broker.versions(&machine.escrow_name()).iter().all(|version| !version.enabled));
        in_force(&broker, &machine, rotation.field("passphrase")).await;
    }
}
