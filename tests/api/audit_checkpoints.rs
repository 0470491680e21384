//! Checkpoints of the log: what a holder can do with one, when the service signs, and which keys it signs with.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use azsim::SecretSpec;
use passphrase_broker::audit::note::{Checkpoint, VerifierKeys};

use crate::harness::{Broker, LOG_NAME, PUBLIC_KEY, SIGNING_KEY, Setup, azure};

const STORED: &str = "select count(*) from audit_checkpoints";

pub fn open(note: &str, keys: &str) -> Option<Checkpoint> {
    Checkpoint::open(note, &keys.parse::<VerifierKeys>().unwrap()).ok()
}

/// Two lines: the key to sign with, and the one to verify with.
fn new_key() -> [String; 2] {
    let (private, public) = passphrase_broker::audit::note::generate(LOG_NAME).unwrap();
    [private.to_string(), public.to_string()]
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A broker that signs each second.
async fn hasty(environment: &[(&'static str, &str)]) -> Broker {
    let owned = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let mut environment: std::collections::BTreeMap<_, _> = owned.collect();
    environment.entry("AUDIT_CHECKPOINT_SECONDS").or_insert_with(|| "1".to_owned());
    Broker::start(Setup { environment, ..Setup::default() }).await
}

/// Waits until a checkpoint covers all that is in the log now.
pub async fn all_signed(broker: &Broker) {
    let size = broker.database.count("select size from audit_head").await;
    let covering = format!("{STORED} where size >= {size}");
    until("signed", async || broker.database.count(&covering).await > 0).await;
}

pub async fn newest_note(broker: &Broker) -> String {
    let newest = "select note from audit_checkpoints order by size desc limit 1";
    broker.database.texts(newest).await.remove(0)
}

/// What `audit verify` says of the log, given these.
pub fn verify(broker: &Broker, note: &str, keys: &str) -> (Option<i32>, String) {
    let file = |kind: &str, content: &str| {
        let name = format!("{}-{kind}", uuid::Uuid::new_v4());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (note, keys) = (file("checkpoint", note), file("keys", keys));
    let output = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"))
        .args(["audit", "verify", "--database-url", &broker.database.service_url])
        .arg("--checkpoint")
        .arg(&note)
        .arg("--public-key")
        .arg(&keys)
        .output()
        .unwrap();
    for path in [note, keys] {
        std::fs::remove_file(path).unwrap();
    }
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_checkpoint_that_is_asked_for_covers_everything_before_it() {
    let broker = Broker::start(Setup::default()).await;
    broker.portal().register().await;
    let size = broker.database.count("select size from audit_head").await;
    let answer = broker.auditor().get("/v1/audit/checkpoint").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
    let checkpoint = open(&answer.text, PUBLIC_KEY).unwrap();
    assert_eq!(checkpoint.size, u64::try_from(size).unwrap() + 1, "and the event of its reading");
    let (code, verdict) = verify(&broker, &answer.text, PUBLIC_KEY);
    assert_eq!(code, Some(0), "{verdict}");
    assert!(verdict.contains("completeness  ok"), "{verdict}");
    let text = &answer.text[..=answer.text.find("\n\n").unwrap()];
    let by_others = tlog_tiles::checkpoint::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((by_others.origin(), by_others.size()), (LOG_NAME, checkpoint.size));
    let printed = broker.log();
    assert!(printed.contains("\"audit checkpoint\"") && !printed.contains("PRIVATE"), "{printed}");
}

#[tokio::test]
async fn checkpoints_are_signed_on_a_schedule_when_the_log_has_grown() {
    let broker = hasty(&[]).await;
    broker.portal().register().await;
    all_signed(&broker).await;
    let signed = broker.database.count(STORED).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(broker.database.count(STORED).await, signed, "nothing happened, nothing is signed");
    broker.portal().register().await;
    all_signed(&broker).await;
}

#[tokio::test]
async fn a_thousand_events_are_signed_though_no_time_has_passed() {
    const APPEND: &str = "insert into audit_events (sequence, body)
        select size + i, convert_to('{\"action\":\"retire_machine\",\"actor\":{\"kind\":\"system\"},\"id\":\"' || gen_random_uuid()
            || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}', 'UTF8')
        from audit_head, generate_series(0, 997) i order by i";
    let broker = hasty(&[("AUDIT_CHECKPOINT_SECONDS", "3600")]).await;
    broker.portal().register().await;
    all_signed(&broker).await;
    let signed = broker.database.count("select max(size) from audit_checkpoints").await;
    broker.database.execute(APPEND).await;
    broker.portal().register().await;
    until("signed", async || broker.database.count(STORED).await == 2).await;
    let unsigned = broker.database.count("select max(size) from audit_checkpoints").await - signed;
    assert_eq!(unsigned, 1_000);
}

#[tokio::test]
async fn two_replicas_sign_one_log() {
    let first = hasty(&[]).await;
    let second = first.replica(&[("AUDIT_CHECKPOINT_SECONDS", "1")]).await;
    for _ in 0..4 {
        let (here, there) = (first.portal(), second.portal());
        tokio::join!(here.register(), there.register());
        all_signed(&first).await;
    }
    for note in first.database.texts("select note from audit_checkpoints").await {
        assert_eq!(verify(&first, &note, PUBLIC_KEY).0, Some(0), "{note}");
    }
    let lines = [&first, &second].map(|it| it.log().matches("\"audit checkpoint\"").count());
    let stored = first.database.count(STORED).await;
    assert_eq!(
        lines.iter().sum::<usize>(),
        usize::try_from(stored).unwrap(),
        "each is printed once"
    );
    assert!(first.nobody().get("/readyz").await.status == 200);
}

#[tokio::test]
async fn keys_change_and_old_checkpoints_stay_verifiable() {
    let broker = hasty(&[]).await;
    broker.portal().register().await;
    all_signed(&broker).await;
    let old_note = newest_note(&broker).await;
    let [private, public] = new_key();
    let both = format!("{private}\n{SIGNING_KEY}");
    let changing = broker.replica(&[("AUDIT_SIGNING_KEY", &both)]).await;
    let note = changing.auditor().get("/v1/audit/checkpoint").await.text;
    for key in [&public, PUBLIC_KEY] {
        assert_eq!(verify(&changing, &note, key).0, Some(0), "{note}");
    }
    let changed = changing.replica(&[("AUDIT_SIGNING_KEY", &private)]).await;
    let note = changed.auditor().get("/v1/audit/checkpoint").await.text;
    assert_eq!(verify(&changed, &note, &public).0, Some(0));
    assert_eq!(verify(&changed, &note, PUBLIC_KEY).0, Some(2), "the old key has not signed it");
    let served = changed.nobody().get("/audit/public-keys").await;
    assert_eq!(served.text, format!("{PUBLIC_KEY}\n{public}\n"));
    assert_eq!(verify(&changed, &old_note, &served.text).0, Some(0));
}

#[tokio::test]
async fn a_key_in_key_vault_signs_and_its_next_version_takes_over() {
    let first = Broker::start(Setup::default()).await;
    let [private, public] = new_key();
    azure().put_secret(&first.key_vault, SecretSpec::new("audit-key", SIGNING_KEY)).unwrap();
    let secret = format!("https://{}.vault.azure.net/secrets/audit-key", first.key_vault);
    let environment = [
        ("AUDIT_SIGNING_KEY", ""),
        ("AUDIT_SIGNING_SECRET", &secret),
        ("AUDIT_CHECKPOINT_SECONDS", "1"),
    ];
    let broker = first.replica(&environment).await;
    broker.portal().register().await;
    all_signed(&broker).await;
    assert!(open(&newest_note(&broker).await, PUBLIC_KEY).is_some());
    azure().put_secret(&first.key_vault, SecretSpec::new("audit-key", &private)).unwrap();
    until("the new key signs", async || {
        let note = broker.auditor().get("/v1/audit/checkpoint").await.text;
        open(&note, &public).is_some()
    })
    .await;
    assert!(!broker.log().contains("PRIVATE"), "{}", broker.log());
}

#[tokio::test]
async fn a_key_pair_is_made_by_the_program_and_the_private_key_is_not_shown() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::new_v4().to_string());
    let keygen = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_passphrase-broker"));
        command.args(["audit", "keygen", "--name", LOG_NAME, "--private-key"]).arg(&path);
        command.output().unwrap()
    };
    let pair = keygen();
    let (public, private) =
        (String::from_utf8(pair.stdout).unwrap(), std::fs::read_to_string(&path).unwrap());
    assert!(
        pair.status.success()
            && public.starts_with(LOG_NAME)
            && private.starts_with("PRIVATE+KEY+")
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(keygen().status.code(), Some(1), "an existing file is not overwritten");
    let broker = hasty(&[("AUDIT_SIGNING_KEY", &private)]).await;
    let note = broker.auditor().get("/v1/audit/checkpoint").await.text;
    assert!(open(&note, &public).is_some());
    std::fs::remove_file(path).unwrap();
}
