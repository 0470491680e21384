//! The crash points C1 to C24 of the saga (reliability.md 3.3) as a table: each row is a place where a replica
//! dies, errs, panics or lingers, while it does what `Flow` says. Whatever happens there, another replica
//! settles it within 30 seconds, the help desk has the passphrase that the machine uses, and the invariants hold.
//!
//! C25 is in `audit_kept`, C26 in `audit_anchors`: they speak of checkpoints and anchors.

mod case;
mod stage;

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use futures_util::{FutureExt, StreamExt, stream};

use crate::harness::full_size_or;
use case::run;
use stage::{
    Action,
    Flow::{self, *},
    Row, Wire,
};

/// What happens on the wire besides, for the rows in which a request or an answer is lost.
const LOST: Option<Wire> = Some(Wire::NeverArrives);
const UNHEARD: Option<Wire> = Some(Wire::AnswerLost);
const LATE: Option<Wire> = Some(Wire::ArrivesLate);

#[rustfmt::skip]
const TABLE: [(&str, Flow, &str, Option<Wire>); 67] = [
    ("C1", Rotate, "record.before request_rotation.intended", None),
    ("C2", Rotate, "record.after request_rotation.intended", None),
    ("C2", Rotate, "commit.lost", None),
    ("C3", Rotate, "put.before escrow", None),
    ("C4", Rotate, "put.lost escrow", LOST),
    ("C5", Rotate, "put.lost escrow", UNHEARD),
    ("C6", Rotate, "put.lost escrow", LATE),
    ("C7", Rotate, "put.after escrow", None),
    ("C8", Prepare, "record.before request_rotation.succeeded", None),
    ("C8", Prepare, "record.after request_rotation.succeeded", None),
    ("C9", Collect, "get.before escrow", None),
    ("C9", Collect, "get.after escrow", None),
    ("C10", Collect, "record.before collect_passphrase.released", None),
    ("C10", Collect, "record.after collect_passphrase.released", None),
    ("C10", Collect, "commit.lost", None),
    ("C10", Rotate, "record.before request_rotation.released", None),
    ("C10", Rotate, "record.after request_rotation.released", None),
    ("C11", Collect, "answer.before collect_passphrase", None),
    ("C11", Rotate, "answer.before request_rotation", None),
    ("C12", Resume { applied: false }, "get.before escrow", None),
    ("C12", Resume { applied: false }, "answer.before request_rotation", None),
    ("C13", Resume { applied: true }, "get.after escrow", None),
    ("C13", Resume { applied: true }, "record.after request_rotation.released", None),
    ("C14", Confirm, "record.before confirm_rotation.intended", None),
    ("C14", Confirm, "answer.before confirm_rotation", None),
    ("C15", Confirm, "record.before confirm_rotation.succeeded", None),
    ("C15", Confirm, "record.after confirm_rotation.succeeded", None),
    ("C15", Confirm, "commit.lost", None),
    // The write of the passphrase in force is a write like that of the escrow.
    ("C2", Confirm, "record.after confirm_rotation.intended", None),
    ("C3", Confirm, "get.before escrow", None),
    ("C3", Confirm, "get.after escrow", None),
    ("C3", Confirm, "put.before own", None),
    ("C4", Confirm, "put.lost own", LOST),
    ("C5", Confirm, "put.lost own", UNHEARD),
    ("C6", Confirm, "put.lost own", LATE),
    ("C7", Confirm, "put.after own", None),
    ("C7", Confirm, "disable.before escrow", None),
    ("C7", Confirm, "disable.after escrow", None),
    ("C16", Fail { applied: true }, "record.before fail_rotation.succeeded", None),
    ("C16", Fail { applied: true }, "record.after fail_rotation.succeeded", None),
    ("C16", Fail { applied: false }, "answer.before fail_rotation", None),
    ("C17", Expire, "record.before expire_rotation.succeeded", None),
    ("C17", Expire, "record.after expire_rotation.succeeded", None),
    ("C18", Register, "record.before register_machine.intended", None),
    ("C18", Register, "record.after register_machine.intended", None),
    ("C18", Register, "put.before own", None),
    ("C18", Register, "put.lost own", LOST),
    ("C18", Register, "put.lost own", UNHEARD),
    ("C18", Register, "put.after own", None),
    ("C18", Register, "record.before register_machine.released", None),
    ("C18", Register, "record.after register_machine.released", None),
    ("C18", Register, "answer.before register_machine", None),
    ("C19", Retrieve, "get.before own", None),
    ("C20", Retrieve, "get.after own", None),
    ("C21", Retrieve, "record.before retrieve_passphrase.released", None),
    ("C21", Retrieve, "record.after retrieve_passphrase.released", None),
    ("C21", Retrieve, "commit.lost", None),
    ("C22", Retrieve, "answer.before retrieve_passphrase", None),
    ("C23", FinishRotation, "record.before finish_rotation.intended", None),
    ("C23", FinishRotation, "record.after finish_rotation.intended", None),
    ("C23", FinishRotation, "record.before finish_rotation.succeeded", None),
    ("C23", FinishConfirmation, "put.after own", None),
    ("C23", FinishConfirmation, "record.after finish_rotation.succeeded", None),
    ("C23", FinishRegistration, "record.after finish_registration.intended", None),
    ("C23", FinishRegistration, "record.before finish_registration.succeeded", None),
    ("C24", Rotate, "group.locked", None),
    ("C24", Retrieve, "group.locked", None),
];

