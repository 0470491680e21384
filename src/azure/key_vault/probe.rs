//! Asking a Key Vault about itself: whether it answers, whom it lets in, and how well it keeps what is
//! deleted. Everything here reads, and nothing reads a secret that exists.

use reqwest::Method;
use uuid::Uuid;

use super::{
    KeyVault, KeyVaultError, KeyVaultFacts,
    call::{Call, Deadline, Repeat},
    url, wire,
};
use crate::{azure::answer::Told, domain::key_vault_id::KeyVaultUri};

/// What the list of secrets shows besides secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// Without `Purgeable` in it, purge protection is on. None: there is no secret.
    pub recovery_level: Option<String>,
}

impl KeyVault {
    /// Whether this Key Vault answers us, and lets us list. Also opens a connection, so that the first person
    /// who waits for a passphrase does not wait for a handshake.
    pub async fn probe(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        deadline: Deadline,
    ) -> Result<Told<Probed, KeyVaultFacts>, KeyVaultError> {
        let url = url(key_vault, "", "&maxresults=1");
        let call = Call { operation: "probe", ..get(request_id, key_vault, url) };
        let sent = self.send(call, Repeat::Always, deadline).await;
        let answer = sent.map_err(|failure| failure.error.proved())?;
        match wire::Page::parse(&answer.body) {
            Some(page) => {
                let value = Probed { recovery_level: page.recovery_level() };
                Ok(Told { value, facts: answer.facts })
            }
            None => Err(KeyVaultError::InvalidAnswer(answer.facts)),
        }
    }

    /// Whether our identity may read secrets, told by a name that nobody has: "not found" is said only to
    /// those who may.
    pub async fn may_get(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        deadline: Deadline,
    ) -> Result<Told<bool, KeyVaultFacts>, KeyVaultError> {
        let url = url(key_vault, &format!("/preflight-{}", Uuid::new_v4()), "");
        let call = Call { operation: "may_get", ..get(request_id, key_vault, url) };
        let sent = self.send(call, Repeat::Always, deadline).await;
        match sent.map_err(|failure| failure.error.proved()) {
            Err(KeyVaultError::NotFound(facts)) => Ok(Told { value: true, facts }),
            Err(KeyVaultError::PermissionMissing(facts)) => Ok(Told { value: false, facts }),
            Err(error) => Err(error),
            Ok(answer) => Err(KeyVaultError::InvalidAnswer(answer.facts)),
        }
    }

    /// Whether a Key Vault answers at that address at all, and how it sees ours: asked without a token. An
    /// answer that does not tell our address was not Key Vault's.
    pub async fn health(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        deadline: Deadline,
    ) -> Result<KeyVaultFacts, KeyVaultError> {
        let url = format!("{key_vault}healthstatus");
        let call = Call { operation: "health", ..get(request_id, key_vault, url) };
        let sent = self.send_anonymously(call, deadline).await;
        let facts = sent.map_err(|failure| failure.error)?.facts;
        let address = facts.evidence.as_ref().and_then(|evidence| evidence.client_address);
        if address.is_some() { Ok(facts) } else { Err(KeyVaultError::InvalidAnswer(facts)) }
    }
}

fn get<'a>(request_id: &'a str, key_vault: &'a KeyVaultUri, url: String) -> Call<'a> {
    let (method, limit) = (Method::GET, wire::PAGE_LIMIT);
    Call { operation: "get", request_id, method, key_vault, url, body: None, limit }
}
