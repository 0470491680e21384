//! What PostgreSQL refuses: the service's role cannot rewrite, shorten or block the log, and the owner
//! cannot without taking the triggers away first.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{Broker, Database, Setup};

/// Each would hide or forge something, or stop the log, if it had an effect.
const ATTACKS: [&str; 64] = [
    "update audit_events set body = body",
    "update audit_events set outcome = 'denied' where sequence = 0",
    "delete from audit_events",
    "delete from audit_events where sequence = (select max(sequence) from audit_events)",
    "truncate audit_events",
    "truncate audit_head",
    "drop table audit_events",
    "drop table audit_head cascade",
    "drop function move_audit_head() cascade",
    "drop trigger audit_events_are_final on audit_events",
    "alter table audit_events disable trigger all",
    "alter table audit_events disable trigger audit_events_are_derived",
    "alter table audit_events add column note text",
    "alter table audit_events rename to history",
    "alter table audit_events owner to passphrase_broker",
    "create or replace function refuse_to_rewrite_history() returns trigger language plpgsql as 'begin return new; end'",
    "create trigger mine before insert on audit_events for each row execute function derive_audit_columns()",
    "create rule hide as on insert to audit_events do instead nothing",
    "create table mine (id int)",
    "create schema mine",
    "update audit_head set size = 0",
    "update audit_head set size = size - 1",
    "update audit_head set size = size",
    "update audit_head set size = size + 1",
    "update audit_head set size = size + 1000000",
    "update audit_head set frontier = ''",
    "select size from audit_head for update",
    "update audit_head set id = 2",
    "delete from audit_head",
    "insert into audit_head values (2, 0)",
    "insert into audit_events (sequence, body) select size + 1, convert_to(body, 'UTF8') from audit_head, event",
    "insert into audit_events (sequence, body) select size + 7000, convert_to(body, 'UTF8') from audit_head, event",
    "insert into audit_events (sequence, body) select 0, convert_to(body, 'UTF8') from event",
    "insert into audit_events (sequence, body) select size, 'no json' from audit_head",
    "update audit_checkpoints set note = 'forged'",
    "delete from audit_checkpoints",
    "truncate audit_checkpoints",
    "alter table audit_checkpoints disable trigger all",
    "insert into audit_checkpoints (size, root, note) select size + 1, sha256(''), 'forged' from audit_head",
    "update audit_verifier_keys set verifier_key = 'forged'",
    "delete from audit_verifier_keys",
    "truncate audit_verifier_keys",
    "set session_replication_role = replica",
    "insert into audit_events_0 (sequence, body) select size, convert_to(body, 'UTF8') from audit_head, event",
    "update audit_events_0 set body = body",
    "delete from audit_events_0",
    "truncate audit_events_0",
    "drop table audit_events_1000000",
    "alter table audit_events detach partition audit_events_0",
    "create table mine partition of audit_events for values from (9000000) to (9000001)",
    "lock table audit_events_0 in share mode",
    "select * from audit_events_0",
    "update audit_tree set hashes = hashes",
    "delete from audit_tree",
    "truncate audit_tree",
    "insert into audit_tree select size, gen_random_uuid(), now(), '' from audit_head",
    "update audit_log_settings set partition_size = 1",
    "insert into audit_partitions values (5, 6, 'mine')",
    "update audit_partitions set exported_at = now(), exported_by = 'me'",
    "select acknowledge_audit_export(0, '')",
    "select archive_audit_partition(0)",
    "set role postgres",
    "copy audit_events to '/tmp/passphrase-broker-stolen-log'",
    "copy audit_events to program 'true'",
];

/// Not refused by an error of their own: what follows shows that they had no effect.
const FUTILE: [&str; 4] = [
    "select make_audit_partitions()",
    "grant update, delete on audit_events to public",
    "revoke all on audit_events from postgres",
    "alter table audit_events set (autovacuum_enabled = on)",
];

/// What must stay as it is.
const FINGERPRINT: &str = "select md5(
    (select string_agg(e::text, '|' order by sequence) from audit_events e)
    || (select string_agg(h::text, '|') from audit_head h)
    || (select string_agg(t::text, '|' order by sequence) from audit_tree t)
    || (select string_agg(p::text, '|' order by first_sequence) from audit_partitions p)
    || (select string_agg(s::text, '|') from audit_log_settings s)
    || (select string_agg(t.tgname || t.tgenabled::text || p.prosrc, '|' order by t.tgname) from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid where not t.tgisinternal)
    || (select string_agg(c.relname || c.relowner::text || coalesce(c.relacl::text, ''), '|' order by c.relname)
        from pg_class c where relnamespace = 'public'::regnamespace))";

