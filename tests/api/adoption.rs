//! `POST /v1/machines` for a machine whose passphrase is in Key Vault already: nothing is overwritten, and
//! no value is read.

use azsim::SecretSpec;
use serde_json::{Value, json};

use crate::harness::{Actor, Broker, azure, secret_name_of};

fn adopted() -> Value {
    Actor::registration(&json!({"source": "adopted"}))
}

fn put(broker: &Broker, secret: &str, value: &str) -> String {
    azure().put_secret(&broker.key_vault, SecretSpec::new(secret, value)).unwrap()
}

#[tokio::test]
async fn a_secret_that_exists_is_not_overwritten() {
    let broker = Broker::shared().await;
    let mut body = adopted();
    let secret = secret_name_of(&body);
    put(broker, &secret, "what-mars-uses-now");
    for source in
        [json!({"source": "generated"}), json!({"source": "provided", "value": "sixteen-letters!"})]
    {
        body["passphrase"] = source;
        let refused = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(refused.problem(), (409, "secret-name-taken"), "{}", refused.text);
        assert!(refused.field("detail").contains("\"adopted\""), "{}", refused.text);
    }
    assert_eq!(broker.versions(&secret).len(), 1);
}

#[tokio::test]
async fn an_adopted_secret_is_retrieved_and_its_value_not_read_before() {
    let broker = Broker::shared().await;
    let body = adopted();
    let secret = secret_name_of(&body);
    let version = put(broker, &secret, "what-mars-uses-now");
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!((machine.status, machine.field("state")), (201, "active"), "{}", machine.text);
    assert_eq!(machine.field("currentVersion"), version);
    let asked = broker.requests_on(&secret);
    assert!(
        asked.iter().all(|request| request.operation == "key_vault.list_versions"),
        "{asked:?}"
    );
    assert!(!machine.text.contains("what-mars-uses-now"));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), "what-mars-uses-now");
}

#[tokio::test]
async fn the_secret_is_found_under_each_name_that_mars_may_have_given_it() {
    let broker = Broker::shared().await;
    for style in ["-", "", "host"] {
        let body = adopted();
        let fqdn = body["fqdn"].as_str().unwrap();
        let machine = match style {
            "host" => fqdn.split('.').next().unwrap().to_owned(),
            dot => fqdn.replace('.', dot),
        };
        // Key Vault compares names without case; the name as it is there is kept.
        let secret = format!("AZBackup-{}-rsv-prod", machine.to_uppercase());
        put(broker, &secret, "what-mars-uses-now");
        let machine = broker.portal().post("/v1/machines", body).await;
        assert_eq!(machine.status, 201, "{}", machine.text);
        assert!(machine.field("secretName").eq_ignore_ascii_case(&secret));
    }
}

#[tokio::test]
async fn two_secrets_that_may_be_the_machines_have_to_be_named() {
    let broker = Broker::shared().await;
    let mut body = adopted();
    let secret = secret_name_of(&body);
    let host = body["fqdn"].as_str().unwrap().split('.').next().unwrap();
    put(broker, &format!("AzBackup-{host}-rsv-prod"), "the-other-candidate");
    let version = put(broker, &secret, "what-mars-uses-now");
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (400, "invalid-request"));
    assert_eq!(refused.body["errors"][0]["pointer"], "/secretName");
    body["secretName"] = json!(secret);
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    assert_eq!(machine.field("currentVersion"), version);
}

#[tokio::test]
async fn the_newest_version_by_creation_is_in_force() {
    let broker = Broker::shared().await;
    let body = adopted();
    let secret = secret_name_of(&body);
    let oldest = put(broker, &secret, "the-oldest-of-three");
    azure().set_enabled(&broker.key_vault, &secret, &oldest, false).unwrap();
    broker.another_second(&secret).await;
    put(broker, &secret, "the-one-before");
    broker.another_second(&secret).await;
    let newest = put(broker, &secret, "the-newest");
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!((machine.status, machine.field("state")), (201, "active"), "{}", machine.text);
    assert_eq!(machine.field("currentVersion"), newest);
}

