//! `/v1/machines/{machineId}/retrievals`: a person reads a passphrase.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    App,
    codes::Code,
    extract::{InMachine, Json},
    passphrase::ReleasedPassphrase,
    problem::{Problem, ProblemBody},
    versions::status_name,
};
use crate::{
    broker::{
        Error,
        retrieval::{Candidate, Retrieved, Unreadable, WantedVersion, WhyUnreadable},
    },
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        reason::{Purpose, Reason},
    },
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetrievePassphraseRequest {
    #[schema(value_type = Option<ReasonName>)]
    reason: Option<ReasonName>,
    /// Why, in words for whoever reads the log: 10 to 500 characters, 20 at least with the reason `other`.
    #[schema(example = "Server lost to ransomware, restoring D: to srv-web02")]
    justification: Option<String>,
    /// Whether one is required, and its form, is configuration.
    #[schema(example = "INC0012345")]
    ticket: Option<String>,
    /// `latest` (when left out): the passphrase in force as this service knows it, not Key Vault's newest. Else the version's id, 32 hexadecimal digits.
    #[schema(example = "latest")]
    version: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum ReasonName {
    AlternateLocationRestore,
    MachineReinstall,
    RestoreDrill,
    Audit,
    Migration,
    LegalRequest,
    Other,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetrievalResponse {
    id: Uuid,
    machine_id: Uuid,
    passphrase: ReleasedPassphrase,
    secret_identifier: String,
    version: String,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    version_created_at: Option<OffsetDateTime>,
    /// `current`, `superseded` or `unconfirmed`.
    status: &'static str,
    /// Passphrases that were handed out and never confirmed: one of them may be what the machine uses. In the order to try.
    other_candidates: Vec<CandidateResponse>,
    /// Versions that belong here too and that Key Vault does not give: one of them may be what the machine uses. Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_candidates: Vec<UnreadableResponse>,
    audit_event: AuditEventReference,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CandidateResponse {
    passphrase: ReleasedPassphrase,
    version: String,
    secret_identifier: String,
    status: &'static str,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    collected_at: Option<OffsetDateTime>,
    hint: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnreadableResponse {
    version: String,
    secret_identifier: String,
    /// `current` or `unconfirmed`.
    status: &'static str,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    collected_at: Option<OffsetDateTime>,
    hint: &'static str,
}

/// Where the log tells of this release. It was there before this answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEventReference {
    sequence: i64,
    id: Uuid,
}

/// Releases a passphrase of a machine.
///
/// The log tells of the release, with every version that it names, before this answers; when the log
/// cannot be written, this answers 503 and releases nothing.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/retrievals", operation_id = "retrieve_passphrase", tag = "retrievals",
    params(("machineId" = Uuid, Path, description = "The machine")),
    request_body = RetrievePassphraseRequest,
    responses(
        (status = 201, description = "The passphrase, and what else to try.", body = RetrievalResponse),
        (status = 409, description = "`key-vault-secret-missing`, `key-vault-secret-disabled`, `key-vault-secret-soft-deleted` (391282)", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`reason-required`, `ticket-invalid`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retrieve_passphrase(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    Json(request): Json<RetrievePassphraseRequest>,
) -> Result<(StatusCode, axum::Json<RetrievalResponse>), Problem> {
    let wanted = match request.version.as_deref() {
        None | Some("latest") => WantedVersion::Latest,
        Some(version) => {
            let version = SecretVersion::parse(version);
            WantedVersion::Exactly(
                version.map_err(|error| Problem::at("/version", error.to_string()))?,
            )
        }
    };
    let purpose = request.purpose(&app)?;
    let retrieved = app.broker.retrieve_passphrase(&caller, path.machine, &purpose, wanted).await?;
    Ok((StatusCode::CREATED, axum::Json(retrieved.into())))
}

impl RetrievePassphraseRequest {
    fn purpose(&self, app: &App) -> Result<Purpose, Problem> {
        let reason = self
            .reason
            .ok_or_else(|| Problem::new(Code::ReasonRequired, "a reason is required"))?;
        let justification = self.justification.as_deref().unwrap_or_default();
        let rule = &app.broker.rules().ticket;
        let purpose = Purpose::parse(reason.into(), justification, self.ticket.as_deref(), rule);
        purpose.map_err(|error| Error::from(error).into())
    }
}

impl From<ReasonName> for Reason {
    fn from(name: ReasonName) -> Self {
        match name {
            ReasonName::AlternateLocationRestore => Self::AlternateLocationRestore,
            ReasonName::MachineReinstall => Self::MachineReinstall,
            ReasonName::RestoreDrill => Self::RestoreDrill,
            ReasonName::Audit => Self::Audit,
            ReasonName::Migration => Self::Migration,
            ReasonName::LegalRequest => Self::LegalRequest,
            ReasonName::Other => Self::Other,
        }
    }
}

impl From<Retrieved> for RetrievalResponse {
    fn from(retrieved: Retrieved) -> Self {
        let first = retrieved.first;
        Self {
            id: retrieved.event.event_id,
            machine_id: retrieved.machine.id.0,
            secret_identifier: first.identifier.to_string(),
            version: first.identifier.version.to_string(),
            version_created_at: first.created_at,
            status: status_name(first.status),
            passphrase: ReleasedPassphrase(first.passphrase),
            other_candidates: retrieved.others.into_iter().map(CandidateResponse::from).collect(),
            unreadable_candidates: retrieved
                .unreadable
                .into_iter()
                .map(UnreadableResponse::from)
                .collect(),
            audit_event: AuditEventReference {
                sequence: retrieved.event.sequence,
                id: retrieved.event.event_id,
            },
        }
    }
}

impl From<Unreadable> for UnreadableResponse {
    fn from(missing: Unreadable) -> Self {
        let hint = match missing.why {
            WhyUnreadable::Disabled => {
                "Disabled in Key Vault: ask its operators to enable this version, and retrieve again."
            }
            WhyUnreadable::SoftDeleted => {
                "Its secret is soft-deleted in Key Vault (391282): recover it (POST /v1/machines/{machineId}/recover), and retrieve again."
            }
            WhyUnreadable::NotThere => {
                "Not in Key Vault: ask its operators what became of the secret, and retrieve again."
            }
        };
        Self {
            version: missing.identifier.version.to_string(),
            secret_identifier: missing.identifier.to_string(),
            status: status_name(missing.status),
            collected_at: missing.collected_at,
            hint,
        }
    }
}

impl From<Candidate> for CandidateResponse {
    fn from(candidate: Candidate) -> Self {
        let hint = if candidate.collected_at.is_some() {
            "Handed to the machine, which never confirmed it: try it when the passphrases before it do not open the backup."
        } else {
            "Written to the machine's secret by MARS or somebody else, and never confirmed here: try it when the passphrases before it do not open the backup."
        };
        Self {
            version: candidate.identifier.version.to_string(),
            secret_identifier: candidate.identifier.to_string(),
            status: status_name(candidate.status),
            collected_at: candidate.collected_at,
            hint,
            passphrase: ReleasedPassphrase(candidate.passphrase),
        }
    }
}
