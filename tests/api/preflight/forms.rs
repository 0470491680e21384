//! How a report is asked for and how it looks: JSON, a table, exit codes for scripts, a registered machine's own.

use reqwest::Method;
use serde_json::json;

use super::estate::{Estate, FQDN, broker};
use crate::harness::{Answer, Broker};

async fn with_accept(estate: &Estate, accept: &str, query: &str) -> Answer {
    let path = format!("/v1/preflight{query}");
    let request = estate.broker.portal().request(Method::POST, &path).header("accept", accept);
    Answer::of(request.json(&estate.subject())).await
}

#[tokio::test]
async fn text_is_a_table_with_the_commands_below_it() {
    let estate = Estate::without_rights(|_| {}, |vault| vault.identity = None).await;
    estate.let_broker_read();
    let answer = with_accept(&estate, "text/plain", "?columns=80").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!((answer.header("vary"), answer.header("cache-control")), ("accept", "no-store"));
    let (table, details) = answer.text.split_once("\n\nPF-").unwrap();
    assert!(table.starts_with("overall: fail\n"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(
        details.contains("\n    az backup vault identity assign --system-assigned"),
        "{details}"
    );
}

#[tokio::test]
async fn fail_on_answers_424_with_the_same_report() {
    let well = Estate::right().await;
    assert_eq!(with_accept(&well, "application/json", "?failOn=fail").await.status, 200);
    assert_eq!(with_accept(&well, "application/json", "?failOn=warn").await.status, 424);
    let ill = Estate::without_rights(|_| {}, |vault| vault.identity = None).await;
    ill.let_broker_read();
    let json = with_accept(&ill, "application/json", "?failOn=fail").await;
    assert_eq!((json.status, &json.body["overall"]), (424, &json!("fail")));
    assert_eq!(with_accept(&ill, "text/plain", "?failOn=unknown").await.status, 424);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_400() {
    let portal = broker().await.portal();
    let uri = "https://kv-mars.vault.azure.net/";
    for (body, pointer) in [
        (json!({}), ""),
        (json!({"keyVaultUri": uri, "keyVaultId": "kv-mars"}), "/keyVaultId"),
        (json!({"keyVaultUri": uri, "recoveryServicesVaultId": "rsv"}), "/recoveryServicesVaultId"),
        (json!({"keyVaultUri": uri, "fqdn": "a b"}), "/fqdn"),
        (json!({"keyVaultUri": uri, "agentVersion": "new"}), "/agentVersion"),
        (json!({"keyVaultUri": "x".repeat(3000)}), "/keyVaultUri"),
    ] {
        let answer = portal.post("/v1/preflight", body).await;
        assert_eq!(answer.problem(), (400, "invalid-request"), "{}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    for query in ["failOn=all", "columns=10", "columns=x", "checks=PF-01"] {
        let answer =
            portal.post(&format!("/v1/preflight?{query}"), json!({"keyVaultUri": uri})).await;
        assert_eq!(answer.problem(), (400, "invalid-request"), "{query}");
    }
}

#[tokio::test]
async fn a_registered_machine_is_examined_with_its_own_secret() {
    let estate = Estate::right().await;
    let body = json!({"fqdn": FQDN, "recoveryServicesVaultId": estate.rsv_id(), "keyVaultUri": estate.key_vault_uri(),
        "secretName": "AzBackup-named-by-hand", "agentVersion": "2.0.9262.0", "passphrase": {"source": "generated"}});
    let machine = estate.broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    let report =
        estate.broker.portal().act(&format!("/v1/machines/{}/preflight", machine.id())).await;
    assert_eq!(report.status, 200, "{}", report.text);
    assert!(
        report.check("PF-14")["evidence"][0]["fact"]
            .as_str()
            .unwrap()
            .contains("AzBackup-named-by-hand")
    );
    assert_eq!(report.statuses(&["PF-13", "PF-14", "PF-09"]), ["pass", "pass", "pass"]);
    assert!(!report.text.contains(machine.field("passphrase")));
}

#[tokio::test]
async fn a_machine_of_another_tenant_does_not_exist() {
    let mine = Broker::shared().await;
    let machine = mine.portal().register().await;
    let answer =
        broker().await.portal().act(&format!("/v1/machines/{}/preflight", machine.id())).await;
    assert_eq!(answer.problem(), (404, "not-found"));
}
