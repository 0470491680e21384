//! Finishes what was interrupted, with the functions of the happy path: on start and periodically, on
//! every replica. Each step is a compare-and-set with its event, so replicas cannot do one twice.

use time::{Duration, OffsetDateTime};

use super::{Broker, Error, INTERRUPTED_AFTER};
use crate::{
    domain::{
        audit_event::{AuditEvent, Outcome},
        machine::{Machine, MachineId},
        rotation::{Rotation, RotationState},
    },
    store::{machines, rotations},
};

/// Whoever repeats a registration gets its generated passphrase; they have this long before it is finished
/// without them, and only the help desk can retrieve it.
const REGISTRATION_ABANDONED_AFTER: Duration = Duration::minutes(5);

/// So many at a time: people who wait for a passphrase come first.
const BATCH: i64 = 50;

impl Broker {
    /// One round. An error of one rotation does not keep the others.
    pub async fn reconcile(&self) {
        let now = self.clock.now();
        if let Err(error) = self.reconcile_rotations(now).await {
            tracing::warn!(%error, "rotations were not reconciled");
        }
        if let Err(error) = self.reconcile_registrations(now).await {
            tracing::warn!(%error, "registrations were not reconciled");
        }
        if let Err(error) = self.store.forget_idempotency_keys(now).await {
            tracing::warn!(%error, "outdated Idempotency-Keys were not forgotten");
        }
        self.count_rotations().await;
    }

    async fn reconcile_rotations(&self, now: OffsetDateTime) -> Result<(), Error> {
        let found =
            self.store.list_rotations_to_reconcile(now, now - INTERRUPTED_AFTER, BATCH).await?;
        for rotation in found {
            let done = if rotation.is_overdue(now) {
                self.close_overdue(&rotation).await
            } else {
                self.finish_preparation(rotation.clone()).await
            };
            if let Err(error) = done {
                tracing::warn!(%error, rotation = %rotation.id, "a rotation was not reconciled");
            }
        }
        Ok(())
    }

    /// Puts a passed deadline on record: `expired` if nobody saw the passphrase, else `indeterminate`.
    pub(super) async fn close_overdue(&self, rotation: &Rotation) -> Result<(), Error> {
        let now = self.clock.now();
        let event = AuditEvent::by_system("expire_rotation", Outcome::Succeeded, now)
            .on_machine(rotation.machine_id)
            .on_rotation(rotation.id)
            .with("from", rotation.state.name());
        let row = rotation.clone();
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move { rotations::mark_overdue(connection, &row, now).await })
            })
            .await?;
        Ok(())
    }

    /// A rotation whose requester was interrupted between its intent and Key Vault's answer.
    async fn finish_preparation(&self, rotation: Rotation) -> Result<(), Error> {
        if rotation.state != RotationState::Requested {
            return Ok(());
        }
        let Some(machine) = self.store.find_machine_by_id(rotation.machine_id).await? else {
            return Ok(());
        };
        let event = |outcome| {
            AuditEvent::by_system("finish_rotation", outcome, self.clock.now())
                .on_machine(rotation.machine_id)
                .on_rotation(rotation.id)
        };
        let (intended, taken) = (event(Outcome::Intended), rotation.clone());
        let (_, fenced) = self
            .audit
            .record_with(intended, move |connection| {
                Box::pin(async move { rotations::take_over(connection, &taken).await })
            })
            .await?;
        let request_id = rotation.id.to_string();
        let written = self
            .key_vault
            .find_by_operation(
                &request_id,
                &machine.key_vault_uri,
                &rotation.escrow_secret_name,
                rotation.id.0,
            )
            .await?;
        let now = self.clock.now();
        let ended = match &written {
            Some(version) => event(Outcome::Succeeded).naming([&version.identifier]),
            None => event(Outcome::Failed),
        };
        self.audit
            .record_with(ended, move |connection| {
                Box::pin(async move {
                    if let Some(found) = written {
                        let version = &found.identifier.version;
                        rotations::mark_prepared(connection, &fenced, version).await
                    } else {
                        let message = Some("interrupted before anything was stored");
                        rotations::mark_failed(connection, &fenced, None, message, now).await
                    }
                })
            })
            .await?;
        Ok(())
    }

    async fn reconcile_registrations(&self, now: OffsetDateTime) -> Result<(), Error> {
        for (machine, operation) in self
            .store
            .list_interrupted_registrations(now - REGISTRATION_ABANDONED_AFTER, BATCH)
            .await?
        {
            let id = machine.id;
            if let Err(error) = self.finish_registration(machine, operation).await {
                tracing::warn!(%error, machine = %id, "a registration was not reconciled");
            }
        }
        Ok(())
    }

    /// Completes a registration whose passphrase is stored, and takes one back that stored nothing.
    async fn finish_registration(
        &self,
        machine: Machine,
        operation: uuid::Uuid,
    ) -> Result<(), Error> {
        let id = machine.id;
        let request_id = operation.to_string();
        let written = self
            .key_vault
            .find_by_operation(&request_id, &machine.key_vault_uri, &machine.secret_name, operation)
            .await?;
        let event = |outcome| {
            AuditEvent::by_system("finish_registration", outcome, self.clock.now()).on_machine(id)
        };
        match written {
            Some(found) => {
                let version = found.identifier.version.clone();
                let event = event(Outcome::Succeeded).naming([&found.identifier]);
                let since = self.clock.now();
                self.audit
                    .record_with(event, move |connection| {
                        Box::pin(async move {
                            machines::complete_registration(
                                connection, id, operation, &version, since,
                            )
                            .await
                        })
                    })
                    .await?;
            }
            None => self.withdraw(id, operation, event(Outcome::Failed)).await?,
        }
        Ok(())
    }

    async fn withdraw(
        &self,
        id: MachineId,
        operation: uuid::Uuid,
        event: AuditEvent,
    ) -> Result<(), Error> {
        self.audit
            .record_with(event, move |connection| {
                Box::pin(
                    async move { machines::withdraw_registration(connection, id, operation).await },
                )
            })
            .await?;
        Ok(())
    }

    async fn count_rotations(&self) {
        let Ok(counts) = self.store.count_rotations_by_state().await else { return };
        for state in ["requested", "prepared", "collected", "indeterminate"] {
            let count =
                counts.iter().find(|(name, _)| name == state).map_or(0, |(_, count)| *count);
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            metrics::gauge!("passphrase_broker_rotations", "state" => state).set(count);
        }
    }
}
