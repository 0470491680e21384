//! `Idempotency-Key`: the same request again makes nothing twice, and its replay holds no passphrase.

use uuid::Uuid;

use super::{Broker, Error, Refused};
use crate::{
    domain::{
        audit_event::Outcome,
        caller::Caller,
        machine::{Machine, MachineId},
        rotation::{Rotation, RotationId},
    },
    store::idempotency::{Claim, IdempotencyKey},
};

/// A key as the caller gave it, with the digest of the request (its passphrase left out).
pub type Key = IdempotencyKey;

impl Broker {
    /// The resource that this request made before; none when it has to be made now.
    pub(super) async fn replayed(
        &self,
        caller: &Caller,
        key: Option<&Key>,
    ) -> Result<Option<Uuid>, Error> {
        let Some(key) = key else { return Ok(None) };
        let interrupted_after = self.rules.interrupted_after;
        let claim = self.store.claim_idempotency_key(caller, key, interrupted_after);
        match claim.await? {
            Claim::First => Ok(None),
            Claim::Replay(resource) => Ok(Some(resource)),
            Claim::InProgress => Err(Error::IdempotencyInProgress),
            Claim::Reused => Err(Error::IdempotencyKeyReused),
        }
    }

    /// What the repetition of a request about a rotation answers: the rotation as it is, without a
    /// passphrase, and on record.
    pub(super) async fn replayed_rotation(
        &self,
        caller: &Caller,
        key: Option<&Key>,
        machine: MachineId,
    ) -> Result<Option<(Machine, Rotation)>, Refused> {
        let Some(id) = self.replayed(caller, key).await? else { return Ok(None) };
        let (machine, rotation) = self.get_rotation(caller, machine, RotationId(id)).await?;
        let event = self.event(caller, Outcome::Succeeded).on_machine(machine.id);
        self.audit.record(event.on_rotation(rotation.id).with("replayed", "true")).await?;
        Ok(Some((machine, rotation)))
    }

    /// Remembers what came of the request; when it made nothing yet, the key is free again. What it made
    /// stays made if this fails: then a repetition meets the resource itself and not a second one.
    pub(super) async fn remember<T, E>(
        &self,
        caller: &Caller,
        key: Option<&Key>,
        result: &Result<T, E>,
        resource: impl Fn(&T) -> Option<Uuid>,
    ) {
        let Some(key) = key else { return };
        let kept = match result.as_ref().ok().and_then(resource) {
            Some(made) => self.store.settle_idempotency_key(caller, &key.key, made).await,
            None => self.store.release_idempotency_key(caller, &key.key).await,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "an Idempotency-Key was not settled");
        }
    }
}
