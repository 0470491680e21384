//! Secrets in Key Vault, over its REST API.
//!
//! A client of our own, and a small one: the official crate loses the error code of messages with
//! a line break in them, sleeps as long as `Retry-After` says, repeats writes blindly, and cannot
//! wipe values. What is read comes out sealed; nothing here deletes or purges.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use reqwest::Method;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    credential::Credential,
    sealed::{Entry, SealedPassphrases},
};
use crate::domain::{
    clock::Clock,
    key_vault_id::{KeyVaultUri, SecretIdentifier},
    secret_name::SecretName,
};

mod call;
mod deleted;
mod document;
mod error;
mod listing;
mod pace;
mod pages;
mod probe;
mod record;
mod wire;
mod write;

use call::{Call, Deadline, Repeat};
pub use deleted::DeletedSecret;
pub use error::{Evidence, KeyVaultError, KeyVaultFacts, SetError};
pub use listing::{ListedSecret, Listing, Position, SecretPage};
use pace::Pace;
pub use probe::Probed;
pub use write::{SecretTags, Stored, StoredHow};

/// The documented `previousVersion` is in no recorded answer of this version about secrets: another
/// writer is noticed by listing versions.
const API_VERSION: &str = "2025-07-01";
const GET_BUDGET: Duration = Duration::from_millis(4500);
/// A listing may have many pages.
const LIST_BUDGET: Duration = Duration::from_secs(9);
/// This service's own secrets, and the only ones it ever disables.
const ESCROW_PREFIX: &str = "AzBackupPending-";

/// A client for every Key Vault of the configuration. Which one is said with each call.
#[derive(Clone)]
pub struct KeyVault {
    http: reqwest::Client,
    credential: Arc<Credential>,
    clock: Clock,
    /// None: as fast as people ask.
    pace: Option<Pace>,
}

/// What a listing says of a version: all but the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionProperties {
    pub identifier: SecretIdentifier,
    pub enabled: bool,
    pub created_at: Option<OffsetDateTime>,
    pub updated_at: Option<OffsetDateTime>,
    pub not_before: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    /// The operation that wrote it, when this service did.
    pub operation: Option<Uuid>,
    pub machine: Option<Uuid>,
    /// Without `Purgeable` in it, purge protection is on.
    pub recovery_level: Option<String>,
}

impl KeyVault {
    pub fn new(http: reqwest::Client, credential: Arc<Credential>, clock: Clock) -> Self {
        Self { http, credential, clock, pace: None }
    }

    /// The same client with a budget of its own, for work that nobody waits for.
    #[must_use]
    pub fn paced(&self, calls_per_second: u32) -> Self {
        Self { pace: Some(Pace::per_second(calls_per_second)), ..self.clone() }
    }

    /// Reads these versions side by side. All or nothing.
    pub async fn get_versions(
        &self,
        request_id: &str,
        secrets: &[SecretIdentifier],
    ) -> Result<SealedPassphrases, KeyVaultError> {
        let deadline = Deadline::after(GET_BUDGET);
        let reads = secrets.iter().map(|secret| self.read(request_id, secret, deadline));
        Ok(SealedPassphrases::seal(try_join_all(reads).await?))
    }

    /// The newest version that carries this operation's tag: whether a write whose answer was lost
    /// has happened. None can also mean "not yet".
    pub async fn find_by_operation(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        operation: Uuid,
    ) -> Result<Option<VersionProperties>, KeyVaultError> {
        let deadline = Deadline::after(LIST_BUDGET);
        let found = self.find(request_id, key_vault, name, operation, deadline).await?;
        Ok(found.into_iter().next())
    }

    /// Every version, in no order that means anything (Key Vault sorts by id). A name that does not
    /// exist has none.
    pub async fn list_versions(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Result<Vec<VersionProperties>, KeyVaultError> {
        self.versions(request_id, key_vault, name, Deadline::after(LIST_BUDGET)).await
    }

    /// Disables a version of an *escrow* secret, which is history once the passphrase is confirmed.
    /// Any other secret is refused before anything is sent: nothing of MARS is ever disabled.
    pub async fn disable_version(
        &self,
        request_id: &str,
        secret: &SecretIdentifier,
    ) -> Result<(), KeyVaultError> {
        if !is_escrow(&secret.name) {
            tracing::error!(secret = %secret.name, "refused to disable a secret that is not ours");
            return Err(KeyVaultError::Refused(KeyVaultFacts::default()));
        }
        fail_point!(("disable.before {}", kind(&secret.name)), Err(unavailable()));
        let call = Call {
            operation: "disable_version",
            request_id,
            method: Method::PATCH,
            key_vault: &secret.key_vault,
            url: url(&secret.key_vault, &format!("/{}/{}", secret.name, secret.version), ""),
            body: Some(wire::disabling()),
            limit: wire::VALUE_LIMIT,
        };
        let sent = self.send(call, Repeat::Always, Deadline::after(GET_BUDGET)).await;
        fail_point!(("disable.after {}", kind(&secret.name)), Err(unavailable()));
        sent.map(drop).map_err(|failure| failure.error)
    }

    /// One version, with the id of the version before it.
    async fn read(
        &self,
        request_id: &str,
        secret: &SecretIdentifier,
        deadline: Deadline,
    ) -> Result<Entry, KeyVaultError> {
        fail_point!(("get.before {}", kind(&secret.name)), Err(unavailable()));
        let call = Call {
            operation: "get_version",
            request_id,
            method: Method::GET,
            key_vault: &secret.key_vault,
            url: url(&secret.key_vault, &format!("/{}/{}", secret.name, secret.version), ""),
            body: None,
            limit: wire::VALUE_LIMIT,
        };
        let answer =
            self.send(call, Repeat::Always, deadline).await.map_err(|failure| failure.error)?;
        fail_point!(("get.after {}", kind(&secret.name)), Err(unavailable()));
        let invalid = || KeyVaultError::InvalidAnswer(answer.facts.clone());
        let bundle = wire::Bundle::parse(&answer.body).ok_or_else(invalid)?;
        // What Key Vault says it sent is what was asked for, or nothing is believed.
        if bundle.identifier(&secret.key_vault).as_ref() != Some(secret) {
            return Err(invalid());
        }
        let passphrase = bundle.value.ok_or_else(invalid)?;
        let created_at = bundle.attributes.created_at();
        Ok(Entry { identifier: secret.clone(), created_at, passphrase })
    }
}

/// For the names of fail points.
#[cfg(debug_assertions)]
fn kind(name: &SecretName) -> &'static str {
    if is_escrow(name) { "escrow" } else { "own" }
}

#[cfg(debug_assertions)]
fn unavailable() -> KeyVaultError {
    KeyVaultError::Unavailable(KeyVaultFacts::default())
}

fn is_escrow(name: &SecretName) -> bool {
    name.as_str()
        .get(..ESCROW_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(ESCROW_PREFIX))
}

/// Names and versions are letters, digits and hyphens: nothing in them needs quoting.
fn url(key_vault: &KeyVaultUri, rest: &str, query: &str) -> String {
    format!("{key_vault}secrets{rest}?api-version={API_VERSION}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escrow_secrets_are_ours_to_disable() {
        let escrow = |name| is_escrow(&SecretName::parse(name).unwrap());
        assert!(escrow("AzBackupPending-web01-rsv"));
        assert!(escrow("azbackuppending-web01-rsv"));
        assert!(!escrow("AzBackup-web01-rsv"));
        assert!(!escrow("AzBackup-AzBackupPending-rsv"));
        assert!(!escrow("AzBackupPending"));
    }
}
