//! Proofs and receipts over HTTP: what they prove to verifiers that we did not write, and who is given one.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tlog_tiles::tlog::{self, Hash};

use crate::{
    audit_export::Kept,
    harness::{Actor, Answer, Broker, PUBLIC_KEY, Setup},
    judgement::stage::run,
};

fn hash(value: &Value) -> Hash {
    Hash(STANDARD.decode(value.as_str().unwrap()).unwrap().try_into().unwrap())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// Size and root of a note.
fn tree(note: &str) -> (u64, Hash) {
    let lines: Vec<&str> = note.lines().collect();
    (lines[1].parse().unwrap(), hash(&json!(lines[2])))
}

async fn with_text(actor: &Actor, path: &str) -> Answer {
    Answer::of(actor.request(reqwest::Method::GET, path).header("accept", "text/plain")).await
}

fn verify(receipt: &str) -> (i32, String) {
    let (receipt, key) = (Kept::new(receipt), Kept::new(PUBLIC_KEY));
    run(&["--receipt", receipt.path(), "--public-key", key.path()], "")
}

#[tokio::test]
async fn a_retrieval_becomes_a_receipt_that_verifies_offline_and_holds_no_passphrase() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let helpdesk = broker.helpdesk();
    let retrieved = helpdesk.retrieve(&machine).await;
    let sequence = retrieved.body["auditEvent"]["sequence"].as_u64().unwrap();
    // Without Audit.Read: it is its own act.
    let receipt = helpdesk.get(&format!("/v1/audit/events/{sequence}/receipt")).await;
    assert_eq!(
        (receipt.status, receipt.header("content-type")),
        (200, "text/plain; charset=utf-8")
    );
    assert!(!receipt.text.contains(retrieved.field("passphrase")));
    let (code, said) = verify(&receipt.text);
    assert_eq!((code, said.contains("integrity     ok")), (0, true), "{said}");
    let id = retrieved.body["auditEvent"]["id"].as_str().unwrap();
    for told in [id, &machine, "\"outcome\":\"released\"", retrieved.field("version")] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains(retrieved.field("passphrase")));
    let logged = broker.database.logged("action = 'issue_audit_receipt'").await;
    assert_eq!(logged[0].text("/details/sequence"), sequence.to_string());
}

#[tokio::test]
async fn a_receipt_is_for_auditors_and_for_whoever_s_act_it_was() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let retrieved = broker.helpdesk().retrieve(&machine).await;
    let path = format!("/v1/audit/events/{}/receipt", retrieved.body["auditEvent"]["sequence"]);
    assert_eq!(broker.auditor().get(&path).await.status, 200);
    for somebody in [broker.helpdesk(), broker.portal(), broker.agent(), broker.user(&[])] {
        assert_eq!(somebody.get(&path).await.problem(), (404, "not-found"));
    }
    assert_eq!(broker.nobody().get(&path).await.problem(), (401, "unauthenticated"));
    for none in ["999999", "-1", "18446744073709551615", "first"] {
        let answer = broker.auditor().get(&format!("/v1/audit/events/{none}/receipt")).await;
        assert_eq!(answer.problem(), (404, "not-found"), "{none}");
    }
}

#[tokio::test]
async fn every_event_has_a_proof_that_others_accept() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    broker.database.append(40).await;
    let events = broker.database.logged("true").await;
    for event in &events {
        let path = format!("/v1/audit/events/{}/proof", event.sequence);
        let proof = auditor.get(&path).await.body;
        let (size, root) = tree(proof["checkpoint"].as_str().unwrap());
        assert_eq!((proof["treeSize"].as_u64(), hash(&proof["rootHash"])), (Some(size), root));
        let leaf = tlog::record_hash(&event.bytes);
        assert_eq!(hash(&proof["leafHash"]), leaf);
        let index = proof["leafIndex"].as_u64().unwrap();
        let proven = tlog::check_record(&hashes(&proof["hashes"]), size, root, index, leaf);
        assert!(proven.is_ok(), "{path}: {proof}");
    }
    let text = with_text(&auditor, "/v1/audit/events/7/proof").await;
    assert_eq!(text.header("vary"), "accept");
    assert!(text.text.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"), "{}", text.text);
    let proven = broker.database.logged("action = 'prove_audit_event'").await;
    assert_eq!(proven.len(), events.len() + 1);
}

