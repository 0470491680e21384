//! A log that is not what it was (A7 and C26): a replica that knows better records nothing, releases nothing and
//! signs nothing, says so, and goes on by itself when the database was put right.

mod unreadable;

use std::time::{Duration, Instant};

use crate::harness::{Actor, Answer, Broker, Database, Postgres, Setup};

const KEPT: &str = "audit-checkpoint";
const SIZE: &str = "select size from audit_head";

async fn reads(broker: &Broker, word: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = broker.nobody().get("/readyz").await;
        if answer.body["auditLog"] == word {
            return answer;
        }
        assert!(Instant::now() < deadline, "{}\n{}", answer.text, broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn hasty() -> Setup {
    let environment = [("AUDIT_CHECKPOINT_SECONDS", "1".to_owned())].into();
    Setup { environment, ..Setup::default() }
}

/// Whatever releases or changes something is refused; what needs no event is answered.
async fn nothing_happens(broker: &Broker, machine: &str) {
    let before = broker.database.count(SIZE).await;
    let signed = broker.database.count("select count(*) from audit_checkpoints").await;
    let (portal, helpdesk, auditor) = (broker.portal(), broker.helpdesk(), broker.auditor());
    for refused in [
        helpdesk.retrieve(machine).await,
        portal.post("/v1/machines", registration()).await,
        portal.rotate(machine).await,
        auditor.get("/v1/audit/checkpoint").await,
        auditor.get("/v1/audit/events").await,
    ] {
        assert_eq!(refused.problem(), (503, "audit-unavailable"), "{}", refused.text);
        assert!(!refused.text.contains("\"passphrase\""), "{}", refused.text);
    }
    assert_eq!(portal.get("/v1/machines").await.status, 200);
    assert_eq!(broker.database.count(SIZE).await, before, "no event on the fork");
    let now = broker.database.count("select count(*) from audit_checkpoints").await;
    assert_eq!(now, signed, "no checkpoint of the fork");
    let metrics = broker.nobody().get("/metrics").await.text;
    assert!(metrics.contains("\npassphrase_broker_audit_read_only 1"), "{metrics}");
}

fn registration() -> serde_json::Value {
    Actor::registration(&serde_json::json!({"source": "generated"}))
}

async fn events(broker: &Broker, count: usize) {
    let portal: Actor = broker.portal();
    for _ in 0..count {
        assert_eq!(portal.register().await.status, 201);
    }
}

/// What a superuser does who restores only a part: the newest events are gone, and the head fits.
async fn shorten(database: &Database, by: i64) {
    let size = database.count(SIZE).await - by;
    database
        .execute(&format!(
            "{DISARM}
             create table kept_tree as select * from audit_tree where sequence >= {size};
             create table kept_events as select * from audit_events where sequence >= {size};
             create table kept_head as select * from audit_head;
             delete from audit_events where sequence >= {size};
             delete from audit_tree where sequence >= {size};
             delete from audit_checkpoints where size > {size};
             update audit_head set size = {size}, frontier = coalesce((
                select string_agg(substr(leaf || nodes, 1 + 32 * height, 32), '' order by height desc)
                from generate_series(0, 62) height
                join audit_events on sequence = ({size}::bigint >> height << height) - 1
                where {size}::bigint >> height & 1 = 1), '');{ARM}"
        ))
        .await;
}

async fn put_back(database: &Database) {
    database
        .execute(&format!(
            "{DISARM} insert into audit_events select * from kept_events;
             insert into audit_tree select * from kept_tree;
             update audit_head set (size, frontier) = (select size, frontier from kept_head);{ARM}"
        ))
        .await;
}

const DISARM: &str =
    "alter table audit_events disable trigger all; alter table audit_head disable trigger all;
    alter table audit_checkpoints disable trigger all; alter table audit_tree disable trigger all;";

/// As the migrations have it.
const ARM: &str = "do $$ declare it record; begin
    for it in select tgrelid::regclass as of, tgname from pg_trigger where not tgisinternal
        and tgrelid in (select oid from pg_class where relname like 'audit_%' and relkind in ('r', 'p')) loop
        execute format('alter table %s enable always trigger %I', it.of, it.tgname);
    end loop; end $$;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_restored_under_a_replica_gets_no_event_and_no_signature() {
    let postgres = Postgres::start("--durable");
    let database = postgres.database().await;
    let broker = Broker::start(Setup { database: Some(database.clone()), ..hasty() }).await;
    let machine = broker.portal().register().await.id().to_owned();
    postgres.stop();
    postgres.back_up();
    postgres.start_again();
    reads(&broker, "ok").await;
    events(&broker, 3).await;
    let before = database.count(SIZE).await;
    postgres.stop();
    postgres.restore();
    let restored = Instant::now();
    postgres.start_again();
    assert!(database.count(SIZE).await < before);
    let down = reads(&broker, "down").await;
    println!("readyz was red {:?} after the restore", restored.elapsed());
    assert_eq!(down.status, 503);
    nothing_happens(&broker, &machine).await;
    let told = reads(&broker, "down").await;
    assert!(told.field("auditLogReason").contains("shorter than it was"), "{}", told.text);
    assert!(broker.log().contains("ALARM"), "{}", broker.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_lost_is_noticed_and_its_return_too() {
    let broker = Broker::start(hasty()).await;
    let machine = broker.portal().register().await.id().to_owned();
    events(&broker, 3).await;
    shorten(&broker.database, 3).await;
    let down = reads(&broker, "down").await;
    assert!(down.field("auditLogReason").contains("shorter than it was"), "{}", down.text);
    nothing_happens(&broker, &machine).await;
    put_back(&broker.database).await;
    reads(&broker, "ok").await;
    events(&broker, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_event_after_a_lost_tail_is_refused_before_anybody_compares() {
    let (broker, machine) = patient().await;
    shorten(&broker.database, 1).await;
    nothing_happens(&broker, &machine).await;
    let down = reads(&broker, "down").await;
    assert!(down.field("auditLogReason").contains("shorter than it was"), "{}", down.text);
    // Not only after the hour between two comparisons.
    put_back(&broker.database).await;
    reads(&broker, "ok").await;
    events(&broker, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_beyond_the_head_makes_the_log_read_only_until_it_is_gone() {
    let broker = Broker::start(hasty()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let beyond = "select size from audit_head";
    let stop = format!(
        "{DISARM} insert into audit_tree select ({beyond}), gen_random_uuid(), recorded_at, hashes from audit_tree
            where sequence = 0;{ARM}"
    );
    broker.database.execute(&stop).await;
    reads(&broker, "down").await;
    nothing_happens(&broker, &machine).await;
    let go = format!("{DISARM} delete from audit_tree where sequence >= ({beyond});{ARM}");
    broker.database.execute(&go).await;
    reads(&broker, "ok").await;
    events(&broker, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_event_after_a_replaced_one_is_refused_before_anybody_compares() {
    let (broker, machine) = patient().await;
    replace(&broker.database, 1).await;
    nothing_happens(&broker, &machine).await;
    let down = reads(&broker, "down").await;
    assert!(down.field("auditLogReason").contains("altered or replaced"), "{}", down.text);
}

/// Compares when it starts, and then not before this test has ended.
async fn patient() -> (Broker, String) {
    let slow = [("AUDIT_CHECKPOINT_SECONDS", "3600".to_owned())].into();
    let broker = Broker::start(Setup { environment: slow, ..Setup::default() }).await;
    let machine = broker.portal().register().await.id().to_owned();
    events(&broker, 2).await;
    (broker, machine)
}

/// The newest events become others, and tree and head fit them.
async fn replace(database: &Database, count: i64) {
    shorten(database, count).await;
    let forged = "insert into audit_events (sequence, body) select sequence,
        convert_to(replace(convert_from(body, 'UTF8'), '\"outcome\":\"', '\"forged\":true,\"outcome\":\"'), 'UTF8')
        from kept_events order by sequence";
    database.execute(forged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_replaced_by_as_many_others_are_noticed() {
    let broker = Broker::start(hasty()).await;
    let machine = broker.portal().register().await.id().to_owned();
    events(&broker, 3).await;
    replace(&broker.database, 2).await;
    let down = reads(&broker, "down").await;
    assert!(down.field("auditLogReason").contains("altered or replaced"), "{}", down.text);
    nothing_happens(&broker, &machine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_on_a_shortened_log_learns_it_from_key_vault() {
    let first = Broker::start(hasty()).await;
    let secret = format!("https://{}.vault.azure.net/secrets/{KEPT}", first.key_vault);
    let keeping = [("AUDIT_CHECKPOINT_SECRET", secret.as_str()), ("AUDIT_CHECKPOINT_SECONDS", "1")];
    let mut broker = first.replica(&keeping).await;
    let machine = broker.portal().register().await.id().to_owned();
    let size = broker.database.count(SIZE).await;
    let deadline = Instant::now() + Duration::from_secs(15);
    let newest = |broker: &Broker| broker.versions(KEPT).last().map(|it| it.tags["size"].clone());
    while newest(&broker) != Some(size.to_string()) {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for replica in [&first, &broker] {
        replica.signal("KILL");
        replica.wait();
    }
    shorten(&broker.database, 2).await;
    let owned = keeping.map(|(name, value)| (name, value.to_owned()));
    broker = Broker::start(Setup {
        database: Some(broker.database.clone()),
        replica_of: Some((broker.key_vault.clone(), broker.tenant.clone())),
        environment: owned.into(),
        unready: true,
        ..Setup::default()
    })
    .await;
    let down = reads(&broker, "down").await;
    assert_eq!(down.status, 503, "{}", down.text);
    let alarm = async || broker.log().contains("the anchor in elsewhere has");
    while !alarm().await {
        assert!(Instant::now() < deadline + Duration::from_secs(15), "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nothing_happens(&broker, &machine).await;
}
