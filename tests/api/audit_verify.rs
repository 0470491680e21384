//! `audit verify` against an owner of the database who takes the triggers away first: what is found
//! with the log alone, and what with a checkpoint that was kept elsewhere.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};
use signed_note::{Note, StandardSigner};
use tlog_tiles::{
    checkpoint::Checkpoint,
    tlog::{Hash, node_hash},
};

use crate::harness::{Broker, Database, Setup};

const ORIGIN: &str = "audit.test.example/passphrase-broker";
/// Made up for the tests.
const SIGNER: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";
const VERIFIER: &str =
    "audit.test.example/passphrase-broker+0ad5dbde+AcBRghVS87D9jhB2fVDD2w9OzAReSJtBNZW1ucyf1If9";

const DISARM: &str =
    "alter table audit_events disable trigger all; alter table audit_head disable trigger all;
    alter table audit_tree disable trigger all;";

/// Appends as the service does. `{}` is how many.
const APPEND: &str = "insert into audit_events (sequence, body)
    select size + i, convert_to('{\"action\":\"retire_machine\",\"actor\":{\"kind\":\"system\"},\"id\":\"' || gen_random_uuid()
        || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}', 'UTF8')
    from audit_head, generate_series(0, {} - 1) i order by i";

/// Makes the head fit the first `{}` events, which is what a careful forger does.
const FIT_HEAD: &str = "update audit_head set size = {0}, frontier = coalesce((
    select string_agg(substr(leaf || nodes, 1 + 32 * height, 32), '' order by height desc)
    from generate_series(0, 62) height join audit_events on sequence = ({0}::bigint >> height << height) - 1
    where {0}::bigint >> height & 1 = 1), ''); delete from audit_tree where sequence >= {0};";

/// 300 events and a checkpoint of them that no forger can reach.
struct Log {
    database: Database,
    checkpoint: PathBuf,
    key: PathBuf,
}

impl Log {
    async fn filled() -> Self {
        let database = Database::create().await;
        database.execute(&APPEND.replace("{}", "300")).await;
        let name = database.superuser_url.rsplit(['/', ':']).take(2).collect::<String>();
        let file = |kind| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{kind}"));
        let log = Self { checkpoint: file("checkpoint"), key: file("key"), database };
        std::fs::write(&log.checkpoint, log.sign().await).unwrap();
        std::fs::write(&log.key, VERIFIER).unwrap();
        log
    }

    /// What a signer says of the log as it is now.
    async fn sign(&self) -> Vec<u8> {
        let size = self.database.count("select size from audit_head").await;
        let head = "select encode(frontier, 'hex') from audit_head";
        let frontier = self.database.texts(head).await.remove(0);
        let root = (0..frontier.len() / 64).rev().map(|at| hash(&frontier[64 * at..64 * at + 64]));
        let root = root.reduce(|right, left| node_hash(left, right)).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, size.try_into().unwrap(), root, "").unwrap();
        let mut note = Note::new(&checkpoint.to_bytes(), &[]).unwrap();
        note.add_sigs(&[&StandardSigner::new(SIGNER).unwrap()]).unwrap();
        note.to_bytes()
    }

    async fn tamper(&self, statements: &str) {
        self.database.execute(&format!("{DISARM}{statements}")).await;
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"));
        command.args(["audit", "verify", "--database-url", &self.database.service_url]);
        let output = command.args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// The exit code and the report, of which the findings are left out.
    fn verdict(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, text) = self.run(&[&["--format", "json"], arguments].concat());
        let mut report: Value = serde_json::from_str(&text).unwrap();
        report.as_object_mut().unwrap().remove("findings");
        (code, report)
    }

    fn alone(&self) -> (i32, Value) {
        self.verdict(&[])
    }

    fn with_checkpoint(&self) -> (i32, Value) {
        let (checkpoint, key) = (self.checkpoint.to_str().unwrap(), self.key.to_str().unwrap());
        self.verdict(&["--checkpoint", checkpoint, "--public-key", key])
    }

    /// Integrity fails, with and without a checkpoint, at that event.
    fn is_altered_at(&self, sequence: u64) {
        for (code, report) in [self.alone(), self.with_checkpoint()] {
            assert_eq!((code, &report["integrity"]), (1, &json!("failed")), "{report}");
            assert_eq!(report["firstBadSequence"], sequence, "{report}");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.checkpoint));
        drop(std::fs::remove_file(&self.key));
    }
}

