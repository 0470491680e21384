//! `recover_secret`: brings a soft-deleted secret back, with all its versions (MARS reports 391282 when one
//! is in its way).
//!
//! The intent is on record first, then Key Vault is asked, then this waits until the secret can be seen
//! again: Key Vault takes up to half a minute. Asking twice does no harm, so a recovery that was interrupted
//! is finished by repeating it, or by the reconciler.

mod presence;

use std::time::Duration;

use tokio::time::Instant;

use uuid::Uuid;

use super::{Broker, Error, IdempotencyKey, Refused};
use crate::{
    azure::{KeyVaultError, SetError},
    domain::{
        audit_event::{AuditEvent, Outcome},
        caller::Caller,
        machine::{Machine, MachineId, MachineState},
        secret_name::SecretName,
    },
    store::machines::{self, OpenRecovery},
};
use presence::{Secrets, ToRecover};

/// For asking and waiting: less than a request has, and less than Key Vault sometimes takes.
const BUDGET: Duration = Duration::from_secs(9);
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// What Key Vault does not show after this long does not come back by itself.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(10);
const BATCH: i64 = 20;

#[derive(Debug)]
pub struct Recovered {
    pub machine: Machine,
    /// The machine's secret, its escrow secret, or both.
    pub secrets: Vec<SecretName>,
}

/// What Key Vault said to a recovery.
enum Asked {
    Taken,
    /// There is nothing to recover, or it is being recovered already.
    NothingThere,
    /// No answer. It may come back.
    Unknown(KeyVaultError),
}

/// Of each secret, if it was asked for.
struct Asks {
    own: Option<Asked>,
    escrow: Option<Asked>,
}

impl Asks {
    fn may_come_back(asked: Option<&Asked>) -> bool {
        matches!(asked, Some(Asked::Taken | Asked::Unknown(_)))
    }

    fn any_may_come_back(&self) -> bool {
        Self::may_come_back(self.own.as_ref()) || Self::may_come_back(self.escrow.as_ref())
    }

    fn unknown(self) -> Option<KeyVaultError> {
        [self.own, self.escrow].into_iter().flatten().find_map(|asked| match asked {
            Asked::Unknown(error) => Some(error),
            Asked::Taken | Asked::NothingThere => None,
        })
    }
}

impl Broker {
    pub async fn recover_secret(
        &self,
        caller: &Caller,
        id: MachineId,
        key: Option<&IdempotencyKey>,
    ) -> Result<Recovered, Refused> {
        if self.replayed(caller, key).await?.is_some() {
            let machine = self.machine(caller, id).await?;
            let event = self.event(caller, Outcome::Succeeded).on_machine(id);
            self.audit.record(event.with("replayed", "true")).await?;
            return Ok(Recovered { machine, secrets: Vec::new() });
        }
        let result = self.recover(caller, id).await;
        self.remember(caller, key, &result, |recovered| Some(recovered.machine.id.0)).await;
        result
    }

    async fn recover(&self, caller: &Caller, id: MachineId) -> Result<Recovered, Refused> {
        let machine = self.machine(caller, id).await?;
        let request_id = &caller.request().request_id;
        let secrets = self.look_for_secrets(request_id, &machine).await?;
        let open = self.store.is_being_recovered(id).await?;
        let event = |outcome| self.event(caller, outcome).on_machine(id);
        if secrets.need_nothing() {
            // Back since somebody else, or an attempt that was interrupted, asked for it.
            if open || machine.state == MachineState::SoftDeleted {
                return self.end_with(event(Outcome::Succeeded), id, &secrets, None).await;
            }
            return Err(Error::SecretNotDeleted.into());
        }
        let operation = caller.request().operation_id;
        let intended = event(Outcome::Intended).with("secretName", machine.secret_name.as_str());
        self.audit
            .record_with(intended, move |connection| {
                Box::pin(async move { machines::begin_recovery(connection, id, operation).await })
            })
            .await?;
        let deadline = Instant::now() + BUDGET;
        let asks = match self.ask_for(request_id, &machine, &secrets, deadline).await {
            Ok(asks) => asks,
            Err(error) => {
                let event = event(Outcome::Failed).with("keyVault", error.code());
                return Err(self.give_up(id, event, error).await);
            }
        };
        let pending = open || asks.any_may_come_back();
        let deadline = if pending { deadline } else { Instant::now() };
        if let Some(secrets) = self.wait_for(request_id, &machine, &asks, deadline).await {
            return self.end_with(event(Outcome::Succeeded), id, &secrets, Some(&asks)).await;
        }
        if !open && !Asks::may_come_back(asks.own.as_ref()) {
            let event = event(Outcome::Failed).with("keyVault", "not_found");
            return Err(self.give_up(id, event, Error::NoPassphraseStored).await);
        }
        if let Some(error) = asks.unknown() {
            let unknown = SetError::OutcomeUnknown(error);
            return Err(self.refuse(event(Outcome::Unknown), unknown).await);
        }
        let event = event(Outcome::Unknown).with("keyVault", "not_visible_yet");
        let recorded = self.audit.record(event).await?;
        Err(Refused { error: Error::RecoveryNotVisible, on_record: Some(recorded) })
    }

