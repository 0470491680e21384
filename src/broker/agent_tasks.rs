//! What an agent should do now: at most one thing, worked out anew at each call from the machine and its rotations.

use time::{Duration, OffsetDateTime};

use super::{Broker, Error};
use crate::domain::{
    caller::Caller,
    machine::{Machine, MachineId},
    rotation::{Rotation, RotationState},
};

/// After a rotation that failed, the next one has no haste: each attempt leaves a candidate.
const BETWEEN_ATTEMPTS: Duration = Duration::days(1);

/// One thing to do.
#[derive(Debug)]
pub enum AgentTask {
    /// The passphrase is older than the policy says: request a rotation.
    Rotate { machine_id: MachineId, due_at: OffsetDateTime },
    /// Get the new passphrase, apply it, confirm it.
    CollectPassphrase { machine_id: MachineId, rotation: Rotation },
    /// It was collected; apply it if that has not happened, and confirm it.
    ConfirmRotation { machine_id: MachineId, rotation: Rotation },
}

impl Broker {
    pub async fn list_agent_tasks(&self, caller: &Caller) -> Result<Vec<AgentTask>, Error> {
        let Some(machine) = self.machine_of_agent(caller).await? else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let newest = self.store.list_rotations(machine.id, None, 1).await?.pop();
        let open = newest.clone().filter(|rotation| rotation.state.is_open());
        if let Some(rotation) = open.filter(|rotation| !rotation.overdue) {
            return Ok(task(machine.id, rotation).into_iter().collect());
        }
        let unsettled = self.store.list_unsettled_rotations(machine.id).await?;
        let waits = unsettled.into_iter().rev().find(waits_for_a_word);
        let waits = waits.and_then(|rotation| task(machine.id, rotation));
        let due = || self.due(&machine, newest.as_ref(), now);
        Ok(waits.or_else(due).into_iter().collect())
    }

    fn due(
        &self,
        machine: &Machine,
        newest: Option<&Rotation>,
        now: OffsetDateTime,
    ) -> Option<AgentTask> {
        let due_at = self.rules.rotation?.due_at(machine)?;
        let again_at = newest.map_or(due_at, |tried| tried.requested_at + BETWEEN_ATTEMPTS);
        let task = AgentTask::Rotate { machine_id: machine.id, due_at };
        (now >= due_at && now >= again_at).then_some(task)
    }
}

/// Nobody knows whether it was applied. A failure that was reported is an answer.
fn waits_for_a_word(rotation: &Rotation) -> bool {
    matches!(rotation.state, RotationState::Collected(_) | RotationState::Indeterminate(_))
}

fn task(machine_id: MachineId, rotation: Rotation) -> Option<AgentTask> {
    match rotation.state {
        RotationState::Prepared { .. } => {
            Some(AgentTask::CollectPassphrase { machine_id, rotation })
        }
        RotationState::Collected(_) | RotationState::Indeterminate(_) => {
            Some(AgentTask::ConfirmRotation { machine_id, rotation })
        }
        // Still being prepared: its task comes when there is something to collect.
        RotationState::Requested
        | RotationState::Confirmed { .. }
        | RotationState::Failed { .. }
        | RotationState::Abandoned
        | RotationState::Expired => None,
    }
}
