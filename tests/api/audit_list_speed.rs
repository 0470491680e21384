//! Listing a large log: no filter, and no combination that people use, reads more of a log that is ten times
//! as long. Its events are made by SQL, past the triggers, and the service lists them over its partitions.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor};

use crate::harness::{Actor, Broker, Database, Setup, full_size_or};

/// In the first hundredth of the log, and never again.
const OLD_MACHINE: &str = "00000000-0000-4000-8000-0000000001d0";
/// With a quarter of all events, all but three of which succeeded.
const BUSY_ACTOR: &str = "00000000-0000-4000-8000-00000000b057";
/// With a tenth of all events, of which three are retirements.
const BUSY_MACHINE: &str = "00000000-0000-4000-8000-00000000b05e";
const TRIGGERS: [(&str, &str); 3] = [
    ("audit_events", "audit_events_are_derived"),
    ("audit_events", "audit_events_move_the_head"),
    ("audit_head", "audit_head_grows"),
];
const FIRST_SECOND: i64 = 1_700_000_000;

/// Fills the log of the broker's tenant. `events` ends with many zeros in binary, so that whoever appends
/// after them needs no node of the tree that is not here.
async fn fill(database: &Database, tenant: &str, events: u32) {
    let rows = format!(
        "insert into audit_events select n,
             convert_to('{{\"action\":\"' || action || '\",\"id\":\"' || id || '\",\"machineId\":\"' || machine || '\"}}', 'UTF8'),
             to_timestamp({FIRST_SECOND} + n), '', '', '', id, id, action, outcome, '{tenant}', actor, machine
         from (select n, md5(n::text)::uuid as id,
                 case when n < {events} / 100 and n % 10 between 1 and 7 then '{OLD_MACHINE}'
                      when n % 10 = 0 then '{BUSY_MACHINE}' else md5('machine' || n % 1009)::uuid end as machine,
                 case when n % 4 = 0 then '{BUSY_ACTOR}' else md5('actor' || n % 53)::uuid end as actor,
                 case when rare then 'retire_machine' when n % 3 = 0 then 'check_drift' else 'retrieve_passphrase' end as action,
                 case when rare then 'failed' when n % 3 = 0 then 'succeeded' else 'released' end as outcome
             from (select n, n in ({events} / 4000 * 20, {events} / 400 * 20, {events} / 200 * 20) as rare
                 from generate_series(0, {events} - 1) n) numbers) made"
    );
    let frontier = format!("decode(repeat('00', 32 * bit_count({events}::bit(32))::int), 'hex')");
    let mut owner = database.superuser().await;
    let indexes = "select indexdef from pg_indexes where tablename = 'audit_events' and indexname <> 'audit_events_pkey'";
    let makes = database.texts(indexes).await;
    let drops = "select 'drop index ' || indexname from pg_indexes where tablename = 'audit_events' and indexname <> 'audit_events_pkey'";
    let drops = database.texts(drops).await;
    let triggers =
        |word| TRIGGERS.map(|(table, name)| format!("alter table {table} {word} trigger {name}"));
    let steps = std::iter::once(
        "set maintenance_work_mem = '512MB'; set synchronous_commit = off".to_owned(),
    )
    .chain(triggers("disable"))
    .chain(drops)
    .chain([rows, format!("update audit_head set size = {events}, frontier = {frontier}")])
    // `on only` of the parent would leave the partitions without.
    .chain(makes.into_iter().map(|make| make.replace(" ON ONLY ", " ON ")))
    .chain(triggers("enable always"))
    .chain(["vacuum analyze audit_events".to_owned()]);
    for step in steps {
        owner
            .execute(AssertSqlSafe(step.clone()))
            .await
            .unwrap_or_else(|error| panic!("{step}: {error}"));
    }
}

