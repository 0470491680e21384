//! One story: a machine, its agent, its portal and the help desk, step by step.

use std::time::{Duration, Instant};

use azsim::{Effect, Fault, SecretSpec};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::sleep;

use super::{
    look::Seen,
    model::{Call, Model, State},
    stage::Stage,
    steps::{Step, Trouble},
};
use crate::{
    harness::{Actor, Answer, azure},
    invariants::Given,
};

pub struct Story<'a> {
    pub(super) stage: &'a Stage,
    pub(super) agent: Actor,
    pub(super) portal: Actor,
    pub(super) helpdesk: Actor,
    pub(super) given: Given,
    pub(super) machine: String,
    pub(super) secret: String,
    /// The registration's passphrase.
    pub(super) first: String,
    pub(super) model: Model,
    /// Of the rotations, those whose confirmation was begun.
    pub(super) confirming: Vec<usize>,
    /// What the agent was handed last, and by which rotation.
    pub(super) handed: Option<(usize, String)>,
    /// What MARS uses, as far as it came from here.
    pub(super) applied: Option<String>,
    /// What MARS wrote by itself.
    pub(super) strangers: Vec<(String, String)>,
}

pub type Told = Result<(), String>;

impl<'a> Story<'a> {
    pub async fn begin(stage: &'a Stage) -> Self {
        let (agent, portal, helpdesk) = {
            let broker = stage.replica(false);
            (broker.agent(), broker.portal(), broker.helpdesk())
        };
        let given = Given::default();
        let registered = portal.register_for(&agent).await;
        given.note(&portal, &registered);
        let first = registered.field("passphrase").to_owned();
        Self {
            stage,
            agent,
            portal,
            helpdesk,
            given,
            machine: registered.id().to_owned(),
            secret: registered.field("secretName").to_owned(),
            model: Model { in_force: 0, rotations: Vec::new() },
            confirming: Vec::new(),
            handed: None,
            applied: Some(first.clone()),
            first,
            strangers: Vec::new(),
        }
    }

    pub async fn step(&mut self, step: Step) -> Told {
        let mut seen = None;
        match step {
            Step::Ask(call, replica) => {
                let Some((at, request)) = self.request(call, replica).await else { return Ok(()) };
                let answer = Answer::of(request).await;
                let (status, expected) = self.model.after(call, at);
                if answer.status != status {
                    return Err(format!("{status} expected: {}", answer.text));
                }
                self.hear(call, Some(answer)).await;
                seen = Some(self.look_for(&[expected]).await?);
            }
            Step::AskBoth(one, two) => seen = self.both(one, two).await?,
            Step::Dies { call, replica, done } => seen = self.dies(call, replica, done).await?,
            Step::Wrong { call, replica, how } => seen = self.wrong(call, replica, how).await?,
            Step::Apply => {
                let handed = self.handed.as_ref().map(|(_, passphrase)| passphrase.clone());
                self.applied = handed.or(self.applied.take());
            }
            Step::Forget => self.handed = None,
            Step::MarsWrites => {
                let value = format!("written-by-mars-{}", uuid::Uuid::new_v4());
                let spec = SecretSpec::new(&self.secret, &value);
                let version = azure().put_secret(&self.key_vault(), spec).unwrap();
                self.strangers.push((version, value));
                self.applied = None;
            }
            Step::DeadlinePasses => {
                let expected = self.model.overdue();
                self.sql(
                    "expires_at = now(), requested_at = now() - interval '2 hours'",
                    "state in ('requested', 'prepared', 'collected')",
                )
                .await;
                seen = Some(self.look_for(&[expected]).await?);
            }
            Step::Settle => seen = Some(self.settles().await?),
            Step::PostgresCrashes => self.postgres_crashes().await,
        }
        let seen = match seen {
            Some(seen) => seen,
            None => self.look_for(std::slice::from_ref(&self.model.clone())).await?,
        };
        self.check(seen).await
    }

    /// A last look when everything has come to its end.
    pub async fn end(&mut self) -> Told {
        let seen = self.settles().await?;
        self.check(seen).await
    }

    async fn both(&mut self, one: Call, two: Call) -> Result<Option<Seen>, String> {
        let (Some(first), Some(second)) =
            (self.request(one, false).await, self.request(two, true).await)
        else {
            return Ok(None);
        };
        let (said, told) = tokio::join!(Answer::of(first.1), Answer::of(second.1));
        let orders = [(one, first.0, two, second.0), (two, second.0, one, first.0)];
        let possible = orders.into_iter().flat_map(|(a, at_a, b, at_b)| {
            let first = self.model.perhaps(a, at_a);
            first.into_iter().flat_map(move |model| model.perhaps(b, at_b))
        });
        let possible: Vec<Model> = possible.collect();
        self.hear(one, Some(said)).await;
        self.hear(two, Some(told)).await;
        self.look_for(&possible).await.map(Some)
    }

