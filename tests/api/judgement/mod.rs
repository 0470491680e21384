//! What a superuser with the triggers off can do to the log, and what finds it (reliability goal A6): in the
//! database and in an export, alone, with a checkpoint, and with one receipt.

mod exports;
mod receipts;
pub mod stage;

use Evidence::{Checkpoint, None as Alone, Receipt};
use stage::{Evidence, Stage};

const DISARM: &str =
    "alter table audit_events disable trigger all; alter table audit_head disable trigger all;
    alter table audit_tree disable trigger all;";

const ARM: &str =
    "alter table audit_events enable trigger all; alter table audit_head enable trigger all;
    alter table audit_tree enable trigger all;";

/// Makes the head fit the first `{}` events, which is what a careful forger does.
const FIT_HEAD: &str = "update audit_head set size = {0}, frontier = coalesce((
    select string_agg(substr(hashes, 1 + 32 * height, 32), '' order by height desc)
    from generate_series(0, 62) height join audit_tree on sequence = ({0}::bigint >> height << height) - 1
    where {0}::bigint >> height & 1 = 1), '');";

const FORGE: &str = "insert into audit_events select {}, body, recorded_at, leaf, nodes, fingerprint, gen_random_uuid(),
    operation_id, action, outcome, actor_tenant_id, actor_object_id, machine_id from audit_events where sequence = 7;";

/// The last 100, and no trace of them.
const SHORTEN: &str =
    "delete from audit_events where sequence >= 200; delete from audit_tree where sequence >= 200;";

/// A tampering, and the first event that it is found at: by itself, and by the siblings in a receipt.
struct Tampering {
    name: &'static str,
    statements: String,
    /// None: a log that was wholly made to fit needs evidence from elsewhere.
    alone: Option<u64>,
    with_checkpoint: Option<u64>,
    with_receipt: Option<u64>,
    /// Whether an export has what was altered.
    in_export: bool,
}

fn at(name: &'static str, statements: &str, first: u64) -> Tampering {
    let (statements, first) = (statements.to_owned(), Some(first));
    Tampering {
        name,
        statements,
        alone: first,
        with_checkpoint: first,
        with_receipt: first,
        in_export: true,
    }
}

