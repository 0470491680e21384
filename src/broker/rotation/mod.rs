//! Rotation in two phases: [`prepare`] puts the new passphrase in escrow, [`collect`] hands it out,
//! [`settle`] hears how it went, [`in_force`] puts it in force; when MARS writes by itself, [`compare`] finds what
//! it wrote.

mod collect;
mod compare;
mod in_force;
mod prepare;
mod settle;

pub(super) use in_force::with_others;
pub use prepare::{NewPassphrase, RequestedRotation, RotationRequest};
pub(super) use settle::confirmable;
pub use settle::{Confirmation, FailureReport};

use super::{Broker, Error};
use crate::{
    azure::SecretTags,
    domain::{
        caller::Caller,
        machine::{Machine, MachineId},
        rotation::{Rotation, RotationId},
    },
};

impl Broker {
    /// Newest first.
    pub async fn list_rotations(
        &self,
        caller: &Caller,
        machine: MachineId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Rotation>, Error> {
        let machine = self.machine(caller, machine).await?;
        Ok(self.store.list_rotations(machine.id, before, limit).await?)
    }

    pub async fn get_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
    ) -> Result<(Machine, Rotation), Error> {
        let machine = self.machine(caller, machine).await?;
        let found = self.store.find_rotation(machine.id, id).await?;
        let rotation = found.ok_or(Error::NotFound("rotation"))?;
        Ok((machine, rotation))
    }

    /// The rotation, with its deadline put on record first if it has passed.
    async fn current_rotation(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
    ) -> Result<(Machine, Rotation), Error> {
        let (machine, rotation) = self.get_rotation(caller, machine, id).await?;
        if !rotation.overdue {
            return Ok((machine, rotation));
        }
        self.close_overdue(&rotation).await?;
        self.get_rotation(caller, machine.id, id).await
    }
}

/// Both versions that a rotation writes, in escrow and in force, carry its id: a lost reply is resolved
/// by looking for it.
fn tags(rotation: &Rotation) -> SecretTags {
    SecretTags { operation: rotation.id.0, machine: rotation.machine_id.0 }
}
