//! `collect_passphrase`: handing a prepared passphrase out, on record before it leaves.

use super::RequestedRotation;
use crate::{
    azure::SealedPassphrases,
    broker::{Broker, Error, IdempotencyKey, Refused},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{Machine, MachineId},
        operation::{Operation, Scope},
        rotation::{Collected, Rotation, RotationId, RotationState},
    },
    store::rotations,
};

impl Broker {
    /// Gives the new passphrase to the machine's agent, or to a person who may retrieve. Given again,
    /// it is the same version, and on record again.
    pub async fn collect_passphrase(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
        key: Option<&IdempotencyKey>,
    ) -> Result<RequestedRotation, Refused> {
        if let Some(replayed) = self.replayed_rotation(caller, key, machine).await? {
            return Ok(RequestedRotation::replay(replayed));
        }
        let result = self.collect(caller, machine, id).await;
        self.remember(caller, key, &result, |collected| Some(collected.rotation.id.0)).await;
        result
    }

    async fn collect(
        &self,
        caller: &Caller,
        machine: MachineId,
        id: RotationId,
    ) -> Result<RequestedRotation, Refused> {
        let (machine, rotation) = self.current_rotation(caller, machine, id).await?;
        let escrow_version = match &rotation.state {
            RotationState::Prepared { escrow_version }
            | RotationState::Collected(Collected { escrow_version, .. }) => escrow_version.clone(),
            RotationState::Expired | RotationState::Indeterminate(_) => {
                return Err(Error::RotationExpired.into());
            }
            RotationState::Requested => {
                return Err(
                    Error::InvalidRotationState("the rotation is still being prepared").into()
                );
            }
            RotationState::Confirmed { .. }
            | RotationState::Failed { .. }
            | RotationState::Abandoned => {
                return Err(Error::InvalidRotationState("the rotation is closed").into());
            }
        };
        let sealed = self.read_escrow(caller, &machine, &rotation, &escrow_version).await?;
        self.hand_out(caller, machine, rotation, sealed).await
    }

    pub(super) async fn read_escrow(
        &self,
        caller: &Caller,
        machine: &Machine,
        rotation: &Rotation,
        version: &SecretVersion,
    ) -> Result<SealedPassphrases, Error> {
        let identifier = machine.escrow(rotation.escrow_secret_name.clone(), version.clone());
        let (request_id, secrets) = (&caller.request().request_id, [identifier]);
        match self.key_vault.get_versions(request_id, &secrets).await {
            Ok(sealed) => Ok(sealed),
            Err(error) => {
                let (key_vault, name) = (&machine.key_vault_uri, &rotation.escrow_secret_name);
                let error = self.or_soft_deleted(request_id, key_vault, name, error).await;
                Err(self.explain(caller, machine, error).await)
            }
        }
    }

    pub(super) async fn hand_out(
        &self,
        caller: &Caller,
        machine: Machine,
        rotation: Rotation,
        sealed: SealedPassphrases,
    ) -> Result<RequestedRotation, Refused> {
        let (escrow_version, now) = (version_of(&sealed)?, self.clock.now());
        let event =
            self.event(caller, Outcome::Released).on_machine(machine.id).on_rotation(rotation.id);
        let row = rotation.clone();
        let (receipt, ()) = self
            .audit
            .record_release_with(sealed.release(event), move |connection| {
                Box::pin(async move { rotations::mark_collected(connection, &row, now).await })
            })
            .await?;
        let passphrase =
            sealed.open(receipt).map_err(Error::from)?.pop().map(|opened| opened.passphrase);
        let at = rotation.state.unsettled().map_or(now, |collected| collected.at);
        let rotation = Rotation {
            state: RotationState::Collected(Collected { escrow_version, at }),
            ..rotation
        };
        Ok(RequestedRotation { machine, rotation, passphrase, replayed: false })
    }

    /// Whether the caller, who requests a rotation, could collect its passphrase in the next call.
    pub(super) fn may_collect(&self, caller: &Caller, machine: &Machine) -> bool {
        let principal = caller.principal();
        let identity = (principal.tenant_id, principal.object_id);
        let permitted = match Operation::CollectPassphrase.permit(principal) {
            Ok(Scope::Tenant) => true,
            Ok(Scope::OwnMachine) => {
                machine.agent.is_some_and(|agent| (agent.tenant_id, agent.object_id) == identity)
            }
            Err(_) => false,
        };
        permitted && self.may_be_given_a_passphrase(principal).is_ok()
    }
}

pub(super) fn version_of(sealed: &SealedPassphrases) -> Result<SecretVersion, Error> {
    let first = sealed.identifiers().next().map(|identifier| identifier.version.clone());
    first.ok_or(Error::Internal("nothing was stored"))
}
