//! What the service needs goes away and comes back: the identity's token endpoint, Entra ID's keys, DNS, room on
//! PostgreSQL's disk. Each is told with its documented code in time, and nobody restarts anything.
//!
//! PostgreSQL that is stopped, frozen or crashed: `audit_faults`, `audit_restart`. Key Vault: `key_vault_faults`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use azsim::{Effect, Fault, KeyVaultSpec};
use serde_json::json;

use crate::harness::{Actor, Answer, Broker, Relay, Setup, azure};

const UNAVAILABLE: (u16, &str) = (503, "key-vault-unavailable");

/// Repeats until the service is itself again.
async fn recovers(call: impl AsyncFn() -> Answer, status: u16) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = call().await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "it does not recover: {}", answer.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn is_told(answer: impl Future<Output = Answer>, problem: (u16, &str)) {
    let started = Instant::now();
    let answer = answer.await;
    assert_eq!(answer.problem(), problem, "{}", answer.text);
    assert!(started.elapsed() < Duration::from_secs(14), "{:?}", started.elapsed());
    assert!(!answer.text.contains("\"passphrase\""));
    assert!(!answer.header("retry-after").is_empty());
}

/// A broker whose token endpoint can be cut off.
async fn behind_a_relay(ready: bool) -> (Broker, Relay) {
    let endpoint = azure().identity_endpoint();
    let (host, path) = endpoint.trim_start_matches("http://").split_once('/').unwrap();
    let relay = Relay::start(host).await;
    if !ready {
        relay.down();
    }
    let endpoint = format!("http://{}/{path}", relay.address);
    let environment = BTreeMap::from([("IDENTITY_ENDPOINT", endpoint)]);
    let broker = Broker::start(Setup { environment, unready: !ready, ..Setup::default() }).await;
    (broker, relay)
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_hinders_nobody_while_the_token_is_valid() {
    let (broker, relay) = behind_a_relay(true).await;
    let machine = broker.portal().register().await;
    relay.down();
    for _ in 0..5 {
        assert_eq!(broker.helpdesk().retrieve(machine.id()).await.status, 201);
    }
    assert_eq!(broker.portal().register().await.status, 201);
    assert_eq!(broker.nobody().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn without_a_valid_token_key_vault_is_unavailable_until_the_endpoint_is_back() {
    let (broker, relay) = behind_a_relay(true).await;
    let machine = broker.portal().register().await;
    relay.down();
    // Key Vault does not take the token any more, as if it had expired.
    let fault =
        broker.fault_once("get_secret", machine.field("secretName"), Effect::refuse(401, ""));
    let helpdesk = broker.helpdesk();
    is_told(helpdesk.retrieve(machine.id()), UNAVAILABLE).await;
    drop(fault);
    is_told(helpdesk.retrieve(machine.id()), UNAVAILABLE).await;
    relay.up();
    recovers(async || helpdesk.retrieve(machine.id()).await, 201).await;
}

#[tokio::test]
async fn a_start_without_a_token_endpoint_is_unready_and_recovers() {
    let (broker, relay) = behind_a_relay(false).await;
    let unready = broker.nobody().get("/readyz").await;
    assert_eq!((unready.status, &unready.body["keyVault"]), (503, &json!("down")));
    is_told(
        broker.portal().post("/v1/machines", Actor::registration(&json!({"source": "generated"}))),
        UNAVAILABLE,
    )
    .await;
    relay.up();
    recovers(async || broker.nobody().get("/readyz").await, 200).await;
    assert_eq!(broker.portal().register().await.status, 201);
}

#[tokio::test]
async fn a_start_without_entra_ids_keys_believes_nobody_and_recovers() {
    let tenant = azure().add_tenant().unwrap();
    let uri = azure().add_key_vault(KeyVaultSpec::default()).unwrap();
    let name = uri.trim_start_matches("https://").split('.').next().unwrap().to_owned();
    for effect in [Effect::refuse(500, ""), Effect::HoldBefore] {
        let fault = azure().inject(Fault::new("oidc.", effect).tenant(&tenant));
        let replica_of = Some((name.clone(), tenant.clone()));
        let broker = Broker::start(Setup { replica_of, unready: true, ..Setup::default() }).await;
        let portal = broker.portal();
        is_told(portal.get("/v1/machines"), (503, "identity-unavailable")).await;
        let unready = broker.nobody().get("/readyz").await;
        assert_eq!((unready.status, &unready.body["identityKeys"]), (503, &json!("down")));
        fault.release();
        recovers(async || portal.get("/v1/machines").await, 200).await;
    }
}

/// As the proxy tells it; a resolver's failure is the next test.
#[tokio::test]
async fn a_key_vault_whose_name_does_not_resolve_is_unavailable_until_it_does() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await;
    let gone = Fault::new("proxy.connect", Effect::refuse(502, "")).key_vault(&broker.key_vault);
    let (gone, cut) = (
        azure().inject(gone),
        broker.fault("get_secret", machine.field("secretName"), Effect::DropBefore),
    );
    let helpdesk = broker.helpdesk();
    is_told(helpdesk.retrieve(machine.id()), UNAVAILABLE).await;
    drop((gone, cut));
    recovers(async || helpdesk.retrieve(machine.id()).await, 201).await;
}

/// A label of a host name has at most 63 characters: the resolver refuses without asking anybody.
#[tokio::test]
async fn a_resolver_that_fails_is_no_crash() {
    let proxy = format!("http://{}.invalid:1", "a".repeat(64));
    let environment = BTreeMap::from([("OUTBOUND_PROXY", proxy)]);
    let broker = Broker::start(Setup { environment, unready: true, ..Setup::default() }).await;
    is_told(broker.portal().get("/v1/machines"), (503, "identity-unavailable")).await;
    let unready = broker.nobody().get("/readyz").await;
    assert_eq!(unready.status, 503);
    assert_eq!(
        (&unready.body["database"], &unready.body["keyVault"]),
        (&json!("ok"), &json!("down"))
    );
    assert_eq!(broker.nobody().get("/livez").await.status, 200);
}

/// PostgreSQL's own error, raised by a trigger: a disk that is really full needs a file system of its own, which
/// only root may mount. The log's tables are in `audit_faults`.
#[tokio::test]
async fn a_full_disk_under_any_table_is_told_and_recovered_from() {
    let broker = Broker::start(Setup::default()).await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let full = "create function fill() returns trigger language plpgsql as
        $$ begin raise exception 'disk full' using errcode = '53100'; end $$";
    broker.database.execute(full).await;
    let registration = Actor::registration(&json!({"source": "generated"}));
    for table in ["machines", "rotations", "idempotency_keys"] {
        let trigger = format!(
            "create trigger fills before insert or update on {table} for each row execute function fill()"
        );
        broker.database.execute(&trigger).await;
        let keyed = async || {
            let request = portal.request(reqwest::Method::POST, "/v1/machines");
            Answer::of(request.header("idempotency-key", table).json(&registration)).await
        };
        let told = (503, "database-unavailable");
        match table {
            "machines" => is_told(portal.post("/v1/machines", registration.clone()), told).await,
            "rotations" => is_told(agent.rotate(machine.id()), told).await,
            _ => is_told(keyed(), told).await,
        }
        assert_eq!(broker.helpdesk().retrieve(machine.id()).await.status, 201, "{table}");
        broker.database.execute(&format!("drop trigger fills on {table}")).await;
    }
    assert_eq!(portal.post("/v1/machines", registration).await.status, 201);
    assert_eq!(agent.rotate(machine.id()).await.status, 201);
}
