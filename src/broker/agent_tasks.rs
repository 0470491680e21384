//! What an agent should do now.

use super::{Broker, Error};
use crate::domain::{
    caller::Caller,
    machine::MachineId,
    rotation::{Rotation, RotationState},
};

/// One thing to do.
#[derive(Debug)]
pub enum AgentTask {
    /// Get the new passphrase, apply it, confirm it.
    CollectPassphrase { machine_id: MachineId, rotation: Rotation },
    /// It was collected; apply it if that has not happened, and confirm it.
    ConfirmRotation { machine_id: MachineId, rotation: Rotation },
}

impl Broker {
    pub async fn list_agent_tasks(&self, caller: &Caller) -> Result<Vec<AgentTask>, Error> {
        let Some(machine) = self.machine_of_agent(caller).await? else { return Ok(Vec::new()) };
        let rotation = self.store.find_open_rotation(machine.id).await?;
        let open = rotation.filter(|rotation| !rotation.is_overdue(self.clock.now()));
        Ok(open.into_iter().filter_map(|rotation| task(machine.id, rotation)).collect())
    }
}

fn task(machine_id: MachineId, rotation: Rotation) -> Option<AgentTask> {
    match rotation.state {
        RotationState::Prepared { .. } => {
            Some(AgentTask::CollectPassphrase { machine_id, rotation })
        }
        RotationState::Collected(_) => Some(AgentTask::ConfirmRotation { machine_id, rotation }),
        _ => None,
    }
}
