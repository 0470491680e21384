//! Checkpoints, proofs and events as this service makes them, for the verifiers of others: `make conformance`
//! asks for them in full size (reliability goals A9 and A10).

use futures_util::future::join_all;
use passphrase_broker::{
    audit::{
        AuditLog, ConsistencyProof, InclusionProof, StoredCheckpoint,
        note::{Checkpoint, SigningKeys, VerifierKeys},
    },
    domain::{
        audit_event::{Actor, AuditEvent, Outcome},
        caller::RequestFacts,
        clock::Clock,
        operation::Operation,
    },
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::harness::Database;

const SIGNER: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";

/// Text as nobody expects it. PostgreSQL's JSON has no NUL; texts of callers are refused with one.
const TEXT: &str = "[^\\x00]{0,40}";

struct Size {
    events: usize,
    inclusions: usize,
    consistencies: usize,
}

/// Where to, when somebody wants them.
#[expect(clippy::disallowed_methods, reason = "a test's output is no setting of the service")]
fn wanted() -> Option<std::ffi::OsString> {
    std::env::var_os("LOG_SAMPLES")
}

struct Random(TestRunner);

impl Random {
    fn of<S: Strategy>(&mut self, strategy: S) -> S::Value {
        strategy.new_tree(&mut self.0).unwrap().current()
    }

    fn event(&mut self) -> AuditEvent {
        let (at, outcome) = self.of((0..4_102_444_800_i64, 0..Outcome::ALL.len()));
        let now = OffsetDateTime::from_unix_timestamp(at).unwrap();
        let operation = Operation::ALL[self.of(0..Operation::ALL.len())];
        let (id, address, detail, tenant) =
            self.of((TEXT, proptest::option::of(TEXT), TEXT, any::<u128>()));
        let request =
            RequestFacts { operation_id: Uuid::now_v7(), request_id: id, source_address: address };
        if self.of(0..10) == 0 {
            // Numbers of JSON are exact up to there.
            return AuditEvent::anonymous_flood(operation, "x", self.of(0..1_u64 << 53), now);
        }
        let tenant_id = Uuid::from_u128(tenant);
        let roles = vec!["Audit.Read", "Machines.Read"];
        let client_id = Some(detail.clone());
        let actor = Actor::User { tenant_id, object_id: Uuid::new_v4(), client_id, roles };
        AuditEvent::refusal(operation, actor, &request, Outcome::ALL[outcome], "not-found", now)
            .with("first", detail)
            .with("\u{20ac}", self.of(TEXT))
            .with("\u{1f600}", self.of(TEXT))
            .with("\r", self.of(TEXT))
    }
}

/// Appended in groups of random sizes, with a checkpoint behind each.
async fn fill(log: &AuditLog, random: &mut Random, events: usize) -> Vec<StoredCheckpoint> {
    let (mut checkpoints, mut appended) = (Vec::new(), 0);
    while appended < events {
        let group = random.of(1..=events / 50).min(events - appended);
        let recorded = join_all((0..group).map(|_| log.record(random.event()))).await;
        assert!(recorded.iter().all(Result::is_ok), "{recorded:?}");
        appended += group;
        checkpoints.push(log.sign_checkpoint().await.unwrap());
    }
    checkpoints
}

fn tree(checkpoint: &StoredCheckpoint) -> Checkpoint {
    Checkpoint { size: checkpoint.size, root: checkpoint.root }
}

fn base64(hash: &[u8; 32]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(hash)
}

async fn inclusion(
    log: &AuditLog,
    bodies: &[String],
    index: u64,
    of: (usize, Checkpoint),
) -> Value {
    let proof: InclusionProof = log.prove_inclusion(index, of.1).await.unwrap();
    let body = &bodies[usize::try_from(index).unwrap()];
    assert!(proof.is_of(body.as_bytes()));
    let hashes: Vec<String> = proof.hashes.iter().map(base64).collect();
    json!({"checkpoint": of.0, "index": index, "hashes": hashes, "body": body})
}

async fn consistency(log: &AuditLog, from: u64, of: (usize, Checkpoint)) -> Value {
    let before = Checkpoint { size: from, root: log.root_at(from).await.unwrap() };
    let proof: ConsistencyProof = log.prove_consistency(before, of.1).await.unwrap();
    let hashes: Vec<String> = proof.hashes.iter().map(base64).collect();
    json!({"checkpoint": of.0, "from": from, "fromRoot": base64(&proof.from.root), "hashes": hashes})
}

#[tokio::test]
async fn what_others_verify_is_made_from_a_log_of_random_events() {
    let size = match wanted() {
        Some(_) => Size { events: 10_000, inclusions: 1_000, consistencies: 300 },
        None => Size { events: 500, inclusions: 50, consistencies: 20 },
    };
    let database = Database::create().await;
    let pool =
        PgPoolOptions::new().max_connections(4).connect(&database.service_url).await.unwrap();
    let (log, _writer) = AuditLog::start(pool, Clock::system());
    let keys = SigningKeys::parse(SIGNER).unwrap();
    let public: VerifierKeys = keys.verifier_keys();
    log.sign_with(Some(keys.into()));
    log.compare(None).await.unwrap();
    let mut random = Random(TestRunner::deterministic());
    let checkpoints = fill(&log, &mut random, size.events).await;
    let bodies = "select convert_from(body, 'UTF8') from audit_events order by sequence";
    let bodies = database.texts(bodies).await;
    let (mut inclusions, mut consistencies) = (Vec::new(), Vec::new());
    for _ in 0..size.inclusions {
        let at = random.of(0..checkpoints.len());
        let index = random.of(0..checkpoints[at].size);
        inclusions.push(inclusion(&log, &bodies, index, (at, tree(&checkpoints[at]))).await);
    }
    for _ in 0..size.consistencies {
        let at = random.of(0..checkpoints.len());
        let from = random.of(1..=checkpoints[at].size);
        consistencies.push(consistency(&log, from, (at, tree(&checkpoints[at]))).await);
    }
    let key = public.iter().next().unwrap().to_string();
    let notes: Vec<&String> = checkpoints.iter().map(|checkpoint| &checkpoint.note).collect();
    let samples = json!({"key": key, "checkpoints": notes, "inclusions": inclusions,
        "consistencies": consistencies, "bodies": bodies});
    if let Some(file) = wanted() {
        std::fs::write(file, samples.to_string()).unwrap();
    }
}
