//! `audit verify --export`: an export that is whole, cut, altered, or of a part of the log.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::stage::{Evidence, Stage, run};

fn line(text: &str, number: usize) -> Value {
    serde_json::from_str(text.lines().nth(number).unwrap()).unwrap()
}

fn verdicts(report: &Value) -> [&str; 2] {
    ["integrity", "completeness"].map(|name| report[name].as_str().unwrap_or("none"))
}

#[tokio::test]
async fn an_export_has_the_verdicts_of_its_log() {
    let stage = Stage::set().await;
    for signed in [true, false] {
        let text = stage.export(None, signed).await;
        assert_eq!(text.lines().count(), 302);
        for evidence in [Evidence::None, Evidence::Checkpoint, Evidence::Receipt] {
            let of_export = stage.of_export(&text, evidence);
            assert_eq!(of_export, stage.of_database(evidence), "{evidence:?}");
            assert_eq!(of_export.0, 0, "{}", of_export.1);
        }
    }
    let (_, report) = stage.of_export(&stage.export(None, true).await, Evidence::Checkpoint);
    assert_eq!(
        report,
        json!({"integrity": "ok", "completeness": "ok", "firstBadSequence": null,
        "events": 300, "checkpointSize": 300, "findings": []})
    );
}

#[tokio::test]
async fn an_export_can_come_through_a_pipe() {
    let stage = Stage::set().await;
    let text = stage.export(None, true).await;
    let (code, said) = run(&["--export", "-"], &text);
    assert_eq!((code, said.contains("integrity     ok")), (0, true), "{said}");
}

#[tokio::test]
async fn an_export_that_was_cut_anywhere_is_not_complete() {
    let stage = Stage::set().await;
    let text = stage.export(None, true).await;
    let ends =
        [text.len() - 1, text.len() - 40, text.rfind("{\"events\"").unwrap(), text.len() / 2];
    for end in ends {
        let (code, report) = stage.of_export(&text[..end], Evidence::None);
        assert_eq!((code, verdicts(&report)[1]), (1, "failed"), "{end}: {report}");
    }
    assert_eq!(stage.of_export("", Evidence::None), (2, Value::Null));
    assert_eq!(stage.of_export("{\"format\":\"another\"}\n", Evidence::None), (2, Value::Null));
}

#[tokio::test]
async fn what_is_altered_in_a_file_is_named() {
    let stage = Stage::set().await;
    let text = stage.export(None, true).await;
    let lines: Vec<&str> = text.lines().collect();
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat().join("\n") + "\n";
    let body = lines[51].replace("retire_machine", "Retire_machine");
    let altered = text.replace(lines[51], &body);
    let twice = text.replace(lines[51], &format!("{0}\n{0}", lines[51]));
    let swapped =
        text.replace(lines[51], "<>").replace(lines[61], lines[51]).replace("<>", lines[61]);
    for (text, first) in [(altered, 50), (without(51), 50), (twice, 50), (swapped, 50)] {
        for evidence in [Evidence::None, Evidence::Checkpoint] {
            let (code, report) = stage.of_export(&text, evidence);
            assert_eq!((code, &report["firstBadSequence"]), (1, &json!(first)), "{report}");
        }
    }
    let more = format!("{text}{}\n", lines[51]);
    assert_eq!(stage.of_export(&more, Evidence::None).0, 1);
}

#[tokio::test]
async fn a_part_of_the_log_verifies_against_a_checkpoint_of_all_of_it() {
    let stage = Stage::set().await;
    stage.append(70).await;
    let from =
        line(&stage.export(None, false).await, 123)["recordedAt"].as_str().unwrap().to_owned();
    let from =
        OffsetDateTime::parse(&from, &time::format_description::well_known::Rfc3339).unwrap();
    let text = stage.export(Some(from), true).await;
    let start = line(&text, 0)["start"].as_u64().unwrap();
    assert!((1..=122).contains(&start), "{start}");
    for evidence in [Evidence::Checkpoint, Evidence::Receipt] {
        let (code, report) = stage.of_export(&text, evidence);
        assert_eq!((code, verdicts(&report)), (0, ["ok", "ok"]), "{report}");
        assert_eq!(report["events"], 370 - start);
    }
    // Another beginning does not lead to the same root.
    let mut first = line(&text, 0);
    let other =
        first["frontier"][0].as_str().unwrap().replacen(['A', 'B', 'C', 'a', 'b', 'c'], "x", 1);
    first["frontier"][0] = json!(other);
    let (_, rest) = text.split_once('\n').unwrap();
    let (code, report) = stage.of_export(&format!("{first}\n{rest}"), Evidence::Checkpoint);
    assert_eq!((code, verdicts(&report)[0]), (1, "failed"), "{report}");
}

#[tokio::test]
async fn a_checkpoint_that_knows_more_or_less_than_the_export_is_no_pass() {
    let stage = Stage::set().await;
    let before = stage.export(None, false).await;
    stage.append(10).await;
    stage.write("checkpoint", &stage.checkpoint(310).await.note);
    let (code, report) = stage.of_export(&before, Evidence::Checkpoint);
    assert_eq!((code, verdicts(&report)), (1, ["ok", "failed"]), "{report}");
    assert_eq!(report["firstBadSequence"], 300);
    // And one that is of events before those of the export was compared with nothing.
    let text = stage.export(Some(OffsetDateTime::now_utc() + time::Duration::days(1)), false).await;
    stage.write("checkpoint", &stage.checkpoint(200).await.note);
    let (_, report) = stage.of_export(&text, Evidence::Checkpoint);
    assert_eq!(verdicts(&report)[1], "unknown", "{report}");
}

#[tokio::test]
async fn the_checkpoint_inside_an_export_must_be_of_its_events() {
    let stage = Stage::set().await;
    let text = stage.export(None, true).await;
    let mut last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    last["checkpoint"] = json!(stage.checkpoint(299).await.note);
    let (rest, _) = text.trim_end().rsplit_once('\n').unwrap();
    let (code, report) = stage.of_export(&format!("{rest}\n{last}\n"), Evidence::Checkpoint);
    assert_eq!((code, verdicts(&report)[0]), (1, "failed"), "{report}");
    last["checkpoint"] = json!(last["checkpoint"].as_str().unwrap().replace("\n299\n", "\n300\n"));
    let (code, report) = stage.of_export(&format!("{rest}\n{last}\n"), Evidence::Checkpoint);
    assert_eq!((code, verdicts(&report)[0]), (1, "failed"), "{report}");
}
