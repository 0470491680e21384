//! What stands in the log: who, what, why, in which order, byte for byte. And that a client which hangs
//! up, or a neighbour in the same group, does not change it.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use azsim::Effect;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Database, Logged, Setup, unique_fqdn};

/// Two brokers over one database, Key Vault and tenant.
async fn replicas() -> (Broker, Broker) {
    let one = Broker::start(Setup::default()).await;
    let replica_of = Some((one.key_vault.clone(), one.tenant.clone()));
    let database = Some(one.database.clone());
    let two = Broker::start(Setup { database, replica_of, ..Setup::default() }).await;
    (one, two)
}

fn assert_dense(logged: &[Logged]) {
    let sequences: Vec<i64> = logged.iter().map(|event| event.sequence).collect();
    let expected: Vec<i64> = (0..i64::try_from(logged.len()).unwrap()).collect();
    assert_eq!(sequences, expected);
}

/// The canonical bytes, their leaf, and columns that say the same.
fn assert_canonical(event: &Logged) {
    let body = event.body();
    assert_eq!(serde_json_canonicalizer::to_vec(&body).unwrap(), event.bytes);
    let leaf = digest(&SHA256, &[&[0], event.bytes.as_slice()].concat());
    assert_eq!(leaf.as_ref(), event.leaf);
    let columns = [
        ("/id", Some(&event.event_id)),
        ("/operationId", Some(&event.operation_id)),
        ("/action", Some(&event.action)),
        ("/outcome", Some(&event.outcome)),
        ("/actor/tenantId", event.actor_tenant_id.as_ref()),
        ("/actor/objectId", event.actor_object_id.as_ref()),
        ("/machineId", event.machine_id.as_ref()),
    ];
    for (pointer, column) in columns {
        assert_eq!(body.pointer(pointer), column.map(|text| json!(text)).as_ref(), "{pointer}");
    }
}

#[tokio::test]
async fn two_replicas_write_one_dense_order_of_canonical_events() {
    let (one, two) = replicas().await;
    let machine = one.portal().register().await.id().to_owned();
    let callers: Vec<Actor> = (0..10)
        .flat_map(|_| [one.helpdesk(), two.helpdesk(), one.user(&[]), two.nobody()])
        .collect();
    let answers = join_all((0..200).map(|n| callers[n % callers.len()].retrieve(&machine))).await;
    let mut promised = BTreeSet::new();
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        promised.insert(answer.body["auditEvent"]["sequence"].as_i64().unwrap());
    }
    let logged = one.database.logged("true").await;
    assert_dense(&logged);
    logged.iter().for_each(assert_canonical);
    let released = logged
        .iter()
        .filter(|event| event.action == "retrieve_passphrase" && event.outcome == "released");
    assert_eq!(released.map(|event| event.sequence).collect::<BTreeSet<_>>(), promised);
    assert_eq!(promised.len(), 100);
    let times = "select count(*) from audit_events a join audit_events b on b.sequence = a.sequence + 1 where b.recorded_at < a.recorded_at";
    assert_eq!(one.database.count(times).await, 0, "the clock runs backwards");
}

#[tokio::test]
async fn a_release_names_who_what_why_and_no_passphrase() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let person = broker.helpdesk();
    let body = json!({"reason": "legalRequest", "justification": "the court of Trier asks", "ticket": "INC0012345"});
    let request =
        person.request(Method::POST, &format!("/v1/machines/{}/retrievals", machine.id()));
    let request_id = format!("full-{}", machine.id());
    let answer = Answer::of(request.header("x-request-id", &request_id).json(&body)).await;
    let logged = broker.database.events_of(&request_id).await;
    let event = logged[0].body();
    assert_eq!((logged.len(), event["id"].as_str()), (1, answer.body["auditEvent"]["id"].as_str()));
    assert_eq!(event["schema"], 1);
    assert_eq!(event["actor"]["kind"], "user");
    assert_eq!(event["actor"]["objectId"], person.object_id);
    assert_eq!(event["actor"]["tenantId"], broker.tenant);
    assert_eq!(event["actor"]["roles"], json!(["Machines.Read", "Passphrases.Retrieve"]));
    assert_eq!(event["sourceAddress"], "127.0.0.1");
    assert_eq!(
        [&event["reason"], &event["justification"], &event["ticket"]],
        [&body["reason"], &body["justification"], &body["ticket"]]
    );
    let secret = json!({"keyVaultUri": format!("https://{}.vault.azure.net/", broker.key_vault),
        "name": machine.field("secretName"), "version": machine.field("currentVersion")});
    assert_eq!(event["secrets"], json!([secret]));
    assert!(!String::from_utf8_lossy(&logged[0].bytes).contains(machine.field("passphrase")));
}

