//! `POST /v1/machines`: a machine and its first passphrase. What MARS saved before is in `adoption`.

use serde_json::{Value, json};

use crate::harness::{Actor, Broker, Setup, azure, secret_name_of, unique_fqdn};

fn generated() -> Value {
    Actor::registration(&json!({"source": "generated"}))
}

async fn machines(broker: &Broker, fqdn: &Value) -> i64 {
    let query = format!("select count(*) from machines where fqdn = '{}'", fqdn.as_str().unwrap());
    broker.database.count(&query).await
}

#[tokio::test]
async fn a_generated_passphrase_is_answered_once_and_lies_in_key_vault() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    assert_eq!(machine.header("location"), format!("/v1/machines/{}", machine.id()));
    assert_eq!(machine.field("passphrase").len(), 53);
    let shown = broker.portal().get(machine.header("location")).await;
    assert_eq!((shown.status, shown.field("state")), (200, "active"));
    assert!(shown.body.get("passphrase").is_none());
    let versions = broker.versions(machine.field("secretName"));
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].value, machine.field("passphrase"));
    assert_eq!(versions[0].id, machine.field("currentVersion"));
    assert!(machine.field("secretIdentifier").ends_with(&versions[0].id));
}

#[tokio::test]
async fn a_generated_passphrase_can_be_read_aloud_and_typed_anywhere() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let groups: Vec<&str> = machine.field("passphrase").split('-').collect();
    assert_eq!(groups.len(), 9);
    for group in groups {
        assert_eq!(group.len(), 5);
        assert!(group.bytes().all(|byte| b"24679fhkmrtwxy".contains(&byte)), "{group}");
    }
}

#[tokio::test]
async fn key_vault_is_told_two_ids_of_ours_and_nothing_of_a_person() {
    let broker = Broker::shared().await;
    let mut body = generated();
    body["tags"] = json!({"owner": "jane.doe@contoso.com"});
    let machine = broker.portal().post("/v1/machines", body).await;
    let tags = broker.versions(machine.field("secretName"))[0].tags.clone();
    assert_eq!(tags.len(), 2, "{tags:?}");
    assert!(tags.values().all(|value| uuid::Uuid::try_parse(value).is_ok()), "{tags:?}");
    assert!(tags.values().any(|value| value == machine.id()));
}

#[tokio::test]
async fn a_provided_passphrase_is_stored_and_not_answered() {
    let broker = Broker::shared().await;
    let value = "a passphrase with ~inner spaces 1!";
    let body = Actor::registration(&json!({"source": "provided", "value": value}));
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!((machine.status, machine.field("state")), (201, "active"), "{}", machine.text);
    assert!(!machine.text.contains("inner"));
    assert_eq!(broker.versions(machine.field("secretName"))[0].value, value);
    assert_eq!(broker.helpdesk().retrieve(machine.id()).await.field("passphrase"), value);
}

#[tokio::test]
async fn a_provided_passphrase_that_mars_would_refuse_is_refused_without_being_echoed() {
    let broker = Broker::shared().await;
    let body = Actor::registration(&json!({"source": "provided", "value": "fifteen-letters"}));
    let answer = broker.portal().post("/v1/machines", body).await;
    assert_eq!(answer.problem(), (422, "passphrase-policy-violation"));
    assert!(!answer.text.contains("fifteen-letters"));
}

#[tokio::test]
async fn a_machine_without_a_passphrase_waits_for_one_and_is_rotated_to_it() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let mut body = Actor::registration(&json!({"source": "none"}));
    body["agentObjectId"] = json!(agent.object_id);
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!((machine.status, machine.field("state")), (201, "awaitingPassphrase"));
    // Preflight has looked at it; nothing wrote it.
    let seen = broker.requests_on(machine.field("secretName"));
    assert!(seen.iter().all(|request| request.operation != "key_vault.set_secret"), "{seen:?}");
    let refused = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-missing"));
    let rotation = agent.rotate(machine.id()).await;
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
}

#[tokio::test]
async fn the_same_name_in_the_same_recovery_services_vault_is_one_machine() {
    let broker = Broker::shared().await;
    let mut body = generated();
    assert_eq!(broker.portal().post("/v1/machines", body.clone()).await.status, 201);
    body["fqdn"] = json!(body["fqdn"].as_str().unwrap().to_uppercase());
    for source in ["generated", "none", "adopted"] {
        body["passphrase"] = json!({"source": source});
        let refused = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(refused.problem(), (409, "machine-exists"), "{source}");
    }
    body["fqdn"] = json!(body["fqdn"].as_str().unwrap().to_lowercase());
    assert_eq!(broker.versions(&secret_name_of(&body)).len(), 1);
}

#[tokio::test]
async fn of_ten_registrations_at_once_one_writes_and_wins() {
    let broker = Broker::shared().await;
    let (portal, body) = (broker.portal(), generated());
    let requests = (0..10).map(|_| portal.post("/v1/machines", body.clone()));
    let answers = futures_util::future::join_all(requests).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let told = answers.iter().filter(|answer| answer.problem() == (409, "machine-exists")).count();
    assert_eq!((won.len(), told), (1, 9));
    let versions = broker.versions(&secret_name_of(&body));
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].value, won[0].field("passphrase"));
}

