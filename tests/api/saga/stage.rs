//! Two replicas on a PostgreSQL of their own, which outlive a story unless a step kills one.

use std::{cell::RefCell, rc::Rc};

use crate::harness::{Broker, Database, Postgres, Setup};

/// Nobody is taken over before `Step::Settle` lets the time pass.
const ENVIRONMENT: [(&str, &str); 2] =
    [("INTERRUPTED_AFTER_SECONDS", "600"), ("RECONCILE_SECONDS", "1")];

pub struct Stage {
    pub postgres: Postgres,
    pub database: Database,
    replicas: [RefCell<Rc<Broker>>; 2],
}

impl Stage {
    pub async fn set() -> Self {
        // A crash must lose nothing that was committed, or the model is wrong about events.
        let postgres = Postgres::start("--durable");
        let database = postgres.database().await;
        let environment =
            ENVIRONMENT.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let setup = Setup { database: Some(database.clone()), environment, ..Setup::default() };
        let one = Broker::start(setup).await;
        let two = one.replica(&ENVIRONMENT).await;
        Self {
            postgres,
            database,
            replicas: [one, two].map(|broker| RefCell::new(Rc::new(broker))),
        }
    }

    pub fn replica(&self, second: bool) -> Rc<Broker> {
        Rc::clone(&self.replicas[usize::from(second)].borrow())
    }

    /// Another process in the place of one that died.
    pub async fn starts_again(&self, second: bool) {
        let fresh = self.replica(!second).replica(&ENVIRONMENT).await;
        drop(self.replicas[usize::from(second)].replace(Rc::new(fresh)));
    }
}
