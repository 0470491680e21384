//! `request_rotation` and `collect_passphrase`: escrow before apply. No new passphrase leaves before Key
//! Vault has acknowledged it, and none before the log knows who got it.

use uuid::Uuid;

use super::{collect::version_of, tags};
use crate::{
    audit::NotRecorded,
    azure::{SealedPassphrases, SetError},
    broker::{Broker, Error, IdempotencyKey, Refused},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        machine::{Machine, MachineId, MachineState},
        passphrase::Passphrase,
        rotation::{Collected, Lifetime, Rotation, RotationId, RotationState, Writer},
    },
    store::rotations::{self, Refusal},
};

/// Handed out since the last confirmation.
const MOST_CANDIDATES: usize = 50;

#[derive(Debug)]
pub enum NewPassphrase {
    Generated,
    Provided(Passphrase),
}

#[derive(Debug)]
pub struct RotationRequest {
    pub passphrase: NewPassphrase,
    pub writer: Writer,
    pub lifetime: Lifetime,
}

#[derive(Debug)]
pub struct RequestedRotation {
    pub machine: Machine,
    pub rotation: Rotation,
    /// Only for a caller who may collect it; then it is collected.
    pub passphrase: Option<Passphrase>,
    pub replayed: bool,
}

impl RequestedRotation {
    pub(super) fn replay((machine, rotation): (Machine, Rotation)) -> Self {
        Self { machine, rotation, passphrase: None, replayed: true }
    }
}