#[tokio::test]
async fn two_names_that_become_one_secret_are_told_apart() {
    let broker = Broker::shared().await;
    let mut body = generated();
    let dotted = body["fqdn"].clone();
    let first = broker.portal().post("/v1/machines", body.clone()).await;
    body["fqdn"] = json!(dotted.as_str().unwrap().replace('.', "-"));
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (409, "secret-name-taken"), "{}", refused.text);
    assert!(refused.field("detail").contains("choose another secretName"), "{}", refused.text);
    assert_eq!(machines(broker, &body["fqdn"]).await, 0);
    assert_eq!(broker.versions(first.field("secretName")).len(), 1);
    let own = format!("AzBackup-{}", unique_fqdn().replace('.', "-"));
    body["secretName"] = json!(own);
    let second = broker.portal().post("/v1/machines", body).await;
    assert_eq!((second.status, second.field("secretName")), (201, own.as_str()));
}

/// A registration whose machine's name has this length.
fn generated_of(length: usize) -> Value {
    let mut body = generated();
    let random = body["fqdn"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let (label, rest) = ("x".repeat(40), "y".repeat(length - random.len() - 42));
    body["fqdn"] = json!(format!("{random}.{label}.{rest}"));
    assert_eq!(body["fqdn"].as_str().unwrap().len(), length);
    body
}

#[tokio::test]
async fn a_secret_name_that_would_be_too_long_is_refused_before_anything_is_written() {
    let broker = Broker::shared().await;
    // With "AzBackup-" and "-rsv-prod" 128 characters.
    let body = generated_of(110);
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
    assert_eq!(refused.body["errors"][0]["pointer"], "/secretName");
    assert_eq!(machines(broker, &body["fqdn"]).await, 0);
    assert!(broker.requests_on(&secret_name_of(&body)).is_empty());
}

#[tokio::test]
async fn a_secret_name_that_only_the_escrows_prefix_makes_too_long_is_registered() {
    let broker = Broker::shared().await;
    for length in [103, 109] {
        let body = generated_of(length);
        let machine = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(machine.status, 201, "{}", machine.text);
        assert_eq!(machine.field("secretName"), secret_name_of(&body));
    }
}

#[tokio::test]
async fn a_soft_deleted_secret_is_told_as_mars_does_and_nothing_is_registered() {
    let broker = Broker::shared().await;
    let body = generated();
    let secret = secret_name_of(&body);
    azure()
        .put_secret(&broker.key_vault, azsim::SecretSpec::new(&secret, "old-value-old-value"))
        .unwrap();
    broker.soft_delete(&secret).await;
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-soft-deleted"), "{}", refused.text);
    assert_eq!(refused.body["marsErrorCode"], "391282");
    assert_eq!(refused.body["keyVault"]["innerCode"], "ObjectIsDeletedButRecoverable");
    assert_eq!(machines(broker, &body["fqdn"]).await, 0);
}

#[tokio::test]
async fn only_a_key_vault_of_the_configuration_is_used() {
    let broker = Broker::shared().await;
    for (uri, code) in [
        ("https://kv-other.vault.azure.net/", "key-vault-not-allowed"),
        ("https://evil.example.com/", "key-vault-uri-invalid"),
        ("http://kv-mars.vault.azure.net/", "key-vault-uri-invalid"),
        ("https://kv-mars.vault.azure.net.evil.example/", "key-vault-uri-invalid"),
        ("https://kv-mars.vault.azure.net:444/", "key-vault-uri-invalid"),
        ("https://user@kv-mars.vault.azure.net/", "key-vault-uri-invalid"),
    ] {
        let mut body = generated();
        body["keyVaultUri"] = json!(uri);
        let refused = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(refused.problem(), (400, code), "{uri}");
        assert_eq!(machines(broker, &body["fqdn"]).await, 0);
        let host = uri.split('/').nth(2).unwrap();
        assert!(!azure().hosts_seen().contains_key(host), "{uri}");
    }
}

#[tokio::test]
async fn an_identity_acts_for_one_machine() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let first = broker.portal().register_for(&agent).await;
    let mut body = generated();
    body["agentObjectId"] = json!(agent.object_id);
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (409, "agent-binding-mismatch"), "{}", refused.text);
    assert_eq!(machines(broker, &body["fqdn"]).await, 0);
    assert_eq!(broker.versions(&secret_name_of(&body)).len(), 0);
    broker.portal().act(&format!("/v1/machines/{}/retire", first.id())).await;
    assert_eq!(broker.portal().post("/v1/machines", body).await.status, 201);
}

#[tokio::test]
async fn the_configured_style_names_the_secret() {
    let environment = [("SECRET_NAME_STYLE", "host".to_owned())].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    let body = generated();
    let host = body["fqdn"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.field("secretName"), format!("AzBackup-{host}-rsv-prod"));
}