#[tokio::test]
async fn the_events_of_one_request_share_its_operation_and_name_its_rotation() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let condition = format!("event ->> 'rotationId' = '{}'", rotation.id());
    let logged = broker.database.logged(&condition).await;
    assert_eq!(
        logged.iter().map(|event| event.outcome.as_str()).collect::<Vec<_>>(),
        ["intended", "released"]
    );
    assert_eq!(logged[0].operation_id, logged[1].operation_id);
    let escrow = logged[1].text("/secrets/0/name");
    assert!(escrow.starts_with("AzBackupPending-"), "{escrow}");
    assert_eq!(logged[1].text("/secrets/0/version"), broker.versions(&escrow)[0].id);
    let held = |event: &Logged| {
        String::from_utf8_lossy(&event.bytes).contains(rotation.field("passphrase"))
    };
    assert!(!logged.iter().any(held));
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_neither_the_write_nor_its_events() {
    let broker = Broker::start(Setup::default()).await;
    let (portal, fqdn) = (broker.portal(), unique_fqdn());
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["fqdn"] = json!(fqdn);
    let held = crate::harness::azure().inject(
        azsim::Fault::new("key_vault.set_secret", Effect::HoldBefore).key_vault(&broker.key_vault),
    );
    let request =
        portal.request(Method::POST, "/v1/machines").header("x-request-id", "hung-up").json(&body);
    let client = tokio::spawn(request.send());
    held.reached(1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    held.release();
    let database = &broker.database;
    let done = "select count(*) from machines where state = 'active'";
    until(|| async { database.count(done).await == 1 }).await;
    let outcomes: Vec<String> =
        database.events_of("hung-up").await.into_iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, ["intended", "released"]);
}

#[tokio::test]
async fn of_many_rotations_at_once_one_wins_and_all_are_on_record() {
    let (one, two) = replicas().await;
    let machine = one.portal().register().await.id().to_owned();
    let bystander = one.portal().register().await.id().to_owned();
    let portals = [one.portal(), two.portal()];
    let helpdesk = two.helpdesk();
    let rotations = join_all((0..40).map(|n| portals[n % 2].rotate(&machine)));
    let (rotations, retrieved) =
        tokio::join!(rotations, join_all((0..40).map(|_| helpdesk.retrieve(&bystander))));
    let won = rotations.iter().filter(|answer| answer.status == 201).count();
    let lost =
        rotations.iter().filter(|answer| answer.problem() == (409, "rotation-in-progress")).count();
    assert_eq!((won, lost), (1, 39));
    assert!(retrieved.iter().all(|answer| answer.status == 201), "a neighbour failed");
    let logged = one
        .database
        .logged(&format!("action = 'request_rotation' and machine_id = '{machine}'"))
        .await;
    let count = |outcome: &str| logged.iter().filter(|event| event.outcome == outcome).count();
    assert_eq!(
        (count("intended"), count("succeeded"), count("denied"), logged.len()),
        (1, 1, 39, 41)
    );
}

#[tokio::test]
async fn a_crowd_shares_commits() {
    let broker = Broker::start(Setup {
        database: Some(Database::create_apart(&["--durable"]).await),
        ..Setup::default()
    })
    .await;
    let machine = broker.portal().register().await.id().to_owned();
    let helpdesk = broker.helpdesk();
    let (groups, events) = group_sizes(&broker).await;
    let answers = join_all((0..100).map(|_| helpdesk.retrieve(&machine))).await;
    for answer in answers {
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let (groups, events) =
        (group_sizes(&broker).await.0 - groups, group_sizes(&broker).await.1 - events);
    println!("{events} events in {groups} commits");
    assert!((events - 100.0).abs() < 0.5);
    assert!(groups <= 50.0, "{groups} commits for {events} events");
}

/// How many groups were committed, and events in them.
async fn group_sizes(broker: &Broker) -> (f64, f64) {
    let metrics = broker.nobody().get("/metrics").await.text;
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    (
        value("passphrase_broker_audit_group_size_count"),
        value("passphrase_broker_audit_group_size_sum"),
    )
}

async fn until<F: Future<Output = bool>>(happened: impl Fn() -> F) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !happened().await {
        assert!(std::time::Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_thousand_denials_of_believed_callers_are_a_thousand_events() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let outsider = broker.user(&[]);
    for _ in 0..20 {
        let answers = join_all((0..50).map(|_| outsider.retrieve(&machine))).await;
        assert!(answers.iter().all(|answer| answer.problem() == (403, "role-missing")));
    }
    let denied = format!(
        "select count(*) from audit_events where outcome = 'denied' and actor_object_id = '{}' and machine_id = '{machine}'",
        outsider.object_id
    );
    assert_eq!(broker.database.count(&denied).await, 1_000);
    let summed = broker.database.logged("event ? 'count'").await;
    assert!(
        summed.iter().map(Logged::body).all(|body: Value| body["actor"]["kind"] == "anonymous")
    );
}
