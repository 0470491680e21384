//! One case: the crash, what the other replica makes of it, and how life goes on.

use std::time::{Duration, Instant};

use super::stage::{Action, Flow, Row, Stage, Wire, environment};
use crate::{
    harness::{Actor, Answer, Broker, full_size_or},
    invariants::{self, passphrases},
};

/// Goal B1.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Answers how long it took to settle.
pub async fn run(row: Row, action: Action) -> Duration {
    let mut stage = Stage::set(row.flow).await;
    let victim = stage.victim(&row, action).await;
    let wire = stage.wire(&row);
    let before = stage.broker.versions(&stage.secret(&row)).len();
    let call = stage.sent(&row, &victim);
    reached(&victim).await;
    if action == Action::Exit {
        victim.wait();
    }
    if row.flow.is_of_reconciler() {
        stage.broker = stage.broker.replica(&environment(false)).await;
    }
    let restarted = Instant::now();
    stage.settles(restarted).await;
    let took = restarted.elapsed();
    stage.lives_on(row.flow).await;
    if let (Some(Wire::ArrivesLate), Some(wire)) = (row.wire, wire) {
        let there = stage.broker.versions(&stage.secret(&row)).len();
        wire.release();
        while stage.broker.versions(&stage.secret(&row)).len() == there {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(there >= before);
    }
    if let Some(answer) = call.await.unwrap() {
        stage.given.note(stage.sender(row.flow), &answer);
        stage.late = stage.begun_late(&row, &answer);
    }
    stage.only_what_is_used(&stage.broker).await;
    if action != Action::Exit {
        stage.only_what_is_used(&victim).await;
    }
    invariants::hold(&stage.broker, &stage.given).await;
    took
}

/// Waits until the process is where it shall fail.
async fn reached(victim: &Broker) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !victim.log().contains("a fail point was reached") {
        assert!(Instant::now() < deadline, "the fail point is not reached:\n{}", victim.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Repeats a request while somebody else is at it, or a dependency is not itself yet.
async fn patiently(request: impl AsyncFn() -> Answer) -> Answer {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let answer = request().await;
        let later = matches!(answer.problem(), (503, _) | (409, "rotation-in-progress"));
        if !later || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Stage {
    /// Sends the request that the victim will not live to answer, or will answer too late.
    fn sent(&self, row: &Row, victim: &Broker) -> tokio::task::JoinHandle<Option<Answer>> {
        let acts_by_itself = row.flow.is_of_reconciler();
        let request = self.request(row.flow, victim).filter(|_| !acts_by_itself);
        if acts_by_itself {
            // Nobody asks: what a dead replica left lies there until it counts as interrupted.
            let database = self.broker.database.clone();
            tokio::spawn(async move { long_ago(&database).await });
        }
        tokio::spawn(async move { Answer::if_any(request?).await })
    }

    /// Nothing is left half done.
    async fn settles(&self, since: Instant) {
        if full_size_or(false, true) {
            long_ago(&self.broker.database).await;
        }
        let open = "select (select count(*) from rotations where state = 'requested' or confirming)
            + (select count(*) from machines where registration_operation is not null)";
        while self.broker.database.count(open).await > 0 {
            assert!(since.elapsed() < SETTLED_WITHIN, "not settled:\n{}", self.broker.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everybody does again what they were at, and then the agent rotates once more.
    async fn lives_on(&mut self, flow: Flow) {
        let at = |actor: &Actor| actor.at(&self.broker);
        let (portal, agent, helpdesk) = (at(&self.portal), at(&self.agent), at(&self.helpdesk));
        if matches!(flow, Flow::Register | Flow::FinishRegistration) {
            let body = &self.registration;
            let again = patiently(async || portal.post("/v1/machines", body.clone()).await).await;
            self.given.note(&portal, &again);
            assert!([201, 409].contains(&again.status), "{}", again.text);
            let path = format!("/v1/machines?q={}", body["fqdn"].as_str().unwrap());
            let found = portal.get(&path).await;
            self.machine = Some(found.body["items"][0]["id"].as_str().unwrap().to_owned());
            self.applied = passphrases(&again.body).pop();
        }
        let machine = self.machine.clone().unwrap();
        let retrieved = patiently(async || helpdesk.retrieve(&machine).await).await;
        self.given.note(&helpdesk, &retrieved);
        let candidates = passphrases(&retrieved.body);
        let used = self.applied.iter().all(|used| candidates.contains(used));
        assert!(used, "lost: {}", retrieved.text);
        if let (Flow::Confirm, Some(rotation)) = (flow, &self.rotation) {
            for _ in 0..2 {
                let again =
                    patiently(async || agent.settle(&machine, rotation, "confirm").await).await;
                assert_eq!((again.status, again.field("state")), (200, "confirmed"));
            }
            self.only_what_is_used(&self.broker).await;
        }
        let rotation = patiently(async || agent.rotate(&machine).await).await;
        assert_eq!(rotation.status, 201, "{}", rotation.text);
        self.given.note(&agent, &rotation);
        self.applied = Some(rotation.field("passphrase").to_owned());
        let path = format!("/v1/machines/{machine}/rotations/{}/confirm", rotation.id());
        let confirmed = patiently(async || agent.act(&path).await).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        // A confirmation that comes late, or twice, moves nothing back.
        if let Some(earlier) = &self.rotation {
            let late = agent.settle(&machine, earlier, "confirm").await;
            assert!([200, 409, 410].contains(&late.status), "{}", late.text);
        }
        self.only_what_is_used(&self.broker).await;
    }

    /// A request that lingered before its first step begins a rotation when everybody else is done: one more
    /// candidate.
    fn begun_late(&self, row: &Row, answer: &Answer) -> Option<String> {
        let given =
            passphrases(&answer.body).pop().filter(|given| Some(given) != self.applied.as_ref());
        let begins = matches!(row.flow, Flow::Rotate | Flow::Resume { .. });
        let id = answer.body["id"].as_str();
        given.filter(|_| begins && row.at == "C1" && id != self.rotation.as_deref())
    }

    /// The help desk gets what the machine uses, and nothing else.
    async fn only_what_is_used(&self, at: &Broker) {
        let (helpdesk, machine) = (self.helpdesk.at(at), self.machine.as_deref().unwrap());
        let retrieved = patiently(async || helpdesk.retrieve(machine).await).await;
        self.given.note(&helpdesk, &retrieved);
        let expected: Vec<&String> = self.applied.iter().chain(&self.late).collect();
        assert_eq!(passphrases(&retrieved.body).iter().collect::<Vec<_>>(), expected);
    }
}

/// Lets everything that is under way seem to have begun long ago.
async fn long_ago(database: &crate::harness::Database) {
    if full_size_or(true, false) {
        return;
    }
    for (table, column) in
        [("rotations", "attempted_at"), ("machines", "registration_attempted_at")]
    {
        let statement = format!("update {table} set {column} = {column} - interval '31 seconds'");
        database.execute(&statement).await;
    }
}
