//! Machines as they are: list, get, change, retire.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::{Broker, Error, IdempotencyKey, Refused};
use crate::{
    domain::{
        audit_event::Outcome,
        caller::Caller,
        machine::{AgentBinding, AgentVersion, Machine, MachineId, MachineState, Tags},
        secret_name::SecretName,
    },
    store::machines::{self, MachineFilter},
};

/// A member of a merge patch (RFC 7396), which tells null from absent.
#[derive(Debug, Default)]
pub enum Patch<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

#[derive(Debug, Default)]
pub struct MachineChanges {
    /// Each tag is set or removed; null removes all.
    pub tags: Patch<BTreeMap<String, Option<String>>>,
    /// Null unbinds the agent.
    pub agent_object_id: Patch<Uuid>,
    pub agent_version: Patch<AgentVersion>,
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
        if let Patch::Value(agent) = changes.agent_object_id {
            event = event.with("boundToObjectId", agent.to_string());
        }
        if let Some(agent) = machine.agent.filter(|_| changes.agent_object_id.is_mentioned()) {
            event = event.with("wasBoundToObjectId", agent.object_id.to_string());
        }
        let wanted = changes.apply(machine)?;
        let now = self.clock.now();
        let (_, machine) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(async move { machines::update_machine(connection, &wanted, now).await })
            })
            .await?;
        Ok(machine)
    }

    /// Takes a machine out of service. Its secret stays, and every version of it retrievable.
    pub async fn retire_machine(
        &self,
        caller: &Caller,
        id: MachineId,
        key: Option<&IdempotencyKey>,
    ) -> Result<Machine, Refused> {
        if self.replayed(caller, key).await?.is_some() {
            let machine = self.machine(caller, id).await?;
            let event = self.event(caller, Outcome::Succeeded).on_machine(id);
            self.audit.record(event.with("replayed", "true")).await?;
            return Ok(machine);
        }
        let result = self.retire(caller, id).await;
        self.remember(caller, key, &result, |machine| Some(machine.id.0)).await;
        result
    }

    async fn retire(&self, caller: &Caller, id: MachineId) -> Result<Machine, Refused> {
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
            ("tags", self.tags.is_mentioned()),
            ("agentObjectId", self.agent_object_id.is_mentioned()),
            ("agentVersion", self.agent_version.is_mentioned()),
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
        let tenant_id = machine.tenant_id;
        let agent = self.agent_object_id.map(|object_id| AgentBinding { tenant_id, object_id });
        machine.agent = agent.over(machine.agent);
        machine.agent_version = self.agent_version.over(machine.agent_version);
        machine.tags = merged(&machine.tags, self.tags)?;
        Ok(machine)
    }
}

/// RFC 7396 for a map of strings.
fn merged(present: &Tags, patch: Patch<BTreeMap<String, Option<String>>>) -> Result<Tags, Error> {
    let patch = match patch {
        Patch::Absent => return Ok(present.clone()),
        Patch::Null => return Ok(Tags::default()),
        Patch::Value(patch) => patch,
    };
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

impl<T> Patch<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(change(value)),
        }
    }

    pub fn try_map<U, E>(self, change: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(change(value)?),
        })
    }

    fn is_mentioned(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn over(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Absent => present,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}