/// A broker with that many events, in ten partitions.
async fn with_events(events: u32) -> Broker {
    // On a disk, where there is room for it.
    let database = if full_size_or(true, false) {
        Database::create_apart(&["--durable"]).await
    } else {
        Database::create().await
    };
    let database = database.with_partitions_of(events.div_ceil(10)).await;
    database
        .execute(
            "update audit_log_settings set partitions_ahead = 12; select make_audit_partitions()",
        )
        .await;
    // What is filled in has no tree: nothing that a comparison would agree to.
    let environment = [("AUDIT_SIGNING_KEY", ""), ("AUDIT_CHECKPOINT_SECONDS", "3600")];
    let environment = environment.map(|(name, value)| (name, value.to_owned())).into();
    let setup = Setup { database: Some(database), environment, ..Setup::default() };
    let broker = Broker::start(setup).await;
    fill(&broker.database, &broker.tenant, events).await;
    broker
}

fn time(events: u32, percent: u32) -> String {
    let seconds = FIRST_SECOND + i64::from(events) / 100 * i64::from(percent);
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    time.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// What is asked for, and how many events that is, at most a page.
fn questions(events: u32) -> Vec<(String, usize)> {
    let (early, later) = (time(events, 10), time(events, 11));
    vec![
        (String::new(), 50),
        (format!("machineId={BUSY_MACHINE}"), 50),
        (format!("machineId={OLD_MACHINE}"), 50),
        (format!("actor={BUSY_ACTOR}"), 50),
        ("action=check_drift".to_owned(), 50),
        ("action=retire_machine".to_owned(), 3),
        ("action=nothing_like_it".to_owned(), 0),
        ("outcome=released".to_owned(), 50),
        ("outcome=failed".to_owned(), 3),
        (format!("to={early}"), 50),
        (format!("from={early}&to={later}"), 50),
        (format!("from={early}&to={later}&machineId={OLD_MACHINE}"), 0),
        (format!("actor={BUSY_ACTOR}&outcome=failed"), 3),
        (format!("machineId={BUSY_MACHINE}&action=retire_machine"), 3),
        (format!("machineId={BUSY_MACHINE}&outcome=failed"), 3),
        (format!("actor={BUSY_ACTOR}&action=retire_machine"), 3),
        (format!("to={early}&actor={BUSY_ACTOR}&outcome=released"), 50),
    ]
}

async fn timed(auditor: &Actor, query: &str, expected: usize) -> Duration {
    let started = Instant::now();
    let page = auditor.get(&format!("/v1/audit/events?pageSize=50&{query}")).await;
    let took = started.elapsed();
    assert_eq!(page.status, 200, "{query}: {}", page.text);
    let items = page.body["items"].as_array().unwrap();
    assert_eq!(items.len(), expected, "{query}");
    took
}

#[tokio::test]
async fn no_filter_takes_longer_in_a_log_ten_times_as_long() {
    let (few, many) = full_size_or((1 << 20, 5 << 21), (1 << 13, 5 << 14));
    let started = Instant::now();
    let (small, large) = (with_events(few).await, with_events(many).await);
    println!("{few} and {many} events made in {:?}", started.elapsed());
    let (small_auditor, large_auditor) = (small.auditor(), large.auditor());
    let mut slower = Vec::new();
    for ((here, expected), (there, _)) in questions(few).into_iter().zip(questions(many)) {
        // The fastest of some, in turns, so that a busy machine does not count.
        let (mut before, mut after) = (Duration::MAX, Duration::MAX);
        for _ in 0..full_size_or(40, 10) {
            before = before.min(timed(&small_auditor, &here, expected).await);
            after = after.min(timed(&large_auditor, &there, expected).await);
        }
        println!("{before:?} -> {after:?} {there}");
        // A millisecond is the answer's own event.
        if after > before.mul_f64(1.5) + Duration::from_millis(full_size_or(1, 20)) {
            slower.push(format!("{before:?} -> {after:?} {there}"));
        }
    }
    assert!(slower.is_empty(), "{slower:#?}");
}
