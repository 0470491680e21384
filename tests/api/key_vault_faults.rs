//! Goal B6: whatever is wrong with Key Vault, a retrieval, a rotation and a confirmation that meet it are told so
//! with the right code in time, ask Key Vault at most three times for each step, lose nothing, and succeed by
//! themselves when it is well again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use azsim::{Effect, Fault, FaultGuard};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::{
    harness::{Actor, Answer, Broker, Setup, azure, refusal},
    invariants::{self, Given, passphrases},
};

/// For an answer; more than the budgets of the calls, less than the limit for a request.
const IN_TIME: Duration = Duration::from_secs(13);
const UNAVAILABLE: (u16, &str) = (503, "key-vault-unavailable");
const THROTTLED: (u16, &str) = (503, "key-vault-throttled");
const REFUSED: (u16, &str) = (502, "key-vault-refused");
const MISSING: (u16, &str) = (409, "key-vault-secret-missing");
const SOFT_DELETED: (u16, &str) = (409, "key-vault-secret-soft-deleted");

/// What is wrong, and what a caller is told.
fn faults() -> Vec<(&'static str, Effect, (u16, &'static str))> {
    let another = json!({"id": "https://kv-another.vault.azure.net/secrets/another/0123456789abcdef0123456789abcdef",
        "value": "of-another-secret", "attributes": {"enabled": true}});
    let wait = |seconds: Option<&str>| Effect::Throttle { retry_after: seconds.map(str::to_owned) };
    vec![
        ("429 with Retry-After", wait(Some("60")), THROTTLED),
        ("429", wait(None), THROTTLED),
        ("500", Effect::refuse(500, "{}"), UNAVAILABLE),
        ("503", Effect::refuse(503, ""), UNAVAILABLE),
        ("no answer", Effect::HoldBefore, UNAVAILABLE),
        ("closed before", Effect::DropBefore, UNAVAILABLE),
        ("closed after", Effect::DropAfter, UNAVAILABLE),
        ("reset in the body", Effect::Truncate, UNAVAILABLE),
        ("half of a JSON", Effect::refuse(200, r#"{"value": "half"#), UNAVAILABLE),
        ("not JSON", Effect::Garbage, UNAVAILABLE),
        ("another version", Effect::refuse(200, another.to_string()), UNAVAILABLE),
        ("a byte a second", Effect::Drip { milliseconds: 1_000, size: 1 }, UNAVAILABLE),
        ("401", Effect::refuse(401, ""), UNAVAILABLE),
        ("403", refusal(403, "Forbidden", "ForbiddenByRbac"), (502, "broker-permission-missing")),
        ("404", refusal(404, "SecretNotFound", ""), MISSING),
        ("404 of somebody else", Effect::refuse(404, "<html>"), UNAVAILABLE),
        ("soft-deleted", refusal(409, "Conflict", "ObjectIsDeletedButRecoverable"), SOFT_DELETED),
        ("400", refusal(400, "BadParameter", ""), REFUSED),
        ("409", refusal(409, "Conflict", ""), UNAVAILABLE),
        ("412", Effect::refuse(412, ""), REFUSED),
        ("no TLS", Effect::DropBefore, UNAVAILABLE),
        ("no such host", Effect::DropBefore, UNAVAILABLE),
    ]
}

/// One broker, and a machine for each of the three calls.
struct Scene {
    broker: Broker,
    agent: [Actor; 3],
    machine: [Answer; 3],
    /// Of the third machine, which is about to confirm it.
    rotation: Answer,
    given: Given,
}

impl Scene {
    async fn set() -> Self {
        let broker = Broker::start(Setup::default()).await;
        let (given, portal) = (Given::default(), broker.portal());
        let agent = [broker.agent(), broker.agent(), broker.agent()];
        let mut machine = Vec::new();
        for agent in &agent {
            machine.push(portal.register_for(agent).await);
            given.note(&portal, &machine[machine.len() - 1]);
        }
        let machine: [Answer; 3] = machine.try_into().unwrap();
        let rotation = agent[2].rotate(machine[2].id()).await;
        given.note(&agent[2], &rotation);
        Self { broker, agent, machine, rotation, given }
    }

    /// The whole Key Vault is struck; the last two of the table cut its connections and let none be made.
    fn strike(&self, name: &str, effect: Effect) -> Vec<FaultGuard> {
        let fault = |operation: &str, effect: Effect| {
            azure().inject(Fault::new(operation, effect).key_vault(&self.broker.key_vault))
        };
        let mut faults = vec![fault("key_vault.", effect)];
        match name {
            "no TLS" => faults.push(fault("proxy.connect", Effect::DropBefore)),
            "no such host" => faults.push(fault("proxy.connect", Effect::refuse(502, ""))),
            _ => {}
        }
        faults
    }

    async fn calls(&self) -> [(Answer, Duration); 3] {
        let helpdesk = self.broker.helpdesk();
        let retrieval = timed(helpdesk.retrieve(self.machine[0].id()));
        let rotation = timed(self.agent[1].rotate(self.machine[1].id()));
        let confirmation =
            timed(self.agent[2].settle(self.machine[2].id(), self.rotation.id(), "confirm"));
        let answers = tokio::join!(retrieval, rotation, confirmation);
        for (actor, (answer, _)) in [&helpdesk, &self.agent[1], &self.agent[2]]
            .into_iter()
            .zip([&answers.0, &answers.1, &answers.2])
        {
            self.given.note(actor, answer);
        }
        answers.into()
    }

    /// How often Key Vault was asked to do the same with the same secret.
    fn most_asked(&self) -> usize {
        let mut asked: BTreeMap<(String, String), usize> = BTreeMap::new();
        for request in azure().requests(&self.broker.key_vault).unwrap() {
            if request.fault.is_some() && !request.secret_name.is_empty() {
                *asked.entry((request.operation, request.secret_name)).or_default() += 1;
            }
        }
        asked.into_values().max().unwrap_or_default()
    }

    async fn recovers(&self, name: &str) {
        for (table, column) in [("rotations", "attempted_at")] {
            let old = format!("update {table} set {column} = {column} - interval '31 seconds'");
            self.broker.database.execute(&old).await;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answers = self.calls().await;
            let statuses = answers.each_ref().map(|(answer, _)| answer.status);
            if statuses == [201, 201, 200] {
                break;
            }
            assert!(Instant::now() < deadline, "{name}: it does not recover: {answers:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let helpdesk = self.broker.helpdesk();
        for (index, used) in [(0, &self.machine[0]), (2, &self.rotation)] {
            let retrieved = helpdesk.retrieve(self.machine[index].id()).await;
            self.given.note(&helpdesk, &retrieved);
            assert_eq!(passphrases(&retrieved.body), [used.field("passphrase")], "{name}");
        }
        invariants::hold(&self.broker, &self.given).await;
    }
}

async fn timed(call: impl Future<Output = Answer>) -> (Answer, Duration) {
    let started = Instant::now();
    (call.await, started.elapsed())
}

async fn struck((name, effect, told): (&'static str, Effect, (u16, &'static str))) -> Duration {
    let scene = Scene::set().await;
    let faults = scene.strike(name, effect);
    let answers = scene.calls().await;
    for (answer, took) in &answers {
        assert_eq!(answer.problem(), told, "{name}: {}", answer.text);
        assert!(*took < IN_TIME, "{name}: {took:?}");
        assert!(!answer.text.contains("passphrase\""), "{name}: {}", answer.text);
    }
    let most = scene.most_asked();
    assert!(most <= 3, "{name}: Key Vault was asked {most} times for the same");
    drop(faults);
    scene.recovers(name).await;
    answers.into_iter().map(|(_, took)| took).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_key_vault_it_is_told_in_time_and_nothing_is_lost() {
    let faults = faults();
    let count = faults.len();
    let slowest: Vec<Duration> =
        stream::iter(faults).map(struck).buffer_unordered(9).collect().await;
    let slowest = slowest.into_iter().max().unwrap();
    println!(
        "{count} faults of Key Vault, 3 calls each: slowest {slowest:.1?}, 0 lost, each recovered"
    );
}
