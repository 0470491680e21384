//! Soft delete: whether a secret lies there, and bringing it back. Key Vault shows neither at once: for
//! seconds after a deletion or a recovery a name is in both listings missing.
//!
//! Nothing here deletes or purges: this service does not even ask for the permission.

use std::time::Duration;

use reqwest::Method;
use time::OffsetDateTime;

use super::{
    API_VERSION, GET_BUDGET, KeyVault, KeyVaultError, KeyVaultFacts, SetError,
    call::{Answer, Call, Deadline, Effect, Repeat},
    wire,
};
#[cfg(debug_assertions)]
use super::{kind, unavailable};
use crate::{
    azure::answer::Told,
    domain::{key_vault_id::KeyVaultUri, secret_name::SecretName},
};

const RECOVER_BUDGET: Duration = Duration::from_secs(5);

/// A secret that was deleted and can be recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedSecret {
    /// Key Vault tells neither moment of a secret whose newest version is disabled.
    pub deleted_at: Option<OffsetDateTime>,
    pub purged_at: Option<OffsetDateTime>,
    /// Whether its newest version is enabled.
    pub enabled: bool,
    /// Without `Purgeable` in it, purge protection is on.
    pub recovery_level: Option<String>,
}

const DISABLED: DeletedSecret =
    DeletedSecret { deleted_at: None, purged_at: None, enabled: false, recovery_level: None };

impl KeyVault {
    /// The secret of this name in soft delete. None can also mean "not yet": a deletion takes seconds.
    pub async fn find_deleted_secret(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Result<Option<DeletedSecret>, KeyVaultError> {
        let deadline = Deadline::after(GET_BUDGET);
        let told = self.deleted_secret(request_id, key_vault, name, deadline).await?;
        Ok(told.value)
    }

    /// The same, with its evidence.
    pub async fn deleted_secret(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        deadline: Deadline,
    ) -> Result<Told<Option<DeletedSecret>, KeyVaultFacts>, KeyVaultError> {
        let call = Call {
            operation: "get_deleted_secret",
            request_id,
            method: Method::GET,
            key_vault,
            url: url(key_vault, name, ""),
            body: None,
            limit: wire::VALUE_LIMIT,
        };
        let error = match self.send(call, Repeat::Always, deadline).await {
            Ok(Answer { facts, body }) => {
                return match wire::Deleted::parse(&body, key_vault, name) {
                    Some(deleted) => Ok(Told { value: Some(deleted), facts }),
                    None => Err(KeyVaultError::InvalidAnswer(facts)),
                };
            }
            Err(failure) => failure.error,
        };
        match error {
            KeyVaultError::NotFound(facts) => Ok(Told { value: None, facts }),
            // What Key Vault answers when the deleted secret was disabled.
            KeyVaultError::Disabled(facts) => Ok(Told { value: Some(DISABLED), facts }),
            error => Err(error),
        }
    }

    /// Asks for a deleted secret back, with all its versions. It takes seconds until they can be seen.
    ///
    /// Asked again it does nothing more, but says `NotFound`: after a lost answer that does not tell a
    /// secret that was never deleted from one that was just recovered.
    pub async fn recover_secret(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Result<(), SetError> {
        let call = Call {
            operation: "recover_secret",
            request_id,
            method: Method::POST,
            key_vault,
            url: url(key_vault, name, "/recover"),
            body: None,
            limit: wire::VALUE_LIMIT,
        };
        fail_point!(("recover.before {}", kind(name)), Err(SetError::Refused(unavailable())));
        let budget = Deadline::after(RECOVER_BUDGET);
        let sent = self.send(call, Repeat::IfWithoutEffect, budget).await;
        fail_point!(("recover.after {}", kind(name)), Err(SetError::OutcomeUnknown(unavailable())));
        sent.map(drop).map_err(|failure| match (failure.effect, failure.error) {
            // Whatever it is called: a recovery is in conflict with nothing but another change of the name.
            (Effect::Never, KeyVaultError::Refused(facts)) if facts.status == Some(409) => {
                SetError::Refused(KeyVaultError::BeingDeleted(facts))
            }
            (Effect::Never, error) => SetError::Refused(error),
            (Effect::Perhaps, error) => SetError::OutcomeUnknown(error),
        })
    }
}

fn url(key_vault: &KeyVaultUri, name: &SecretName, rest: &str) -> String {
    format!("{key_vault}deletedsecrets/{name}{rest}?api-version={API_VERSION}")
}
