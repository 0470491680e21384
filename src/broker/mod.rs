//! The use cases: the only room in which PostgreSQL, Key Vault and the log are combined. One file per
//! noun, one public method per operation, named like the operation.
//!
//! Every use case takes a [`Caller`], which exists only when permitted, and puts its outcome on record
//! before it answers. What it refuses, [`Broker::record_refusal`] puts there.

pub mod adoption;
pub mod agent_tasks;
pub mod audit_events;
pub mod audit_proofs;
mod behalf;
pub mod checkpoints;
pub mod coverage;
mod drift;
mod error;
mod idempotency;
pub mod machines;
mod preflight;
mod readiness;
pub mod reconcile;
pub mod recovery;
pub mod registration;
pub mod retrieval;
pub mod rotation;
pub mod versions;

use std::sync::Arc;

use time::Duration;
use tokio::sync::Semaphore;

pub use checkpoints::CheckpointRules;
pub use error::{Error, Refused};
pub use idempotency::Key as IdempotencyKey;
pub use preflight::Obstacle;
pub use readiness::{Clocks, Readiness};

use crate::{
    audit::{AuditLog, AuditUnavailable},
    azure::{KeyVault, ResourceManager, SetError, TokenVerifier},
    domain::{
        audit_event::{Actor, AuditEvent, Outcome},
        caller::{Caller, RequestFacts},
        clock::Clock,
        key_vault_id::KeyVaultAllowList,
        machine::{Machine, MachineId},
        operation::Operation,
        principal::{Principal, PrincipalKind},
        reason::TicketRule,
        rotation_policy::RotationPolicy,
        secret_name::SecretNameStyle,
    },
    store::Store,
};

/// A person who is given a passphrase has signed in lately.
const RETRIEVAL_TOKEN_AGE: Duration = Duration::minutes(75);

/// What the configuration decides.
#[derive(Debug, Clone)]
pub struct Rules {
    pub key_vaults: KeyVaultAllowList,
    pub secret_name_style: SecretNameStyle,
    pub ticket: TicketRule,
    /// Whether more than one tenant uses this service.
    pub several_tenants: bool,
    /// None: nothing is ever due.
    pub rotation: Option<RotationPolicy>,
    /// An operation that has not ended after this long was interrupted. No request is worked on for so
    /// long; if one is all the same (its process was frozen), it is fenced off and releases nothing.
    pub interrupted_after: std::time::Duration,
    /// Whoever repeats a registration gets its generated passphrase; they have this long before it is
    /// finished without them, and only the help desk can retrieve it.
    pub registration_abandoned_after: std::time::Duration,
    pub checkpoints: CheckpointRules,
}

/// The service without its HTTP. Holds no state of its own: replicas are equal.
pub struct Broker {
    store: Store,
    audit: AuditLog,
    key_vault: KeyVault,
    /// For work that nobody waits for.
    unhurried: KeyVault,
    /// For scans.
    scanner: KeyVault,
    resource_manager: ResourceManager,
    tokens: Arc<TokenVerifier>,
    clock: Clock,
    rules: Rules,
    /// Reports that are being made.
    preflights: Semaphore,
}

impl Broker {
    pub fn new(
        store: Store,
        audit: AuditLog,
        key_vault: KeyVault,
        resource_manager: ResourceManager,
        tokens: Arc<TokenVerifier>,
        clock: Clock,
        rules: Rules,
    ) -> Self {
        let unhurried = key_vault.paced(drift::CALLS_PER_SECOND);
        let scanner = key_vault.paced(adoption::CALLS_PER_SECOND);
        Self {
            store,
            audit,
            key_vault,
            unhurried,
            scanner,
            resource_manager,
            tokens,
            clock,
            rules,
            preflights: Semaphore::new(preflight::AT_ONCE),
        }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Believes a token, or says why not.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Principal>, Error> {
        Ok(self.tokens.verify(token).await?)
    }

    /// Lets the principal do this, or says what is missing.
    pub fn authorize(
        &self,
        operation: Operation,
        principal: &Principal,
        request: RequestFacts,
    ) -> Result<Caller, Error> {
        let releases =
            matches!(operation, Operation::RetrievePassphrase | Operation::CollectPassphrase);
        let caller = Caller::authorize(operation, principal.clone(), request)?;
        if releases {
            self.may_be_given_a_passphrase(principal)?;
        }
        Ok(caller)
    }

    /// Whoever sees a passphrase is a member of the tenant and, if a person, has signed in lately,
    /// whatever operation shows it.
    fn may_be_given_a_passphrase(&self, principal: &Principal) -> Result<(), Error> {
        if principal.guest {
            return Err(Error::GuestNotAllowed);
        }
        let age = self.clock.now().unix_timestamp() - principal.issued_at;
        if principal.kind == PrincipalKind::User && age > RETRIEVAL_TOKEN_AGE.whole_seconds() {
            return Err(Error::TokenTooOld);
        }
        Ok(())
    }

    /// Puts a refused or failed call on record. `principal` is none when no token could be believed.
    pub async fn record_refusal(
        &self,
        operation: Operation,
        principal: Option<&Principal>,
        request: &RequestFacts,
        refusal: Refusal,
    ) -> Result<(), AuditUnavailable> {
        let actor = principal.map_or(Actor::Anonymous, Actor::from);
        let event = AuditEvent::refusal(
            operation,
            actor,
            request,
            refusal.outcome,
            refusal.problem,
            self.clock.now(),
        );
        let event = refusal.machine_id.into_iter().fold(event, AuditEvent::on_machine);
        match principal {
            Some(_) => self.audit.record(event).await.map(drop),
            None => self.audit.record_anonymous(event, operation, refusal.problem).await,
        }
    }

    /// The caller's machine of this id. To an agent, any other machine does not exist.
    async fn machine(&self, caller: &Caller, id: MachineId) -> Result<Machine, Error> {
        let found = self.store.find_machine(caller.tenant_id(), id, caller.confined_to()).await?;
        found.ok_or(Error::NotFound("machine"))
    }

    fn event(&self, caller: &Caller, outcome: Outcome) -> AuditEvent {
        AuditEvent::by(caller, outcome, self.clock.now())
    }

    /// Puts on record that Key Vault refused a write, or that nobody knows whether it did.
    async fn refuse(&self, event: AuditEvent, failure: SetError) -> Refused {
        let (code, error) = match failure {
            SetError::Refused(error) => (error.code(), Error::KeyVault(error)),
            SetError::OutcomeUnknown(error) => (error.code(), Error::OutcomeUnknown(error)),
        };
        match self.audit.record(event.with("keyVault", code)).await {
            Ok(recorded) => Refused { error, on_record: Some(recorded) },
            Err(unavailable) => unavailable.into(),
        }
    }
}

/// What is put on record of a call that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub outcome: Outcome,
    /// The code of the problem that the caller gets.
    pub problem: &'static str,
    /// The machine in the path, if its id could be read; it need not exist.
    pub machine_id: Option<MachineId>,
}
