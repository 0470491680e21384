//! Asking a Key Vault about itself: whether it answers, whom it lets in, and how well it keeps what is deleted.
//! Everything here reads, and nothing reads a secret that exists.

use reqwest::Method;
use uuid::Uuid;

use super::{
    GET_BUDGET, KeyVault, KeyVaultError,
    call::{Call, Deadline, Repeat},
    url, wire,
};
use crate::domain::key_vault_id::KeyVaultUri;

/// What the list of secrets shows besides secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// Without `Purgeable` in it, purge protection is on. None: there is no secret.
    pub recovery_level: Option<String>,
}

impl KeyVault {
    /// Whether this Key Vault answers us, and lets us list. Also opens a connection, so that the first person who
    /// waits for a passphrase does not wait for a handshake.
    pub async fn probe(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
    ) -> Result<Probed, KeyVaultError> {
        let call = Call {
            operation: "probe",
            request_id,
            method: Method::GET,
            key_vault,
            url: url(key_vault, "", "&maxresults=1"),
            body: None,
            limit: wire::PAGE_LIMIT,
        };
        let sent = self.send(call, Repeat::Always, Deadline::after(GET_BUDGET)).await;
        let answer = sent.map_err(|failure| failure.error)?;
        let page =
            wire::Page::parse(&answer.body).ok_or(KeyVaultError::InvalidAnswer(answer.facts))?;
        Ok(Probed { recovery_level: page.recovery_level() })
    }

    /// Whether our identity may read secrets, told by a name that nobody has: "not found" is said only to those who may.
    pub async fn may_get(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
    ) -> Result<bool, KeyVaultError> {
        let call = Call {
            operation: "may_get",
            request_id,
            method: Method::GET,
            key_vault,
            url: url(key_vault, &format!("/preflight-{}", Uuid::new_v4()), ""),
            body: None,
            limit: wire::PAGE_LIMIT,
        };
        let sent = self.send(call, Repeat::Always, Deadline::after(GET_BUDGET)).await;
        match sent.map_err(|failure| failure.error) {
            Err(KeyVaultError::NotFound(_)) => Ok(true),
            Err(KeyVaultError::PermissionMissing(_)) => Ok(false),
            Err(error) => Err(error),
            Ok(answer) => Err(KeyVaultError::InvalidAnswer(answer.facts)),
        }
    }
}