/// A database with some events in it.
async fn with_events() -> Broker {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await;
    broker.helpdesk().retrieve(machine.id()).await;
    broker.helpdesk().rotate(machine.id()).await;
    // As the service does now and then.
    broker.database.execute("select make_audit_partitions()").await;
    broker
}

async fn fingerprint(database: &Database) -> String {
    sqlx::query_scalar(FINGERPRINT).fetch_one(&mut database.superuser().await).await.unwrap()
}

/// Runs a statement in a transaction of its own; `event` is an event that is not in the log yet.
async fn attempt(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let event = "create temporary view event as select '{\"action\":\"forged\",\"actor\":{},\"id\":\"' || gen_random_uuid()
        || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}' as body";
    transaction.execute(event).await?;
    transaction.execute(AssertSqlSafe(statement.to_owned())).await?;
    transaction.execute("drop view event").await?;
    transaction.commit().await
}

#[tokio::test]
async fn no_statement_of_the_services_role_changes_or_blocks_the_log() {
    let broker = with_events().await;
    let before = fingerprint(&broker.database).await;
    let mut service = broker.database.service().await;
    for attack in ATTACKS {
        assert!(attempt(&mut service, attack).await.is_err(), "not refused: {attack}");
        assert_eq!(fingerprint(&broker.database).await, before, "had an effect: {attack}");
    }
    for futile in FUTILE {
        drop(attempt(&mut service, futile).await);
        assert_eq!(fingerprint(&broker.database).await, before, "had an effect: {futile}");
    }
    println!("{}/{} without effect", ATTACKS.len() + FUTILE.len(), ATTACKS.len() + FUTILE.len());
    let retrieved = broker.portal().register().await;
    assert_eq!(retrieved.status, 201, "the log goes on");
}

#[tokio::test]
async fn the_services_role_cannot_lock_the_log_as_a_whole() {
    let broker = with_events().await;
    let mut service = broker.database.service().await;
    for table in ["audit_events", "audit_events_0", "audit_tree", "audit_head"] {
        for mode in ["share", "share row exclusive", "exclusive", "access exclusive"] {
            let lock = format!("lock table {table} in {mode} mode");
            assert!(attempt(&mut service, &lock).await.is_err(), "not refused: {lock}");
        }
    }
}

#[tokio::test]
async fn what_the_services_role_appends_moves_the_head_and_the_service_goes_on() {
    let broker = with_events().await;
    let mut service = broker.database.service().await;
    let head = "select size from audit_head";
    let size = broker.database.count(head).await;
    let append = "insert into audit_events (sequence, body) select size, convert_to(body, 'UTF8') from audit_head, event";
    attempt(&mut service, append).await.unwrap();
    assert_eq!(broker.database.count(head).await, size + 1);
    broker.portal().register().await;
    assert_eq!(broker.database.count(head).await, size + 3);
    assert_eq!(broker.database.count("select count(*) from audit_events").await, size + 3);
}

#[tokio::test]
async fn the_owner_is_refused_too_whatever_the_replication_role() {
    let broker = with_events().await;
    let before = fingerprint(&broker.database).await;
    let mut owner = broker.database.superuser().await;
    for role in ["origin", "replica"] {
        owner
            .execute(AssertSqlSafe(format!("set session_replication_role = {role}")))
            .await
            .unwrap();
        for attack in [
            "update audit_events set body = body",
            "delete from audit_events where sequence = 0",
            "truncate audit_events",
            "delete from audit_head",
            "truncate audit_head",
            "truncate audit_checkpoints",
            "truncate audit_verifier_keys",
            "update audit_events_0 set body = body",
            "delete from audit_events_0 where sequence = 0",
            "truncate audit_events_0",
            "truncate audit_events_1000000",
            "insert into audit_events_0 (sequence, body) select size + 1, convert_to(body, 'UTF8') from audit_head, event",
            "update audit_tree set hashes = hashes",
            "delete from audit_tree",
            "truncate audit_tree",
            "update audit_head set size = size - 1",
            "insert into audit_events (sequence, body) select size + 1, convert_to(body, 'UTF8') from audit_head, event",
        ] {
            assert!(attempt(&mut owner, attack).await.is_err(), "{role}: not refused: {attack}");
        }
    }
    assert_eq!(fingerprint(&broker.database).await, before);
}
