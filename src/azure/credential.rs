//! Tokens of this service's own identity.
//!
//! `azure_identity` asks for them. What it does not do, this module does: a token that is still
//! valid is used while the endpoint fails; nobody waits for a refresh that is not needed yet; and
//! every request ends in time. (Its own cache gives an error once 300 seconds are left and the
//! endpoint fails, and makes every caller queue behind the refresh.)

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::header::HeaderValue;
use thiserror::Error;

use super::retry::Deadline;
use crate::domain::clock::Clock;

mod own_identity;
mod slot;
mod source;

pub use own_identity::OwnIdentity;
use slot::Slot;
use source::Source;

/// How this service proves who it is.
#[derive(Debug, Clone)]
pub enum CredentialKind {
    /// On a virtual machine, in Container Apps or in App Service; `client_id` for a user-assigned
    /// identity.
    ManagedIdentity { client_id: Option<String> },
    /// In AKS.
    WorkloadIdentity,
    /// A person's `az login` or `azd auth login`, on their own machine.
    DeveloperTools,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CredentialError {
    #[error("the environment does not offer this kind of credential")]
    Misconfigured,
    #[error("no access token in time: the identity endpoint cannot be reached")]
    Unavailable,
    #[error("no access token: the identity endpoint answered with status {status}")]
    Refused { status: u16 },
    #[error("the access token was refused by the service that it is for")]
    Rejected,
}

/// An access token, good for nothing but an `Authorization` header.
#[derive(Clone)]
pub struct AccessToken {
    header: HeaderValue,
    generation: u64,
}

impl AccessToken {
    /// `Bearer ...`, marked as sensitive: HTTP libraries do not log it.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken([REDACTED])")
    }
}

/// The tokens of one identity, one for each scope.
pub struct Credential {
    source: Arc<Source>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Credential {
    pub fn new(
        kind: CredentialKind,
        http: reqwest::Client,
        clock: Clock,
    ) -> Result<Self, CredentialError> {
        let source = Arc::new(Source::new(kind, http, clock)?);
        Ok(Self { source, slots: Mutex::default() })
    }

    /// A token for `scope`, like `https://vault.azure.net/.default`.
    pub async fn token(&self, scope: &str) -> Result<AccessToken, CredentialError> {
        self.slot(scope).token(&self.source).await
    }

    /// The same, but not longer than until the deadline.
    pub(super) async fn token_by(
        &self,
        deadline: Deadline,
        scope: &str,
    ) -> Result<AccessToken, CredentialError> {
        let token = tokio::time::timeout(deadline.left(), self.token(scope)).await;
        token.unwrap_or(Err(CredentialError::Unavailable))
    }

    /// Whom the tokens are for, as the latest of them says.
    pub async fn own_identity(&self, scope: &str) -> Option<OwnIdentity> {
        let token = self.token(scope).await.ok()?;
        OwnIdentity::of_token(token.header.to_str().ok()?.strip_prefix("Bearer ")?)
    }

    /// The service that `token` is for has refused it: the next caller gets another one. Says no
    /// when this was tried a moment ago, so that a service which refuses everything does not
    /// become a storm of token requests.
    pub(super) fn reject(&self, scope: &str, token: &AccessToken) -> bool {
        self.slot(scope).reject(&self.source, token)
    }

    fn slot(&self, scope: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(scope) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(scope));
        slots.insert(scope.to_owned(), Arc::clone(&slot));
        slot
    }
}
