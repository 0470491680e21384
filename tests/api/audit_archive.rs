//! Goal A13: old partitions go to the archive, and what was proved stays provable; what must not go yet does
//! not.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor};

use crate::harness::{Broker, Database, Setup};

/// In ten partitions of 64, and 5 more.
const EVENTS: u32 = 645;

/// A stored checkpoint of the whole log, as the service makes them; who signed it is another matter.
const CHECKPOINT: &str = "insert into audit_checkpoints (size, root, note) select size, sha256(frontier), 'made up' from audit_head";

async fn filled() -> Database {
    let database = Database::create().await.with_partitions_of(64).await;
    let ahead = "update audit_log_settings set keep_for = '0', partitions_ahead = 11; select make_audit_partitions()";
    database.execute(ahead).await;
    database.append(EVENTS).await;
    database
}

/// What somebody computes who has the bodies in a file, one a line.
async fn digest(database: &Database, first: i64) -> String {
    let bodies = format!(
        "select convert_from(body, 'UTF8') from audit_events where sequence >= {first} and sequence < {first} + 64 order by sequence"
    );
    let mut all = Sha256::new();
    for body in database.texts(&bodies).await {
        all.update(Sha256::digest([&[0], body.as_bytes()].concat()));
    }
    let hex: Vec<String> = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

/// As somebody with the archivist's role.
async fn as_archivist(database: &Database, statement: &str) -> Result<(), String> {
    let mut connection = database.superuser().await;
    let statement = format!("set role passphrase_broker_archivist; {statement}");
    let done = connection.execute(AssertSqlSafe(statement)).await;
    done.map(drop).map_err(|error| error.to_string())
}

async fn archive(database: &Database, first: i64) -> Result<(), String> {
    as_archivist(database, &format!("select archive_audit_partition({first})")).await
}

async fn acknowledge(database: &Database, first: i64) -> Result<(), String> {
    let digest = digest(database, first).await;
    as_archivist(database, &format!("select acknowledge_audit_export({first}, '{digest}')")).await
}

async fn archive_three(database: &Database) {
    database.execute(CHECKPOINT).await;
    for first in [0, 64, 128] {
        acknowledge(database, first).await.unwrap();
        archive(database, first).await.unwrap();
        database.execute(&format!("drop table audit_events_{first}")).await;
    }
}

/// Every hash of the tree that there was before, by its place.
async fn tree(database: &Database) -> Vec<String> {
    let hashes = format!(
        "select encode(hashes, 'hex') from audit_tree where sequence < {EVENTS} order by sequence"
    );
    database.texts(&hashes).await
}

fn verify(database: &Database) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"));
    command.args(["audit", "verify", "--format", "json", "--database-url", &database.service_url]);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn three_of_ten_partitions_go_and_the_tree_stays_whole() {
    let database = filled().await;
    let before = tree(&database).await;
    archive_three(&database).await;
    assert_eq!(tree(&database).await, before);
    assert_eq!(database.count("select min(sequence) from audit_events").await, 192);
    database
        .execute(
            "update audit_log_settings set partitions_ahead = 5; select make_audit_partitions()",
        )
        .await;
    // Through three partitions that are not there: the log goes on, over the tree that is.
    database.append(200).await;
    let (code, report) = verify(&database);
    assert_eq!((code, &report["integrity"]), (0, &json!("ok")), "{report}");
    assert_eq!(
        report["archived"],
        json!([{"first": 0, "end": 192, "bodies": "unknown"}]),
        "{report}"
    );
    // 645, three events that tell of it, and 200.
    assert_eq!(report["events"], 645 + 3 + 200 - 192, "{report}");
}

#[tokio::test]
async fn that_a_partition_went_is_in_the_log_with_who_took_it() {
    let database = filled().await;
    archive_three(&database).await;
    let logged = database.logged("action = 'archive_audit_events'").await;
    assert_eq!(logged.len(), 3);
    let details =
        json!({"archivedBy": "postgres", "end": "128", "exportedBy": "postgres", "first": "64"});
    assert_eq!(logged[1].body()["details"], details);
    let canonical = serde_json_canonicalizer::to_vec(&logged[1].body()).unwrap();
    assert_eq!(logged[1].bytes, canonical, "not the canonical form");
}

#[tokio::test]
async fn what_must_not_go_to_the_archive_yet_does_not() {
    let database = filled().await;
    let refusal = async |first| archive(&database, first).await.unwrap_err();
    assert!(refusal(0).await.contains("nobody has shown an export"));
    acknowledge(&database, 0).await.unwrap();
    assert!(refusal(0).await.contains("no checkpoint covers it"));
    database.execute(CHECKPOINT).await;
    acknowledge(&database, 64).await.unwrap();
    assert!(refusal(64).await.contains("an older partition"));
    database.execute("update audit_log_settings set keep_for = '1 hour'").await;
    assert!(refusal(0).await.contains("too young"));
    database.execute("update audit_log_settings set keep_for = '0'").await;
    database.execute("insert into audit_sinks (name, position) values ('webhook', 63)").await;
    assert!(refusal(0).await.contains("a sink has not taken it"));
    database.execute("update audit_sinks set position = 64").await;
    assert!(refusal(7).await.contains("no partition"));
    archive(&database, 0).await.unwrap();
    assert!(refusal(0).await.contains("no partition"), "a second time");
    let unfilled = as_archivist(&database, "select acknowledge_audit_export(640, '')").await;
    assert!(unfilled.unwrap_err().contains("not full yet"));
    println!("7/7 refused");
}

#[tokio::test]
async fn an_export_that_lacks_or_alters_an_event_is_not_acknowledged() {
    let database = filled().await;
    let other = digest(&database, 64).await;
    for wrong in [other.as_str(), "", "\\x00"] {
        let statement = format!("select acknowledge_audit_export(0, '{wrong}')");
        let refusal = as_archivist(&database, &statement).await.unwrap_err();
        assert!(refusal.contains("these are not the events from 0 to 63"), "{refusal}");
    }
}

#[tokio::test]
async fn the_archivist_does_nothing_else_and_the_service_archives_nothing() {
    let database = filled().await;
    for statement in [
        "insert into audit_events (sequence, body) select size, '{}' from audit_head",
        "delete from audit_events",
        "delete from audit_tree",
        "update audit_partitions set exported_at = now(), exported_by = 'me'",
        "update audit_log_settings set keep_for = '0'",
        "drop table audit_events_0",
    ] {
        let refusal = as_archivist(&database, statement).await.unwrap_err();
        let refused =
            ["permission denied", "must be owner"].iter().any(|why| refusal.contains(why));
        assert!(refused, "{statement}: {refusal}");
    }
    let mut service = database.service().await;
    for statement in ["select archive_audit_partition(0)", "select acknowledge_audit_export(0, '')"]
    {
        let refusal = service.execute(statement).await.unwrap_err().to_string();
        assert!(refusal.contains("permission denied"), "{statement}: {refusal}");
    }
}

#[tokio::test]
async fn events_that_are_gone_without_a_word_in_the_log_are_missing() {
    let database = filled().await;
    let gone =
        "alter table audit_events detach partition audit_events_0; drop table audit_events_0";
    database.execute(gone).await;
    let (code, report) = verify(&database);
    assert_eq!((code, &report["completeness"]), (1, &json!("failed")), "{report}");
    assert_eq!(report["firstBadSequence"], 0, "{report}");
    let pretend = "update audit_partitions set exported_at = now(), exported_by = 'me', archived_at = now(), archived_by = 'me' where first_sequence = 0";
    database.execute(pretend).await;
    let (code, report) = verify(&database);
    assert_eq!((code, &report["completeness"]), (1, &json!("failed")), "{report}");
    assert_eq!(report["firstBadSequence"], 0, "{report}");
}

#[tokio::test]
async fn a_hash_of_the_tree_that_was_altered_is_found_archived_or_not() {
    let database = filled().await;
    archive_three(&database).await;
    for sequence in [37, 300] {
        let swap = format!(
            "alter table audit_tree disable trigger all;
             update audit_tree set hashes = overlay(hashes placing '\\x00ff' from 1) where sequence = {sequence}"
        );
        database.execute(&swap).await;
        let (code, report) = verify(&database);
        assert_eq!((code, &report["integrity"]), (1, &json!("failed")), "{sequence}: {report}");
    }
}

#[tokio::test]
async fn the_service_goes_on_over_a_log_whose_beginning_is_in_the_archive() {
    let database = filled().await;
    archive_three(&database).await;
    let broker = Broker::start(Setup { database: Some(database), ..Setup::default() }).await;
    let machine = broker.portal().register().await;
    assert_eq!(broker.helpdesk().retrieve(machine.id()).await.status, 201);
    let events = broker.auditor().events("to=2001-01-01T00:00:00Z").await;
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(broker.auditor().events(&format!("machineId={}", machine.id())).await.len(), 3);
    assert_eq!(verify(&broker.database).0, 0);
}
