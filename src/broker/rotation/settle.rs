//! `confirm_rotation`, `fail_rotation`, `abandon_rotation`: how a rotation ends.

use std::time::Duration;

use super::in_force::with_others;
use crate::{
    broker::{Broker, Error, IdempotencyKey, Refused},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        key_vault_id::SecretReference,
        machine::{AgentVersion, Machine, MachineId},
        rotation::{Collected, Rotation, RotationId, RotationState, Writer},
    },
    store::rotations,
};

/// What a machine says that has applied the passphrase.
#[derive(Debug, Default)]
pub struct Confirmation {
    pub agent_version: Option<AgentVersion>,
    /// Where MARS says that it saved the passphrase, when MARS writes.
    pub secret: Option<SecretReference>,
}

/// What a machine says that could not apply it.
#[derive(Debug, Default)]
pub struct FailureReport {
    pub mars_error_code: Option<String>,
    pub message: Option<String>,
}

/// How long whoever lost a race waits for the winner, look by look.
const ANOTHER_IS_AT_IT: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::ZERO,
];

impl Broker {
    /// The machine has applied it: it is in `AzBackup-...`, and in force. A late confirmation counts too,
    /// as long as no later rotation has been confirmed. While MARS has still to write it, the rotation
    /// stays as it is, and the agent asks again.
    pub async fn confirm_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        confirmation: Confirmation,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Machine, Rotation), Refused> {
        if let Some(replayed) = self.replayed_rotation(caller, key, machine).await? {
            return Ok(replayed);
        }
        let result = self.confirm_or_follow(caller, machine, id, confirmation).await;
        // While MARS has still to write, the same request is to look again.
        let is_confirmed =
            |rotation: &Rotation| matches!(rotation.state, RotationState::Confirmed { .. });
        let made = |done: &(Machine, Rotation)| is_confirmed(&done.1).then_some(done.1.id.0);
        self.remember(caller, key, &result, made).await;
        result
    }

    async fn confirm_or_follow(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        confirmation: Confirmation,
    ) -> Result<(Machine, Rotation), Refused> {
        let confirmed = self.confirm(caller, machine, id, confirmation).await;
        let Err(refused) = confirmed else { return confirmed };
        // Another replica, or the same request sent twice, may have been faster: then this one succeeded, too. It may
        // not have got to its end yet.
        for pause in ANOTHER_IS_AT_IT {
            if let Some(confirmed) = self.confirmed_by_another(caller, machine, id).await {
                return Ok(confirmed);
            }
            if !matches!(refused.error, Error::InvalidRotationState(_)) {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(refused)
    }

    async fn confirm(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        confirmation: Confirmation,
    ) -> Result<(Machine, Rotation), Refused> {
        let (machine, rotation) = self.current_rotation(caller, machine, id).await?;
        let event = |outcome| self.event(caller, outcome).on_machine(machine.id).on_rotation(id);
        if matches!(rotation.state, RotationState::Confirmed { .. }) {
            self.audit.record(event(Outcome::Succeeded).with("repeated", "true")).await?;
            return Ok((machine, rotation));
        }
        let collected = confirmable(&machine, &rotation)?;
        let said = confirmation.secret.as_ref();
        let written = match rotation.writer {
            Writer::Broker if said.is_some() => return Err(not_of_mars().into()),
            Writer::Broker => self.write_in_force(caller, &machine, &rotation, &collected).await?,
            Writer::Agent => {
                let found =
                    self.find_what_mars_wrote(caller, &machine, &rotation, &collected, said);
                let Some(found) = found.await? else { return Ok((machine, rotation)) };
                found
            }
        };
        let mut succeeded = with_others(event(Outcome::Succeeded), &written.others);
        succeeded = succeeded.naming([&written.version]);
        let rotation = Rotation { other_versions: written.kept(), ..rotation };
        let (row, version, now) = (rotation.clone(), written.version.version, self.clock.now());
        let put_in_force = version.clone();
        if let Some(agent_version) = &confirmation.agent_version {
            succeeded = succeeded.with("agentVersion", agent_version.as_str());
        }
        self.audit
            .record_with(succeeded, move |connection| {
                Box::pin(async move {
                    let agent = confirmation.agent_version.as_ref();
                    rotations::mark_confirmed(connection, &row, &put_in_force, agent, now).await
                })
            })
            .await?;
        self.disable_escrow(caller, &machine, &rotation).await;
        let state = RotationState::Confirmed { collected, version, at: now };
        Ok((machine, Rotation { state, ..rotation }))
    }

    async fn confirmed_by_another(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
    ) -> Option<(Machine, Rotation)> {
        let (machine, rotation) = self.get_rotation(caller, machine, id).await.ok()?;
        if !matches!(rotation.state, RotationState::Confirmed { .. }) {
            return None;
        }
        let event = self.event(caller, Outcome::Succeeded).on_machine(machine.id).on_rotation(id);
        self.audit.record(event.with("repeated", "true")).await.ok()?;
        Some((machine, rotation))
    }

    /// The machine could not apply it: the old passphrase stays in force. What was collected stays a
    /// candidate, because a machine that reports a failure may have applied it all the same.
    pub async fn fail_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        report: FailureReport,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Machine, Rotation), Refused> {
        if let Some(replayed) = self.replayed_rotation(caller, key, machine).await? {
            return Ok(replayed);
        }
        let result = self.fail(caller, machine, id, report).await;
        self.remember(caller, key, &result, |(_, rotation)| Some(rotation.id.0)).await;
        result
    }

    async fn fail(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        report: FailureReport,
    ) -> Result<(Machine, Rotation), Refused> {
        let (machine, rotation) = self.current_rotation(caller, machine, id).await?;
        let mut event =
            self.event(caller, Outcome::Succeeded).on_machine(machine.id).on_rotation(id);
        let collected = match &rotation.state {
            RotationState::Failed { .. } => {
                self.audit.record(event.with("repeated", "true")).await?;
                return Ok((machine, rotation));
            }
            RotationState::Expired => return Err(Error::RotationExpired.into()),
            RotationState::Confirmed { .. } | RotationState::Abandoned => {
                return Err(Error::InvalidRotationState("the rotation is closed").into());
            }
            open => open.unsettled().cloned(),
        };
        if let Some(code) = &report.mars_error_code {
            event = event.with("marsErrorCode", code.clone());
        }
        let (row, now) = (rotation.clone(), self.clock.now());
        let FailureReport { mars_error_code, message } = report;
        let (code, text) = (mars_error_code.clone(), message.clone());
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    rotations::mark_failed(connection, &row, code.as_deref(), text.as_deref(), now)
                        .await
                })
            })
            .await?;
        let state = RotationState::Failed { collected, mars_error_code, message };
        Ok((machine, Rotation { state, ..rotation }))
    }

    /// Withdraws a rotation that nobody has collected.
    pub async fn abandon_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Machine, Rotation), Refused> {
        if let Some(replayed) = self.replayed_rotation(caller, key, machine).await? {
            return Ok(replayed);
        }
        let result = self.abandon(caller, machine, id).await;
        self.remember(caller, key, &result, |(_, rotation)| Some(rotation.id.0)).await;
        result
    }

    async fn abandon(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
    ) -> Result<(Machine, Rotation), Refused> {
        let (machine, rotation) = self.current_rotation(caller, machine, id).await?;
        let event = self.event(caller, Outcome::Succeeded).on_machine(machine.id).on_rotation(id);
        match rotation.state {
            RotationState::Requested | RotationState::Prepared { .. } => {}
            RotationState::Abandoned => {
                self.audit.record(event.with("repeated", "true")).await?;
                return Ok((machine, rotation));
            }
            RotationState::Expired => return Err(Error::RotationExpired.into()),
            RotationState::Collected(_) | RotationState::Indeterminate(_) => {
                return Err(Error::InvalidRotationState(
                    "the passphrase was collected and may be applied; confirm the rotation or report its failure",
                )
                .into());
            }
            RotationState::Confirmed { .. } | RotationState::Failed { .. } => {
                return Err(Error::InvalidRotationState("the rotation is closed").into());
            }
        }
        let (row, now) = (rotation.clone(), self.clock.now());
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move { rotations::mark_abandoned(connection, &row, now).await })
            })
            .await?;
        Ok((machine, Rotation { state: RotationState::Abandoned, ..rotation }))
    }
}

fn not_of_mars() -> Error {
    let detail = "this rotation's writer is the broker: MARS writes no secret of it".to_owned();
    Error::InvalidRequest { pointer: "/secretIdentifier", detail }
}

/// What a confirmation would put in force, if it still may.
pub(in crate::broker) fn confirmable(
    machine: &Machine,
    rotation: &Rotation,
) -> Result<Collected, Error> {
    let in_force = machine.in_force.as_ref().map_or(0, |in_force| in_force.rotation_sequence);
    if in_force > rotation.sequence {
        return Err(Error::InvalidRotationState("a later rotation is in force"));
    }
    match &rotation.state {
        RotationState::Expired => Err(Error::RotationExpired),
        RotationState::Requested | RotationState::Prepared { .. } => {
            Err(Error::InvalidRotationState("the passphrase has not been collected"))
        }
        state => {
            state.unsettled().cloned().ok_or(Error::InvalidRotationState("the rotation is closed"))
        }
    }
}
