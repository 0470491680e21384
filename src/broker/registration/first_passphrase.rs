//! Writing the first passphrase: refused, lost on the way back, interrupted, or done.

use uuid::Uuid;

use super::Registered;
use crate::{
    azure::{SealedPassphrases, SecretTags, SetError},
    broker::{Broker, Error, Refused},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        machine::{Machine, MachineId},
        passphrase::Passphrase,
    },
    store::machines,
};

impl Broker {
    pub(super) async fn resume_registration(
        &self,
        caller: &Caller,
        machine: Machine,
        interrupted: Uuid,
        provided: Option<Passphrase>,
    ) -> Result<Registered, Refused> {
        let (id, operation) = (machine.id, caller.request().operation_id);
        let event = self
            .event(caller, Outcome::Intended)
            .on_machine(id)
            .with("resumes", interrupted.to_string());
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    machines::take_registration_over(connection, id, interrupted, operation).await
                })
            })
            .await?;
        let request_id = &caller.request().request_id;
        let written = self
            .key_vault
            .find_by_operation(request_id, &machine.key_vault_uri, &machine.secret_name, id.0)
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

    pub(super) async fn write_first(
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
        let tags = registration_tags(id);
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
                let operation = request.operation_id;
                let event = self.event(caller, Outcome::Failed).on_machine(id);
                let event = event.with("keyVault", error.code());
                let withdrawn = self.audit.record_with(event, move |connection| {
                    Box::pin(async move {
                        machines::withdraw_registration(connection, id, operation).await
                    })
                });
                let (recorded, ()) = withdrawn.await?;
                let error = self.explain(caller, &machine, error).await;
                Err(Refused { error, on_record: Some(recorded) })
            }
            // It may still appear. The row stays, and a repetition or the reconciler settles it.
            Err(unknown @ SetError::OutcomeUnknown(_)) => {
                Err(self.refuse(self.event(caller, Outcome::Unknown).on_machine(id), unknown).await)
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

/// A first passphrase is found by its machine, whoever of those who attempted the registration wrote it.
fn registration_tags(id: MachineId) -> SecretTags {
    SecretTags { operation: id.0, machine: id.0 }
}
