//! The life of a machine: its portal registers it, its agent rotates, applies, confirms, forgets, reports
//! failures and is not always believed; the help desk looks in between.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::World;
use crate::harness::{Actor, Answer, Broker};

pub struct Life {
    pub agent: Actor,
    portal: Actor,
    helpdesk: Actor,
    registration: Value,
    /// What MARS uses on the machine.
    pub applied: Option<String>,
}

impl Life {
    pub fn begin(world: &World) -> Self {
        let broker = world.replicas.template();
        let agent = broker.agent();
        let mut registration = Actor::registration(&json!({"source": "generated"}));
        registration["agentObjectId"] = json!(agent.object_id);
        Self {
            agent,
            portal: broker.portal(),
            helpdesk: broker.helpdesk(),
            registration,
            applied: None,
        }
    }

    pub async fn live(mut self, world: Arc<World>) -> Self {
        let machine = self.registered(&world).await;
        while world.goes_on() {
            if world.dice.percent(25) {
                let body =
                    json!({"reason": "restoreDrill", "justification": "the yearly restore drill"});
                let path = format!("/v1/machines/{machine}/retrievals");
                call(&world, &self.helpdesk, &path, Some(&body)).await;
            } else {
                self.rotate(&world, &machine).await;
            }
            sleep(Duration::from_millis(world.dice.below(400))).await;
        }
        self
    }

    /// Until it is: also by a request whose answer nobody heard.
    async fn registered(&mut self, world: &World) -> String {
        let key = Uuid::new_v4().to_string();
        loop {
            let request = |actor: &Actor| {
                let request = actor.request(Method::POST, "/v1/machines");
                request.header("idempotency-key", &key).json(&self.registration)
            };
            let answer = send(world, &self.portal, request).await;
            if let Some(passphrase) = answer.as_ref().and_then(passphrase) {
                self.applied = Some(passphrase);
            }
            let known = answer.is_some_and(|answer| matches!(answer.status, 201 | 409));
            if known && let Some(machine) = self.found(world).await {
                return machine;
            }
            // The end of the chaos is no end of this: the machine has to be there for the audit.
            sleep(Duration::from_millis(300)).await;
        }
    }

    async fn found(&self, world: &World) -> Option<String> {
        let path = format!("/v1/machines?q={}", self.registration["fqdn"].as_str().unwrap());
        let answer = send(world, &self.portal, |actor| actor.request(Method::GET, &path)).await?;
        let machine = &answer.body["items"][0];
        let finished = machine["state"] != "awaitingPassphrase";
        machine["id"].as_str().filter(|_| finished).map(str::to_owned)
    }

    pub async fn machine_at(&self, broker: &Broker) -> String {
        let path = format!("/v1/machines?q={}", self.registration["fqdn"].as_str().unwrap());
        let found = self.portal.at(broker).get(&path).await;
        found.body["items"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn rotate(&mut self, world: &World, machine: &str) {
        let dice = &world.dice;
        let path = format!("/v1/machines/{machine}/rotations");
        let body = json!({"passphrase": {"source": "generated"}});
        let asks = if dice.percent(20) { &self.portal } else { &self.agent };
        let Some(answer) = call(world, asks, &path, Some(&body)).await else { return };
        let (Some(id), Some(passphrase)) = (answer.body["id"].as_str(), passphrase(&answer)) else {
            return;
        };
        // It may lose its memory here, and a moment later, when MARS has it already.
        if dice.percent(10) {
            return;
        }
        let applies = dice.percent(85);
        if applies {
            self.applied = Some(passphrase);
        }
        if dice.percent(15) {
            return;
        }
        let how = if applies && !dice.percent(10) { "confirm" } else { "fail" };
        for _ in 0..4 {
            let said = call(world, &self.agent, &format!("{path}/{id}/{how}"), None).await;
            if said.is_some_and(|said| said.status == 200) && !dice.percent(10) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn passphrase(answer: &Answer) -> Option<String> {
    answer.body["passphrase"].as_str().map(str::to_owned)
}

async fn call(world: &World, actor: &Actor, path: &str, body: Option<&Value>) -> Option<Answer> {
    send(world, actor, |actor| {
        let request = actor.request(Method::POST, path);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    })
    .await
}

/// To any replica; none when it died before it answered.
async fn send(
    world: &World,
    actor: &Actor,
    request: impl Fn(&Actor) -> reqwest::RequestBuilder,
) -> Option<Answer> {
    let url = world.replicas.any(&world.dice)?;
    let there = actor.at_url(&url);
    world.requests.fetch_add(1, Ordering::Relaxed);
    let answer = Answer::if_any(request(&there)).await?;
    assert!(answer.status != 500, "{}", answer.text);
    world.given.note(&there, &answer);
    Some(answer)
}
