//! What a page of coverage says.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    broker::coverage::{CoverageCounts, CoveragePage, CoverageRow, Gap, Inventory},
    domain::recovery_services_vault::RecoveryServicesVaultId,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct CoverageResponse {
    items: Vec<CoverageItem>,
    /// Those of this page's items, and those of which no machine is known.
    recovery_services_vaults: Vec<CoveredRecoveryServicesVault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct CoverageItem {
    recovery_services_vault_id: String,
    fqdn: String,
    /// Absent when only ARM knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Whether a passphrase is in force and, as far as the last check knows, can be read.
    retrievable: bool,
    /// Why not, or what else was found: `notRegistered`, `awaitingPassphrase`, and a machine's `findings`.
    reasons: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_name: Option<String>,
    /// ARM's, else the registered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    /// What ARM says, such as `Registered`; absent when it does not name the machine, or was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_status: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    in_force_since: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    last_rotated_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    last_retrieved_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    last_checked_at: Option<OffsetDateTime>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct CoveredRecoveryServicesVault {
    id: String,
    /// `complete`: ARM told every machine that is registered there. `unknown`: it did not when it was last asked; there may be machines that nobody here knows.
    inventory: &'static str,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When ARM last told.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    read_at: Option<OffsetDateTime>,
    /// Its system-assigned identity, by which MARS saves passphrases: `present`, `absent`, `vanished` or `unknown`.
    identity: String,
    registered: i64,
    retrievable: i64,
    not_retrievable: i64,
    /// Machines that only ARM knows; absent when it never told.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_registered: Option<i64>,
}

/// Whether ARM told all, and else why not.
pub(super) fn inventory(of: Option<&Inventory>) -> (&'static str, Option<String>) {
    match of {
        Some(Inventory { containers_read_at: Some(_), unreadable: None, .. }) => ("complete", None),
        Some(Inventory { unreadable: Some(why), .. }) => ("unknown", Some(why.clone())),
        _ => ("unknown", Some("ARM was not asked yet".to_owned())),
    }
}

pub(super) fn reasons(row: &CoverageRow) -> Vec<&'static str> {
    let name = |gap: &Gap| match gap {
        Gap::NotRegistered => "notRegistered",
        Gap::AwaitingPassphrase => "awaitingPassphrase",
        Gap::Found(finding) => finding.name(),
    };
    row.gaps.iter().map(name).collect()
}

/// An id as it is spelled, when that is known.
pub(super) fn spelled(folded: &str, inventory: Option<&Inventory>) -> String {
    let spelled = inventory.map_or(folded, |inventory| inventory.id.as_str());
    RecoveryServicesVaultId::parse(spelled).map_or_else(|_| spelled.to_owned(), |id| id.to_string())
}

impl CoverageResponse {
    pub(super) fn of(
        page: &CoveragePage,
        inventories: &[Inventory],
        counts: &[CoverageCounts],
        next_cursor: Option<String>,
    ) -> Self {
        let known = |folded: &str| inventories.iter().find(|one| one.folded_id == folded);
        let items = page.rows.iter().map(|row| CoverageItem::of(row, known(&row.folded_id)));
        Self {
            items: items.collect(),
            recovery_services_vaults: counts
                .iter()
                .map(|count| CoveredRecoveryServicesVault::of(count, known(&count.folded_id)))
                .collect(),
            next_cursor,
        }
    }
}

impl CoverageItem {
    fn of(row: &CoverageRow, inventory: Option<&Inventory>) -> Self {
        Self {
            recovery_services_vault_id: spelled(&row.folded_id, inventory),
            fqdn: row.fqdn.clone(),
            machine_id: row.machine.map(|(id, _)| id.0),
            state: row.machine.map(|(_, state)| state.name()),
            retrievable: row.retrievable,
            reasons: reasons(row),
            secret_name: row.secret_name.clone(),
            agent_version: row.agent_version.clone(),
            registration_status: row.registration_status.clone(),
            in_force_since: row.in_force_since,
            last_rotated_at: row.last_rotated_at,
            last_retrieved_at: row.last_retrieved_at,
            last_checked_at: row.last_checked_at,
        }
    }
}

impl CoveredRecoveryServicesVault {
    fn of(count: &CoverageCounts, known: Option<&Inventory>) -> Self {
        let (inventory, reason) = inventory(known);
        let read_at = known.and_then(|known| known.containers_read_at);
        Self {
            id: spelled(&count.folded_id, known),
            inventory,
            reason,
            read_at,
            identity: known.map_or_else(|| "unknown".to_owned(), |known| known.identity.clone()),
            registered: count.registered,
            retrievable: count.retrievable,
            not_retrievable: count.registered - count.retrievable,
            not_registered: read_at.map(|_| count.unregistered),
        }
    }
}