/// All rows with all actions (`CRASH_POINT=C23`: of that one); or each crash point's first row with death, and the last row of every third with
/// another action.
fn cases() -> Vec<(Row, Action)> {
    let rows: Vec<Row> = TABLE.iter().map(|row| Row::of(*row)).collect();
    let each = |row: &Row| Action::ALL.map(|action| (row.clone(), action));
    let usual = || {
        let points: BTreeSet<&str> = rows.iter().map(|row| row.at).collect();
        let of = |(number, at): (usize, &str)| {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.at == at).collect();
            let (first, last) = (rows[0].clone(), rows[rows.len() - 1].clone());
            let other = (number % 3 == 0).then(|| (last, Action::ALL[1 + number / 3 % 3]));
            std::iter::once((first, Action::Exit)).chain(other)
        };
        points.into_iter().enumerate().flat_map(of).collect()
    };
    let mut cases: Vec<_> = full_size_or(rows.iter().flat_map(each).collect(), usual());
    #[expect(
        clippy::disallowed_methods,
        reason = "which rows a test runs is no setting of the service"
    )]
    if let Ok(at) = std::env::var("CRASH_POINT") {
        cases.retain(|(row, _)| row.at == at);
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_at_a_crash_point_no_passphrase_is_lost() {
    let cases = cases();
    let count = cases.len();
    let settled = stream::iter(cases).map(|(row, action)| async move {
        let name = format!("{} {:?} {} {action:?}", row.at, row.flow, row.point);
        let case = AssertUnwindSafe(run(row, action)).catch_unwind().await;
        case.map_err(|_printed| println!("FAILED: {name}"))
    });
    let settled: Vec<_> = settled.buffer_unordered(8).collect().await;
    let failed = settled.iter().filter(|settled| settled.is_err()).count();
    assert_eq!(failed, 0, "of {count} crashes");
    let slowest = settled.into_iter().flatten().max().unwrap();
    println!("{count} crashes, settled within {slowest:.1?}, 0 lost passphrases");
}

/// A name that is spelled wrong would never be reached; one that is in no row is not tested.
#[test]
fn every_door_has_its_rows() {
    let doors = [
        "record.before",
        "record.after",
        "put.before",
        "put.lost",
        "put.after",
        "get.before",
        "get.after",
    ];
    let more = ["disable.before", "disable.after", "group.locked", "commit.lost", "answer.before"];
    let named: BTreeSet<&str> =
        TABLE.iter().map(|(_, _, point, _)| point.split(' ').next().unwrap()).collect();
    assert_eq!(named, doors.into_iter().chain(more).collect());
}
