//! Fifty requests a second of all kinds, none of which may fail.
//!
//! Beside other tests the machine may be too busy for the load: what a replica refuses because it cannot get at
//! PostgreSQL in time is repeated there. A connection that is refused or cut never is, and at full size nothing is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::harness::{Actor, Answer, Broker, full_size_or};

const ONE_EACH: Duration = Duration::from_millis(20);

/// Machines, so that no two rotations meet.
const MACHINES: usize = 30;

struct Sender {
    portal: Actor,
    helpdesk: Actor,
    agents: Vec<(Actor, String)>,
    sent: AtomicU32,
}

pub struct Load {
    goes_on: Arc<AtomicBool>,
    sending: JoinHandle<(u32, Duration)>,
}

impl Load {
    /// Machines are registered past the load balancer, then requests go through it.
    pub async fn begin(broker: &Broker, url: &str) -> Self {
        let mut agents = Vec::new();
        for _ in 0..MACHINES {
            let agent = broker.agent();
            let machine = broker.portal().register_for(&agent).await.id().to_owned();
            agents.push((agent.at_url(url), machine));
        }
        let (portal, helpdesk) = (broker.portal().at_url(url), broker.helpdesk().at_url(url));
        let sender = Arc::new(Sender { portal, helpdesk, agents, sent: AtomicU32::new(0) });
        let goes_on = Arc::new(AtomicBool::new(true));
        let sending = tokio::spawn(sender.send(Arc::clone(&goes_on)));
        Self { goes_on, sending }
    }

    /// How many were sent in which time. A request that failed fails this.
    pub async fn ends(self) -> (u32, Duration) {
        self.goes_on.store(false, Ordering::Relaxed);
        self.sending.await.unwrap()
    }
}

impl Sender {
    async fn send(self: Arc<Self>, goes_on: Arc<AtomicBool>) -> (u32, Duration) {
        let started = Instant::now();
        let mut ticks = interval(ONE_EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut under_way, mut number) = (Vec::new(), 0);
        while goes_on.load(Ordering::Relaxed) {
            ticks.tick().await;
            under_way.push(tokio::spawn(Arc::clone(&self).send_one(number)));
            number += 1;
        }
        for request in under_way {
            request.await.unwrap();
        }
        (self.sent.load(Ordering::Relaxed), started.elapsed())
    }

    /// Of ten: four retrievals, two lists, two looks at a machine, a registration and a rotation.
    async fn send_one(self: Arc<Self>, number: usize) {
        let (agent, machine) = &self.agents[number / 10 % MACHINES];
        let machine = format!("/v1/machines/{machine}");
        let generated = json!({"passphrase": {"source": "generated"}});
        match number % 10 {
            0..4 => {
                let body =
                    json!({"reason": "restoreDrill", "justification": "the yearly restore drill"});
                let path = format!("{machine}/retrievals");
                self.expect(201, self.helpdesk.request(Method::POST, &path).json(&body)).await
            }
            4 | 5 => {
                let list = self.portal.request(Method::GET, "/v1/machines?pageSize=10");
                self.expect(200, list).await
            }
            6 | 7 => self.expect(200, agent.request(Method::GET, &machine)).await,
            8 => {
                let body = Actor::registration(&json!({"source": "generated"}));
                let register = self.portal.request(Method::POST, "/v1/machines").json(&body);
                self.expect(201, register).await
            }
            _ => {
                let path = format!("{machine}/rotations");
                let rotate = agent.request(Method::POST, &path).json(&generated);
                let rotation = self.expect(201, rotate).await;
                let path = format!("{path}/{}/confirm", rotation.id());
                self.expect(200, agent.request(Method::POST, &path)).await
            }
        };
    }

    async fn expect(&self, status: u16, request: RequestBuilder) -> Answer {
        loop {
            let answer = Answer::of(request.try_clone().unwrap()).await;
            self.sent.fetch_add(1, Ordering::Relaxed);
            let busy = ["audit-unavailable", "database-unavailable"];
            if full_size_or(true, !busy.contains(&answer.problem().1)) {
                assert_eq!(answer.status, status, "{}", answer.text);
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