fn hash(hex: &str) -> Hash {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    Hash(std::array::from_fn(byte))
}

fn report(
    integrity: &str,
    completeness: &str,
    first_bad: Option<u64>,
    events: u64,
    checkpoint: Option<u64>,
) -> Value {
    json!({"integrity": integrity, "completeness": completeness, "firstBadSequence": first_bad,
           "events": events, "checkpointSize": checkpoint})
}

#[tokio::test]
async fn an_untouched_log_is_intact_and_complete_up_to_its_checkpoint() {
    let log = Log::filled().await;
    assert_eq!(log.alone(), (0, report("ok", "unknown", None, 300, None)));
    assert_eq!(log.with_checkpoint(), (0, report("ok", "ok", None, 300, Some(300))));
    log.database.execute(&APPEND.replace("{}", "33")).await;
    assert_eq!(log.with_checkpoint(), (0, report("ok", "ok", None, 333, Some(300))));
    assert!(log.run(&[]).1.contains("completeness  unknown"));
}

#[tokio::test]
async fn one_altered_byte_is_found() {
    let log = Log::filled().await;
    log.tamper(
        "update audit_events set body = overlay(body placing 'M' from 20) where sequence = 101",
    )
    .await;
    log.is_altered_at(101);
}

#[tokio::test]
async fn one_altered_byte_is_found_though_the_row_was_hashed_anew() {
    let log = Log::filled().await;
    log.tamper("update audit_events set body = overlay(body placing 'M' from 12), action = 'Metire_machine' where sequence = 100;
        update audit_events set leaf = sha256('\\x00'::bytea || body) where sequence = 100;
        update audit_events set fingerprint = sha256(int8send(sequence) || timestamptz_send(recorded_at) || leaf) where sequence = 100").await;
    log.is_altered_at(100);
}

#[tokio::test]
async fn two_events_that_changed_places_are_found() {
    let log = Log::filled().await;
    log.tamper("update audit_events set sequence = 9000 where sequence = 41;
        update audit_events set sequence = 41 where sequence = 73; update audit_events set sequence = 73 where sequence = 9000").await;
    log.is_altered_at(41);
}

#[tokio::test]
async fn two_bodies_that_changed_places_are_found() {
    let log = Log::filled().await;
    log.tamper(
        "update audit_events a set body = b.body from audit_events b
        where (a.sequence, b.sequence) in ((70, 40), (40, 70))",
    )
    .await;
    log.is_altered_at(40);
}

#[tokio::test]
async fn an_altered_column_or_time_is_found() {
    for change in [
        "actor_object_id = gen_random_uuid()",
        "recorded_at = recorded_at - interval '1 us'",
        "recorded_at = 'infinity'",
        "recorded_at = '294276-12-31 23:59:59.999999+00'",
        "nodes = '\\x00'",
    ] {
        let log = Log::filled().await;
        log.tamper(&format!("update audit_events set {change} where sequence = 222")).await;
        log.is_altered_at(222);
    }
}

#[tokio::test]
async fn a_place_of_the_tree_beyond_the_head_and_a_head_that_is_gone_are_found() {
    let log = Log::filled().await;
    log.tamper("insert into audit_tree select 300, gen_random_uuid(), recorded_at, hashes from audit_tree where sequence = 299").await;
    log.is_altered_at(300);
    let log = Log::filled().await;
    log.tamper("delete from audit_head").await;
    assert_eq!(log.with_checkpoint(), (1, report("failed", "unknown", Some(0), 300, Some(300))));
}

#[tokio::test]
async fn an_event_deleted_in_the_middle_is_missed() {
    let log = Log::filled().await;
    log.tamper("delete from audit_events where sequence = 123").await;
    assert_eq!(log.alone(), (1, report("unknown", "failed", Some(123), 299, None)));
    assert_eq!(log.with_checkpoint(), (1, report("unknown", "failed", Some(123), 299, Some(300))));
}

#[tokio::test]
async fn the_newest_hundred_deleted_are_missed() {
    let log = Log::filled().await;
    log.tamper("delete from audit_events where sequence >= 200").await;
    assert_eq!(log.alone(), (1, report("unknown", "failed", Some(200), 200, None)));
    log.tamper(&FIT_HEAD.replace("{0}", "200")).await;
    assert_eq!(log.alone(), (0, report("ok", "unknown", None, 200, None)), "needs a checkpoint");
    assert_eq!(log.with_checkpoint(), (1, report("ok", "failed", Some(200), 200, Some(300))));
}

#[tokio::test]
async fn a_forged_event_is_found() {
    const FORGE: &str = "insert into audit_events select {}, body, recorded_at, leaf, nodes, fingerprint, gen_random_uuid(),
        operation_id, action, outcome, actor_tenant_id, actor_object_id, machine_id from audit_events where sequence = 7";
    let log = Log::filled().await;
    log.tamper(&FORGE.replace("{}", "300")).await;
    log.is_altered_at(300);
    let log = Log::filled().await;
    log.tamper(&format!(
        "alter table audit_events drop constraint audit_events_sequence_check;
        update audit_events set sequence = sequence + 500001 where sequence >= 150;
        update audit_events set sequence = sequence - 500000 where sequence > 500000; {}",
        FORGE.replace("{}", "150")
    ))
    .await;
    log.is_altered_at(150);
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_not_that_of_the_checkpoint() {
    let log = Log::filled().await;
    log.tamper("create table kept as select sequence, overlay(body placing 'M' from 12) as body from audit_events;
        delete from audit_events; delete from audit_tree; update audit_head set size = 0, frontier = '';
        alter table audit_events enable trigger all; alter table audit_head enable trigger all;
        insert into audit_events (sequence, body) select sequence, body from kept order by sequence").await;
    assert_eq!(log.alone(), (0, report("ok", "unknown", None, 300, None)), "needs a checkpoint");
    assert_eq!(log.with_checkpoint(), (1, report("failed", "unknown", None, 300, Some(300))));
}

#[tokio::test]
async fn a_log_that_went_on_from_an_old_backup_is_not_that_of_the_checkpoint() {
    let log = Log::filled().await;
    log.tamper(&format!(
        "delete from audit_events where sequence >= 200; {} alter table audit_events enable trigger all; alter table audit_head enable trigger all;",
        FIT_HEAD.replace("{0}", "200")
    ))
    .await;
    assert_eq!(log.with_checkpoint(), (1, report("ok", "failed", Some(200), 200, Some(300))));
    log.database.execute(&APPEND.replace("{}", "150")).await;
    assert_eq!(log.alone(), (0, report("ok", "unknown", None, 350, None)), "needs a checkpoint");
    assert_eq!(log.with_checkpoint(), (1, report("failed", "unknown", None, 350, Some(300))));
}

#[tokio::test]
async fn a_head_that_was_altered_is_found() {
    let log = Log::filled().await;
    // 300 = 256 + 32 + 8 + 4: the second subtree.
    log.tamper("update audit_head set frontier = overlay(frontier placing '\\x00000000' from 33)")
        .await;
    log.is_altered_at(256);
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_no_verdict() {
    let log = Log::filled().await;
    let (checkpoint, key) = (log.checkpoint.to_str().unwrap(), log.key.to_str().unwrap());
    let both = ["--checkpoint", checkpoint, "--public-key", key];
    let note = std::fs::read_to_string(checkpoint).unwrap();
    std::fs::write(checkpoint, note.replace("\n300\n", "\n200\n")).unwrap();
    assert_eq!(log.run(&both), (2, String::new()), "a forged checkpoint");
    assert_eq!(log.run(&both[..2]), (2, String::new()), "no key");
    log.database.execute("drop table audit_head cascade").await;
    assert_eq!(log.run(&[]), (2, String::new()), "no head");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_replicas_append_at_once_is_one_tree() {
    let first = Broker::start(Setup::default()).await;
    let (database, second) = (first.database.clone(), first.replica(&[]).await);
    let (here, there) = (first.portal(), second.portal());
    let register = async |portal: &crate::harness::Actor| {
        for _ in 0..10 {
            assert_eq!(portal.register().await.status, 201);
        }
    };
    tokio::join!(register(&here), register(&there), register(&here), register(&there));
    let log = Log { database, checkpoint: PathBuf::new(), key: PathBuf::new() };
    let (code, report) = log.alone();
    assert_eq!((code, &report["integrity"]), (0, &json!("ok")), "{report}");
    assert!(report["events"].as_u64().unwrap() >= 80, "{report}");
}
