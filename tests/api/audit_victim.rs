//! A broker whose log is broken: what it is asked, and whether it let anything out.

use std::time::{Duration, Instant};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::json;

use crate::harness::{Actor, Answer, Broker, Database, Setup};

/// As the caller has it: nobody waits longer.
const LIMIT: Duration = Duration::from_secs(5);

/// How many calls of each kind come at once, three times: 4 calls, then twice 20.
const CROWDS: [usize; 3] = [1, 5, 5];

/// A broker with something to ask it for.
pub struct Victim {
    pub broker: Broker,
    pub person: Actor,
    agent: Actor,
    pub machine: String,
    pub rotation: String,
    passphrases: Vec<String>,
}

/// What came of a fault.
#[derive(Default)]
pub struct Figure {
    attempts: usize,
    refused: usize,
    slowest: Duration,
    passphrases: usize,
}

impl Victim {
    pub async fn on(database: Database) -> Self {
        let broker = Broker::start(Setup { database: Some(database), ..Setup::default() }).await;
        let person =
            broker.user(&["Machines.Register", "Passphrases.Rotate", "Passphrases.Retrieve"]);
        let agent = broker.agent();
        let machine = person.register_for(&agent).await;
        // Prepared: the portal may not collect.
        let rotation = broker.portal().rotate(machine.id()).await.id().to_owned();
        let other = person.register().await;
        let passphrases =
            vec![machine.field("passphrase").to_owned(), other.field("passphrase").to_owned()];
        Self { broker, person, agent, machine: machine.id().to_owned(), rotation, passphrases }
    }

    /// One call of each kind that releases or changes something.
    fn calls(&self) -> Vec<BoxFuture<'_, Answer>> {
        let registration = Actor::registration(&json!({"source": "generated"}));
        vec![
            self.person.retrieve(&self.machine).boxed(),
            self.person.settle(&self.machine, &self.rotation, "collect").boxed(),
            self.agent.rotate(&self.machine).boxed(),
            self.person.post("/v1/machines", registration).boxed(),
        ]
    }

    pub async fn attack(&self, name: &str) -> Figure {
        let mut figure = Figure::default();
        for crowd in CROWDS {
            let calls = (0..crowd).flat_map(|_| self.calls()).map(timed);
            for answered in join_all(calls).await {
                figure.add(self, name, answered);
            }
        }
        figure
    }

    pub async fn recovers(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let retrieved = self.person.retrieve(&self.machine).await;
            if retrieved.status == 201 {
                assert_eq!(retrieved.field("passphrase"), self.passphrases[0]);
                return;
            }
            assert!(Instant::now() < deadline, "{name}: it does not recover: {}", retrieved.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn timed(call: BoxFuture<'_, Answer>) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = call.await;
    (answer, started.elapsed())
}

impl Figure {
    fn add(&mut self, victim: &Victim, name: &str, (answer, took): (Answer, Duration)) {
        let code = answer.problem();
        let expected = matches!(code, (503, "audit-unavailable" | "database-unavailable"));
        let leaks = victim.passphrases.iter().any(|passphrase| answer.text.contains(passphrase))
            || answer.text.contains("\"passphrase\"");
        if !expected || leaks {
            println!("{name}: {took:?} {}", answer.text);
        }
        self.attempts += 1;
        self.refused +=
            usize::from(expected && answer.header("content-type") == "application/problem+json");
        self.passphrases += usize::from(leaks);
        self.slowest = self.slowest.max(took);
    }

    pub fn merge(figures: impl IntoIterator<Item = Self>) -> Self {
        figures.into_iter().fold(Self::default(), |sum, one| Self {
            attempts: sum.attempts + one.attempts,
            refused: sum.refused + one.refused,
            slowest: sum.slowest.max(one.slowest),
            passphrases: sum.passphrases + one.passphrases,
        })
    }

    pub fn is_late(&self) -> bool {
        self.slowest > LIMIT
    }

    /// All were refused, and nothing got out.
    pub fn check(&self, what: &str) {
        let slowest = self.slowest.as_secs_f64();
        println!(
            "{what}: {}/{} refused, slowest {slowest:.1} s, {} passphrases",
            self.refused, self.attempts, self.passphrases
        );
        assert_eq!((self.refused, self.passphrases), (self.attempts, 0), "{what}");
    }
}
