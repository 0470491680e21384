//! What people are refused although they have the role: guests, and sign-ins of long ago.

use azsim::TokenSpec;
use passphrase_broker::domain::clock::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{AUDIENCE, Actor, Broker, azure};

const ROLES: [&str; 4] =
    ["Machines.Read", "Machines.Register", "Passphrases.Rotate", "Passphrases.Retrieve"];

fn person_with(broker: &Broker, claim: &str, value: Value) -> Actor {
    let spec = TokenSpec::user(AUDIENCE, Uuid::new_v4()).in_tenant(&broker.tenant).roles(&ROLES);
    broker.bearer(&azure().mint(&spec.claim(claim, value)).unwrap())
}

fn guests(broker: &Broker) -> [Actor; 5] {
    let elsewhere = "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/";
    [
        person_with(broker, "acct", json!(1)),
        person_with(broker, "acct", json!("1")),
        person_with(broker, "idp", json!("live.com")),
        person_with(broker, "idp", json!("mail")),
        person_with(broker, "idp", json!(elsewhere)),
    ]
}

/// Issued this many seconds ago, for an hour and a half.
fn signed_in(broker: &Broker, spec: TokenSpec, ago: i64) -> Actor {
    let issued = Clock::system().now().unix_timestamp() - ago;
    let spec = spec.in_tenant(&broker.tenant).roles(&ROLES);
    let spec = spec.claim("iat", issued).claim("nbf", issued).claim("exp", issued + 5_400);
    broker.bearer(&azure().mint(&spec).unwrap())
}

#[tokio::test]
async fn guests_retrieve_no_passphrase_and_it_is_on_record() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    for guest in guests(broker) {
        let answer = guest.retrieve(machine.id()).await;
        assert_eq!(answer.problem(), (403, "guest-not-allowed"), "{}", answer.text);
        assert_eq!(guest.get("/v1/machines").await.status, 200);
        assert_eq!(guest.get("/v1/me").await.body["guest"], true);
    }
    let query = format!("machineId={}&action=retrieve_passphrase", machine.id());
    let events = broker.auditor().events(&query).await;
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|event| event["problem"] == "guest-not-allowed"));
}

#[tokio::test]
async fn guests_rotate_without_seeing_the_passphrase() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let [guest, ..] = guests(broker);
    let rotation = guest.rotate(machine.id()).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "prepared"), "{}", rotation.text);
    assert!(rotation.body.get("passphrase").is_none());
    let collected = guest.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(collected.problem(), (403, "guest-not-allowed"));
}

#[tokio::test]
async fn guests_register_no_generated_passphrase_because_the_answer_would_hold_it() {
    let broker = Broker::shared().await;
    let [guest, ..] = guests(broker);
    let generated = Actor::registration(&json!({"source": "generated"}));
    let answer = guest.post("/v1/machines", generated).await;
    assert_eq!(answer.problem(), (403, "guest-not-allowed"), "{}", answer.text);
    let none = Actor::registration(&json!({"source": "none"}));
    assert_eq!(guest.post("/v1/machines", none).await.status, 201);
}

#[tokio::test]
async fn a_sign_in_of_long_ago_lists_machines_and_retrieves_nothing() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let user = || TokenSpec::user(AUDIENCE, Uuid::new_v4());
    let old = signed_in(broker, user(), 75 * 60 + 5);
    let answer = old.retrieve(machine.id()).await;
    assert_eq!(answer.problem(), (401, "unauthenticated"), "{}", answer.text);
    assert!(answer.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""));
    assert!(answer.field("detail").contains("75 minutes"));
    assert_eq!(old.get("/v1/machines").await.status, 200);
    let recent = signed_in(broker, user(), 74 * 60);
    assert_eq!(recent.retrieve(machine.id()).await.status, 201);
    let application = signed_in(broker, TokenSpec::application(AUDIENCE, Uuid::new_v4()), 80 * 60);
    assert_eq!(application.retrieve(machine.id()).await.status, 201);
}

#[tokio::test]
async fn a_sign_in_of_long_ago_sees_no_passphrase_by_rotating_or_registering() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let old = signed_in(broker, TokenSpec::user(AUDIENCE, Uuid::new_v4()), 75 * 60 + 5);
    let rotation = old.rotate(machine.id()).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "prepared"), "{}", rotation.text);
    assert!(rotation.body.get("passphrase").is_none());
    let collected = old.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(collected.problem(), (401, "unauthenticated"));
    let generated = Actor::registration(&json!({"source": "generated"}));
    let registered = old.post("/v1/machines", generated).await;
    assert_eq!(registered.problem(), (401, "unauthenticated"));
}
