//! Fifty requests a second of all kinds, none of which may fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::harness::{Actor, Answer, Broker};

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
        match number % 10 {
            0..4 => self.expect(201, self.helpdesk.retrieve(machine)).await,
            4 | 5 => self.expect(200, self.portal.get("/v1/machines?pageSize=10")).await,
            6 | 7 => self.expect(200, agent.get(&format!("/v1/machines/{machine}"))).await,
            8 => self.expect(201, self.portal.register()).await,
            _ => {
                let rotation = self.expect(201, agent.rotate(machine)).await;
                let confirmed = agent.settle(machine, rotation.id(), "confirm");
                self.expect(200, confirmed).await
            }
        };
    }

    async fn expect(&self, status: u16, answer: impl Future<Output = Answer>) -> Answer {
        let answer = answer.await;
        self.sent.fetch_add(1, Ordering::Relaxed);
        assert_eq!(answer.status, status, "{}", answer.text);
        answer
    }
}
