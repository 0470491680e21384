//! `POST /v1/adoptions`: chosen proposals become machines, each with its own outcome and on record.

use azsim::{Effect, SecretSpec};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Broker, RSV, Setup, azure, refusal, unique_fqdn};

fn put(broker: &Broker, secret: &str) -> String {
    azure().put_secret(&broker.key_vault, SecretSpec::new(secret, "what-mars-uses-now")).unwrap()
}

/// A machine whose passphrase MARS has saved, as an item to accept.
fn saved(broker: &Broker) -> Value {
    let item = unsaved();
    put(broker, item["secretName"].as_str().unwrap());
    item
}

fn unsaved() -> Value {
    let fqdn = unique_fqdn();
    let secret = format!("AzBackup-{}-rsv-prod", fqdn.replace('.', "-"));
    json!({"secretName": secret, "fqdn": fqdn, "recoveryServicesVaultId": RSV})
}

async fn accept(broker: &Broker, items: &[Value]) -> Vec<Value> {
    let answer = broker.portal().post("/v1/adoptions", json!({"items": items})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(!answer.text.contains("what-mars-uses-now"));
    answer.body["items"].as_array().unwrap().clone()
}

fn told(outcome: &Value) -> (u64, &str) {
    (outcome["status"].as_u64().unwrap(), outcome["problem"]["code"].as_str().unwrap_or("machine"))
}

#[tokio::test]
async fn accepted_proposals_are_machines_that_can_be_retrieved() {
    let broker = Broker::shared().await;
    let mut items = [saved(broker), saved(broker), saved(broker)];
    items[1]["tags"] = json!({"owner": "team-a"});
    items[1]["agentVersion"] = json!("2.0.9270.0");
    let outcomes = accept(broker, &items).await;
    for (item, outcome) in items.iter().zip(&outcomes) {
        assert_eq!(told(outcome), (201, "machine"), "{outcome}");
        let machine = &outcome["machine"];
        assert_eq!((&machine["fqdn"], &machine["state"]), (&item["fqdn"], &json!("active")));
        let id = machine["id"].as_str().unwrap();
        let events = broker.auditor().events(&format!("machineId={id}")).await;
        assert_eq!((events.len(), &events[0]["details"]["source"]), (1, &json!("adopted")));
        let seen = broker.requests_on(item["secretName"].as_str().unwrap());
        assert!(seen.iter().all(|seen| seen.operation == "key_vault.list_versions"), "{seen:?}");
        let retrieved = broker.helpdesk().retrieve(id).await;
        assert_eq!(retrieved.field("passphrase"), "what-mars-uses-now");
    }
    assert_eq!(outcomes[1]["machine"]["tags"]["owner"], "team-a");
}

#[tokio::test]
async fn each_item_fails_by_itself_and_is_on_record() {
    let broker = Broker::start(Setup::default()).await;
    let taken = broker.portal().register().await;
    let (good, deleted, missing, mut other) =
        (saved(&broker), saved(&broker), unsaved(), saved(&broker));
    broker.soft_delete(deleted["secretName"].as_str().unwrap()).await;
    let of_taken = json!({"secretName": taken.field("secretName"), "fqdn": unique_fqdn(), "recoveryServicesVaultId": RSV});
    other["fqdn"] = taken.body["fqdn"].clone();
    let disabled = saved(&broker);
    azure()
        .set_enabled(&broker.key_vault, disabled["secretName"].as_str().unwrap(), "", false)
        .unwrap();
    let items = [good, deleted, missing, of_taken, other, disabled];
    let outcomes = accept(&broker, &items).await;
    let codes: Vec<(u64, &str)> = outcomes.iter().map(told).collect();
    assert_eq!(
        codes,
        [
            (201, "machine"),
            (409, "key-vault-secret-soft-deleted"),
            (409, "key-vault-secret-missing"),
            (409, "secret-name-taken"),
            (409, "machine-exists"),
            (409, "key-vault-secret-disabled"),
        ]
    );
    for (item, outcome) in items.iter().zip(&outcomes).skip(1) {
        assert!(outcome.get("machine").is_none(), "{outcome}");
        let condition = format!(
            "event #>> '{{details,secretName}}' = '{}' and action = 'accept_adoptions'",
            item["secretName"].as_str().unwrap()
        );
        let logged = broker.database.logged(&condition).await;
        assert_eq!(logged.len(), 1, "{item}");
        assert_eq!(
            (logged[0].outcome.as_str(), logged[0].text("/problem").as_str()),
            ("denied", told(outcome).1)
        );
    }
}

#[tokio::test]
async fn repeating_answers_the_same_machines_and_tries_the_others_again() {
    let broker = Broker::start(Setup::default()).await;
    let items = [saved(&broker), saved(&broker)];
    let lost = broker.fault(
        "list_versions",
        items[1]["secretName"].as_str().unwrap(),
        refusal(403, "Forbidden", "ForbiddenByRbac"),
    );
    let key = uuid::Uuid::new_v4().to_string();
    let (portal, body) = (broker.portal(), json!({"items": items}));
    let ask = |body: &Value| {
        Answer::of(
            portal
                .request(Method::POST, "/v1/adoptions")
                .header("idempotency-key", &key)
                .json(body),
        )
    };
    let first = ask(&body).await;
    let outcomes = first.body["items"].as_array().unwrap();
    assert_eq!(
        (told(&outcomes[0]), told(&outcomes[1])),
        ((201, "machine"), (502, "broker-permission-missing"))
    );
    lost.release();
    let second = ask(&body).await;
    let again = second.body["items"].as_array().unwrap();
    assert_eq!(
        (told(&again[0]), told(&again[1])),
        ((200, "machine"), (201, "machine")),
        "{}",
        second.text
    );
    assert_eq!(again[0]["machine"]["id"], outcomes[0]["machine"]["id"]);
    let refused = ask(&json!({"items": [items[0]]})).await;
    assert_eq!(refused.problem(), (422, "idempotency-key-reused"));
    assert_eq!(broker.database.count("select count(*) from machines").await, 2);
}

#[tokio::test]
async fn a_machine_that_may_have_two_secrets_is_taken_only_when_one_was_chosen() {
    let broker = Broker::shared().await;
    let mut item = saved(broker);
    let host = item["fqdn"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let other = format!("AzBackup-{host}-rsv-prod");
    put(broker, &other);
    let outcomes = accept(broker, &[item.clone()]).await;
    assert_eq!(told(&outcomes[0]), (400, "invalid-request"), "{}", outcomes[0]);
    let detail = outcomes[0]["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains(&other) && detail.contains("chosen"), "{detail}");
    item["chosen"] = json!(true);
    let outcomes = accept(broker, &[item.clone()]).await;
    assert_eq!(told(&outcomes[0]), (201, "machine"), "{}", outcomes[0]);
    assert_eq!(outcomes[0]["machine"]["secretName"], item["secretName"]);
}

#[tokio::test]
async fn a_secret_whose_newest_version_is_disabled_is_taken_only_when_one_was_chosen() {
    let broker = Broker::shared().await;
    let mut item = saved(broker);
    let secret = item["secretName"].as_str().unwrap().to_owned();
    broker.another_second(&secret).await;
    let disabled = put(broker, &secret);
    azure().set_enabled(&broker.key_vault, &secret, &disabled, false).unwrap();
    let outcomes = accept(broker, &[item.clone()]).await;
    assert_eq!(told(&outcomes[0]), (409, "key-vault-secret-disabled"), "{}", outcomes[0]);
    let detail = outcomes[0]["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains(&disabled) && detail.contains("chosen"), "{detail}");
    item["chosen"] = json!(true);
    let outcomes = accept(broker, &[item]).await;
    assert_eq!(told(&outcomes[0]), (201, "machine"), "{}", outcomes[0]);
    let machine = &outcomes[0]["machine"];
    assert_eq!(machine["currentVersion"], json!(broker.versions(&secret)[0].id));
    let retrieved = broker.helpdesk().retrieve(machine["id"].as_str().unwrap()).await;
    let unreadable = &retrieved.body["unreadableCandidates"][0];
    assert_eq!(unreadable["version"], json!(disabled), "{}", retrieved.text);
    assert!(unreadable["hint"].as_str().unwrap().contains("Disabled"), "{unreadable}");
}

#[tokio::test]
async fn what_is_wrong_in_one_item_refuses_the_request_and_registers_nothing() {
    let broker = Broker::start(Setup::default()).await;
    let good = saved(&broker);
    let with = |member: &str, value: Value| {
        let mut item = saved(&broker);
        item[member] = value;
        item
    };
    for (member, value) in [
        ("secretName", json!("sql-admin-password")),
        ("secretName", json!("AzBackupPending-a-rsv")),
        ("fqdn", json!("a..b")),
        ("recoveryServicesVaultId", json!("rsv-prod")),
        ("version", json!("latest")),
        ("agentVersion", json!("new")),
    ] {
        let items = json!({"items": [good, with(member, value)]});
        let refused = broker.portal().post("/v1/adoptions", items).await;
        assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
        assert_eq!(refused.body["errors"][0]["pointer"], format!("/items/1/{member}"));
    }
    for items in [json!([]), json!(vec![good; 101])] {
        let refused = broker.portal().post("/v1/adoptions", json!({"items": items})).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/items", "{}", refused.text);
    }
    assert_eq!(broker.database.count("select count(*) from machines").await, 0);
}

#[tokio::test]
async fn a_broker_that_dies_between_two_items_leaves_what_a_repetition_finishes() {
    let broker = Broker::start(Setup::default()).await;
    let items: Vec<Value> = (0..6).map(|_| saved(&broker)).collect();
    let held = broker.fault_once(
        "list_versions",
        items[5]["secretName"].as_str().unwrap(),
        Effect::HoldBefore,
    );
    let request =
        broker.portal().request(Method::POST, "/v1/adoptions").json(&json!({"items": items}));
    tokio::spawn(async move { drop(request.send().await) });
    held.reached(1).await;
    while broker.database.count("select count(*) from machines").await < 5 {
        tokio::task::yield_now().await;
    }
    broker.signal("KILL");
    broker.wait();
    held.release();
    let replica_of = Some((broker.key_vault.clone(), broker.tenant.clone()));
    let database = Some(broker.database.clone());
    let replica = Broker::start(Setup { database, replica_of, ..Setup::default() }).await;
    let outcomes = accept(&replica, &items).await;
    let fresh = outcomes.iter().filter(|outcome| told(outcome).0 == 201).count();
    assert_eq!((outcomes.len(), fresh), (6, 1), "{outcomes:?}");
    for outcome in outcomes {
        let id = outcome["machine"]["id"].as_str().unwrap();
        let condition =
            format!("machine_id = '{id}' and event #>> '{{details,source}}' = 'adopted'");
        assert_eq!(replica.database.logged(&condition).await.len(), 1);
    }
}

#[tokio::test]
async fn a_hundred_are_accepted_in_one_request() {
    let broker = Broker::start(Setup::default()).await;
    let items: Vec<Value> = (0..100).map(|_| saved(&broker)).collect();
    let began = std::time::Instant::now();
    let outcomes = accept(&broker, &items).await;
    println!("100 adoptions in {:?}", began.elapsed());
    assert!(outcomes.iter().all(|outcome| told(outcome) == (201, "machine")));
    assert!(began.elapsed() < std::time::Duration::from_secs(14));
}
