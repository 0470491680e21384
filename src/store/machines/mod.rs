//! Table `machines`: [`read`] takes the store, [`write`] a connection of an audited transaction.

mod drift;
mod overview;
mod read;
mod recovery;
mod row;
mod write;

pub use drift::record_drift;
pub use recovery::{OpenRecovery, begin_recovery, end_recovery};
pub use write::{
    complete_registration, insert_machine, retire_machine, settle_state, take_registration_over,
    update_machine, withdraw_registration,
};

use std::time::Duration;

use uuid::Uuid;

pub(super) use write::put_in_force;

use super::Error;
use crate::domain::{
    machine::{MachineId, MachineState},
    recovery_services_vault::RecoveryServicesVaultId,
};

/// Why a machine's row was not written.
#[derive(Debug)]
pub enum Refusal {
    /// The same fqdn and Recovery Services vault.
    MachineExists,
    SecretNameTaken,
    /// The agent's identity is bound to another machine.
    AgentTaken,
    /// The row is not as the caller last saw it.
    Changed,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.violated() {
            Some("machines_one_per_fqdn_and_vault") => Self::MachineExists,
            Some("machines_one_per_secret") => Self::SecretNameTaken,
            Some("machines_one_per_agent") => Self::AgentTaken,
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

/// Who is writing a machine's first passphrase.
#[derive(Debug, Clone, Copy)]
pub struct Registering {
    pub operation: Uuid,
    /// Since the last attempt began.
    pub age: Duration,
}

/// A page of machines, oldest first.
#[derive(Debug, Clone)]
pub struct MachineFilter {
    pub tenant_id: Uuid,
    /// Part of a name, a secret's name or a tag.
    pub search: Option<String>,
    pub state: Option<MachineState>,
    pub recovery_services_vault_id: Option<RecoveryServicesVaultId>,
    /// Only machines after this one: the page's cursor.
    pub after: Option<MachineId>,
}
