//! `POST /v1/machines`.

use serde_json::json;

use crate::harness::{Actor, Broker};

#[tokio::test]
async fn a_generated_passphrase_is_answered_once_and_lies_in_key_vault() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    assert_eq!(machine.field("passphrase").len(), 53);
    let shown = broker.portal().get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.field("state"), "active");
    assert!(shown.body.get("passphrase").is_none());
    let secret = crate::harness::azure()
        .secret(&broker.key_vault, machine.field("secretName"))
        .unwrap()
        .unwrap();
    assert_eq!(secret.latest().unwrap().value, machine.field("passphrase"));
}

#[tokio::test]
async fn a_provided_passphrase_that_mars_would_refuse_is_refused_without_being_echoed() {
    let broker = Broker::shared().await;
    let body = Actor::registration(&json!({"source": "provided", "value": "fifteen-letters"}));
    let answer = broker.portal().post("/v1/machines", body).await;
    assert_eq!(answer.problem(), (422, "passphrase-policy-violation"));
    assert!(!answer.text.contains("fifteen-letters"));
}