    /// Holds the request's first write to Key Vault and kills the replica meanwhile.
    async fn dies(
        &mut self,
        call: Call,
        replica: bool,
        done: bool,
    ) -> Result<Option<Seen>, String> {
        let Some((at, request)) = self.request(call, replica).await else { return Ok(None) };
        let effect = if done { Effect::HoldAfter } else { Effect::HoldBefore };
        let held = azure().inject(self.fault("key_vault.set_secret", effect));
        let asked = tokio::spawn(Answer::if_any(request));
        tokio::select! {
            () = held.reached(1) => {}
            () = sleep(Duration::from_millis(300)) => {}
        }
        self.stage.replica(replica).signal("KILL");
        let answer = asked.await.unwrap();
        held.release();
        self.stage.starts_again(replica).await;
        let possible = self.model.perhaps(call, at);
        self.hear(call, answer).await;
        self.look_for(&possible).await.map(Some)
    }

    async fn wrong(
        &mut self,
        call: Call,
        replica: bool,
        how: Trouble,
    ) -> Result<Option<Seen>, String> {
        let Some((at, request)) = self.request(call, replica).await else { return Ok(None) };
        let effect = match how {
            Trouble::Refused => Effect::refuse(403, ""),
            Trouble::Dropped => Effect::DropBefore,
            Trouble::AnswerLost => Effect::DropAfter,
            Trouble::Busy => Effect::refuse(503, ""),
            Trouble::Slow => Effect::DelayReply { milliseconds: 400 },
        };
        let fault = azure().inject(self.fault("key_vault.", effect));
        let answer = Answer::of(request).await;
        drop(fault);
        let possible = self.model.perhaps(call, at);
        self.hear(call, Some(answer)).await;
        self.look_for(&possible).await.map(Some)
    }

    async fn settles(&self) -> Result<Seen, String> {
        self.sql(
            "attempted_at = attempted_at - interval '601 seconds'",
            "state = 'requested' or confirming",
        )
        .await;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = self.look().await;
            let open = seen.model.rotations.contains(&State::Requested);
            if !open && seen.confirming.is_empty() {
                if self.model.may_settle_to(&seen.model, &self.confirming) {
                    return Ok(seen);
                }
                return Err(format!("{:?} settled to {:?}", self.model, seen.model));
            }
            if Instant::now() > deadline {
                return Err(format!("not settled: {:?}", seen.model));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn postgres_crashes(&self) {
        self.stage.postgres.crash();
        let deadline = Instant::now() + Duration::from_secs(20);
        for replica in [false, true] {
            let url = self.stage.replica(replica).url.clone();
            while self.portal.at_url(&url).get("/v1/machines?pageSize=1").await.status != 200 {
                assert!(Instant::now() < deadline, "PostgreSQL does not come back");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// The rotation that a call is about, and the call; none when there is nothing to speak of. An agent confirms
    /// what it was handed, and what MARS uses by then.
    async fn request(&mut self, call: Call, replica: bool) -> Option<(usize, RequestBuilder)> {
        let url = self.stage.replica(replica).url.clone();
        let rotations = format!("/v1/machines/{}/rotations", self.machine);
        let actor = match call {
            Call::Prepare | Call::Abandon => self.portal.at_url(&url),
            _ => self.agent.at_url(&url),
        };
        let request = |path: &str| actor.request(Method::POST, path);
        let how = match call {
            Call::Rotate | Call::Prepare => {
                let body = json!({"passphrase": {"source": "generated"}});
                return Some((usize::MAX, request(&rotations).json(&body)));
            }
            Call::Collect => "collect",
            Call::Confirm => "confirm",
            Call::Fail => "fail",
            Call::Abandon => "abandon",
        };
        let ids = self.look().await.ids;
        let last = ids.len().checked_sub(1)?;
        let at = match (call, &self.handed) {
            (Call::Confirm, None) => return None,
            (Call::Confirm, Some((at, passphrase))) => {
                self.applied = Some(passphrase.clone());
                *at
            }
            (Call::Fail, Some((at, _))) => *at,
            _ => last,
        };
        Some((at, request(&format!("{rotations}/{}/{how}", ids[at]))))
    }

    /// An agent that is handed a passphrase remembers it.
    async fn hear(&mut self, call: Call, answer: Option<Answer>) {
        let Some(answer) = answer else { return };
        self.given.note(&self.agent, &answer);
        if !matches!(call, Call::Rotate | Call::Collect) {
            return;
        }
        if let Some(passphrase) = answer.body["passphrase"].as_str() {
            let ids = self.look().await.ids;
            let at = ids.iter().position(|id| *id == answer.id()).unwrap();
            self.handed = Some((at, passphrase.to_owned()));
        }
    }

    async fn sql(&self, change: &str, condition: &str) {
        let machine = &self.machine;
        let statement = format!(
            "update rotations set {change} where machine_id = '{machine}' and ({condition})"
        );
        self.stage.database.execute(&statement).await;
    }

    fn key_vault(&self) -> String {
        self.stage.replica(false).key_vault.clone()
    }

    pub(super) fn escrow(&self) -> String {
        self.secret.replacen("AzBackup-", "AzBackupPending-", 1)
    }

    pub(super) fn versions(&self, secret: &str) -> Vec<(String, String)> {
        let versions = self.stage.replica(false).versions(secret);
        versions.into_iter().map(|version| (version.id, version.value)).collect()
    }

    fn fault(&self, operation: &str, effect: Effect) -> Fault {
        Fault::new(operation, effect).key_vault(self.key_vault()).times(1)
    }
}
