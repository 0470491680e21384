//! Key Vault keeps a log of its own, and the two agree (goal A12 of reliability.md): each value that the service
//! read is on record under the id that Key Vault saw, and each release has its read or write there. What Key Vault
//! tells that our log does not know was somebody else's, or a service's that is not what it was.

use std::collections::BTreeSet;

use azsim::{Effect, RequestSeen};

use crate::harness::{Actor, Broker, Logged, Setup, azure, full_size_or};

/// One machine's life, with what goes wrong in it.
async fn life(broker: &Broker, number: usize) {
    let (agent, helpdesk) = (broker.agent(), broker.helpdesk());
    let machine = broker.portal().register_for(&agent).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
    let secret = machine.field("secretName");
    if number.is_multiple_of(3) {
        let _fault = broker.fault_once("key_vault.get_secret", secret, Effect::refuse(500, ""));
        helpdesk.retrieve(machine.id()).await;
    }
    if number.is_multiple_of(4) {
        let _fault = broker.fault_once("key_vault.get_secret", secret, Effect::DropAfter);
        helpdesk.retrieve(machine.id()).await;
    }
    rotate(&agent, &helpdesk, machine.id(), number).await;
    let reader = broker.user(&["Machines.Read"]);
    assert_eq!(reader.retrieve(machine.id()).await.status, 403);
    assert_eq!(helpdesk.retrieve(machine.id()).await.status, 201);
}

/// Confirmed, failed, or collected and never settled.
async fn rotate(agent: &Actor, helpdesk: &Actor, machine: &str, number: usize) {
    let rotation = agent.rotate(machine).await;
    assert_eq!(rotation.status, 201, "{}", rotation.text);
    assert_eq!(helpdesk.retrieve(machine).await.status, 201);
    match number % 3 {
        0 => assert_eq!(agent.settle(machine, rotation.id(), "confirm").await.status, 200),
        1 => assert_eq!(agent.settle(machine, rotation.id(), "fail").await.status, 200),
        _ => {}
    }
}

/// The versions that a request read or wrote, as Key Vault saw it.
fn seen_by<'a>(seen: &'a [RequestSeen], request_id: &str) -> BTreeSet<(&'a str, &'a str)> {
    seen.iter()
        .filter(|request| request.client_request_id.as_deref() == Some(request_id))
        .filter_map(|request| Some((request.secret_name.as_str(), request.version.as_deref()?)))
        .collect()
}

fn is_known(log: &[Logged], request: &RequestSeen) -> bool {
    let id = request.client_request_id.as_deref().unwrap_or_default();
    log.iter().any(|event| !id.is_empty() && event.text("/requestId") == id)
}

#[tokio::test]
async fn what_key_vault_saw_and_what_the_log_says_agree() {
    let broker = Broker::start(Setup::default()).await;
    let lives = full_size_or(300, 24);
    for some in (0..lives).collect::<Vec<_>>().chunks(8) {
        futures_util::future::join_all(some.iter().map(|number| life(&broker, *number))).await;
    }
    let log = broker.database.logged("true").await;
    let seen = azure().requests(&broker.key_vault).unwrap();
    let answered = seen
        .iter()
        .filter(|request| request.operation == "key_vault.get_secret" && request.status == 200);
    let reads: Vec<&RequestSeen> = answered.collect();
    let unknown = reads.iter().filter(|request| !is_known(&log, request)).count();
    let released: Vec<&Logged> = log.iter().filter(|event| event.outcome == "released").collect();
    let unseen = released.iter().filter(|event| !was_seen(&seen, event)).count();
    println!(
        "{} reads and {} releases, {} unmatched",
        reads.len(),
        released.len(),
        unknown + unseen
    );
    assert!(reads.len() >= lives * 2 && released.len() >= lives * 4);
    assert_eq!((unknown, unseen), (0, 0));
}

/// Whether Key Vault saw the request of this release with each version that it names.
fn was_seen(seen: &[RequestSeen], event: &Logged) -> bool {
    let with = seen_by(seen, &event.text("/requestId"));
    let secrets = event.body()["secrets"].as_array().cloned().unwrap_or_default();
    let named = |secret: &serde_json::Value| {
        let text = |name: &str| secret[name].as_str().unwrap_or_default().to_owned();
        with.contains(&(text("name").as_str(), text("version").as_str()))
    };
    !secrets.is_empty() && secrets.iter().all(named)
}
