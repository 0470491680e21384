//! Preflight: which of Microsoft's errors is about to be met, proved, with the commands that mend it.
//!
//! Pure: [`facts`] is what was asked and seen, and [`report`] judges it. One file per subject, one function
//! per check, and nothing is `pass` that was not proved. The checks are those of the how-to that MARS's
//! users are given, with its faults left out.

mod access;
mod broker_rights;
mod commands;
pub mod facts;
mod key_vault;
mod machine;
mod network;
mod permission;
mod recovery_services;
mod remedies;
mod roles;
mod secret;
mod service;
mod uri;
mod wording;

use crate::domain::key_vault_id::KeyVaultUri;
use facts::{Facts, Seen, Source};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How a check ended. In the order in which the worst decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not applicable, or nothing was given to check it with.
    Skipped,
    Pass,
    Warn,
    /// It could not be proved, which is never a pass.
    Unknown,
    Fail,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Skipped, Self::Pass, Self::Warn, Self::Unknown, Self::Fail];

    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

/// For whom a remedy is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    Az,
    PowerShell,
    Portal,
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Self::Az => "az",
            Self::PowerShell => "powershell",
            Self::Portal => "portal",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    pub client: Client,
    pub text: String,
    /// To be pasted in this order. For the portal there are none.
    pub commands: Vec<String>,
}

/// Something that was seen, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub fact: String,
    /// None: it was computed, or given with the request.
    pub source: Option<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `PF-01` and so on.
    pub id: &'static str,
    pub title: &'static str,
    pub status: Status,
    /// What MARS shows when this is wrong: a number, or its words where it has no number.
    pub mars_error_code: Option<&'static str>,
    pub cause: Option<String>,
    pub evidence: Vec<Evidence>,
    pub remedies: Vec<Remedy>,
}

impl Check {
    fn new(id: &'static str, title: &'static str) -> Self {
        Self {
            id,
            title,
            status: Status::Skipped,
            mars_error_code: None,
            cause: None,
            evidence: Vec::new(),
            remedies: Vec::new(),
        }
    }

    /// The error that MARS shows if this goes wrong. Told with every outcome but a pass.
    fn mars(mut self, code: &'static str) -> Self {
        self.mars_error_code = Some(code);
        self
    }

    fn ended(mut self, status: Status, cause: impl Into<String>) -> Self {
        (self.status, self.cause) = (status, Some(cause.into()));
        self
    }

    fn pass(self, cause: impl Into<String>) -> Self {
        self.ended(Status::Pass, cause)
    }

    fn warn(self, cause: impl Into<String>) -> Self {
        self.ended(Status::Warn, cause)
    }

    fn fail(self, cause: impl Into<String>) -> Self {
        self.ended(Status::Fail, cause)
    }

    fn unknown(self, cause: impl Into<String>) -> Self {
        self.ended(Status::Unknown, cause)
    }

    fn skipped(self, cause: impl Into<String>) -> Self {
        self.ended(Status::Skipped, cause)
    }

    /// What could not be read is unknown, and says what this service lacks; what nobody asked is skipped.
    fn unproven<T>(self, seen: &Seen<T>) -> Self {
        match seen {
            Seen::Forbidden { action, source } => self
                .unknown(format!(
                    "This service may not read this in Azure: its identity lacks {action}."
                ))
                .with(format!("missing permission: {action}"), source.clone()),
            Seen::Unreadable { why, source } => self
                .unknown(format!("Azure gave no usable answer: {why}."))
                .with(why.clone(), source.clone()),
            // A search leaves out what one may not read.
            Seen::Absent(source) if source.status == Some(200) => self
                .unknown("It could not be found: Azure lists it in no subscription where this service may read it; see PF-04.")
                .with("not among what Azure lists", source.clone()),
            Seen::Absent(source) | Seen::Found(_, source) => self
                .unknown("It could not be read: Azure knows no such resource.")
                .with("Azure knows no such resource", source.clone()),
            Seen::NotAsked(reason) => self.skipped(*reason),
            Seen::Closed(reason) => self.unknown(*reason),
        }
    }

    fn with(mut self, fact: impl Into<String>, source: impl Into<Option<Source>>) -> Self {
        self.evidence.push(Evidence { fact: fact.into(), source: source.into() });
        self
    }

    fn mend(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub overall: Status,
    pub checks: Vec<Check>,
}

/// The Key Vault URI that a text is, if it is one of the public cloud's.
pub fn key_vault_uri(text: &str) -> Option<KeyVaultUri> {
    uri::diagnose(text).ok()
}

/// Judges what was seen. `now` decides which role assignments are young.
pub fn report(facts: &Facts, now: OffsetDateTime) -> Report {
    let mut checks = vec![
        uri::format(facts),
        uri::cloud(facts),
        secret::name(facts),
        key_vault::exists(facts),
        key_vault::soft_deleted(facts),
        recovery_services::exists(facts),
        recovery_services::identity(facts),
        recovery_services::tenant(facts),
        access::set_permission(facts, now),
        access::excess(facts, now),
        key_vault::soft_delete(facts),
        key_vault::purge_protection(facts),
        secret::soft_deleted(facts),
        secret::state(facts, now),
        network::network(facts),
        broker_rights::rights(facts, now),
        machine::agent_version(facts),
        machine::registered(facts),
        recovery_services::security_pin(facts),
        access::propagation(facts, now),
        access::deny_assignments(facts, now),
        key_vault::diagnostics(facts),
        service::one_key_vault(facts),
        service::api_versions(facts),
        service::clock(facts),
        key_vault::region(facts),
    ];
    for check in &mut checks {
        if matches!(check.status, Status::Pass | Status::Skipped) {
            check.mars_error_code = None;
            check.remedies.clear();
        }
    }
    // Skipped alone proves nothing: a report in which nothing was checked is no pass.
    let overall = checks.iter().map(|check| check.status).max().unwrap_or(Status::Skipped);
    let overall = if overall == Status::Skipped { Status::Unknown } else { overall };
    Report { overall, checks }
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests;
