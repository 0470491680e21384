//! `check_drift`: what became of the machines' secrets without this service. Versions are listed, no value
//! is read; what is found goes into the machine's row, with an event when it is new.
//!
//! It runs on every replica, beside people's requests and with a budget of its own towards Key Vault.

mod assess;
mod recovery_services;

use std::time::Duration;

use super::{Broker, Error};
use crate::{
    audit::NotRecorded,
    domain::{
        audit_event::{AuditEvent, Outcome},
        drift::{Drift, SecretCondition},
        machine::{Machine, MachineId, MachineState},
    },
    store::machines::{self, Refusal},
};
use assess::assess;

/// Of Key Vault, by one replica: a twentieth of what Key Vault allows.
pub(super) const CALLS_PER_SECOND: u32 = 20;
/// Longer than Key Vault takes to delete or to recover: meanwhile a secret is in neither listing.
const MISSING_AFTER: Duration = Duration::from_mins(1);
const BATCH: i64 = 20;

impl Broker {
    /// One round: everything that is due, on this replica or another.
    pub async fn check_drift(&self, every: Duration) {
        if let Err(error) = self.check_recovery_services_vaults(every).await {
            tracing::warn!(%error, "Recovery Services vaults were not checked");
        }
        loop {
            match self.check_machines(every).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "machines were not checked");
                    break;
                }
            }
        }
        if let Ok(count) = self.store.count_drifted_machines().await {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            metrics::gauge!("passphrase_broker_drifted_machines").set(count);
        }
    }

    /// How many were checked.
    async fn check_machines(&self, every: Duration) -> Result<usize, Error> {
        let due = self.store.claim_machines_to_check(every, BATCH).await?;
        for id in &due {
            let checked = self.check_machine(*id, every).await;
            let outcome = if checked.is_ok() { "ok" } else { "failed" };
            metrics::counter!("passphrase_broker_drift_checks_total", "outcome" => outcome)
                .increment(1);
            if let Err(error) = checked {
                tracing::warn!(%error, machine = %id, "a machine was not checked");
            }
        }
        Ok(due.len())
    }

    /// What could not be asked changes nothing: what was known stays, with the time when it was.
    async fn check_machine(&self, id: MachineId, every: Duration) -> Result<(), Error> {
        let Some(machine) = self.store.find_machine_by_id(id).await? else { return Ok(()) };
        let request_id = uuid::Uuid::now_v7().to_string();
        let (uri, name) = (&machine.key_vault_uri, &machine.secret_name);
        let versions = self.unhurried.list_versions(&request_id, uri, name).await?;
        let mut found = machine.drift.clone();
        if !versions.is_empty() {
            found = assess(&machine, &versions, self.clock.now());
        } else if self.unhurried.find_deleted_secret(&request_id, uri, name).await?.is_some() {
            found.secret = SecretCondition::SoftDeleted;
        } else if machine.in_force.is_some() {
            let known = found.secret == SecretCondition::Missing;
            if !known && !self.store.note_missing(id, every, MISSING_AFTER).await? {
                return Ok(());
            }
            found.secret = SecretCondition::Missing;
            found.foreign_versions.clear();
        } else {
            found.secret = SecretCondition::Unchecked;
            found.foreign_versions.clear();
        }
        self.note(&machine, found).await
    }

    async fn note(&self, machine: &Machine, found: Drift) -> Result<(), Error> {
        let (was, is) = (findings(&machine.drift), findings(&found));
        let same_versions = machine.drift.foreign_versions == found.foreign_versions;
        if was == is && same_versions {
            return Ok(self.store.note_checked(machine.id, found.secret).await?);
        }
        let now = self.clock.now();
        let foreign = found.foreign_versions.iter().cloned();
        let named: Vec<_> = foreign.map(|version| machine.secret(version)).collect();
        let event = AuditEvent::by_system("check_drift", Outcome::Succeeded, now)
            .on_machine(machine.id)
            .naming(&named)
            .with("was", was)
            .with("is", is);
        let row = machine.clone();
        let recorded = self.audit.record_with(event, move |connection| {
            Box::pin(async move {
                let foreign = &found.foreign_versions;
                machines::record_drift(connection, &row, found.secret, foreign, now).await
            })
        });
        match recorded.await {
            Ok((_, machine)) => {
                let state = machine.state.name();
                tracing::info!(machine = %machine.id, state, "a check found a change");
                Ok(())
            }
            // It changed while it was looked at: the next check sees it as it is then.
            Err(NotRecorded::Refused(Refusal::Changed)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// In words for the log.
fn findings(drift: &Drift) -> String {
    let names: Vec<&str> = drift.findings().map(crate::domain::drift::Finding::name).collect();
    if names.is_empty() { "asItShouldBe".to_owned() } else { names.join(" ") }
}

/// Whether versions that MARS writes now may be its part of a rotation that is open.
fn is_rotating(machine: &Machine) -> bool {
    machine.state == MachineState::Rotating
}
