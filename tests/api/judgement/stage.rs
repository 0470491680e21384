//! A log of 300 events, a checkpoint and a receipt that no forger can reach, and its exports.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use passphrase_broker::{
    audit::{AuditLog, ExportFilter, StoredCheckpoint, TlogProof, note::Checkpoint},
    domain::clock::Clock,
};
use serde_json::Value;
use signed_note::{Note, StandardSigner};
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;
use tlog_tiles::{checkpoint, tlog};
use uuid::Uuid;

use crate::harness::Database;

const ORIGIN: &str = "audit.test.example/passphrase-broker";
/// Made up for the tests.
const SIGNER: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";
const VERIFIER: &str =
    "audit.test.example/passphrase-broker+0ad5dbde+AcBRghVS87D9jhB2fVDD2w9OzAReSJtBNZW1ucyf1If9";

/// Appends as the service does. `{}` is how many.
const APPEND: &str = "insert into audit_events (sequence, body)
    select size + i, convert_to('{\"action\":\"retire_machine\",\"actor\":{\"kind\":\"system\"},\"id\":\"' || gen_random_uuid()
        || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}', 'UTF8')
    from audit_head, generate_series(0, {} - 1) i order by i";

/// The event that the receipt is of.
pub const KEPT_EVENT: u64 = 250;

pub struct Stage {
    pub database: Database,
    log: AuditLog,
    directory: PathBuf,
}

/// What is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    None,
    Checkpoint,
    Receipt,
}

impl Stage {
    pub async fn set() -> Self {
        let database = Database::create().await;
        let name = database.superuser_url.rsplit(['/', ':']).take(2).collect::<String>();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judgement-{name}"));
        std::fs::create_dir_all(&directory).unwrap();
        let pool = PgPoolOptions::new().max_connections(2).connect(&database.service_url).await;
        let (log, _writer) = AuditLog::start(pool.unwrap(), Clock::system());
        let stage = Self { database, log, directory };
        stage.append(300).await;
        stage.write("key", VERIFIER);
        stage.write("checkpoint", &stage.checkpoint(300).await.note);
        stage.keep_receipt(KEPT_EVENT, 300).await;
        stage
    }

    pub async fn append(&self, events: u64) {
        self.database.execute(&APPEND.replace("{}", &events.to_string())).await;
    }

    /// What a signer says of the log as it was.
    pub async fn checkpoint(&self, size: u64) -> StoredCheckpoint {
        let root = self.log.root_at(size).await.unwrap();
        let text = checkpoint::Checkpoint::new(ORIGIN, size, tlog::Hash(root), "").unwrap();
        let mut note = Note::new(&text.to_bytes(), &[]).unwrap();
        note.add_sigs(&[&StandardSigner::new(SIGNER).unwrap()]).unwrap();
        let note = String::from_utf8(note.to_bytes()).unwrap();
        StoredCheckpoint { size, root, note, signed_at: OffsetDateTime::UNIX_EPOCH }
    }

    pub async fn keep_receipt(&self, sequence: u64, size: u64) {
        let StoredCheckpoint { root, note, .. } = self.checkpoint(size).await;
        let proof = self.log.prove_inclusion(sequence, Checkpoint { size, root }).await.unwrap();
        let found = self.log.find(sequence, Uuid::nil()).await.unwrap().unwrap();
        self.write("receipt", &TlogProof::of(proof, Some(found.body), note).to_string());
    }

    /// An export as the service makes it.
    pub async fn export(&self, from: Option<OffsetDateTime>, signed: bool) -> String {
        let size = self.log.size().await.unwrap();
        let checkpoint = if signed { Some(self.checkpoint(size).await) } else { None };
        let filter = ExportFilter { tenant_id: Uuid::nil(), from, to: None };
        let mut export = self.log.export(filter, checkpoint).await.unwrap();
        let mut text = Vec::new();
        while let Some(mut lines) = export.lines().await.unwrap() {
            text.append(&mut lines);
        }
        String::from_utf8(text).unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).unwrap()
    }

    pub fn of_database(&self, evidence: Evidence) -> (i32, Value) {
        self.verify(&["--database-url", &self.database.service_url], evidence)
    }

    pub fn of_export(&self, text: &str, evidence: Evidence) -> (i32, Value) {
        self.write("export", text);
        self.verify(&["--export", &self.path("export")], evidence)
    }

    fn verify(&self, subject: &[&str], evidence: Evidence) -> (i32, Value) {
        let (checkpoint, receipt) = (self.path("checkpoint"), self.path("receipt"));
        let key = ["--public-key", &self.path("key")];
        let with: &[&str] = match evidence {
            Evidence::None => &[],
            Evidence::Checkpoint => &["--checkpoint", &checkpoint],
            Evidence::Receipt => &["--receipt", &receipt],
        };
        let key: &[&str] = if evidence == Evidence::None { &[] } else { &key };
        let (code, text) = run(&[subject, with, key, &["--format", "json"]].concat(), "");
        (code, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// Runs `audit verify` and answers its exit code and what it printed.
pub fn run(arguments: &[&str], stdin: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"));
    command.args(["audit", "verify"]).args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // One that has seen enough does not read the rest.
    drop(std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
