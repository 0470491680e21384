//! `show_coverage`: which machines have a passphrase that can be retrieved, which have none and why, for each
//! Recovery Services vault. What ARM did not tell is said to be unknown.
//!
//! A report has as many rows as there are machines, so it is made a page at a time, from the database alone:
//! the checks keep it up to date, and each row says as of when it holds.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Broker, Error};
use crate::{
    domain::{
        caller::Caller,
        drift::Finding,
        machine::{MachineId, MachineState},
        recovery_services_vault::RecoveryServicesVaultId,
    },
    store::coverage::{CoveredMachine, UnregisteredContainer},
};

pub use crate::store::coverage::{CoverageCounts, Inventory};

/// Recovery Services vaults that ARM was never asked about are, before the first page.
const MOST_ASKED: i64 = 60;
const BUDGET: Duration = Duration::from_secs(4);

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoveragePosition {
    Machines { folded_id: String, id: Uuid },
    Containers { folded_id: String, name: String },
    Empty { folded_id: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// MARS knows the machine, and nobody has registered it here.
    NotRegistered,
    AwaitingPassphrase,
    /// The last check found it.
    Found(Finding),
}

#[derive(Debug, Clone)]
pub struct CoverageRow {
    pub folded_id: String,
    pub fqdn: String,
    pub machine: Option<(MachineId, MachineState)>,
    pub secret_name: Option<String>,
    pub retrievable: bool,
    /// Why it is not retrievable; also what the last check found of one that is.
    pub gaps: Vec<Gap>,
    pub agent_version: Option<String>,
    /// What ARM says of the machine; none: it does not name it.
    pub registration_status: Option<String>,
    pub in_force_since: Option<OffsetDateTime>,
    pub last_rotated_at: Option<OffsetDateTime>,
    pub last_retrieved_at: Option<OffsetDateTime>,
    pub last_checked_at: Option<OffsetDateTime>,
}

#[derive(Debug)]
pub struct CoveragePage {
    pub rows: Vec<CoverageRow>,
    /// Of which no machine is known: folded ids.
    pub empty: Vec<String>,
    pub next: Option<CoveragePosition>,
}

impl CoveragePage {
    /// Every Recovery Services vault that it speaks of: folded ids.
    pub fn recovery_services_vaults(&self) -> BTreeSet<String> {
        let ids = self.rows.iter().map(|row| &row.folded_id).chain(&self.empty);
        ids.cloned().collect()
    }
}

impl CoveragePosition {
    pub fn start() -> Self {
        Self::Machines { folded_id: String::new(), id: Uuid::nil() }
    }
}

impl Broker {
    /// Asks ARM about what it was never asked about: a first report would say "unknown" of everything.
    pub async fn refresh_coverage(&self, caller: &Caller) {
        let asked = self.ask_about_stale(caller.tenant_id(), MOST_ASKED);
        if tokio::time::timeout(BUDGET, asked).await.is_err() {
            tracing::info!("ARM was not asked about everything before a report");
        }
    }

    /// At most `limit` rows from here on: machines, then those that only ARM knows, then Recovery Services
    /// vaults of which no machine is known.
    pub async fn show_coverage(
        &self,
        caller: &Caller,
        only: Option<&RecoveryServicesVaultId>,
        from: CoveragePosition,
        limit: i64,
    ) -> Result<CoveragePage, Error> {
        let (tenant_id, only) = (caller.tenant_id(), only.map(RecoveryServicesVaultId::folded));
        let only = only.as_deref();
        let (mut rows, mut empty, mut at) = (Vec::new(), Vec::new(), from);
        let next = loop {
            let room = limit - i64::try_from(rows.len() + empty.len()).unwrap_or(limit);
            let left = room.max(1);
            let (more, next) = match &at {
                CoveragePosition::Machines { folded_id, id } => {
                    let found = self
                        .store
                        .list_covered_machines(tenant_id, only, (folded_id, *id), left)
                        .await?;
                    let last = found.last().map(|machine| CoveragePosition::Machines {
                        folded_id: machine.folded_id.clone(),
                        id: machine.id.0,
                    });
                    let full = is_full(found.len(), left);
                    rows.extend(self.with_last_retrievals(found).await?);
                    let after = || CoveragePosition::Containers {
                        folded_id: String::new(),
                        name: String::new(),
                    };
                    (full, last.filter(|_| full).unwrap_or_else(after))
                }
                CoveragePosition::Containers { folded_id, name } => {
                    let found = self
                        .store
                        .list_unregistered_containers(tenant_id, only, (folded_id, name), left)
                        .await?;
                    let last = found.last().map(|container| CoveragePosition::Containers {
                        folded_id: container.folded_id.clone(),
                        name: container.name.clone(),
                    });
                    let full = is_full(found.len(), left);
                    rows.extend(found.into_iter().map(CoverageRow::from));
                    let after = || CoveragePosition::Empty { folded_id: String::new() };
                    (full, last.filter(|_| full).unwrap_or_else(after))
                }
                CoveragePosition::Empty { folded_id } => {
                    let found = self
                        .store
                        .list_empty_recovery_services_vaults(tenant_id, only, folded_id, left)
                        .await?;
                    let full = is_full(found.len(), left);
                    let last = found.last().cloned();
                    empty.extend(found);
                    match last.filter(|_| full) {
                        Some(folded_id) => (true, CoveragePosition::Empty { folded_id }),
                        None => break None,
                    }
                }
            };
            if more {
                break Some(next);
            }
            at = next;
        };
        Ok(CoveragePage { rows, empty, next })
    }

    /// What ARM told of these (folded ids): whether a report on them is complete.
    pub async fn list_inventories(
        &self,
        caller: &Caller,
        ids: &BTreeSet<String>,
    ) -> Result<Vec<Inventory>, Error> {
        let ids: Vec<String> = ids.iter().cloned().collect();
        Ok(self.store.list_inventories(caller.tenant_id(), &ids).await?)
    }

    pub async fn count_coverage(
        &self,
        caller: &Caller,
        ids: &BTreeSet<String>,
    ) -> Result<Vec<CoverageCounts>, Error> {
        let ids: Vec<String> = ids.iter().cloned().collect();
        Ok(self.store.count_coverage(caller.tenant_id(), &ids).await?)
    }

    async fn with_last_retrievals(
        &self,
        machines: Vec<CoveredMachine>,
    ) -> Result<Vec<CoverageRow>, Error> {
        let ids: Vec<MachineId> = machines.iter().map(|machine| machine.id).collect();
        let last: HashMap<MachineId, OffsetDateTime> = self.audit.last_retrievals(&ids).await?;
        let row = |machine: CoveredMachine| {
            let last_retrieved_at = last.get(&machine.id).copied();
            CoverageRow { last_retrieved_at, ..CoverageRow::from(machine) }
        };
        Ok(machines.into_iter().map(row).collect())
    }
}

fn is_full(found: usize, room: i64) -> bool {
    i64::try_from(found).is_ok_and(|found| found >= room)
}

impl From<CoveredMachine> for CoverageRow {
    fn from(machine: CoveredMachine) -> Self {
        let in_force = machine.current_version_since;
        let awaiting = in_force.is_none().then_some(Gap::AwaitingPassphrase);
        Self {
            folded_id: machine.folded_id,
            fqdn: machine.fqdn,
            machine: Some((machine.id, machine.state)),
            secret_name: Some(machine.secret_name),
            retrievable: in_force.is_some() && machine.drift.is_readable(),
            gaps: awaiting.into_iter().chain(machine.drift.findings().map(Gap::Found)).collect(),
            agent_version: machine.agent_version,
            registration_status: machine.registration_status,
            in_force_since: in_force,
            last_rotated_at: in_force.filter(|_| machine.rotated),
            last_retrieved_at: None,
            last_checked_at: machine.drift.checked_at,
        }
    }
}

impl From<UnregisteredContainer> for CoverageRow {
    fn from(container: UnregisteredContainer) -> Self {
        Self {
            folded_id: container.folded_id,
            fqdn: container.name,
            machine: None,
            secret_name: None,
            retrievable: false,
            gaps: vec![Gap::NotRegistered],
            agent_version: container.agent_version,
            registration_status: Some(container.registration_status.unwrap_or_default()),
            in_force_since: None,
            last_rotated_at: None,
            last_retrieved_at: None,
            last_checked_at: None,
        }
    }
}
