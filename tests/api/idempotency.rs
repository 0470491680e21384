//! `Idempotency-Key`: the same request again makes nothing twice, and its replay holds no passphrase.

use azsim::Effect;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, refusal, secret_name_of};

async fn keyed(actor: &Actor, path: &str, key: &str, body: &Value) -> Answer {
    Answer::of(actor.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

fn key() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn generated() -> Value {
    Actor::registration(&json!({"source": "generated"}))
}

#[tokio::test]
async fn a_registration_repeated_answers_the_same_machine_without_its_passphrase() {
    let broker = Broker::shared().await;
    let (portal, key, body) = (broker.portal(), key(), generated());
    let first = keyed(&portal, "/v1/machines", &key, &body).await;
    let again = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!(again.body["passphraseOmitted"], true);
    assert!(first.body.get("passphraseOmitted").is_none());
    assert!(again.body.get("passphrase").is_none());
    assert!(!again.text.contains(first.field("passphrase")));
    assert_eq!(again.id(), first.id());
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(broker.versions(first.field("secretName")).len(), 1);
}

#[tokio::test]
async fn a_rotation_repeated_answers_the_same_rotation_without_its_passphrase() {
    let broker = Broker::shared().await;
    let (agent, key) = (broker.agent(), key());
    let machine = broker.portal().register_for(&agent).await;
    let path = format!("/v1/machines/{}/rotations", machine.id());
    let body = json!({"passphrase": {"source": "generated"}});
    let first = keyed(&agent, &path, &key, &body).await;
    let again = keyed(&agent, &path, &key, &body).await;
    assert_eq!((again.status, again.id()), (201, first.id()), "{}", again.text);
    assert_eq!(again.body["passphraseOmitted"], true);
    assert!(!again.text.contains(first.field("passphrase")));
    let collected = agent.settle(machine.id(), first.id(), "collect").await;
    assert_eq!(collected.field("passphrase"), first.field("passphrase"));
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let broker = Broker::shared().await;
    let (portal, key, mut body) = (broker.portal(), key(), generated());
    keyed(&portal, "/v1/machines", &key, &body).await;
    body["agentVersion"] = json!("2.0.9262.0");
    let refused = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!(refused.problem(), (422, "idempotency-key-reused"));
    let refused = keyed(&portal, "/v1/machines", &key, &generated()).await;
    assert_eq!(refused.problem(), (422, "idempotency-key-reused"));
}

#[tokio::test]
async fn a_key_whose_first_request_is_running_is_told_so() {
    let broker = Broker::shared().await;
    let (portal, key, body) = (broker.portal(), key(), generated());
    let fault = broker.fault_once("set_secret", &secret_name_of(&body), Effect::HoldBefore);
    let first = keyed(&portal, "/v1/machines", &key, &body);
    let second = async {
        fault.reached(1).await;
        let early = keyed(&portal, "/v1/machines", &key, &body).await;
        fault.release();
        early
    };
    let (first, early) = tokio::join!(first, second);
    assert_eq!(early.problem(), (409, "idempotency-in-progress"), "{}", early.text);
    assert_eq!(early.body["retryable"], true);
    assert_eq!(first.status, 201, "{}", first.text);
    let again = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!((again.status, again.id()), (201, first.id()));
}

#[tokio::test]
async fn callers_do_not_share_keys_and_operations_do_not_either() {
    let broker = Broker::shared().await;
    let (one, two, key) = (broker.portal(), broker.portal(), key());
    let first = keyed(&one, "/v1/machines", &key, &generated()).await;
    let second = keyed(&two, "/v1/machines", &key, &generated()).await;
    assert_eq!((first.status, second.status), (201, 201), "{}", second.text);
    assert_ne!(first.id(), second.id());
    let path = format!("/v1/machines/{}/rotations", first.id());
    let rotation = keyed(&one, &path, &key, &json!({"passphrase": {"source": "generated"}})).await;
    assert_eq!(rotation.status, 201, "{}", rotation.text);
    assert!(rotation.body.get("passphraseOmitted").is_none());
}

#[tokio::test]
async fn a_first_request_that_failed_frees_the_key() {
    let broker = Broker::shared().await;
    let (portal, key, body) = (broker.portal(), key(), generated());
    let denied = refusal(403, "Forbidden", "ForbiddenByRbac");
    let fault = broker.fault("set_secret", &secret_name_of(&body), denied);
    let refused = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!(refused.status, 502, "{}", refused.text);
    fault.release();
    let again = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert!(again.body.get("passphrase").is_some());
}

#[tokio::test]
async fn of_twenty_repetitions_at_once_one_makes_the_machine() {
    let broker = Broker::shared().await;
    let (portal, key, body) = (broker.portal(), key(), generated());
    let sends = (0..20).map(|_| keyed(&portal, "/v1/machines", &key, &body));
    let answers = futures_util::future::join_all(sends).await;
    let with_passphrase =
        answers.iter().filter(|answer| answer.body.get("passphrase").is_some()).count();
    assert_eq!(with_passphrase, 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(), (409, "idempotency-in-progress"));
    }
    assert_eq!(broker.versions(&secret_name_of(&body)).len(), 1);
}

#[tokio::test]
async fn no_passphrase_and_nothing_made_from_one_is_kept_with_a_key() {
    let broker = Broker::shared().await;
    let (portal, key) = (broker.portal(), key());
    let mut body =
        Actor::registration(&json!({"source": "provided", "value": "provided-with-a-key-1"}));
    let first = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!(first.status, 201, "{}", first.text);
    // A digest of it would tell this request from the first; a guess could be checked against it.
    body["passphrase"]["value"] = json!("provided-with-a-key-2");
    let again = keyed(&portal, "/v1/machines", &key, &body).await;
    assert_eq!((again.status, again.id()), (201, first.id()), "{}", again.text);
    let query = "select count(*) from idempotency_keys i where to_jsonb(i)::text like '%provided-with-a-key%'";
    assert_eq!(broker.database.count(query).await, 0);
}
