//! Coverage as CSV (RFC 4180), some rows at a time: however many machines there are, few are in memory.
//!
//! Names come from ARM and from callers, and a spreadsheet takes some texts for formulas. Every field is in
//! quotes, so that no list separator begins another one, and a dangerous one begins with an apostrophe.

use std::{collections::HashMap, io, sync::Arc};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::response::{inventory, reasons, spelled};
use crate::{
    broker::{
        Error,
        coverage::{CoveragePage, CoveragePosition, CoverageRow, Inventory},
    },
    domain::{caller::Caller, recovery_services_vault::RecoveryServicesVaultId},
    http::App,
};

const ROWS_AT_ONCE: i64 = 500;
/// Of as many Recovery Services vaults; the rest is asked for again.
const MOST_REMEMBERED: usize = 5_000;

const COLUMNS: [&str; 15] = [
    "recoveryServicesVaultId",
    "fqdn",
    "machineId",
    "state",
    "retrievable",
    "reasons",
    "secretName",
    "agentVersion",
    "registrationStatus",
    "inForceSince",
    "lastRotatedAt",
    "lastRetrievedAt",
    "lastCheckedAt",
    "inventory",
    "inventoryReadAt",
];

struct Report {
    app: Arc<App>,
    caller: Caller,
    only: Option<RecoveryServicesVaultId>,
    /// None: the heading comes first.
    at: Option<CoveragePosition>,
    known: HashMap<String, Inventory>,
}

/// An error cuts the connection, so that half a report is never taken for a whole one.
pub(super) fn stream(
    app: Arc<App>,
    caller: Caller,
    only: Option<RecoveryServicesVaultId>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let report = Report { app, caller, only, at: None, known: HashMap::new() };
    stream::try_unfold(Some(report), |report| async move {
        let Some(mut report) = report else { return Ok(None) };
        let Some(from) = report.at.take() else {
            report.at = Some(CoveragePosition::start());
            return Ok(Some((Bytes::from(line(&COLUMNS.map(str::to_owned))), Some(report))));
        };
        let (rows, next) = report.rows(from).await.map_err(|error| {
            tracing::error!(%error, "a report was cut short");
            io::Error::other("the report was cut short")
        })?;
        report.at = next;
        let left = report.at.is_some().then_some(report);
        Ok(Some((Bytes::from(rows), left)))
    })
}

impl Report {
    async fn rows(
        &mut self,
        from: CoveragePosition,
    ) -> Result<(String, Option<CoveragePosition>), Error> {
        let only = self.only.as_ref();
        let page = self.app.broker.show_coverage(&self.caller, only, from, ROWS_AT_ONCE).await?;
        self.learn(&page).await?;
        let mut text = String::new();
        for row in &page.rows {
            text.push_str(&line(&fields(row, self.known.get(&row.folded_id))));
        }
        for folded in &page.empty {
            text.push_str(&line(&of_empty(folded, self.known.get(folded))));
        }
        Ok((text, page.next))
    }

    async fn learn(&mut self, page: &CoveragePage) -> Result<(), Error> {
        if self.known.len() > MOST_REMEMBERED {
            self.known.clear();
        }
        let mut ids = page.recovery_services_vaults();
        ids.retain(|id| !self.known.contains_key(id));
        if !ids.is_empty() {
            let found = self.app.broker.list_inventories(&self.caller, &ids).await?;
            self.known.extend(found.into_iter().map(|one| (one.folded_id.clone(), one)));
        }
        Ok(())
    }
}

fn fields(row: &CoverageRow, known: Option<&Inventory>) -> [String; COLUMNS.len()] {
    let [status, read_at] = of_inventory(known);
    [
        spelled(&row.folded_id, known),
        row.fqdn.clone(),
        row.machine.map(|(id, _)| id.to_string()).unwrap_or_default(),
        row.machine.map(|(_, state)| state.name().to_owned()).unwrap_or_default(),
        if row.retrievable { "yes" } else { "no" }.to_owned(),
        reasons(row).join(" "),
        row.secret_name.clone().unwrap_or_default(),
        row.agent_version.clone().unwrap_or_default(),
        row.registration_status.clone().unwrap_or_default(),
        moment(row.in_force_since),
        moment(row.last_rotated_at),
        moment(row.last_retrieved_at),
        moment(row.last_checked_at),
        status,
        read_at,
    ]
}

/// One of which no machine is known: its line says whether that is so or cannot be known.
fn of_empty(folded: &str, known: Option<&Inventory>) -> [String; COLUMNS.len()] {
    let mut fields = <[String; COLUMNS.len()]>::default();
    let [status, read_at] = of_inventory(known);
    let unknown = status.starts_with("unknown");
    fields[0] = spelled(folded, known);
    if unknown {
        "unknown".clone_into(&mut fields[4]);
    }
    fields[13] = status;
    fields[14] = read_at;
    fields
}

fn of_inventory(known: Option<&Inventory>) -> [String; 2] {
    let (status, reason) = inventory(known);
    let status = reason.map_or_else(|| status.to_owned(), |reason| format!("{status}: {reason}"));
    [status, moment(known.and_then(|known| known.containers_read_at))]
}

fn moment(at: Option<OffsetDateTime>) -> String {
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn line(fields: &[String; COLUMNS.len()]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    quoted.join(",") + "\r\n"
}

fn quote(field: &str) -> String {
    let starts_formula = |c: char| {
        matches!(
            c,
            '=' | '+'
                | '-'
                | '@'
                | '\t'
                | '\r'
                | '\n'
                | '\u{ff1d}'
                | '\u{ff0b}'
                | '\u{ff0d}'
                | '\u{ff20}'
        )
    };
    let guard = if field.starts_with(starts_formula) { "'" } else { "" };
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_begins_with_an_apostrophe() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\u{ff1d}1"] {
            assert_eq!(quote(formula), format!("\"'{formula}\""));
        }
        assert_eq!(quote("web01"), "\"web01\"");
        assert_eq!(quote("a;=cmd,\"b\"\n"), "\"a;=cmd,\"\"b\"\"\n\"");
        assert_eq!(quote(""), "\"\"");
    }

    #[test]
    fn a_line_has_every_column_and_ends_as_rfc_4180_says() {
        let heading = line(&COLUMNS.map(str::to_owned));
        assert!(heading.ends_with("\"inventoryReadAt\"\r\n"));
        assert_eq!(heading.matches(',').count(), COLUMNS.len() - 1);
        let empty = line(&of_empty("/subscriptions/x", None));
        assert!(empty.contains("\"unknown\"") && empty.contains("not asked yet"), "{empty}");
    }
}
