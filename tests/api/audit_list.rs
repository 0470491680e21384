//! `GET /v1/audit/events`: filters, pages, tenants; and reading the log is in the log.

use serde_json::Value;

use crate::harness::{AUDIENCE, Actor, Broker, Setup, azure};

fn sequences(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["sequence"].as_i64().unwrap()).collect()
}

/// All pages of a query, and something happens between them.
async fn pages(auditor: &Actor, query: &str, between: impl AsyncFn()) -> Vec<i64> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = auditor.get(&format!("/v1/audit/events?{query}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        seen.extend(sequences(page.body["items"].as_array().unwrap()));
        let Some(next) = page.body["nextCursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
        between().await;
    }
}

#[tokio::test]
async fn every_filter_finds_what_the_database_finds() {
    let broker = Broker::start(Setup::default()).await;
    let (helpdesk, auditor) = (broker.helpdesk(), broker.auditor());
    let machine = broker.portal().register().await.id().to_owned();
    broker.portal().register().await;
    helpdesk.retrieve(&machine).await;
    broker.user(&[]).retrieve(&machine).await;
    let middle = broker.database.logged("sequence = 3").await[0].sequence;
    let time = time_of(&broker, middle).await;
    for (query, condition) in [
        (format!("machineId={machine}"), format!("machine_id = '{machine}'")),
        (
            format!("actor={}", helpdesk.object_id),
            format!("actor_object_id = '{}'", helpdesk.object_id),
        ),
        ("action=register_machine".to_owned(), "action = 'register_machine'".to_owned()),
        ("outcome=denied".to_owned(), "outcome = 'denied'".to_owned()),
        (
            format!("from={time}&action=register_machine"),
            format!("recorded_at >= '{time}' and action = 'register_machine'"),
        ),
        (format!("to={time}"), format!("recorded_at < '{time}'")),
        (
            format!("machineId={machine}&outcome=released&action=retrieve_passphrase"),
            format!(
                "machine_id = '{machine}' and outcome = 'released' and action = 'retrieve_passphrase'"
            ),
        ),
        ("action=nothing_like_it".to_owned(), "false".to_owned()),
    ] {
        let listing = "action <> 'list_audit_events'";
        let expected = broker.database.logged(&format!("{condition} and {listing}")).await;
        let mut expected: Vec<i64> = expected.iter().map(|event| event.sequence).collect();
        expected.reverse();
        let mut found = auditor.events(&query).await;
        found.retain(|event| event["action"] != "list_audit_events");
        assert_eq!(sequences(&found), expected, "{query}");
    }
}

async fn time_of(broker: &Broker, sequence: i64) -> String {
    let query = format!(
        "select to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from audit_events where sequence = {sequence}"
    );
    let mut connection = broker.database.superuser().await;
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repeat_while_events_arrive() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let (helpdesk, auditor) = (broker.helpdesk(), broker.auditor());
    for _ in 0..20 {
        helpdesk.retrieve(&machine).await;
    }
    let before = broker.database.count("select size from audit_head").await;
    let query = "pageSize=3";
    let seen =
        pages(&auditor, query, async || assert_eq!(helpdesk.retrieve(&machine).await.status, 201))
            .await;
    assert_eq!(seen, (0..before).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_that_was_altered_or_made_for_another_list_is_refused() {
    let broker = Broker::start(Setup::default()).await;
    let (portal, auditor) = (broker.portal(), broker.auditor());
    for _ in 0..2 {
        portal.register().await;
    }
    let page = auditor.get("/v1/audit/events?pageSize=1").await;
    let cursor = page.field("nextCursor").to_owned();
    let machines = portal.get("/v1/machines?pageSize=1").await;
    let mut altered =
        vec![machines.field("nextCursor").to_owned(), String::new(), "AAAA".to_owned()];
    for position in 0..cursor.len() {
        let other = if cursor.as_bytes()[position] == b'A' { "B" } else { "A" };
        let mut text = cursor.clone();
        text.replace_range(position..=position, other);
        altered.push(text);
    }
    for wrong in altered {
        let answer = auditor.get(&format!("/v1/audit/events?cursor={wrong}")).await;
        assert_eq!(answer.problem(), (400, "invalid-request"), "{wrong}");
    }
    let refused = portal.get(&format!("/v1/machines?cursor={cursor}")).await;
    assert_eq!(refused.problem(), (400, "invalid-request"));
}

/// A broker for two tenants, and an auditor of the second.
async fn two_tenants() -> (Broker, Actor) {
    let (tenant, other) = (azure().add_tenant().unwrap(), azure().add_tenant().unwrap());
    let uri = azure().add_key_vault(azsim::KeyVaultSpec::default()).unwrap();
    let host = uri.trim_start_matches("https://").split('.').next().unwrap().to_owned();
    let environment = [("ENTRA_TENANT_IDS", format!("{tenant},{other}"))].into();
    let replica_of = Some((host, tenant));
    let broker = Broker::start(Setup { environment, replica_of, ..Setup::default() }).await;
    let spec = azsim::TokenSpec::user(AUDIENCE, uuid::Uuid::new_v4().to_string());
    let token = azure().mint(&spec.in_tenant(&other).roles(&["Audit.Read"])).unwrap();
    let auditor = broker.bearer(&token);
    (broker, auditor)
}

#[tokio::test]
async fn another_tenants_events_and_machines_are_not_shown() {
    let (broker, stranger) = two_tenants().await;
    let machine = broker.portal().register().await.id().to_owned();
    broker.helpdesk().retrieve(&machine).await;
    broker.nobody().retrieve(&machine).await;
    broker.nobody().get("/v1/audit/events").await;
    let by_system = format!(
        "insert into audit_events (sequence, body) select size, convert_to('{{\"action\":\"expire_rotation\",\"actor\":{{\"kind\":\"system\"}},\"id\":\"{}\",\"machineId\":\"{machine}\",\"operationId\":\"{}\",\"outcome\":\"succeeded\"}}', 'UTF8') from audit_head",
        uuid::Uuid::new_v4(),
        uuid::Uuid::new_v4()
    );
    broker.database.execute(&by_system).await;
    assert_eq!(broker.auditor().events(&format!("machineId={machine}")).await.len(), 5);
    let shown = stranger.events("").await;
    let actions: Vec<&str> = shown.iter().map(|event| event["action"].as_str().unwrap()).collect();
    // The one that nobody was believed for, and about no machine.
    assert_eq!(actions, ["list_audit_events"], "{shown:?}");
    assert_eq!(shown[0]["actor"]["kind"], "anonymous");
    let asked = stranger.events(&format!("machineId={machine}")).await;
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
async fn reading_the_log_is_on_record_with_what_was_asked_for() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let (auditor, helpdesk) = (broker.auditor(), broker.helpdesk());
    auditor.events(&format!("machineId={machine}&actor={}", helpdesk.object_id)).await;
    let logged = broker.database.logged("action = 'list_audit_events'").await;
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].outcome, "succeeded");
    assert_eq!(logged[0].actor_object_id.as_ref(), Some(&auditor.object_id));
    assert_eq!(logged[0].machine_id.as_ref(), Some(&machine));
    assert_eq!(logged[0].text("/details/actorFilter"), helpdesk.object_id);
}
