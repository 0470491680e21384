//! Replicas on one database and one Key Vault, any of which may be gone at any moment.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::Dice;
use crate::harness::{Broker, Database, Setup};

/// Quick to notice that somebody was interrupted.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("REQUEST_TIMEOUT_SECONDS", "6"),
    ("INTERRUPTED_AFTER_SECONDS", "7"),
    ("REGISTRATION_ABANDONED_AFTER_SECONDS", "7"),
    ("RECONCILE_SECONDS", "1"),
];

pub struct Replicas {
    slots: Vec<Mutex<Option<Broker>>>,
    /// Never killed, and never asked: it knows how to start others.
    template: Broker,
}

impl Replicas {
    pub async fn start(database: Database, count: usize) -> Self {
        let template = Broker::start(Setup { database: Some(database), ..with(ENVIRONMENT) }).await;
        template.signal("TERM");
        template.wait();
        let replicas = Self { slots: (0..count).map(|_| Mutex::new(None)).collect(), template };
        for slot in 0..count {
            replicas.start_again(slot).await;
        }
        replicas
    }

    pub fn template(&self) -> &Broker {
        &self.template
    }

    pub fn count(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Where one of them listens, if that one lives.
    pub fn any(&self, dice: &Dice) -> Option<String> {
        let slot = usize::try_from(dice.below(self.count())).unwrap();
        self.slots[slot].lock().unwrap().as_ref().map(|broker| broker.url.clone())
    }

    /// `kill -9`. False when it was dead already.
    pub fn kill(&self, slot: usize) -> bool {
        self.slots[slot].lock().unwrap().take().is_some()
    }

    /// It takes requests from now on, ready or not: while PostgreSQL crashes again and again, that may take
    /// longer than anybody waits.
    pub async fn start_again(&self, slot: usize) {
        let template = &self.template;
        let broker = Broker::start(Setup {
            database: Some(template.database.clone()),
            replica_of: Some((template.key_vault.clone(), template.tenant.clone())),
            unready: true,
            ..with(ENVIRONMENT)
        })
        .await;
        *self.slots[slot].lock().unwrap() = Some(broker);
    }

    /// Waits until all live again, and starts one more to ask.
    pub async fn all_up(&self) -> Broker {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.slots.iter().any(|slot| slot.lock().unwrap().is_none()) {
            assert!(Instant::now() < deadline, "a replica does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.template.replica(&ENVIRONMENT).await
    }
}

fn with(environment: [(&'static str, &str); 4]) -> Setup {
    let owned = environment.into_iter().map(|(name, value)| (name, value.to_owned()));
    Setup { environment: owned.collect(), ..Setup::default() }
}
