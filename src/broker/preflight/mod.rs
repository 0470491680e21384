//! `run_preflight` and `run_machine_preflight`: asks Azure everything at once, and has the answers judged.
//!
//! Nothing is written. Whatever Azure does, the report is there within ten seconds: what has not been answered
//! by then is `unknown`.

mod locate;
mod obstacles;
mod resources;
mod rights;
mod secrets;
mod seen;

use std::time::Duration;

pub use obstacles::Obstacle;

use crate::{
    broker::{Broker, Error},
    domain::{
        caller::Caller,
        machine::{Machine, MachineId},
        preflight::{self, Report, facts::Subject},
    },
};

/// For what can be asked at once.
const FIRST: Duration = Duration::from_millis(5_500);
/// For what can only be asked when something else is known.
const SECOND: Duration = Duration::from_millis(2_500);
/// More than that at once, and people who wait for a passphrase would share Azure with reports.
pub(super) const AT_ONCE: usize = 16;
/// For somebody else's report to end.
const TURN: Duration = Duration::from_millis(800);

impl Broker {
    pub async fn run_preflight(&self, caller: &Caller, subject: Subject) -> Result<Report, Error> {
        self.examine(caller, subject, None).await
    }

    pub async fn run_machine_preflight(
        &self,
        caller: &Caller,
        id: MachineId,
    ) -> Result<Report, Error> {
        let machine = self.machine(caller, id).await?;
        self.examine(caller, Subject::of(&machine), Some(&machine)).await
    }

    async fn examine(
        &self,
        caller: &Caller,
        subject: Subject,
        machine: Option<&Machine>,
    ) -> Result<Report, Error> {
        let turn = tokio::time::timeout(TURN, self.preflights.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Error::Overloaded) };
        // Boxed: it holds a score of calls to Azure.
        let facts = Box::pin(self.look(caller, subject, machine)).await;
        Ok(preflight::report(&facts, self.clock.now()))
    }
}
