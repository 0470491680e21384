//! `audit verify --receipt`: by itself, offline; and against a log that says otherwise.

use serde_json::{Value, json};

use super::{
    DISARM,
    stage::{Evidence, KEPT_EVENT, Stage, run},
};

fn alone(stage: &Stage, text: &str) -> (i32, Value) {
    stage.write("kept", text);
    let (code, said) = run(
        &["--receipt", &stage.path("kept"), "--public-key", &stage.path("key"), "--format", "json"],
        "",
    );
    (code, serde_json::from_str(&said).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_receipt_verifies_offline_and_says_what_it_is_of() {
    let stage = Stage::set().await;
    let text = stage.read("receipt");
    let expected = json!({"integrity": "ok", "completeness": "unknown", "firstBadSequence": null,
        "events": 1, "checkpointSize": 300, "findings": []});
    assert_eq!(alone(&stage, &text), (0, expected));
    let (_, said) =
        run(&["--receipt", &stage.path("receipt"), "--public-key", &stage.path("key")], "");
    assert!(
        said.contains(&format!("event {KEPT_EVENT}")) && said.contains("\"retire_machine\""),
        "{said}"
    );
}

#[tokio::test]
async fn a_receipt_that_was_altered_is_no_receipt() {
    let stage = Stage::set().await;
    let text = stage.read("receipt");
    let lines: Vec<&str> = text.lines().collect();
    let replaced = |at: usize, by: &str| text.replacen(lines[at], by, 1);
    for (altered, first) in [
        (replaced(1, "extra e30="), json!(KEPT_EVENT)),
        (replaced(2, "index 251"), json!(251)),
        (replaced(3, lines[4]), json!(KEPT_EVENT)),
        (text.replacen(&format!("{}\n", lines[3]), "", 1), json!(KEPT_EVENT)),
        (text.replacen("\n300\n", "\n301\n", 1), Value::Null),
        (text.replacen("\n\u{2014} audit", "\n\u{2014} budit", 1), Value::Null),
    ] {
        let (code, report) = alone(&stage, &altered);
        assert_eq!((code, &report["integrity"]), (1, &json!("failed")), "{altered}");
        assert_eq!(report["firstBadSequence"], first, "{altered}");
    }
    for none in ["", "c2sp.org/tlog-proof@v1\n", &stage.read("checkpoint")] {
        assert_eq!(alone(&stage, none), (2, Value::Null), "{none}");
    }
}

/// A false receipt accuses nobody.
#[tokio::test]
async fn a_receipt_that_was_altered_is_not_compared_with_a_log() {
    let stage = Stage::set().await;
    let text = stage.read("receipt");
    stage.write("receipt", &text.replacen("index 250", "index 251", 1));
    assert_eq!(stage.of_database(Evidence::Receipt), (2, Value::Null));
    assert_eq!(
        stage.of_export(&stage.export(None, false).await, Evidence::Receipt),
        (2, Value::Null)
    );
}

/// Though the forger made everything fit.
#[tokio::test]
async fn the_event_of_a_receipt_is_found_to_be_another() {
    let stage = Stage::set().await;
    stage.database.execute(&format!("create table kept as select sequence, case when sequence = {KEPT_EVENT}
            then overlay(body placing 'M' from 12) else body end as body from audit_events; {DISARM}
        delete from audit_events; delete from audit_tree; update audit_head set size = 0, frontier = ''; {}
        insert into audit_events (sequence, body) select sequence, body from kept order by sequence", super::ARM)).await;
    assert_eq!(stage.of_database(Evidence::None).0, 0, "needs a receipt");
    let export = stage.export(None, false).await;
    for (code, report) in
        [stage.of_database(Evidence::Receipt), stage.of_export(&export, Evidence::Receipt)]
    {
        assert_eq!((code, &report["firstBadSequence"]), (1, &json!(KEPT_EVENT)), "{report}");
        let finding =
            json!({"sequence": KEPT_EVENT, "problem": "this is not the event of the receipt"});
        assert_eq!(report["findings"][0], finding);
    }
}

#[test]
fn a_receipt_needs_a_key_and_a_checkpoint_needs_a_log() {
    for arguments in [
        &["--receipt", "x"][..],
        &["--checkpoint", "x", "--public-key", "y"],
        &["--checkpoint", "x", "--receipt", "x", "--public-key", "y"],
        &["--database-url", "x", "--export", "y"],
        &[],
    ] {
        assert_eq!(run(arguments, ""), (2, String::new()), "{arguments:?}");
    }
}
