//! What MARS saved already: found under the names that it may have, never overwritten, never read.

use uuid::Uuid;

use super::{
    choice::{AdoptedVersion, MOST_FOREIGN, choose, disabled_later},
    traces::{MOST_OTHERS, Traces, Unsettled, traces},
};
use crate::{
    azure::{KeyVaultError, KeyVaultFacts, VersionProperties},
    broker::{Broker, Error, error::ANOTHER_MACHINE},
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{InForce, Machine, MachineState},
        rotation::{Collected, Lifetime, Rotation, RotationId, RotationState, Writer},
        secret_name::SecretName,
    },
};

/// A machine as Key Vault knows it.
pub(super) struct Adopted {
    pub(super) machine: Machine,
    /// Rotations that were open or unsettled when this service last knew the machine.
    pub(super) unsettled: Vec<Rotation>,
}

impl Broker {
    /// Finds the secret that MARS saved, and which of its versions is in force. When the caller
    /// chose the name, it is that one and no other. What this service knew of the machine before it lost its
    /// database is taken up again.
    pub(super) async fn adopt_version(
        &self,
        caller: &Caller,
        mut machine: Machine,
        wanted: &AdoptedVersion,
        is_named: bool,
    ) -> Result<Adopted, Error> {
        let names = if is_named {
            vec![machine.secret_name.clone()]
        } else {
            SecretName::candidates(&machine.fqdn, &machine.recovery_services_vault_id)
        };
        let mut found: Vec<VersionProperties> = Vec::new();
        let (request_id, uri) = (&caller.request().request_id, &machine.key_vault_uri);
        for name in &names {
            let versions = self.key_vault.list_versions(request_id, uri, name).await?;
            if !versions.is_empty() && !found.is_empty() {
                let detail =
                    "more than one secret may be this machine's; name it as secretName".to_owned();
                return Err(Error::InvalidRequest { pointer: "/secretName", detail });
            }
            if !versions.is_empty() {
                machine.secret_name = name.clone();
            }
            found.extend(versions);
        }
        let escrow = machine.secret_name.escrow()?;
        let escrow = self.key_vault.list_versions(request_id, uri, &escrow).await?;
        let traces = traces(&found, &escrow);
        if found.is_empty() && traces.unsettled.is_empty() {
            return Err(self.nothing_to_adopt(caller, &machine, &names).await);
        }
        machine.in_force = match (&traces.in_force, wanted) {
            (_, AdoptedVersion::Exactly(_)) => Some(choose(&found, wanted, machine.created_at)?),
            (Some((version, since)), _) => {
                Some(InForce { version: version.clone(), since: *since, rotation_sequence: 0 })
            }
            // Handed out, and never confirmed: nothing was in force yet.
            (None, _) if found.is_empty() => None,
            (None, _) => Some(choose(&found, wanted, machine.created_at)?),
        };
        if machine.in_force.is_some() {
            machine.state = MachineState::Active;
        }
        self.take_up_again(machine, traces, &found).await
    }

    /// The machine's own id makes the versions that it has ours, and its rotations' ids let an agent that comes
    /// back confirm.
    async fn take_up_again(
        &self,
        mut machine: Machine,
        traces: Traces,
        found: &[VersionProperties],
    ) -> Result<Adopted, Error> {
        if let Some(id) = traces.machine
            && self.store.find_machine_by_id(id).await?.is_none()
        {
            machine.id = id;
        }
        let is_in_force = |version: &SecretVersion| {
            machine.in_force.as_ref().is_some_and(|in_force| in_force.version == *version)
        };
        let before = traces.in_force.map(|(version, _)| version);
        let others = before.into_iter().chain(traces.others).filter(|id| !is_in_force(id));
        let others: Vec<SecretVersion> = others.take(MOST_OTHERS).collect();
        let newest = traces.unsettled.len().saturating_sub(1);
        let mut unsettled = Vec::with_capacity(traces.unsettled.len());
        for (number, found) in traces.unsettled.into_iter().enumerate() {
            let other_versions = if number == newest { others.clone() } else { Vec::new() };
            unsettled.push(rotation_of(&machine, found, other_versions)?);
        }
        let unreadable = machine.in_force.as_ref().map(|in_force| &in_force.version);
        let unreadable = unreadable.map(|id| disabled_later(found, id, machine.id));
        // Those that can be read come first; what is disabled a retrieval names.
        machine.drift.foreign_versions =
            others.into_iter().chain(unreadable.unwrap_or_default()).take(MOST_FOREIGN).collect();
        Ok(Adopted { machine, unsettled })
    }

    /// One that is soft-deleted can be had: MARS would say 391282.
    async fn nothing_to_adopt(
        &self,
        caller: &Caller,
        machine: &Machine,
        names: &[SecretName],
    ) -> Error {
        let request_id = &caller.request().request_id;
        for name in names {
            let absent = KeyVaultError::NotFound(KeyVaultFacts::default());
            let why = self.or_soft_deleted(request_id, &machine.key_vault_uri, name, absent).await;
            if let deleted @ KeyVaultError::SoftDeleted(_) = why {
                return deleted.into();
            }
        }
        Error::NoPassphraseStored
    }

    /// A secret that exists already holds what MARS uses now. A new version of it would make everybody
    /// who looks at the newest one lose the passphrase in force.
    pub(super) async fn refuse_known_secret(
        &self,
        caller: &Caller,
        machine: &Machine,
    ) -> Result<(), Error> {
        let request_id = &caller.request().request_id;
        let versions = self
            .key_vault
            .list_versions(request_id, &machine.key_vault_uri, &machine.secret_name)
            .await?;
        if versions.is_empty() {
            return Ok(());
        }
        // A registration of the same machine may have written it since this one began.
        let (fqdn, rsv) = (&machine.fqdn, &machine.recovery_services_vault_id);
        if self.store.find_registered_machine(machine.tenant_id, fqdn, rsv).await?.is_some() {
            return Err(Error::MachineExists);
        }
        if self.store.is_secret_taken(&machine.key_vault_uri, &machine.secret_name).await? {
            return Err(Error::SecretNameTaken(ANOTHER_MACHINE));
        }
        Err(Error::SecretNameTaken(
            "Key Vault holds a secret of this name already; register with the source \"adopted\" to take it over",
        ))
    }
}

/// A rotation whose deadline has passed: a late confirmation settles it.
fn rotation_of(
    machine: &Machine,
    found: Unsettled,
    other_versions: Vec<SecretVersion>,
) -> Result<Rotation, Error> {
    let Unsettled { rotation, version: escrow_version, written_at: at } = found;
    Ok(Rotation {
        id: RotationId(rotation.unwrap_or_else(Uuid::now_v7)),
        machine_id: machine.id,
        sequence: 0,
        writer: Writer::Broker,
        state: RotationState::Indeterminate(Collected { escrow_version, at }),
        escrow_secret_name: machine.secret_name.escrow()?,
        other_versions,
        epoch: 1,
        confirming: false,
        requested_at: at,
        expires_at: Lifetime::default().after(at),
        overdue: false,
    })
}