impl Broker {
    pub async fn request_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        request: RotationRequest,
        key: Option<&IdempotencyKey>,
    ) -> Result<RequestedRotation, Refused> {
        if let Some(replayed) = self.replayed_rotation(caller, key, machine).await? {
            return Ok(RequestedRotation::replay(replayed));
        }
        let result = self.request(caller, machine, request).await;
        self.remember(caller, key, &result, |requested| Some(requested.rotation.id.0)).await;
        result
    }

    async fn request(
        &self,
        caller: &Caller,
        id: MachineId,
        request: RotationRequest,
    ) -> Result<RequestedRotation, Refused> {
        let machine = self.machine(caller, id).await?;
        if machine.state == MachineState::Retired {
            return Err(Error::InvalidRotationState("the machine is retired").into());
        }
        if let Some(open) = self.open_rotation(&machine).await? {
            return self.resume_rotation(caller, machine, open, request.passphrase).await;
        }
        // A release names every candidate, and an event has a largest size: a machine that collects
        // for ever and never says what it applied would become impossible to retrieve.
        if self.store.list_unsettled_rotations(machine.id).await?.len() >= MOST_CANDIDATES {
            return Err(Error::InvalidRotationState(
                "too many passphrases were collected and never confirmed; confirm the one that the machine uses",
            )
            .into());
        }
        let (now, writer) = (self.clock.now(), request.writer);
        if writer == Writer::Agent {
            self.require_that_mars_can_save(caller, &machine).await?;
        }
        let rotation = Rotation {
            id: RotationId(Uuid::now_v7()),
            machine_id: id,
            sequence: 0,
            writer,
            state: RotationState::Requested,
            escrow_secret_name: machine.secret_name.escrow().map_err(Error::from)?,
            other_versions: Vec::new(),
            epoch: 1,
            confirming: false,
            requested_at: now,
            expires_at: request.lifetime.after(now),
            overdue: false,
        };
        let event = self.event(caller, Outcome::Intended).on_machine(id).on_rotation(rotation.id);
        let (row, principal) = (rotation, caller.principal().clone());
        let (_, rotation) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(
                    async move { rotations::insert_rotation(connection, &row, &principal).await },
                )
            })
            .await?;
        self.prepare(caller, machine, rotation, request.passphrase).await
    }

    async fn open_rotation(&self, machine: &Machine) -> Result<Option<Rotation>, Error> {
        let open = self.store.find_open_rotation(machine.id).await?;
        match open {
            Some(rotation) if rotation.overdue => {
                self.close_overdue(&rotation).await?;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    /// An agent that comes back, with or without its memory, gets the rotation that is open, with the
    /// same version. Anybody else is told that one is open.
    async fn resume_rotation(
        &self,
        caller: &Caller,
        machine: Machine,
        open: Rotation,
        passphrase: NewPassphrase,
    ) -> Result<RequestedRotation, Refused> {
        let is_agent = caller.confined_to().is_some();
        match &open.state {
            RotationState::Requested => self.take_over(caller, machine, open, passphrase).await,
            RotationState::Prepared { escrow_version }
            | RotationState::Collected(Collected { escrow_version, .. })
                if is_agent =>
            {
                let escrow_version = escrow_version.clone();
                let sealed = self.read_escrow(caller, &machine, &open, &escrow_version).await?;
                self.hand_out(caller, machine, open, sealed).await
            }
            _ => Err(Error::RotationInProgress.into()),
        }
    }

    /// Goes on where somebody was interrupted: what they wrote is found by its tag, and the raised epoch
    /// fences them off if they were only slow. Whoever comes too early is told so.
    async fn take_over(
        &self,
        caller: &Caller,
        machine: Machine,
        rotation: Rotation,
        passphrase: NewPassphrase,
    ) -> Result<RequestedRotation, Refused> {
        let event =
            self.event(caller, Outcome::Intended).on_machine(machine.id).on_rotation(rotation.id);
        let interrupted_after = self.rules.interrupted_after;
        let taken = self.audit.record_with(event.with("takenOver", "true"), move |connection| {
            Box::pin(
                async move { rotations::take_over(connection, &rotation, interrupted_after).await },
            )
        });
        let (_, rotation) = match taken.await {
            Err(NotRecorded::Refused(Refusal::WrongState)) => {
                return Err(Error::RotationBeingPrepared.into());
            }
            taken => taken?,
        };
        let written = self
            .key_vault
            .find_by_operation(
                &caller.request().request_id,
                &machine.key_vault_uri,
                &rotation.escrow_secret_name,
                rotation.id.0,
            )
            .await?;
        let Some(version) = written else {
            return self.prepare(caller, machine, rotation, passphrase).await;
        };
        let sealed =
            self.read_escrow(caller, &machine, &rotation, &version.identifier.version).await?;
        match &passphrase {
            NewPassphrase::Provided(wanted) if !sealed.holds(wanted) => {
                self.prepare(caller, machine, rotation, passphrase).await
            }
            _ => self.complete_preparation(caller, machine, rotation, sealed).await,
        }
    }

    async fn prepare(
        &self,
        caller: &Caller,
        machine: Machine,
        rotation: Rotation,
        passphrase: NewPassphrase,
    ) -> Result<RequestedRotation, Refused> {
        let passphrase = match passphrase {
            NewPassphrase::Provided(passphrase) => passphrase,
            NewPassphrase::Generated => Passphrase::generate().map_err(Error::from)?,
        };
        let written = self
            .key_vault
            .set_secret(
                &caller.request().request_id,
                &machine.key_vault_uri,
                &rotation.escrow_secret_name,
                passphrase,
                &tags(&rotation),
            )
            .await;
        let event =
            |outcome| self.event(caller, outcome).on_machine(machine.id).on_rotation(rotation.id);
        match written {
            Ok(stored) => self.complete_preparation(caller, machine, rotation, stored.sealed).await,
            Err(SetError::Refused(error)) => {
                let event = event(Outcome::Failed).with("keyVault", error.code());
                let now = self.clock.now();
                let failed = self.audit.record_with(event, move |connection| {
                    let message = "Key Vault refused to store the new passphrase";
                    Box::pin(async move {
                        rotations::mark_failed(connection, &rotation, None, Some(message), now)
                            .await
                    })
                });
                let (recorded, ()) = failed.await?;
                let error = self.explain(caller, &machine, error).await;
                Err(Refused { error, on_record: Some(recorded) })
            }
            // It may still appear. A repetition or the reconciler finds it by its tag.
            Err(unknown @ SetError::OutcomeUnknown(_)) => {
                Err(self.refuse(event(Outcome::Unknown), unknown).await)
            }
        }
    }

    async fn complete_preparation(
        &self,
        caller: &Caller,
        machine: Machine,
        rotation: Rotation,
        sealed: SealedPassphrases,
    ) -> Result<RequestedRotation, Refused> {
        let version = version_of(&sealed)?;
        let prepared = Rotation {
            state: RotationState::Prepared { escrow_version: version.clone() },
            ..rotation.clone()
        };
        if self.may_collect(caller, &machine) {
            let now = self.clock.now();
            let event = self
                .event(caller, Outcome::Released)
                .on_machine(machine.id)
                .on_rotation(rotation.id);
            let (row, escrow_version) = (rotation, version.clone());
            let (receipt, ()) = self
                .audit
                .record_release_with(sealed.release(event), move |connection| {
                    Box::pin(async move {
                        rotations::mark_prepared(connection, &row, &escrow_version).await?;
                        rotations::mark_collected(connection, &row, now).await
                    })
                })
                .await?;
            let passphrase =
                sealed.open(receipt).map_err(Error::from)?.pop().map(|opened| opened.passphrase);
            let state = RotationState::Collected(Collected { escrow_version: version, at: now });
            let rotation = Rotation { state, ..prepared };
            return Ok(RequestedRotation { machine, rotation, passphrase, replayed: false });
        }
        let event =
            self.event(caller, Outcome::Succeeded).on_machine(machine.id).on_rotation(rotation.id);
        self.audit
            .record_with(event.naming(sealed.identifiers()), move |connection| {
                Box::pin(
                    async move { rotations::mark_prepared(connection, &rotation, &version).await },
                )
            })
            .await?;
        Ok(RequestedRotation { machine, rotation: prepared, passphrase: None, replayed: false })
    }
}
