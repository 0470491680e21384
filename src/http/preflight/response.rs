//! A report as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::preflight::{Check, Evidence, Remedy, Report, facts::Source};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ReportResponse {
    /// The worst of the checks: `fail`, `unknown`, `warn`, `pass`.
    #[schema(example = "fail")]
    overall: &'static str,
    checks: Vec<CheckResponse>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckResponse {
    #[schema(example = "PF-07")]
    id: &'static str,
    title: &'static str,
    /// `pass`, `warn`, `fail`, `unknown` or `skipped`.
    status: &'static str,
    /// What MARS shows for this: a number such as 391224, or its words where it has no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    mars_error_code: Option<&'static str>,
    /// In plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    evidence: Vec<EvidenceResponse>,
    remediation: Vec<RemedyResponse>,
}

/// Something that was seen, and the call that showed it; without a call it was computed or given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EvidenceResponse {
    fact: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// The HTTP status; left out when there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    /// Azure's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Azure's id of the request, for Microsoft's support.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_milliseconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct RemedyResponse {
    /// `az`, `powershell` or `portal`.
    client: &'static str,
    text: String,
    /// To be pasted in this order.
    commands: Vec<String>,
}

impl From<&Report> for ReportResponse {
    fn from(report: &Report) -> Self {
        let checks = report.checks.iter().map(CheckResponse::from).collect();
        Self { overall: report.overall.name(), checks }
    }
}

impl From<&Check> for CheckResponse {
    fn from(check: &Check) -> Self {
        Self {
            id: check.id,
            title: check.title,
            status: check.status.name(),
            mars_error_code: check.mars_error_code,
            cause: check.cause.clone(),
            evidence: check.evidence.iter().map(EvidenceResponse::from).collect(),
            remediation: check.remedies.iter().map(RemedyResponse::from).collect(),
        }
    }
}

impl From<&Evidence> for EvidenceResponse {
    fn from(evidence: &Evidence) -> Self {
        let source = evidence.source.as_ref();
        let of = |part: fn(&Source) -> Option<String>| source.and_then(part);
        Self {
            fact: evidence.fact.clone(),
            call: of(|source| Some(source.call.clone())),
            http_status: source.and_then(|source| source.status),
            code: of(|source| source.code.clone()),
            request_id: of(|source| source.request_id.clone()),
            duration_milliseconds: source.map(|source| source.milliseconds),
        }
    }
}

impl From<&Remedy> for RemedyResponse {
    fn from(remedy: &Remedy) -> Self {
        Self {
            client: remedy.client.name(),
            text: remedy.text.clone(),
            commands: remedy.commands.clone(),
        }
    }
}
