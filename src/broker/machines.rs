//! Machines as they are: list, get, change, retire.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Broker, Error, Refused};
use crate::{
    domain::{
        audit_event::Outcome,
        caller::Caller,
        machine::{AgentBinding, AgentVersion, Machine, MachineId, MachineState, Tags},
        secret_name::SecretName,
    },
    store::machines::{self, MachineFilter},
};

/// A merge patch: the outer `Option` is "mentioned", the inner one "set or removed".
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "a merge patch tells null from absent")]
pub struct MachineChanges {
    /// Each tag is set or removed; null removes all.
    pub tags: Option<Option<BTreeMap<String, Option<String>>>>,
    pub agent_object_id: Option<Option<Uuid>>,
    pub agent_version: Option<Option<AgentVersion>>,
    pub secret_name: Option<SecretName>,
}

impl Broker {
    pub async fn list_machines(
        &self,
        filter: MachineFilter,
        limit: i64,
    ) -> Result<Vec<Machine>, Error> {
        Ok(self.store.list_machines(filter, limit).await?)
    }

    pub async fn get_machine(&self, caller: &Caller, id: MachineId) -> Result<Machine, Error> {
        self.machine(caller, id).await
    }

    /// The machine that the caller's identity is bound to.
    pub async fn machine_of_agent(&self, caller: &Caller) -> Result<Option<Machine>, Error> {
        let principal = caller.principal();
        let agent = AgentBinding { tenant_id: principal.tenant_id, object_id: principal.object_id };
        Ok(self.store.find_machine_of_agent(agent).await?)
    }

    /// Changes a machine that is still at `revision`.
    pub async fn update_machine(
        &self,
        caller: &Caller,
        id: MachineId,
        revision: i64,
        changes: MachineChanges,
    ) -> Result<Machine, Refused> {
        let machine = self.machine(caller, id).await?;
        if machine.revision != revision {
            return Err(Error::PreconditionFailed.into());
        }
        let mut event = self.event(caller, Outcome::Succeeded).on_machine(id);
        for (name, mentioned) in changes.mentioned() {
            if mentioned {
                event = event.with(name, "changed");
            }
        }
        if let Some(Some(agent)) = changes.agent_object_id {
            event = event.with("boundToObjectId", agent.to_string());
        }
        let changed = changes.apply(machine)?;
        let now = self.clock.now();
        let (_, machine) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(async move { machines::update_machine(connection, &changed, now).await })
            })
            .await?;
        Ok(machine)
    }

    /// Takes a machine out of service. Its secret stays, and every version of it retrievable.
    pub async fn retire_machine(&self, caller: &Caller, id: MachineId) -> Result<Machine, Refused> {
        let machine = self.machine(caller, id).await?;
        let event = self.event(caller, Outcome::Succeeded).on_machine(id);
        if machine.state == MachineState::Retired {
            self.audit.record(event.with("repeated", "true")).await?;
            return Ok(machine);
        }
        let now = self.clock.now();
        let (_, retired) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    let retired = machines::retire_machine(connection, id, now).await?;
                    retired.ok_or(Error::RotationInProgress)
                })
            })
            .await?;
        Ok(retired)
    }
}

impl MachineChanges {
    fn mentioned(&self) -> [(&'static str, bool); 4] {
        [
            ("tags", self.tags.is_some()),
            ("agentObjectId", self.agent_object_id.is_some()),
            ("agentVersion", self.agent_version.is_some()),
            ("secretName", self.secret_name.is_some()),
        ]
    }

    fn apply(self, mut machine: Machine) -> Result<Machine, Error> {
        if let Some(name) = self.secret_name
            && name != machine.secret_name
        {
            // The version in force is a version of the old secret.
            if machine.state != MachineState::AwaitingPassphrase {
                return Err(Error::SecretNameTaken(
                    "the machine's passphrase lies under its present secret name",
                ));
            }
            name.escrow()?;
            machine.secret_name = name;
        }
        if let Some(object_id) = self.agent_object_id {
            let tenant_id = machine.tenant_id;
            machine.agent = object_id.map(|object_id| AgentBinding { tenant_id, object_id });
        }
        machine.agent_version = self.agent_version.unwrap_or(machine.agent_version);
        if let Some(tags) = self.tags {
            machine.tags = merged(&machine.tags, tags)?;
        }
        Ok(machine)
    }
}

/// RFC 7396 for a map of strings.
fn merged(present: &Tags, patch: Option<BTreeMap<String, Option<String>>>) -> Result<Tags, Error> {
    let Some(patch) = patch else { return Ok(Tags::default()) };
    let mut tags: BTreeMap<String, String> =
        present.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in patch {
        match value {
            Some(value) => tags.insert(name, value),
            None => tags.remove(&name),
        };
    }
    Tags::parse(tags)
        .map_err(|error| Error::InvalidRequest { pointer: "/tags", detail: error.to_string() })
}
