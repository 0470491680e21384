//! `register_machine`: a record of a machine, with its first passphrase in Key Vault.
//!
//! The row with its intent comes first, then Key Vault, then the row is completed together with the
//! event that tells how it ended. A registration that was interrupted is resumed by repeating it: the
//! version that it wrote is found by its tag, so no second one is made.

use uuid::Uuid;

use super::{Broker, Error, INTERRUPTED_AFTER, IdempotencyKey, Refused};
use crate::{
    azure::{SealedPassphrases, SecretTags, SetError, VersionProperties},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        key_vault_id::{KeyVaultUri, SecretVersion},
        machine::{
            AgentBinding, AgentVersion, Fqdn, InForce, Machine, MachineId, MachineState, Tags,
        },
        passphrase::Passphrase,
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::machines,
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
        version: Option<SecretVersion>,
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
        self.remember(caller, key, &result, |registered| registered.machine.id.0).await;
        result
    }

    async fn register(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<Registered, Refused> {
        let (mut machine, source) = self.new_machine(caller, registration)?;
        let passphrase = match source {
            FirstPassphrase::None => return self.insert_only(caller, machine, "none").await,
            FirstPassphrase::Adopted { version } => {
                machine = self.adopt_version(caller, machine, version).await?;
                return self.insert_only(caller, machine, "adopted").await;
            }
            FirstPassphrase::Generated => None,
            FirstPassphrase::Provided(passphrase) => Some(passphrase),
        };
        let interrupted = self
            .store
            .find_interrupted_registration(
                machine.tenant_id,
                &machine.fqdn,
                &machine.recovery_services_vault_id,
            )
            .await?;
        if let Some((found, operation)) = interrupted
            && self.clock.now() - found.updated_at >= INTERRUPTED_AFTER
        {
            return self.resume_registration(caller, found, operation, passphrase).await;
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
        machine: Machine,
        source: &str,
    ) -> Result<Registered, Refused> {
        let identifier =
            machine.in_force.as_ref().map(|in_force| machine.secret(in_force.version.clone()));
        let event = self
            .event(caller, Outcome::Succeeded)
            .on_machine(machine.id)
            .naming(identifier.as_ref())
            .with("source", source);
        let row = machine.clone();
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move { machines::insert_machine(connection, &row, None).await })
            })
            .await?;
        Ok(Registered { machine, passphrase: None, replayed: false })
    }

    /// Finds the secret that MARS saved, and which of its versions is in force.
    async fn adopt_version(
        &self,
        caller: &Caller,
        mut machine: Machine,
        wanted: Option<SecretVersion>,
    ) -> Result<Machine, Error> {
        let given = machine.secret_name.clone();
        let mut names = SecretName::candidates(&machine.fqdn, &machine.recovery_services_vault_id);
        if !names.contains(&given) {
            names = vec![given];
        }
        let mut found: Vec<VersionProperties> = Vec::new();
        for name in names {
            let versions = self
                .key_vault
                .list_versions(&caller.request().request_id, &machine.key_vault_uri, &name)
                .await?;
            if !versions.is_empty() && !found.is_empty() {
                let detail =
                    "more than one secret may be this machine's; name it as secretName".to_owned();
                return Err(Error::InvalidRequest { pointer: "/secretName", detail });
            }
            found.extend(versions);
        }
        found.retain(|version| {
            version.enabled
                && wanted.as_ref().is_none_or(|wanted| version.identifier.version == *wanted)
        });
        let newest = found
            .iter()
            .max_by_key(|version| version.created_at)
            .ok_or(Error::NoPassphraseStored)?;
        // Key Vault's clock has whole seconds: of two versions in one second nobody can tell the later.
        if found.iter().filter(|version| version.created_at == newest.created_at).count() > 1 {
            let detail = "two versions were created in the same second; name the one in force as passphrase.version";
            return Err(Error::InvalidRequest {
                pointer: "/passphrase/version",
                detail: detail.to_owned(),
            });
        }
        machine.secret_name = newest.identifier.name.clone();
        machine.in_force = Some(InForce {
            version: newest.identifier.version.clone(),
            since: newest.created_at.unwrap_or(machine.created_at),
            rotation_sequence: 0,
        });
        machine.state = MachineState::Active;
        Ok(machine)
    }

    /// A secret that exists already holds what MARS uses now. A new version of it would make everybody
    /// who looks at the newest one lose the passphrase in force.
    async fn refuse_known_secret(&self, caller: &Caller, machine: &Machine) -> Result<(), Error> {
        let request_id = &caller.request().request_id;
        let versions = self
            .key_vault
            .list_versions(request_id, &machine.key_vault_uri, &machine.secret_name)
            .await?;
        if versions.is_empty() {
            return Ok(());
        }
        Err(Error::SecretNameTaken(
            "Key Vault holds a secret of this name already; register with the source \"adopted\" to take it over",
        ))
    }

    async fn resume_registration(
        &self,
        caller: &Caller,
        machine: Machine,
        interrupted: Uuid,
        provided: Option<Passphrase>,
    ) -> Result<Registered, Refused> {
        let (id, operation, now) = (machine.id, caller.request().operation_id, self.clock.now());
        let event = self
            .event(caller, Outcome::Intended)
            .on_machine(id)
            .with("resumes", interrupted.to_string());
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    machines::take_registration_over(connection, id, interrupted, operation, now)
                        .await
                })
            })
            .await?;
        let request_id = &caller.request().request_id;
        let written = self
            .key_vault
            .find_by_operation(
                request_id,
                &machine.key_vault_uri,
                &machine.secret_name,
                interrupted,
            )
            .await?;
        if let Some(version) = written {
            let sealed = self
                .key_vault
                .get_versions(request_id, std::slice::from_ref(&version.identifier))
                .await?;
            let wanted = provided.as_ref().is_none_or(|passphrase| sealed.holds(passphrase));
            if wanted {
                return self.complete(caller, machine, sealed, provided.is_none()).await;
            }
        }
        self.write_first(caller, machine, provided).await
    }

    async fn write_first(
        &self,
        caller: &Caller,
        machine: Machine,
        provided: Option<Passphrase>,
    ) -> Result<Registered, Refused> {
        let generated = provided.is_none();
        let passphrase = match provided {
            Some(passphrase) => passphrase,
            None => Passphrase::generate().map_err(Error::from)?,
        };
        let (request, id) = (caller.request(), machine.id);
        let tags = SecretTags { operation: request.operation_id, machine: id.0 };
        let written = self
            .key_vault
            .set_secret(
                &request.request_id,
                &machine.key_vault_uri,
                &machine.secret_name,
                passphrase,
                &tags,
            )
            .await;
        match written {
            Ok(stored) => self.complete(caller, machine, stored.sealed, generated).await,
            Err(SetError::Refused(error)) => {
                let (event, operation) =
                    (self.event(caller, Outcome::Failed).on_machine(id), request.operation_id);
                let withdrawn = self.audit.record_with(event, move |connection| {
                    Box::pin(async move {
                        machines::withdraw_registration(connection, id, operation).await
                    })
                });
                let (recorded, ()) = withdrawn.await?;
                Err(Refused { error: error.into(), on_record: Some(recorded) })
            }
            // It may still appear. The row stays, and a repetition or the reconciler settles it.
            Err(SetError::OutcomeUnknown(error)) => {
                Err(self.refuse(self.event(caller, Outcome::Unknown).on_machine(id), error).await)
            }
        }
    }

    /// Puts the stored passphrase in force and, if it was generated, releases it to the registrar.
    async fn complete(
        &self,
        caller: &Caller,
        machine: Machine,
        sealed: SealedPassphrases,
        release: bool,
    ) -> Result<Registered, Refused> {
        let (id, operation, now) = (machine.id, caller.request().operation_id, self.clock.now());
        let version = sealed.identifiers().next().map(|identifier| identifier.version.clone());
        let version = version.ok_or(Error::Internal("nothing was stored"))?;
        if !release {
            let event =
                self.event(caller, Outcome::Succeeded).on_machine(id).naming(sealed.identifiers());
            let (_, machine) = self
                .audit
                .record_with(event.with("source", "provided"), move |connection| {
                    Box::pin(async move {
                        machines::complete_registration(connection, id, operation, &version, now)
                            .await
                    })
                })
                .await?;
            return Ok(Registered { machine, passphrase: None, replayed: false });
        }
        let event =
            self.event(caller, Outcome::Released).on_machine(id).with("source", "generated");
        let (receipt, machine) = self
            .audit
            .record_release_with(sealed.release(event), move |connection| {
                Box::pin(async move {
                    machines::complete_registration(connection, id, operation, &version, now).await
                })
            })
            .await?;
        let passphrase =
            sealed.open(receipt).map_err(Error::from)?.pop().map(|opened| opened.passphrase);
        Ok(Registered { machine, passphrase, replayed: false })
    }
}
