//! Listings: page after page, empty ones too (Key Vault really sends them), on one host and not
//! for ever.

use std::cmp::Reverse;

use reqwest::Method;
use url::Url;
use uuid::Uuid;

use super::{
    KeyVault, KeyVaultError, KeyVaultFacts, VersionProperties,
    call::{Call, Deadline, Failure, Repeat},
    url, wire,
};
use crate::{
    azure::answer::Told,
    domain::{key_vault_id::KeyVaultUri, secret_name::SecretName},
};

/// Of 25 each. Backups of a secret fail from 500 versions on.
const PAGE_COUNT_LIMIT: usize = 100;

impl KeyVault {
    pub(super) async fn versions(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        deadline: Deadline,
    ) -> Result<Vec<VersionProperties>, KeyVaultError> {
        Ok(self.told_versions(request_id, key_vault, name, deadline).await?.value)
    }

    /// Every version of a secret, with the evidence. A name that does not exist has none.
    pub async fn told_versions(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        deadline: Deadline,
    ) -> Result<Told<Vec<VersionProperties>, KeyVaultFacts>, KeyVaultError> {
        self.listing(request_id, key_vault, name, Repeat::Always, deadline).await
    }

    async fn listing(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<Told<Vec<VersionProperties>, KeyVaultFacts>, KeyVaultError> {
        let mut versions = Vec::new();
        let mut next = url(key_vault, &format!("/{name}/versions"), "");
        for page_number in 0..PAGE_COUNT_LIMIT {
            let call = Call {
                operation: "list_versions",
                request_id,
                method: Method::GET,
                key_vault,
                url: next,
                body: None,
                limit: wire::PAGE_LIMIT,
            };
            let answer = match self.send(call, repeat, deadline).await {
                Ok(answer) => answer,
                // The real Key Vault answers an unknown name with an empty list.
                Err(Failure { error: KeyVaultError::NotFound(facts), .. }) if page_number == 0 => {
                    return Ok(Told { value: Vec::new(), facts });
                }
                Err(failure) => return Err(failure.error),
            };
            let invalid = || KeyVaultError::InvalidAnswer(answer.facts.clone());
            let mut page = wire::Page::parse(&answer.body).ok_or_else(invalid)?;
            let link = page.next_link.take().filter(|link| !link.is_empty());
            versions.extend(page.versions(key_vault, name).ok_or_else(invalid)?);
            let Some(link) = link else {
                return Ok(Told { value: versions, facts: answer.facts });
            };
            next = following(&link, key_vault, name).ok_or_else(invalid)?;
        }
        tracing::warn!(secret = %name, "a listing of versions did not end");
        Err(KeyVaultError::InvalidAnswer(KeyVaultFacts::default()))
    }

    /// The versions with this operation's tag, newest first. Whoever looks for them looks again later.
    pub(super) async fn find(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        operation: Uuid,
        deadline: Deadline,
    ) -> Result<Vec<VersionProperties>, KeyVaultError> {
        let repeat = Repeat::IfWithoutEffect;
        let listing = self.listing(request_id, key_vault, name, repeat, deadline).await?;
        let mut versions = listing.value;
        versions.retain(|version| version.operation == Some(operation));
        versions.sort_by_key(|version| Reverse((version.created_at, version.updated_at)));
        Ok(versions)
    }
}

/// The next page's address, as Key Vault wrote it, if it leads on in the same listing of the same
/// Key Vault: our token goes with it.
fn following(link: &str, key_vault: &KeyVaultUri, name: &SecretName) -> Option<String> {
    let url = Url::parse(link).ok()?;
    let listing = format!("/secrets/{name}/versions");
    (wire::is_on(&url, key_vault) && url.path().eq_ignore_ascii_case(&listing)).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_link_stays_in_its_listing() {
        let key_vault = KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap();
        let name = SecretName::parse("AzBackup-web01").unwrap();
        let follows = |link: &str| following(link, &key_vault, &name);
        let path = "secrets/AzBackup-web01/versions?api-version=7.6&$skiptoken=abc";
        assert_eq!(
            follows(&format!("https://kv-mars.vault.azure.net:443/{path}")),
            Some(format!("https://kv-mars.vault.azure.net/{path}"))
        );
        assert!(follows(&format!("https://KV-MARS.vault.azure.net/{path}")).is_some());
        for wrong in [
            format!("http://kv-mars.vault.azure.net/{path}"),
            format!("https://kv-mars.vault.azure.net:8443/{path}"),
            format!("https://kv-mars.vault.azure.net.evil.example/{path}"),
            format!("https://kv-mars.vault.azure.net@evil.example/{path}"),
            format!("https://user@kv-mars.vault.azure.net/{path}"),
            format!("https://kv-evil.vault.azure.net/{path}"),
            "https://kv-mars.vault.azure.net/secrets/other/versions".to_owned(),
            "https://kv-mars.vault.azure.net/secrets/AzBackup-web01/../x/versions".to_owned(),
            "/secrets/AzBackup-web01/versions".to_owned(),
            String::new(),
        ] {
            assert_eq!(follows(&wrong), None, "{wrong}");
        }
    }
}