#[tokio::test]
async fn a_proof_can_be_of_an_older_checkpoint() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    broker.database.append(5).await;
    let (size, root) = tree(&auditor.get("/v1/audit/checkpoint").await.text);
    broker.database.append(5).await;
    auditor.get("/v1/audit/checkpoint").await;
    let proof = auditor.get(&format!("/v1/audit/events/2/proof?size={size}")).await.body;
    assert_eq!((proof["treeSize"].as_u64(), hash(&proof["rootHash"])), (Some(size), root));
    let of = async |query: &str| {
        let answer = auditor.get(&format!("/v1/audit/events/{query}")).await;
        let pointer = answer.body["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        (answer.status, pointer)
    };
    // No such checkpoint; one beyond the log; one that does not cover the event; no such event.
    assert_eq!(of(&format!("2/proof?size={}", size - 1)).await, (400, "size".to_owned()));
    assert_eq!(of("2/proof?size=1000000").await, (400, "size".to_owned()));
    assert_eq!(of(&format!("{size}/proof?size={size}")).await, (400, "size".to_owned()));
    assert_eq!(of("1000000/proof").await, (404, String::new()));
}

#[tokio::test]
async fn what_was_the_log_is_proven_to_be_its_beginning() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    let mut trees = Vec::new();
    for more in [1, 6, 20] {
        broker.database.append(more).await;
        trees.push(tree(&auditor.get("/v1/audit/checkpoint").await.text));
    }
    let last = *trees.last().unwrap();
    for (size, root) in trees.iter().copied() {
        for query in [format!("from={size}"), format!("from={size}&to={}", last.0)] {
            let path = format!("/v1/audit/checkpoint/consistency?{query}");
            let proof = auditor.get(&path).await.body;
            let to = (proof["toSize"].as_u64().unwrap(), hash(&proof["toRootHash"]));
            assert_eq!((tree(proof["checkpoint"].as_str().unwrap()), to), (last, last));
            assert_eq!(hash(&proof["fromRootHash"]), root);
            let proven = tlog::check_tree(&hashes(&proof["hashes"]), last.0, last.1, size, root);
            assert!(proven.is_ok(), "{path}: {proof}");
        }
    }
    for (query, pointer) in [("from=1000000", "from"), ("from=1&to=1000000", "to")] {
        let answer = auditor.get(&format!("/v1/audit/checkpoint/consistency?{query}")).await;
        assert_eq!(answer.problem(), (400, "invalid-request"), "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn without_a_key_there_are_no_proofs_and_an_export_has_no_checkpoint() {
    let environment = [("AUDIT_SIGNING_KEY", String::new())].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    let auditor = broker.auditor();
    broker.database.append(3).await;
    for path in ["events/1/proof", "events/1/receipt", "checkpoint/consistency?from=1"] {
        let answer = auditor.get(&format!("/v1/audit/{path}")).await;
        assert_eq!(answer.problem(), (404, "no-signing-key"), "{path}");
    }
    let export = auditor.get("/v1/audit/export").await.text;
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!((&last["checkpoint"], &last["consistency"]), (&Value::Null, &json!([])));
    let (code, said) = run(&["--export", "-"], &export);
    assert_eq!((code, said.contains("integrity     ok")), (0, true), "{said}");
}

/// Whoever alters the database gets no proof of it from the service.
#[tokio::test]
async fn a_log_that_was_altered_is_not_proven() {
    let broker = Broker::start(Setup::default()).await;
    let auditor = broker.auditor();
    broker.database.append(9).await;
    auditor.get("/v1/audit/checkpoint").await;
    let tamper =
        "alter table audit_events disable trigger all; alter table audit_tree disable trigger all;";
    let body =
        "update audit_events set body = overlay(body placing 'M' from 12) where sequence = 4;";
    let tree =
        "update audit_tree set hashes = overlay(hashes placing '\\x00' from 1) where sequence = 6;";
    broker.database.execute(&format!("{tamper}{body}{tree}")).await;
    for path in ["4/receipt", "6/proof", "7/proof"] {
        let answer = auditor.get(&format!("/v1/audit/events/{path}")).await;
        // Read-only, once it has noticed.
        let refused = [(500, "internal"), (503, "audit-unavailable")].contains(&answer.problem());
        assert!(refused, "{path}: {}", answer.text);
    }
}
