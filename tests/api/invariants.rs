//! What must be true at every moment and after every fault (reliability.md II), asked of the world past the
//! service: the rows of PostgreSQL and what azsim's Key Vault holds and was asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use azsim::VersionView;
use passphrase_broker::audit::verify;
use serde_json::Value;

use crate::harness::{Actor, Answer, Broker, Logged, azure};

/// Every answer that held a passphrase.
#[derive(Default)]
pub struct Given(Mutex<Vec<Gift>>);

/// One of them: who got what by which request.
struct Gift {
    to: String,
    request_id: String,
    passphrases: BTreeSet<String>,
}

impl Given {
    pub fn note(&self, to: &Actor, answer: &Answer) {
        let passphrases: BTreeSet<String> = passphrases(&answer.body).into_iter().collect();
        if !passphrases.is_empty() {
            let request_id = answer.header("x-request-id").to_owned();
            let gift = Gift { to: to.object_id.clone(), request_id, passphrases };
            self.0.lock().unwrap().push(gift);
        }
    }
}

impl Given {
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The passphrase of an answer, and those of the candidates after it, in their order.
pub fn passphrases(body: &Value) -> Vec<String> {
    let candidates = body["otherCandidates"].as_array().into_iter().flatten();
    let all = std::iter::once(body).chain(candidates);
    all.filter_map(|part| part["passphrase"].as_str()).map(str::to_owned).collect()
}

/// All of them, of all machines.
pub async fn hold(broker: &Broker, given: &Given) {
    let log = broker.database.logged("true").await;
    let held = held(broker, azure().secret_names(&broker.key_vault).unwrap());
    dense(broker, &log).await;
    released_before_given(&log, &held, given);
    one_version_for_each_rotation(&log);
    every_write_was_intended(&log, &held);
    every_intent_has_an_outcome(&log);
    nothing_is_destroyed(broker);
    candidates_are_readable(broker, &held, "true").await;
}

/// Those of one machine, at a moment at which work may still be under way.
pub async fn hold_for(broker: &Broker, given: &Given, machine: &str, secrets: [&str; 2]) {
    let log = broker.database.logged(&format!("machine_id = '{machine}'")).await;
    let held = held(broker, secrets.map(str::to_owned).into());
    released_before_given(&log, &held, given);
    one_version_for_each_rotation(&log);
    every_write_was_intended(&log, &held);
    candidates_are_readable(broker, &held, &format!("m.id = '{machine}'")).await;
}

/// What Key Vault holds: every version by its secret and id.
fn held(broker: &Broker, names: Vec<String>) -> BTreeMap<(String, String), VersionView> {
    let versions = names.into_iter().flat_map(|name| {
        let versions = broker.versions(&name);
        versions.into_iter().map(move |version| ((name.clone(), version.id.clone()), version))
    });
    versions.collect()
}

/// I7, as far as there are no checkpoints: no gap, and the log is the one whose tree was made with it.
async fn dense(broker: &Broker, log: &[Logged]) {
    for (expected, event) in (0..).zip(log) {
        assert_eq!(event.sequence, expected, "a gap in the log");
    }
    let url = &broker.database.service_url;
    let report = verify::database(url, verify::Evidence::default(), |_, _| ()).await.unwrap();
    assert!(report.is_good(), "{report}");
    assert!(report.events >= log.len() as u64, "the head is behind the log");
}

/// I2, I3: whatever was given is a version that Key Vault holds, and one event says so.
fn released_before_given(
    log: &[Logged],
    held: &BTreeMap<(String, String), VersionView>,
    given: &Given,
) {
    let mut released: BTreeMap<String, Vec<&Logged>> = BTreeMap::new();
    for event in log.iter().filter(|event| event.outcome == "released") {
        released.entry(event.text("/requestId")).or_default().push(event);
    }
    for gift in given.0.lock().unwrap().iter() {
        let events = released.get(&gift.request_id).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(events.len(), 1, "events of request {}", gift.request_id);
        assert_eq!(events[0].actor_object_id.as_deref(), Some(gift.to.as_str()));
        let named: BTreeSet<String> =
            versions_in(events[0]).map(|named| held[&named].value.clone()).collect();
        assert_eq!(named, gift.passphrases, "the event names other versions than were given");
    }
}

fn versions_in(event: &Logged) -> impl Iterator<Item = (String, String)> {
    let secrets = event.body()["secrets"].as_array().cloned().unwrap_or_default();
    secrets.into_iter().map(|secret| {
        let text = |name: &str| secret[name].as_str().unwrap().to_owned();
        (text("name"), text("version"))
    })
}

/// I5: whoever asks, and however often, a rotation has one passphrase.
fn one_version_for_each_rotation(log: &[Logged]) {
    let mut released: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for event in log.iter().filter(|event| event.outcome == "released") {
        let rotation = event.text("/rotationId");
        if !rotation.is_empty() {
            released.entry(rotation).or_default().extend(versions_in(event));
        }
    }
    for (rotation, versions) in released {
        assert_eq!(versions.len(), 1, "rotation {rotation} released {versions:?}");
    }
}

/// I4: a version of ours carries the id of the work that wrote it, and the log knew of that work before.
fn every_write_was_intended(log: &[Logged], held: &BTreeMap<(String, String), VersionView>) {
    let intents = log.iter().filter(|event| event.outcome == "intended");
    let intended: BTreeSet<String> =
        intents.flat_map(|event| [event.text("/rotationId"), event.text("/machineId")]).collect();
    for ((name, id), version) in held {
        let Some(operation) = version.tags.get("passphraseBrokerOperation") else { continue };
        assert!(intended.contains(operation), "{name}/{id} was written without an intent");
    }
}

/// I14: how it ended is on record, even if that is "unknown". (MARS is waited for without an effect of ours.)
fn every_intent_has_an_outcome(log: &[Logged]) {
    for (at, intent) in log.iter().enumerate() {
        if intent.outcome != "intended" || !intent.text("/details/waitsFor").is_empty() {
            continue;
        }
        let (rotation, machine) = (intent.text("/rotationId"), intent.text("/machineId"));
        let ends = |event: &Logged| {
            event.outcome != "intended"
                && (event.operation_id == intent.operation_id
                    || (!rotation.is_empty() && event.text("/rotationId") == rotation)
                    || (rotation.is_empty() && event.text("/machineId") == machine))
        };
        assert!(log[at..].iter().any(ends), "no outcome of {}", intent.body());
    }
}

/// I6: nothing was asked to be deleted.
fn nothing_is_destroyed(broker: &Broker) {
    for request in azure().requests(&broker.key_vault).unwrap() {
        let destroys = ["delete", "purge"].iter().any(|word| request.operation.contains(word));
        assert!(!destroys || request.caller_oid.is_none(), "{}", request.operation);
    }
}

/// I6: what anybody may need can be read.
async fn candidates_are_readable(
    broker: &Broker,
    held: &BTreeMap<(String, String), VersionView>,
    machines: &str,
) {
    for ((name, id), version) in held {
        assert!(version.enabled || name.starts_with("AzBackupPending-"), "{name}/{id} is disabled");
    }
    let candidates = broker
        .database
        .texts(&format!(
            "select escrow_secret_name || ' ' || escrow_version from rotations r join machines m on m.id = machine_id
             where collected_at is not null and r.state <> 'confirmed' and sequence > current_rotation_sequence and {machines}
             union all select secret_name || ' ' || current_version from machines m where current_version is not null and {machines}",
        ))
        .await;
    for candidate in candidates {
        let (name, id) = candidate.split_once(' ').unwrap();
        let version = held.get(&(name.to_owned(), id.to_owned()));
        assert!(version.is_some_and(|version| version.enabled), "{candidate} cannot be read");
    }
}
