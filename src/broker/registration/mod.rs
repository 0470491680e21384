//! `register_machine`: a record of a machine, with its first passphrase in Key Vault.
//!
//! The row with its intent comes first, then Key Vault, then the row is completed together with the
//! event that tells how it ended. A registration that was interrupted is resumed by repeating it: the
//! version that it wrote is found by its tag, so no second one is made.

mod adopt;
mod choice;
mod first_passphrase;
mod traces;

use adopt::Adopted;
pub use choice::AdoptedVersion;
use uuid::Uuid;

use super::{Broker, Error, IdempotencyKey, Refused};
use crate::{
    domain::{
        audit_event::Outcome,
        caller::Caller,
        drift::Drift,
        key_vault_id::{KeyVaultUri, SecretIdentifier},
        machine::{AgentBinding, AgentVersion, Fqdn, Machine, MachineId, MachineState, Tags},
        passphrase::Passphrase,
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::{machines, rotations},
};

#[derive(Debug)]
pub struct Registration {
    pub fqdn: Fqdn,
    pub recovery_services_vault_id: RecoveryServicesVaultId,
    pub key_vault_uri: KeyVaultUri,
    /// None: named in the configured style, or found when it is adopted.
    pub secret_name: Option<SecretName>,
    pub agent_object_id: Option<Uuid>,
    pub agent_version: Option<AgentVersion>,
    pub tags: Tags,
    pub source: FirstPassphrase,
}

#[derive(Debug)]
pub enum FirstPassphrase {
    Generated,
    Provided(Passphrase),
    /// MARS has saved one already. Its value is not read.
    Adopted {
        version: AdoptedVersion,
    },
    /// There is none yet.
    None,
}

#[derive(Debug)]
pub struct Registered {
    pub machine: Machine,
    /// Only when it was generated, and only in the answer that made it.
    pub passphrase: Option<Passphrase>,
    pub replayed: bool,
}

impl Broker {
    pub async fn register_machine(
        &self,
        caller: &Caller,
        registration: Registration,
        key: Option<&IdempotencyKey>,
    ) -> Result<Registered, Refused> {
        if let Some(id) = self.replayed(caller, key).await? {
            let machine = self.machine(caller, MachineId(id)).await?;
            let event = self
                .event(caller, Outcome::Succeeded)
                .on_machine(machine.id)
                .with("replayed", "true");
            self.audit.record(event).await?;
            return Ok(Registered { machine, passphrase: None, replayed: true });
        }
        let result = self.register(caller, registration).await;
        self.remember(caller, key, &result, |registered| Some(registered.machine.id.0)).await;
        result
    }

    pub(in crate::broker) async fn register(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<Registered, Refused> {
        let named = registration.secret_name.is_some();
        let (machine, source) = self.new_machine(caller, registration)?;
        let passphrase = match source {
            FirstPassphrase::None => {
                self.require_that_mars_can_save(caller, &machine).await?;
                let machine = Adopted { machine, unsettled: Vec::new() };
                return self.insert_only(caller, machine, "none").await;
            }
            FirstPassphrase::Adopted { version } => {
                let adopted = self.adopt_version(caller, machine, &version, named).await?;
                return self.insert_only(caller, adopted, "adopted").await;
            }
            // The answer would hold it.
            FirstPassphrase::Generated => {
                self.may_be_given_a_passphrase(caller.principal())?;
                None
            }
            FirstPassphrase::Provided(passphrase) => Some(passphrase),
        };
        let registered = self
            .store
            .find_registered_machine(
                machine.tenant_id,
                &machine.fqdn,
                &machine.recovery_services_vault_id,
            )
            .await?;
        match registered {
            Some((found, Some(other))) if other.age >= self.rules.interrupted_after => {
                return self.resume_registration(caller, found, other.operation, passphrase).await;
            }
            Some(_) => return Err(Error::MachineExists.into()),
            None => {}
        }
        self.refuse_known_secret(caller, &machine).await?;
        let event = self
            .event(caller, Outcome::Intended)
            .on_machine(machine.id)
            .with("secretName", machine.secret_name.as_str());
        let (row, operation) = (machine.clone(), caller.request().operation_id);
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    machines::insert_machine(connection, &row, Some(operation)).await
                })
            })
            .await?;
        self.write_first(caller, machine, passphrase).await
    }

    fn new_machine(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<(Machine, FirstPassphrase), Error> {
        let now = self.clock.now();
        let secret_name = match registration.secret_name {
            Some(name) => name,
            None => SecretName::for_machine(
                &registration.fqdn,
                &registration.recovery_services_vault_id,
                self.rules.secret_name_style,
            )?,
        };
        // A machine whose escrow secret could not be named could never be rotated.
        secret_name.escrow()?;
        let tenant_id = caller.tenant_id();
        let machine = Machine {
            id: MachineId(Uuid::now_v7()),
            tenant_id,
            fqdn: registration.fqdn,
            recovery_services_vault_id: registration.recovery_services_vault_id,
            key_vault_uri: registration.key_vault_uri,
            secret_name,
            agent: registration
                .agent_object_id
                .map(|object_id| AgentBinding { tenant_id, object_id }),
            agent_version: registration.agent_version,
            tags: registration.tags,
            state: MachineState::AwaitingPassphrase,
            in_force: None,
            drift: Drift::default(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        Ok((machine, registration.source))
    }

    /// For sources that write nothing to Key Vault.
    async fn insert_only(
        &self,
        caller: &Caller,
        adopted: Adopted,
        source: &str,
    ) -> Result<Registered, Refused> {
        let Adopted { machine, unsettled } = adopted;
        let in_force =
            machine.in_force.as_ref().map(|in_force| machine.secret(in_force.version.clone()));
        let handed_out = unsettled.iter().filter_map(|rotation| {
            let collected = rotation.state.unsettled()?;
            let name = rotation.escrow_secret_name.clone();
            Some(machine.escrow(name, collected.escrow_version.clone()))
        });
        let named: Vec<SecretIdentifier> = in_force.into_iter().chain(handed_out).collect();
        let event = self
            .event(caller, Outcome::Succeeded)
            .on_machine(machine.id)
            .naming(&named)
            .with("source", source);
        let (row, principal, now) = (machine.clone(), caller.principal().clone(), self.clock.now());
        let (_, machine) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    machines::insert_machine(connection, &row, None).await?;
                    if unsettled.is_empty() && row.drift.foreign_versions.is_empty() {
                        return Ok::<_, Error>(row);
                    }
                    for rotation in &unsettled {
                        rotations::insert_unsettled(connection, rotation, &principal).await?;
                    }
                    Ok(machines::settle_state(connection, row.id, now).await?)
                })
            })
            .await?;
        Ok(Registered { machine, passphrase: None, replayed: false })
    }
}
