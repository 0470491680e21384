//! `GET /v1/audit/export`: what it holds, to whom, in how much memory, and how a broken one shows.

use std::{path::PathBuf, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{AUDIENCE, Answer, Broker, PUBLIC_KEY, Setup, azure, full_size_or},
    judgement::stage::run,
};

/// A file for this test only, that goes with it.
pub struct Kept(PathBuf);

impl Kept {
    pub fn new(text: &str) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
        std::fs::write(&file, text).unwrap();
        Self(file)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verify(export: &str, checkpoint: &str) -> (i32, Value) {
    let (checkpoint, key) = (Kept::new(checkpoint), Kept::new(PUBLIC_KEY));
    let evidence = ["--checkpoint", checkpoint.path(), "--public-key", key.path()];
    let (code, said) =
        run(&[&["--export", "-", "--format", "json"], &evidence[..]].concat(), export);
    (code, serde_json::from_str(&said).unwrap())
}

#[tokio::test]
async fn an_export_holds_every_event_and_verifies_against_a_checkpoint() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    let machine = broker.portal().register().await.id().to_owned();
    broker.helpdesk().retrieve(&machine).await;
    let checkpoint = auditor.get("/v1/audit/checkpoint").await.text;
    let export = auditor.get("/v1/audit/export").await;
    assert_eq!((export.status, export.header("content-type")), (200, "application/x-ndjson"));
    let shown = lines(&export.text);
    let stored = broker.database.logged("true").await;
    assert_eq!(shown.len(), stored.len() + 2);
    for (shown, stored) in shown[1..].iter().zip(&stored) {
        assert_eq!(shown["body"].as_str().unwrap().as_bytes(), stored.bytes);
        assert_eq!(shown["sequence"], stored.sequence);
    }
    // Its own event is the last one: on record before the first byte.
    assert_eq!(stored.last().unwrap().action, "export_audit_events");
    let (code, report) = verify(&export.text, &checkpoint);
    assert_eq!(
        (code, &report["integrity"], &report["completeness"]),
        (0, &json!("ok"), &json!("ok"))
    );
    assert_eq!(report["findings"], json!([]));
}

#[tokio::test]
async fn a_time_is_a_part_of_the_log() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    broker.database.append(20).await;
    let all = lines(&auditor.get("/v1/audit/export").await.text);
    let time = |at: usize| all[at]["recordedAt"].as_str().unwrap();
    let (first, last) = (time(6), time(14));
    assert_eq!(first.len(), "2026-11-22T08:30:00.123456Z".len());
    let checkpoint = auditor.get("/v1/audit/checkpoint").await.text;
    let part = auditor.get(&format!("/v1/audit/export?from={first}&to={last}")).await.text;
    let shown = lines(&part);
    assert!(shown.len() > 2, "{part}");
    assert!(shown[1..shown.len() - 1].iter().all(|line| {
        let time = line["recordedAt"].as_str().unwrap();
        (first..last).contains(&time)
    }));
    let key = Kept::new(PUBLIC_KEY);
    let (code, said) = run(&["--export", "-", "--public-key", key.path()], &part);
    assert_eq!((code, said.contains("integrity     ok")), (0, true), "{said}");
    // The checkpoint that was kept elsewhere knows more than this part.
    assert_eq!(verify(&part, &checkpoint).0, 1);
    let backwards = auditor.get(&format!("/v1/audit/export?from={last}&to={first}")).await;
    assert_eq!(backwards.problem(), (400, "invalid-request"));
    assert_eq!(backwards.body["errors"][0]["pointer"], "to");
}

#[tokio::test]
async fn events_of_another_tenant_are_there_by_their_hashes_only() {
    let key_vault = azure().add_key_vault(azsim::KeyVaultSpec::default()).unwrap();
    let host = key_vault.trim_start_matches("https://").split('.').next().unwrap().to_owned();
    let [home, abroad] = [0; 2].map(|_| azure().add_tenant().unwrap());
    let environment = [("ENTRA_TENANT_IDS", format!("{home},{abroad}"))].into();
    let replica_of = Some((host, home.clone()));
    let broker = Broker::start(Setup { environment, replica_of, ..Setup::default() }).await;
    let machine = broker.portal().register().await.id().to_owned();
    let spec = azsim::TokenSpec::user(AUDIENCE, Uuid::new_v4()).in_tenant(abroad);
    let stranger = broker.bearer(&azure().mint(&spec.roles(&["Audit.Read"])).unwrap());
    let checkpoint = stranger.get("/v1/audit/checkpoint").await.text;
    let export = stranger.get("/v1/audit/export").await.text;
    assert!(!export.contains(&machine) && !export.contains(&home), "{export}");
    let withheld = lines(&export)
        .iter()
        .filter(|line| {
            line["sequence"].is_u64()
                && line.get("body").is_none()
                && line.get("recordedAt").is_none()
        })
        .count();
    assert!(withheld >= 2, "{export}");
    let (code, report) = verify(&export, &checkpoint);
    assert_eq!(
        (code, &report["integrity"], &report["completeness"]),
        (0, &json!("ok"), &json!("ok"))
    );
    let told = format!("{withheld} events of other tenants are here by their hashes only");
    assert_eq!(report["findings"][0]["problem"], told);
}

fn peak(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Bounded, however long the log and however slow the reader.
#[tokio::test]
async fn an_export_takes_no_memory_and_a_broken_one_shows() {
    let events = full_size_or(1_000_000, 30_000);
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    for _ in 0..events / 10_000 {
        broker.database.append(10_000).await;
    }
    auditor.get("/v1/audit/events?pageSize=200").await;
    let before = peak(&broker);
    let start = std::time::Instant::now();
    let export = auditor.request(reqwest::Method::GET, "/v1/audit/export").send().await.unwrap();
    let (mut bytes, mut chunks) = (0, export.bytes_stream());
    while let Some(chunk) = chunks.next().await {
        bytes += chunk.unwrap().len();
    }
    let (after, seconds) = (peak(&broker), start.elapsed().as_secs_f64());
    println!(
        "{events} events, {} MiB in {seconds:.1} s: {before} MiB before, {after} MiB at most",
        bytes >> 20
    );
    assert!(after <= before + 32, "{before} MiB before, {after} MiB at most");
    // One that nobody reads waits, and its connection is cut when the log cannot be read any more.
    let export = auditor.request(reqwest::Method::GET, "/v1/audit/export").send().await.unwrap();
    let mut chunks = export.bytes_stream();
    chunks.next().await.unwrap().unwrap();
    broker.database.execute("revoke select on audit_events from passphrase_broker").await;
    let rest = tokio::time::timeout(Duration::from_mins(1), chunks.collect::<Vec<_>>()).await;
    assert!(rest.unwrap().last().unwrap().is_err(), "a broken export looks whole");
}

#[tokio::test]
async fn a_third_export_at_once_waits_outside() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    broker.database.append(30_000).await;
    let export = || auditor.request(reqwest::Method::GET, "/v1/audit/export");
    // Answered, and not read: more than the buffers hold.
    let held = [export().send().await.unwrap(), export().send().await.unwrap()];
    let third = Answer::of(export()).await;
    assert_eq!(third.problem(), (503, "overloaded"));
    drop(held);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while Answer::of(export()).await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "the places are never given back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
