//! For whoever runs this: health, metrics, an orderly end, and the commands of the binary.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use azsim::{Effect, Fault};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Actor, Answer, Broker, Database, Setup, azure, free_port, secret_name_of};

/// The answer of `/readyz` once it is no longer remembered and says this of the dependency.
async fn readiness(broker: &Broker, dependency: &str, word: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = broker.nobody().get("/readyz").await;
        if answer.body[dependency] == word || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_makes_the_broker_unready_and_it_recovers() {
    let broker = Broker::start(Setup::default()).await;
    broker.database.execute("revoke insert on audit_events from passphrase_broker").await;
    let down = readiness(&broker, "auditLog", "down").await;
    assert_eq!((down.status, &down.body["auditLog"]), (503, &json!("down")), "{}", down.text);
    assert_eq!((&down.body["database"], &down.body["keyVault"]), (&json!("ok"), &json!("ok")));
    assert_eq!(broker.nobody().get("/livez").await.status, 200);
    broker.database.execute("grant insert on audit_events to passphrase_broker").await;
    assert_eq!(readiness(&broker, "auditLog", "ok").await.status, 200);
}

#[tokio::test]
async fn a_key_vault_that_refuses_makes_the_broker_unready_and_it_recovers() {
    let broker = Broker::start(Setup::default()).await;
    let effect = Effect::refuse(403, "{}");
    let fault =
        azure().inject(Fault::new("key_vault.list_secrets", effect).key_vault(&broker.key_vault));
    let down = readiness(&broker, "keyVault", "down").await;
    assert_eq!((down.status, &down.body["keyVault"]), (503, &json!("down")), "{}", down.text);
    assert_eq!((&down.body["database"], &down.body["auditLog"]), (&json!("ok"), &json!("ok")));
    fault.release();
    assert_eq!(readiness(&broker, "keyVault", "ok").await.status, 200);
}

#[tokio::test]
async fn a_database_that_refuses_makes_the_broker_unready_and_it_recovers() {
    let broker = Broker::start(Setup::default()).await;
    let name = broker.database.superuser_url.rsplit_once('/').unwrap().1.to_owned();
    let statements = |limit: i32| format!("alter database {name} connection limit {limit}");
    broker.database.execute(&statements(0)).await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'passphrase_broker' and datname = current_database()";
    broker.database.execute(cut).await;
    let down = readiness(&broker, "database", "down").await;
    assert_eq!((down.status, &down.body["database"]), (503, &json!("down")), "{}", down.text);
    let refused = broker.portal().get("/v1/machines").await;
    assert_eq!(refused.problem(), (503, "database-unavailable"), "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    broker.database.execute(&statements(-1)).await;
    assert_eq!(readiness(&broker, "database", "ok").await.status, 200);
}

#[tokio::test]
async fn metrics_have_the_series_that_are_described_and_no_names_of_machines() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    agent.rotate(machine.id()).await;
    broker.nobody().get("/v1/me").await;
    let metrics = broker.nobody().get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for series in [
        "http_requests_total",
        "http_request_seconds_bucket",
        "unauthenticated_requests_total",
        "audit_queue_length",
        "audit_commit_seconds_bucket",
        "audit_group_size_bucket",
        "key_vault_calls_total",
        "key_vault_call_seconds_bucket",
        "token_cache_total",
        "jwks_fetches_total",
        "clock_ahead_seconds",
    ] {
        assert!(
            metrics.text.contains(&format!("\npassphrase_broker_{series}")),
            "{series}:\n{}",
            metrics.text
        );
    }
    for secret in
        [machine.id(), machine.field("fqdn"), machine.field("passphrase"), &agent.object_id]
    {
        assert!(!metrics.text.contains(secret), "{secret}");
    }
    let route = "passphrase_broker_http_requests_total{route=\"/v1/machines\",method=\"POST\",status=\"201\"} 1";
    assert!(metrics.text.contains(route), "{}", metrics.text);
}

#[tokio::test]
async fn metrics_can_have_a_port_of_their_own() {
    let free = format!("127.0.0.1:{}", free_port());
    let environment = [("METRICS_ADDRESS", free.clone())].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    assert_eq!(broker.nobody().get("/metrics").await.problem(), (404, "not-found"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = Answer::of(client.get(format!("http://{free}/metrics"))).await;
    assert!(metrics.text.contains("passphrase_broker_http_requests_total"), "{}", metrics.text);
    let elsewhere = Answer::of(client.get(format!("http://{free}/v1/me"))).await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn a_term_signal_lets_what_is_in_flight_finish_and_takes_nothing_new() {
    let broker = Broker::start(Setup::default()).await;
    let portal = broker.portal();
    let body = Actor::registration(&json!({"source": "generated"}));
    let effect = Effect::DelayReply { milliseconds: 1500 };
    let fault = broker.fault_once("set_secret", &secret_name_of(&body), effect);
    let request = portal.request(Method::POST, "/v1/machines").json(&body);
    let in_flight = tokio::spawn(Answer::of(request));
    fault.reached(1).await;
    broker.signal("TERM");
    let answer = in_flight.await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(broker.versions(&secret_name_of(&body))[0].value, answer.field("passphrase"));
    assert!(broker.wait().success(), "{}", broker.log());
    assert!(broker.log().contains("\"stopped\""), "{}", broker.log());
    let refused = portal.request(Method::GET, "/livez").send().await;
    assert!(refused.is_err());
    assert_eq!(
        broker.database.count("select count(*) from machines where state = 'active'").await,
        1
    );
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

#[tokio::test]
async fn check_config_reports_every_mistake_at_once_and_no_secret() {
    let secret = "postgres://u:canary-password@[broken";
    let output = run(
        &["check-config"],
        &[
            ("DATABASE_URL", secret),
            ("KEY_VAULT_URIS", "http://kv.example/"),
            ("LISTEN_ADDRESS", "everywhere"),
            ("TICKET_PATTERN", "("),
            ("LOG_LEVEL", "loud"),
        ],
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for name in [
        "DATABASE_URL",
        "KEY_VAULT_URIS",
        "LISTEN_ADDRESS",
        "TICKET_PATTERN",
        "LOG_LEVEL",
        "CURSOR_KEY",
        "ENTRA_TENANT_IDS",
        "ENTRA_AUDIENCE",
    ] {
        assert_eq!(told.lines().filter(|line| line.contains(name)).count(), 1, "{name}:\n{told}");
    }
    assert!(!told.contains("canary") && output.stdout.is_empty(), "{told}");
    let served = run(&["serve"], &[("DATABASE_URL", secret)]);
    assert_eq!(served.status.code(), Some(2));
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let database = Database::create().await;
    let schema = "select count(*) from information_schema.columns where table_schema = 'public'";
    let before = (
        database.count(schema).await,
        database.count("select count(*) from _sqlx_migrations").await,
    );
    for _ in 0..2 {
        let output = run(&["migrate"], &[("MIGRATION_DATABASE_URL", &database.superuser_url)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let after = (
        database.count(schema).await,
        database.count("select count(*) from _sqlx_migrations").await,
    );
    assert_eq!(before, after);
}

#[tokio::test]
async fn serving_can_migrate_first() {
    let database = Database::create().await;
    database.execute("drop schema public cascade; create schema public").await;
    let environment = [
        ("MIGRATE_ON_START", "true".to_owned()),
        ("MIGRATION_DATABASE_URL", database.superuser_url.clone()),
    ];
    let setup =
        Setup { database: Some(database), environment: environment.into(), ..Setup::default() };
    let broker = Broker::start(setup).await;
    assert_eq!(broker.portal().register().await.status, 201);
}
