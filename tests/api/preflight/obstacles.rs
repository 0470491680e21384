//! Registrations and rotations that Azure would stop are stopped with the codes of preflight.

use azsim::Settings;
use serde_json::{Value, json};

use super::estate::{Estate, FQDN};
use crate::harness::{Answer, azure};

async fn register(estate: &Estate, source: &str) -> Answer {
    let body = json!({"fqdn": FQDN, "recoveryServicesVaultId": estate.rsv_id(),
        "keyVaultUri": estate.key_vault_uri(), "passphrase": {"source": source}});
    estate.broker.portal().post("/v1/machines", body).await
}

async fn rotate_by_mars(estate: &Estate, machine: &str) -> Answer {
    let body = json!({"passphrase": {"source": "generated"}, "writer": "agent"});
    estate.broker.portal().post(&format!("/v1/machines/{machine}/rotations"), body).await
}

#[tokio::test]
async fn a_registration_for_mars_to_save_needs_the_identity_and_its_permission() {
    let estate = Estate::without_rights(|_| {}, |vault| vault.identity = None).await;
    estate.let_broker_read();
    let refused = register(&estate, "none").await;
    assert_eq!(refused.problem(), (424, "rsv-identity-missing"), "{}", refused.text);
    assert_eq!(refused.body["marsErrorCode"], "391224");
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_broker_read();
    let refused = register(&estate, "none").await;
    assert_eq!(refused.problem(), (424, "rsv-permission-missing"), "{}", refused.text);
    assert_eq!(refused.body["marsErrorCode"], "391225");
    estate.let_mars_write();
    assert_eq!(register(&estate, "none").await.status, 201);
}

#[tokio::test]
async fn a_rotation_that_mars_writes_needs_the_permission_and_one_of_the_broker_does_not() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_broker_read();
    let machine = register(&estate, "generated").await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    let refused = rotate_by_mars(&estate, machine.id()).await;
    assert_eq!(refused.problem(), (424, "rsv-permission-missing"), "{}", refused.text);
    assert_eq!(estate.broker.portal().rotate(machine.id()).await.status, 201);
}

#[tokio::test]
async fn what_cannot_be_proved_stops_nobody() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    assert_eq!(register(&estate, "none").await.status, 201);
}

#[tokio::test]
async fn a_soft_deleted_key_vault_is_told_from_one_that_is_out_of_reach() {
    let estate = Estate::right().await;
    let machine = register(&estate, "generated").await;
    let change = |soft_deleted: bool| {
        let settings = Settings { soft_deleted, ..estate.key_vault.settings.clone() };
        azure().change_settings(&estate.key_vault.name, |present| *present = settings).unwrap();
    };
    change(true);
    let helpdesk = estate.broker.helpdesk();
    for refused in
        [helpdesk.retrieve(machine.id()).await, estate.broker.portal().rotate(machine.id()).await]
    {
        assert_eq!(refused.problem(), (424, "key-vault-soft-deleted"), "{}", refused.text);
        assert_eq!(
            (&refused.body["marsErrorCode"], &refused.body["retryable"]),
            (&json!("391283"), &Value::Bool(false))
        );
    }
    change(false);
    assert_eq!(helpdesk.retrieve(machine.id()).await.status, 201);
}
