//! What a scan proposes, and what became of what was accepted.

use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    broker::{
        Rules,
        adoption::{Accepted, Candidate, Confidence, Proposal, ScanPosition, Scanned, SecretState},
    },
    domain::{caller::Caller, key_vault_id::KeyVaultUri, secret_name::SecretName},
    http::{
        App,
        machines::MachineResponse,
        problem::{Problem, ProblemBody},
    },
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AdoptionProposals {
    items: Vec<ProposalResponse>,
    /// Secrets of any kind that were listed by now, by all calls of this scan.
    scanned: u64,
    /// Absent when all was scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ProposalResponse {
    secret_name: String,
    /// `enabled`; `disabled`: its newest version is; `softDeleted`: it has to be recovered first.
    state: &'static str,
    /// `high`: the name of exactly one known machine, written in one of MARS's ways. `medium`: a known Recovery Services vault is at its end, and whose the rest is could not be asked. `low`: somebody has to look; also when the machine is certain and the newest version is disabled.
    confidence: &'static str,
    reason: String,
    /// Only when there is exactly one candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fqdn: Option<String>,
    /// Only when there is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_services_vault_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    /// The name without its prefix and the Recovery Services vault: not taken apart, and no fqdn is guessed from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_part: Option<String>,
    /// When several fit: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<AdoptionCandidate>,
    /// When several Recovery Services vaults fit: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery_services_vault_ids: Vec<String>,
    /// Other names under which MARS may have saved the same machine's passphrase. When one of them is among the items, too, somebody has to choose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_names: Vec<String>,
    /// The machine that has this secret already.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_id: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    updated_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    deleted_at: Option<OffsetDateTime>,
    /// Until when it can be recovered.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    purged_at: Option<OffsetDateTime>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AdoptionCandidate {
    fqdn: String,
    recovery_services_vault_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    /// Whether it is registered here, with another secret.
    registered: bool,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AdoptionOutcomes {
    items: Vec<AdoptionOutcome>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AdoptionOutcome {
    secret_name: String,
    /// 201: registered now. 200: by an earlier request. Else the problem's.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<MachineResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

impl AdoptionProposals {
    pub(super) fn of(caller: &Caller, app: &App, uri: &KeyVaultUri, scanned: Scanned) -> Self {
        let seal = |position: ScanPosition| app.cursors.seal(caller, &position.written(uri));
        Self {
            items: scanned.proposals.into_iter().map(ProposalResponse::from).collect(),
            scanned: scanned.scanned,
            next_cursor: scanned.next.map(seal),
        }
    }
}

impl From<Proposal> for ProposalResponse {
    fn from(proposal: Proposal) -> Self {
        let mut candidates = proposal.candidates;
        let chosen = if candidates.len() == 1 { candidates.pop() } else { None };
        let mut ids: Vec<String> =
            proposal.recovery_services_vault_ids.iter().map(ToString::to_string).collect();
        let id = if ids.len() == 1 { ids.pop() } else { None };
        Self {
            secret_name: proposal.secret_name.to_string(),
            state: match proposal.state {
                SecretState::Enabled => "enabled",
                SecretState::Disabled => "disabled",
                SecretState::SoftDeleted => "softDeleted",
            },
            confidence: match proposal.confidence {
                Confidence::High => "high",
                Confidence::Medium => "medium",
                Confidence::Low => "low",
            },
            reason: proposal.reason,
            agent_version: chosen.as_ref().and_then(|only| only.agent_version.clone()),
            fqdn: chosen.map(|only| only.fqdn),
            recovery_services_vault_id: id,
            machine_part: proposal.machine_part,
            candidates: candidates.into_iter().map(AdoptionCandidate::from).collect(),
            recovery_services_vault_ids: ids,
            other_names: proposal.other_names.iter().map(ToString::to_string).collect(),
            machine_id: proposal.machine_id.map(|id| id.0),
            created_at: proposal.created_at,
            updated_at: proposal.updated_at,
            deleted_at: proposal.deleted_at,
            purged_at: proposal.purged_at,
        }
    }
}

impl From<Candidate> for AdoptionCandidate {
    fn from(candidate: Candidate) -> Self {
        Self {
            fqdn: candidate.fqdn,
            recovery_services_vault_id: candidate.recovery_services_vault_id.to_string(),
            agent_version: candidate.agent_version,
            registered: candidate.registered,
        }
    }
}

impl AdoptionOutcomes {
    pub(super) fn of(
        told: Vec<(SecretName, Result<Accepted, Problem>)>,
        rules: &Rules,
        request_id: &str,
    ) -> Self {
        let outcome = |(name, result): (SecretName, Result<Accepted, Problem>)| {
            let (status, machine, problem) = match result {
                Ok(Accepted { machine, already }) => {
                    let status = if already { StatusCode::OK } else { StatusCode::CREATED };
                    (status, Some(MachineResponse::of(&machine, rules)), None)
                }
                Err(problem) => (problem.code.status(), None, Some(problem.body(request_id))),
            };
            AdoptionOutcome {
                secret_name: name.to_string(),
                status: status.as_u16(),
                machine,
                problem,
            }
        };
        Self { items: told.into_iter().map(outcome).collect() }
    }
}
