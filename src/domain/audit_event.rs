//! An audit event: who did what to which machine, why, and how it ended. Never a passphrase.
//!
//! The fields are an allow-list. Nothing of a request gets in here by being copied whole, so there is
//! nothing to redact (redaction by type has failed in other products, CVE-2025-62513).

use std::collections::BTreeMap;

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    caller::{Caller, RequestFacts},
    key_vault_id::{SecretIdentifier, SecretVersion},
    machine::MachineId,
    operation::Operation,
    principal::{Principal, PrincipalKind},
    reason::{Purpose, Reason},
    rotation::RotationId,
    secret_name::SecretName,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// On record before the effect, because the effect outlives us. Another event tells how it ended.
    Intended,
    Succeeded,
    /// A passphrase was released; `secrets` names each version.
    Released,
    /// The caller was not allowed to, or asked for what is not there.
    Denied,
    /// Allowed, but it did not work.
    Failed,
    /// Interrupted; nobody knows.
    Unknown,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Intended,
        Self::Succeeded,
        Self::Released,
        Self::Denied,
        Self::Failed,
        Self::Unknown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Succeeded => "succeeded",
            Self::Released => "released",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Actor {
    User {
        tenant_id: Uuid,
        object_id: Uuid,
        client_id: Option<String>,
        roles: Vec<&'static str>,
    },
    Application {
        tenant_id: Uuid,
        object_id: Uuid,
        client_id: Option<String>,
        roles: Vec<&'static str>,
    },
    /// No token, or none that could be believed.
    Anonymous,
    /// This service, finishing what was interrupted.
    System,
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        let (tenant_id, object_id) = (principal.tenant_id, principal.object_id);
        let (client_id, roles) = (principal.client_id.clone(), principal.roles.names());
        match principal.kind {
            PrincipalKind::User => Self::User { tenant_id, object_id, client_id, roles },
            PrincipalKind::Application => {
                Self::Application { tenant_id, object_id, client_id, roles }
            }
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedSecret {
    key_vault_uri: String,
    name: SecretName,
    version: SecretVersion,
}

/// One record of the log. Its canonical bytes (RFC 8785) are what is stored and hashed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    schema: u8,
    id: Uuid,
    operation_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_address: Option<String>,
    time: String,
    action: &'static str,
    outcome: Outcome,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_id: Option<MachineId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_id: Option<RotationId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<NamedSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    /// The code of the problem that the caller was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// How many alike events this one stands for; absent means one.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<&'static str, String>,
}

impl AuditEvent {
    fn new(
        action: &'static str,
        outcome: Outcome,
        actor: Actor,
        operation_id: Uuid,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            schema: 1,
            id: Uuid::now_v7(),
            operation_id,
            request_id: None,
            source_address: None,
            time: now.format(&Rfc3339).unwrap_or_default(),
            action,
            outcome,
            actor,
            machine_id: None,
            rotation_id: None,
            secrets: Vec::new(),
            reason: None,
            justification: None,
            ticket: None,
            problem: None,
            count: None,
            details: BTreeMap::new(),
        }
    }

    /// What `caller` did.
    pub fn by(caller: &Caller, outcome: Outcome, now: OffsetDateTime) -> Self {
        let actor = Actor::from(caller.principal());
        Self::new(caller.operation().id(), outcome, actor, caller.request().operation_id, now)
            .of(caller.request())
    }

    /// A call that was refused or failed, whoever made it.
    pub fn refusal(
        operation: Operation,
        actor: Actor,
        request: &RequestFacts,
        outcome: Outcome,
        problem: &'static str,
        now: OffsetDateTime,
    ) -> Self {
        let event =
            Self::new(operation.id(), outcome, actor, request.operation_id, now).of(request);
        Self { problem: Some(problem), ..event }
    }

    /// `count` calls without a believable token, in one event: a flood must not fill the log.
    pub fn anonymous_flood(
        operation: Operation,
        problem: &'static str,
        count: u64,
        now: OffsetDateTime,
    ) -> Self {
        let event =
            Self::new(operation.id(), Outcome::Denied, Actor::Anonymous, Uuid::now_v7(), now);
        Self { problem: Some(problem), count: Some(count), ..event }
    }

    /// What this service did of its own accord.
    pub fn by_system(action: &'static str, outcome: Outcome, now: OffsetDateTime) -> Self {
        Self::new(action, outcome, Actor::System, Uuid::now_v7(), now)
    }

    /// One of several events of the same work.
    #[must_use]
    pub fn of_operation(self, operation_id: Uuid) -> Self {
        Self { operation_id, ..self }
    }

    fn of(self, request: &RequestFacts) -> Self {
        Self {
            request_id: Some(request.request_id.clone()),
            source_address: request.source_address.clone(),
            ..self
        }
    }

    #[must_use]
    pub fn on_machine(self, id: MachineId) -> Self {
        Self { machine_id: Some(id), ..self }
    }

    #[must_use]
    pub fn on_rotation(self, id: RotationId) -> Self {
        Self { rotation_id: Some(id), ..self }
    }

    #[must_use]
    pub fn naming<'a>(mut self, secrets: impl IntoIterator<Item = &'a SecretIdentifier>) -> Self {
        self.secrets.extend(secrets.into_iter().map(|secret| NamedSecret {
            key_vault_uri: secret.key_vault.as_str().to_owned(),
            name: secret.name.clone(),
            version: secret.version.clone(),
        }));
        self
    }

    #[must_use]
    pub fn because(self, purpose: &Purpose) -> Self {
        Self {
            reason: Some(purpose.reason()),
            justification: Some(purpose.justification().to_owned()),
            ticket: purpose.ticket().map(str::to_owned),
            ..self
        }
    }

    /// A short fact with a fixed name. Never a passphrase, and never text of a caller unparsed.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.insert(name, value.into());
        self
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub fn action(&self) -> &'static str {
        self.action
    }
}