    /// Asks for what is not there, side by side, and each to its end: nothing is still on its way when a
    /// refusal is put on record.
    async fn ask_for(
        &self,
        request_id: &str,
        machine: &Machine,
        secrets: &Secrets,
        deadline: Instant,
    ) -> Result<Asks, KeyVaultError> {
        let (own, escrow) = tokio::join!(
            self.ask_for_one(request_id, machine, secrets.own_to_recover(), deadline),
            self.ask_for_one(request_id, machine, secrets.escrow_to_recover(), deadline),
        );
        Ok(Asks { own: own?, escrow: escrow? })
    }

    /// A secret that is still being deleted can be recovered when that has ended.
    async fn ask_for_one(
        &self,
        request_id: &str,
        machine: &Machine,
        secret: Option<ToRecover>,
        deadline: Instant,
    ) -> Result<Option<Asked>, KeyVaultError> {
        let Some(ToRecover { name, mut was_there }) = secret else { return Ok(None) };
        loop {
            let asked = self.key_vault.recover_secret(request_id, &machine.key_vault_uri, &name);
            let so_far = match asked.await {
                Ok(()) => return Ok(Some(Asked::Taken)),
                // It was there to be recovered, and is not any more: an answer was lost, or somebody
                // else was faster.
                Err(SetError::Refused(KeyVaultError::NotFound(_))) if was_there => {
                    return Ok(Some(Asked::Taken));
                }
                Err(SetError::Refused(KeyVaultError::NotFound(_))) => {
                    return Ok(Some(Asked::NothingThere));
                }
                Err(SetError::Refused(error @ KeyVaultError::BeingDeleted(_))) => Err(error),
                Err(SetError::Refused(error)) => return Err(error),
                Err(SetError::OutcomeUnknown(error)) => {
                    was_there = true;
                    Ok(Some(Asked::Unknown(error)))
                }
            };
            if Instant::now() + LOOK_EVERY >= deadline {
                return so_far;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks until all that was asked for can be seen. None when the time is over.
    async fn wait_for(
        &self,
        request_id: &str,
        machine: &Machine,
        asks: &Asks,
        deadline: Instant,
    ) -> Option<Secrets> {
        loop {
            match self.look_for_secrets(request_id, machine).await {
                Ok(secrets) if secrets.answer(asks, machine.in_force.is_some()) => {
                    return Some(secrets);
                }
                Ok(_) => {}
                // Key Vault may well answer the next look; the time decides.
                Err(error) => tracing::debug!(%error, "a recovery cannot be looked for"),
            }
            if Instant::now() + LOOK_EVERY >= deadline {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end_with(
        &self,
        event: AuditEvent,
        id: MachineId,
        secrets: &Secrets,
        asks: Option<&Asks>,
    ) -> Result<Recovered, Refused> {
        let event = secrets.named_in(event, asks);
        let machine = self.end_recovery(event, id, secrets.show_own(), None).await?;
        Ok(Recovered { machine, secrets: secrets.names(asks) })
    }

    /// What Key Vault refused needs no finishing.
    async fn give_up(&self, id: MachineId, event: AuditEvent, error: impl Into<Error>) -> Refused {
        let now = self.clock.now();
        let ended = self.audit.record_with(event, move |connection| {
            Box::pin(async move { machines::end_recovery(connection, id, false, None, now).await })
        });
        match ended.await {
            Ok((recorded, _)) => Refused { error: error.into(), on_record: Some(recorded) },
            Err(not_recorded) => not_recorded.into(),
        }
    }

    async fn end_recovery(
        &self,
        event: AuditEvent,
        id: MachineId,
        back: bool,
        only: Option<Uuid>,
    ) -> Result<Machine, Error> {
        let now = self.clock.now();
        let (_, machine) = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(
                    async move { machines::end_recovery(connection, id, back, only, now).await },
                )
            })
            .await?;
        Ok(machine)
    }

    /// Recoveries whose caller was not answered: they are finished when the secret is back, and else
    /// given up, which a repetition begins anew.
    pub(super) async fn reconcile_recoveries(&self) -> Result<(), Error> {
        for open in self.store.list_open_recoveries(self.rules.interrupted_after, BATCH).await? {
            let id = open.machine.id;
            match self.finish_recovery(open).await {
                // Somebody else did.
                Ok(()) | Err(Error::PreconditionFailed) => {}
                Err(error) => {
                    tracing::warn!(%error, machine = %id, "a recovery was not reconciled");
                }
            }
        }
        Ok(())
    }

    async fn finish_recovery(&self, open: OpenRecovery) -> Result<(), Error> {
        let OpenRecovery { machine, operation, age } = open;
        let now = self.clock.now();
        let event =
            |outcome| AuditEvent::by_system("finish_recovery", outcome, now).on_machine(machine.id);
        let secrets = self.look_for_secrets(&operation.to_string(), &machine).await?;
        if secrets.are_back(machine.in_force.is_some()) {
            let event = secrets.named_in(event(Outcome::Succeeded), None);
            self.end_recovery(event, machine.id, secrets.show_own(), Some(operation)).await?;
        } else if secrets.any_is_deleted() || age > GIVEN_UP_AFTER {
            self.end_recovery(event(Outcome::Failed), machine.id, false, Some(operation)).await?;
        }
        Ok(())
    }
}