#[tokio::test]
async fn a_newer_disabled_version_is_not_passed_over_unless_the_one_in_force_is_named() {
    let broker = Broker::shared().await;
    let mut body = adopted();
    let secret = secret_name_of(&body);
    let enabled = put(broker, &secret, "the-newest-enabled");
    broker.another_second(&secret).await;
    let disabled = put(broker, &secret, "newer-but-disabled");
    azure().set_enabled(&broker.key_vault, &secret, &disabled, false).unwrap();
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-disabled"), "{}", refused.text);
    assert!(refused.field("detail").contains(&disabled), "{}", refused.text);
    body["passphrase"]["version"] = json!(enabled);
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!((machine.status, machine.field("currentVersion")), (201, enabled.as_str()));
    assert_eq!(machine.body["foreignVersions"], json!([disabled]));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), "the-newest-enabled");
    let unreadable = &retrieved.body["unreadableCandidates"][0];
    assert_eq!(unreadable["version"], json!(disabled), "{}", retrieved.text);
}

#[tokio::test]
async fn a_secret_that_is_disabled_is_not_told_as_missing() {
    let broker = Broker::shared().await;
    let mut body = adopted();
    let secret = secret_name_of(&body);
    let only = put(broker, &secret, "what-mars-uses-now");
    azure().set_enabled(&broker.key_vault, &secret, &only, false).unwrap();
    for version in [json!(null), json!(only)] {
        body["passphrase"]["version"] = version;
        let refused = broker.portal().post("/v1/machines", body.clone()).await;
        assert_eq!(refused.problem(), (409, "key-vault-secret-disabled"), "{}", refused.text);
    }
}

#[tokio::test]
async fn of_two_versions_in_one_second_the_caller_names_the_one_in_force() {
    let broker = Broker::shared().await;
    let mut body = adopted();
    let secret = secret_name_of(&body);
    // Two at once may straddle a second; then the last pair does not.
    let (mut first, mut second) = (put(broker, &secret, "one-of-a-pair"), String::new());
    for _ in 0..3 {
        second = put(broker, &secret, "the-other-of-the-pair");
        let created: Vec<i64> =
            broker.versions(&secret).iter().map(|version| version.created).collect();
        if created[created.len() - 1] == created[created.len() - 2] {
            break;
        }
        first.clone_from(&second);
    }
    let refused = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
    assert_eq!(refused.body["errors"][0]["pointer"], "/passphrase/version");
    assert_ne!(first, second);
    body["passphrase"] = json!({"source": "adopted", "version": first});
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    assert_eq!(machine.field("currentVersion"), first);
}

#[tokio::test]
async fn nothing_to_adopt_is_told() {
    let broker = Broker::shared().await;
    let refused = broker.portal().post("/v1/machines", adopted()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-missing"), "{}", refused.text);
    let mut body = adopted();
    put(broker, &secret_name_of(&body), "what-mars-uses-now");
    body["passphrase"]["version"] = json!("0123456789abcdef0123456789abcdef");
    let refused = broker.portal().post("/v1/machines", body).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-missing"), "{}", refused.text);
}

#[tokio::test]
async fn a_secret_of_another_kind_cannot_be_named() {
    let broker = Broker::shared().await;
    put(broker, "sql-admin-password", "not-a-mars-passphrase");
    for name in ["sql-admin-password", "AzBackup-", "AzBackupPending-srv-rsv", "AzBackup-a.b"] {
        let mut body = adopted();
        body["secretName"] = json!(name);
        let refused = broker.portal().post("/v1/machines", body).await;
        assert_eq!(refused.problem(), (400, "invalid-request"), "{name}");
    }
    assert!(broker.requests_on("sql-admin-password").is_empty());
}
