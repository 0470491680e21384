//! The log in partitions: they are made ahead of need, the guards hold for each of them, and nothing of
//! what holds for the log as a whole ends where one begins.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use crate::harness::{Actor, Broker, Database, Setup};

async fn on(database: Database) -> Broker {
    Broker::start(Setup { database: Some(database), ..Setup::default() }).await
}

/// What each of some statements of the owner is refused with.
async fn refusal(database: &Database, statement: &str) -> String {
    let mut owner = database.superuser().await;
    owner.execute(AssertSqlSafe(statement.to_owned())).await.unwrap_err().to_string()
}

async fn ready(database: &Database) -> i64 {
    database.count("select count(*) from audit_partitions_ahead").await
}

#[tokio::test]
async fn the_log_goes_on_over_its_partitions_and_the_service_has_new_ones_made() {
    let broker = on(Database::create().await.with_partitions_of(5).await).await;
    let (portal, database) = (broker.portal(), &broker.database);
    // Each leaves two events, and ten events are all that was ready.
    for _ in 0..4 {
        assert_eq!(portal.register().await.status, 201);
    }
    assert_eq!(database.count("select count(distinct tableoid) from audit_events").await, 2);
    assert_eq!(portal.register().await.status, 201);
    let registration = Actor::registration(&json!({"source": "generated"}));
    let refused = portal.post("/v1/machines", registration).await;
    assert_eq!(refused.problem(), (503, "audit-unavailable"), "{}", refused.text);
    // As does each replica when it starts.
    let replica = broker.replica(&[]).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while ready(database).await < 2 {
        assert!(Instant::now() < deadline, "no partitions were made\n{}", replica.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(portal.register().await.status, 201);
    let events = broker.auditor().events("").await;
    let sequences: Vec<i64> =
        events.iter().map(|event| event["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, (0..12).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_without_room_makes_the_broker_unready() {
    let broker = on(Database::create().await.with_partitions_of(10).await).await;
    let readiness = async || broker.nobody().get("/readyz").await.body["auditLog"].clone();
    assert_eq!(readiness().await, json!("ok"));
    broker.database.append(20).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while readiness().await != json!("down") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    broker.database.service().await.execute("select make_audit_partitions()").await.unwrap();
    while readiness().await != json!("ok") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let metrics = broker.nobody().get("/metrics").await.text;
    assert!(metrics.contains("passphrase_broker_audit_partitions_ready 2"), "{metrics}");
}

#[tokio::test]
async fn partitions_are_made_once_however_many_ask_and_only_as_many_as_are_needed() {
    let database = Database::create().await.with_partitions_of(10).await;
    database.append(15).await;
    let ask = async || {
        let mut service = database.service().await;
        for _ in 0..20 {
            service.execute("select make_audit_partitions()").await.unwrap();
        }
    };
    tokio::join!(ask(), ask(), ask(), ask());
    let names = "select name from audit_partitions order by first_sequence";
    let expected = ["audit_events_0", "audit_events_10", "audit_events_20", "audit_events_30"];
    assert_eq!(database.texts(names).await, expected);
    assert_eq!(ready(&database).await, 2);
}

#[tokio::test]
async fn new_partitions_are_guarded_like_the_first() {
    let database = Database::create().await.with_partitions_of(10).await;
    database.append(15).await;
    database.execute("select make_audit_partitions()").await;
    database.append(10).await;
    for partition in database.texts("select name from audit_partitions").await {
        for role in ["origin", "replica"] {
            for attack in ["update {} set body = body", "delete from {}", "truncate {}"] {
                let attack = attack.replace("{}", &partition);
                let attack = format!("set session_replication_role = {role}; {attack}");
                let refusal = refusal(&database, &attack).await;
                assert!(refusal.contains("append-only"), "{attack}: {refusal}");
            }
        }
    }
    let switched_off = "select count(*) from pg_trigger where tgenabled <> 'A' and not tgisinternal
        and (tgrelid::regclass::text like 'audit\\_events%' or tgrelid = 'audit_tree'::regclass)";
    assert_eq!(database.count(switched_off).await, 0);
}

#[tokio::test]
async fn an_event_in_a_partition_that_nobody_filled_yet_is_refused() {
    let database = Database::create().await.with_partitions_of(10).await;
    database.append(5).await;
    let body = "convert_to('{\"action\":\"x\",\"id\":\"' || gen_random_uuid() || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}', 'UTF8')";
    for (table, sequence) in [("audit_events", 10), ("audit_events_10", 10), ("audit_events_0", 6)]
    {
        let insert = format!("insert into {table} (sequence, body) values ({sequence}, {body})");
        let refusal = refusal(&database, &insert).await;
        assert!(refusal.contains("at the head"), "{insert}: {refusal}");
    }
    // Past the parent is still past nothing: the head moves.
    let insert = format!("insert into audit_events_0 (sequence, body) values (5, {body})");
    database.execute(&insert).await;
    assert_eq!(database.count("select size from audit_head").await, 6);
}

#[tokio::test]
async fn an_id_is_taken_once_whichever_partition_has_it() {
    let database = Database::create().await.with_partitions_of(10).await;
    database.append(12).await;
    for sequence in [0, 9, 11] {
        let again = format!(
            "insert into audit_events (sequence, body)
             select size, body from audit_head, audit_events where sequence = {sequence}"
        );
        let refusal = refusal(&database, &again).await;
        assert!(refusal.contains("audit_tree_event_id_key"), "{refusal}");
    }
    assert_eq!(database.count("select size from audit_head").await, 12);
}

#[tokio::test]
async fn times_do_not_run_backwards_though_the_clock_does() {
    let database = Database::create().await;
    database.append(3).await;
    // As after a failover to a server whose clock is behind.
    database
        .execute(
            "alter table audit_tree disable trigger all;
             update audit_tree set recorded_at = '2100-01-01T00:00:00Z' where sequence = 2;
             alter table audit_tree enable always trigger audit_tree_is_final",
        )
        .await;
    database.append(3).await;
    let late = "select count(*) from audit_events where recorded_at = '2100-01-01T00:00:00Z' and sequence > 2";
    assert_eq!(database.count(late).await, 3);
}