fn tamperings() -> Vec<Tampering> {
    let byte =
        "update audit_events set body = overlay(body placing 'M' from 20) where sequence = 101;";
    let hashed_anew = "update audit_events set body = overlay(body placing 'M' from 12), action = 'Metire_machine' where sequence = 100;
        update audit_events set leaf = sha256('\\x00'::bytea || body) where sequence = 100;
        update audit_events set fingerprint = sha256(int8send(sequence) || timestamptz_send(recorded_at) || leaf) where sequence = 100;";
    let swapped = "update audit_events set sequence = 9000 where sequence = 41;
        update audit_events set sequence = 41 where sequence = 73; update audit_events set sequence = 73 where sequence = 9000;";
    let bodies = "update audit_events a set body = b.body from audit_events b where (a.sequence, b.sequence) in ((70, 40), (40, 70));";
    let time =
        "update audit_events set recorded_at = recorded_at - interval '1 us' where sequence = 222;";
    let column =
        "update audit_events set actor_object_id = gen_random_uuid() where sequence = 222;";
    let head = "update audit_head set frontier = overlay(frontier placing '\\x00000000' from 33);";
    let inserted = format!(
        "update audit_events set sequence = sequence + 500001 where sequence >= 150;
        update audit_events set sequence = sequence - 500000 where sequence > 500000; {}",
        FORGE.replace("{}", "150")
    );
    let shortened = format!("{SHORTEN}{}", FIT_HEAD.replace("{0}", "200"));
    let anew = format!("create table kept as select sequence, overlay(body placing 'M' from 12) as body from audit_events;
        delete from audit_events; delete from audit_tree; update audit_head set size = 0, frontier = ''; {ARM}
        insert into audit_events (sequence, body) select sequence, body from kept order by sequence;");
    let rolled_back = format!("{shortened}{ARM}insert into audit_events (sequence, body)
        select 200 + i, convert_to('{{\"action\":\"x\",\"actor\":{{\"kind\":\"system\"}},\"id\":\"' || gen_random_uuid()
            || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}}', 'UTF8') from generate_series(0, 149) i order by i;");
    vec![
        at("one byte altered", byte, 101),
        at("one byte altered and its row hashed anew", hashed_anew, 100),
        at("two events swapped", swapped, 41),
        at("two bodies swapped", bodies, 40),
        at("a time altered", time, 222),
        Tampering { in_export: false, ..at("a column altered", column, 222) },
        at("one deleted in the middle", "delete from audit_events where sequence = 123;", 123),
        at("the newest hundred deleted", "delete from audit_events where sequence >= 200;", 200),
        at("one forged in the middle", &inserted, 150),
        Tampering {
            in_export: false,
            ..at("one forged behind the last", &FORGE.replace("{}", "300"), 300)
        },
        // 300 = 256 + 32 + 8 + 4: the second subtree.
        Tampering { in_export: false, ..at("the head altered", head, 256) },
        Tampering {
            alone: None,
            ..at("the newest hundred deleted, and the head fits", &shortened, 200)
        },
        // The siblings in a receipt tell from where on: all of it, and 192 to 223.
        Tampering {
            alone: None,
            with_checkpoint: None,
            with_receipt: Some(0),
            ..at("all of it hashed anew", &anew, 0)
        },
        Tampering {
            alone: None,
            with_checkpoint: None,
            with_receipt: Some(192),
            ..at("rolled back to a backup, and gone on", &rolled_back, 0)
        },
    ]
}

impl Tampering {
    fn first(&self, evidence: Evidence) -> Option<u64> {
        match evidence {
            Alone => self.alone,
            Checkpoint => self.with_checkpoint,
            Receipt => self.with_receipt,
        }
    }

    /// Says what is not as it should be.
    fn judge(
        &self,
        evidence: Evidence,
        where_: &str,
        (code, report): (i32, serde_json::Value),
    ) -> Option<String> {
        let found = evidence != Alone || self.alone.is_some();
        let first = self.first(evidence);
        let named = report["firstBadSequence"].as_u64() == first;
        let failed = [&report["integrity"], &report["completeness"]].contains(&&"failed".into());
        let right = (code, failed, named) == (i32::from(found), found, true);
        (!right).then(|| {
            format!("{} in {where_} with {evidence:?}: exit code {code}, {report}", self.name)
        })
    }
}

#[tokio::test]
async fn every_tampering_is_found_and_named_with_one_checkpoint_or_one_receipt() {
    let mut wrong = Vec::new();
    let tamperings = tamperings();
    for tampering in &tamperings {
        let stage = Stage::set().await;
        stage.database.execute(&format!("{DISARM}{}", tampering.statements)).await;
        let export = stage.export(None, false).await;
        for evidence in [Alone, Checkpoint, Receipt] {
            wrong.extend(tampering.judge(evidence, "the database", stage.of_database(evidence)));
            if tampering.in_export {
                let report = stage.of_export(&export, evidence);
                wrong.extend(tampering.judge(evidence, "the export", report));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{0} of {0} tamperings found, with a checkpoint and with a receipt", tamperings.len());
}

#[tokio::test]
async fn what_is_cut_off_behind_the_last_checkpoint_is_found_with_a_receipt() {
    let stage = Stage::set().await;
    stage.append(33).await;
    stage.keep_receipt(325, 333).await;
    let cut = SHORTEN.replace("200", "320");
    stage.database.execute(&format!("{DISARM}{cut}{}", FIT_HEAD.replace("{0}", "320"))).await;
    let export = stage.export(None, false).await;
    let (code, report) = stage.of_database(Checkpoint);
    assert_eq!((code, &report["completeness"]), (0, &"ok".into()), "{report}");
    for (code, report) in [stage.of_database(Receipt), stage.of_export(&export, Receipt)] {
        assert_eq!((code, &report["completeness"]), (1, &"failed".into()), "{report}");
        assert_eq!(report["firstBadSequence"], 320, "{report}");
    }
}
