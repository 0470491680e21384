//! What the service refuses to run on: a database that may lose what it confirmed or that would rewrite the log,
//! and a role that could make it so.

use crate::harness::{Broker, Database, Setup};

/// What it says when it is started on this database, as this role.
async fn refusal(database: &Database, url: &str) -> String {
    let environment = [("DATABASE_URL", url.to_owned())].into();
    let database = Some(database.clone());
    let log = Broker::refuses(Setup { database, environment, ..Setup::default() }).await;
    log.lines().rfind(|line| line.contains("does not protect the log")).unwrap_or(&log).to_owned()
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_confirmed_is_refused() {
    let arguments = ["--durable", "-c", "fsync=off", "-c", "full_page_writes=off"];
    let database = Database::create_apart(&arguments).await;
    database.execute("alter role passphrase_broker set synchronous_commit = off").await;
    let told = refusal(&database, &database.service_url).await;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert!(told.contains(&format!("{setting} is off")), "{told}");
    }
}

#[tokio::test]
async fn a_log_without_one_of_its_triggers_is_refused() {
    let of = "alter table audit_events ";
    for (change, trigger) in [
        (format!("{of}disable trigger audit_events_are_final"), "audit_events_are_final"),
        (format!("{of}enable trigger audit_events_are_derived"), "audit_events_are_derived"),
        ("drop trigger audit_head_grows on audit_head".to_owned(), "audit_head_grows"),
        (
            "alter table audit_checkpoints disable trigger all".to_owned(),
            "audit_checkpoints_are_never_truncated",
        ),
    ] {
        let database = Database::create().await;
        database.execute(&change).await;
        let told = refusal(&database, &database.service_url).await;
        assert!(told.contains(&format!("the trigger {trigger} of")), "{change}: {told}");
    }
}

#[tokio::test]
async fn a_role_that_could_change_the_log_is_refused() {
    let database = Database::create_apart(&["--fast"]).await;
    let told = refusal(&database, &database.superuser_url).await;
    assert!(told.contains("postgres is a superuser"), "{told}");
    for (statement, why) in [
        ("alter table audit_head owner to passphrase_broker", "owns the log"),
        ("alter table audit_head owner to postgres; create role owning; alter table audit_events owner to owning;
            grant owning to passphrase_broker", "may become their owner"),
        ("revoke owning from passphrase_broker; alter schema public owner to owning;
            alter table audit_events owner to postgres; grant owning to passphrase_broker", "its schema"),
        ("alter schema public owner to postgres; revoke owning from passphrase_broker;
            alter role passphrase_broker createrole", "may create roles"),
        ("alter role passphrase_broker nocreaterole; grant postgres to passphrase_broker", "may become one"),
    ] {
        database.execute(statement).await;
        let told = refusal(&database, &database.service_url).await;
        assert!(told.contains(why), "{statement}: {told}");
    }
}

#[tokio::test]
async fn a_trigger_that_is_switched_off_under_a_running_replica_stops_it() {
    let environment = [("AUDIT_CHECKPOINT_SECONDS", "1".to_owned())].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    let machine = broker.portal().register().await.id().to_owned();
    let helpdesk = broker.helpdesk();
    let retrieved = async || helpdesk.retrieve(&machine).await;
    broker
        .database
        .execute("alter table audit_events disable trigger audit_events_are_final")
        .await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    while retrieved().await.problem() != (503, "audit-unavailable") {
        assert!(std::time::Instant::now() < deadline, "{}", broker.log());
    }
    while !broker.nobody().get("/readyz").await.text.contains("does not protect the log") {
        assert!(std::time::Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let repair = "alter table audit_events enable always trigger audit_events_are_final";
    broker.database.execute(repair).await;
    while retrieved().await.status != 201 {
        assert!(std::time::Instant::now() < deadline, "{}", broker.log());
    }
}
