//! Finishes what was interrupted, with the functions of the happy path: on start and periodically, on
//! every replica.
//!
//! Whatever is to be finished is taken over first, by a compare-and-set that PostgreSQL decides: of all
//! replicas one does it, and whoever was interrupted, or frozen, is fenced off.

use super::{
    Broker, Error, Refused,
    behalf::Behalf,
    rotation::{confirmable, with_others},
};
use crate::{
    audit::NotRecorded,
    domain::{
        audit_event::{AuditEvent, Outcome},
        machine::Machine,
        rotation::Rotation,
    },
    store::{machines, rotations},
};

/// So many at a time: people who wait for a passphrase come first.
const BATCH: i64 = 50;

impl Broker {
    /// One round. An error of one rotation does not keep the others.
    pub async fn reconcile(&self) {
        self.compare_clocks().await;
        if let Err(error) = self.close_overdue_rotations().await {
            tracing::warn!(%error, "rotations were not closed");
        }
        if let Err(error) = self.finish_rotations().await {
            tracing::warn!(%error, "rotations were not reconciled");
        }
        if let Err(error) = self.finish_registrations().await {
            tracing::warn!(%error, "registrations were not reconciled");
        }
        if let Err(error) = self.reconcile_recoveries().await {
            tracing::warn!(%error, "recoveries were not reconciled");
        }
        if let Err(error) = self.store.forget_idempotency_keys().await {
            tracing::warn!(%error, "outdated Idempotency-Keys were not forgotten");
        }
        self.count_rotations().await;
    }

    async fn close_overdue_rotations(&self) -> Result<(), Error> {
        for rotation in self.store.list_overdue_rotations(BATCH).await? {
            if let Err(error) = self.close_overdue(&rotation).await {
                tracing::warn!(%error, rotation = %rotation.id, "a rotation was not closed");
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
        let closed = self.audit.record_with(event, move |connection| {
            Box::pin(async move { rotations::mark_overdue(connection, &row, now).await })
        });
        match closed.await {
            // Somebody else did.
            Err(NotRecorded::Refused(rotations::Refusal::WrongState)) => Ok(()),
            closed => Ok(closed.map(drop)?),
        }
    }

    async fn finish_rotations(&self) -> Result<(), Error> {
        let after = self.rules.interrupted_after;
        for rotation in self.store.list_interrupted_rotations(after, BATCH).await? {
            let id = rotation.id;
            if let Err(error) = self.finish_rotation(rotation).await {
                tracing::warn!(%error, rotation = %id, "a rotation was not finished");
            }
        }
        Ok(())
    }

    /// A rotation whose requester, or confirmer, was interrupted between the intent and Key Vault's answer.
    async fn finish_rotation(&self, rotation: Rotation) -> Result<(), Error> {
        let Some(machine) = self.store.find_machine_by_id(rotation.machine_id).await? else {
            return Ok(());
        };
        let behalf = Behalf::interrupted("finish_rotation");
        let event = |outcome| {
            self.event_for(behalf, outcome).on_machine(machine.id).on_rotation(rotation.id)
        };
        let (row, after) = (rotation.clone(), self.rules.interrupted_after);
        let taken = self.audit.record_with(event(Outcome::Intended), move |connection| {
            Box::pin(async move { rotations::take_over(connection, &row, after).await })
        });
        let fenced = match taken.await {
            // Another replica is at it, or whoever was slow has come to an end.
            Err(NotRecorded::Refused(rotations::Refusal::WrongState)) => return Ok(()),
            taken => taken?.1,
        };
        let done = if fenced.confirming {
            self.finish_confirmation(behalf, &machine, fenced).await
        } else {
            self.finish_preparation(behalf, &machine, fenced).await
        };
        self.on_record(done, event(Outcome::Unknown)).await
    }

    /// What is stored is prepared; what stored nothing has failed.
    async fn finish_preparation(
        &self,
        behalf: Behalf<'_>,
        machine: &Machine,
        rotation: Rotation,
    ) -> Result<(), Refused> {
        let (uri, name) = (&machine.key_vault_uri, &rotation.escrow_secret_name);
        let written = self
            .key_vault
            .find_by_operation(&behalf.request_id(), uri, name, rotation.id.0)
            .await?;
        let now = self.clock.now();
        let event = |outcome| {
            self.event_for(behalf, outcome).on_machine(machine.id).on_rotation(rotation.id)
        };
        let ended = match &written {
            Some(version) => event(Outcome::Succeeded).naming([&version.identifier]),
            None => event(Outcome::Failed),
        };
        self.audit
            .record_with(ended, move |connection| {
                Box::pin(async move {
                    if let Some(found) = written {
                        let version = &found.identifier.version;
                        rotations::mark_prepared(connection, &rotation, version).await
                    } else {
                        let message = Some("interrupted before anything was stored");
                        rotations::mark_failed(connection, &rotation, None, message, now).await
                    }
                })
            })
            .await?;
        Ok(())
    }

    /// The machine said that it uses the passphrase: what remains is ours to do.
    async fn finish_confirmation(
        &self,
        behalf: Behalf<'_>,
        machine: &Machine,
        rotation: Rotation,
    ) -> Result<(), Refused> {
        let collected = confirmable(machine, &rotation)?;
        let written = self.write_in_force(behalf, machine, &rotation, &collected).await?;
        let succeeded = self
            .event_for(behalf, Outcome::Succeeded)
            .on_machine(machine.id)
            .on_rotation(rotation.id)
            .naming([&written.version]);
        let succeeded = with_others(succeeded, &written.others);
        let rotation = Rotation { other_versions: written.kept(), ..rotation };
        let (row, now) = (rotation.clone(), self.clock.now());
        self.audit
            .record_with(succeeded, move |connection| {
                Box::pin(async move {
                    rotations::check_confirming(connection, &row).await?;
                    let version = &written.version.version;
                    rotations::mark_confirmed(connection, &row, version, None, now).await
                })
            })
            .await?;
        self.disable_escrow(behalf, machine, &rotation).await;
        Ok(())
    }

    async fn finish_registrations(&self) -> Result<(), Error> {
        let after = self.rules.registration_abandoned_after;
        for (machine, operation) in self.store.list_interrupted_registrations(after, BATCH).await? {
            let id = machine.id;
            if let Err(error) = self.finish_registration(machine, operation).await {
                tracing::warn!(%error, machine = %id, "a registration was not finished");
            }
        }
        Ok(())
    }

    /// Completes a registration whose passphrase is stored, and takes one back that stored nothing.
    async fn finish_registration(
        &self,
        machine: Machine,
        interrupted: uuid::Uuid,
    ) -> Result<(), Error> {
        let (id, operation) = (machine.id, uuid::Uuid::now_v7());
        let behalf = Behalf::Interrupted { action: "finish_registration", operation_id: operation };
        let event = |outcome| self.event_for(behalf, outcome).on_machine(id);
        let taken = self.audit.record_with(event(Outcome::Intended), move |connection| {
            Box::pin(async move {
                machines::take_registration_over(connection, id, interrupted, operation).await
            })
        });
        match taken.await {
            Err(NotRecorded::Refused(machines::Refusal::Changed)) => return Ok(()),
            taken => drop(taken?),
        }
        let done = self.end_registration(behalf, &machine, operation).await;
        self.on_record(done, event(Outcome::Unknown)).await
    }

    async fn end_registration(
        &self,
        behalf: Behalf<'_>,
        machine: &Machine,
        operation: uuid::Uuid,
    ) -> Result<(), Refused> {
        let (id, uri, name) = (machine.id, &machine.key_vault_uri, &machine.secret_name);
        let request_id = behalf.request_id();
        let written = self.key_vault.find_by_operation(&request_id, uri, name, id.0).await?;
        let event = |outcome| self.event_for(behalf, outcome).on_machine(id);
        let ended = match &written {
            Some(found) => event(Outcome::Succeeded).naming([&found.identifier]),
            None => event(Outcome::Failed),
        };
        let since = self.clock.now();
        self.audit
            .record_with(ended, move |connection| {
                Box::pin(async move {
                    let Some(found) = written else {
                        return machines::withdraw_registration(connection, id, operation).await;
                    };
                    let version = &found.identifier.version;
                    machines::complete_registration(connection, id, operation, version, since)
                        .await
                        .map(drop)
                })
            })
            .await?;
        Ok(())
    }

    /// An intent has an outcome on record, even if nobody knows it.
    async fn on_record(&self, done: Result<(), Refused>, unknown: AuditEvent) -> Result<(), Error> {
        let Err(Refused { error, on_record }) = done else { return Ok(()) };
        if on_record.is_none() {
            self.audit.record(unknown).await?;
        }
        Err(error)
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
