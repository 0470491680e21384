//! A secret of this service's own in Key Vault: its signing key, or where its checkpoints are kept. Never a
//! passphrase, so that it may be read and written without a receipt.

use std::fmt;

use thiserror::Error;

use super::{
    key_vault_id::{KeyVaultAllowList, KeyVaultUri, SecretReference},
    secret_name::SecretName,
};

/// What all secrets of MARS, and those in escrow, begin with.
const OF_MACHINES: &str = "AzBackup";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSecret {
    key_vault: KeyVaultUri,
    name: SecretName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidServiceSecret {
    #[error("is not https://<name>.vault.azure.net/secrets/<secret>, without a version")]
    Malformed,
    #[error("is in a Key Vault that this service is not configured for")]
    NotAllowed,
    #[error("begins with {OF_MACHINES}, as the passphrases of machines do")]
    OfMachines,
}

impl ServiceSecret {
    pub fn parse(text: &str, allowed: &KeyVaultAllowList) -> Result<Self, InvalidServiceSecret> {
        let reference =
            SecretReference::parse(text).map_err(|_invalid| InvalidServiceSecret::Malformed)?;
        let SecretReference { key_vault, name, version: None } = reference else {
            return Err(InvalidServiceSecret::Malformed);
        };
        if !allowed.iter().any(|uri| *uri == key_vault) {
            return Err(InvalidServiceSecret::NotAllowed);
        }
        let start = name.as_str().get(..OF_MACHINES.len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case(OF_MACHINES)) {
            return Err(InvalidServiceSecret::OfMachines);
        }
        Ok(Self { key_vault, name })
    }

    pub fn key_vault(&self) -> &KeyVaultUri {
        &self.key_vault
    }

    pub fn name(&self) -> &SecretName {
        &self.name
    }
}

impl fmt::Display for ServiceSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}secrets/{}", self.key_vault, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_passphrase_of_a_machine_is_a_secret_of_the_service() {
        let uri = |name: &str| KeyVaultUri::parse(&format!("https://{name}.vault.azure.net"));
        let allowed = KeyVaultAllowList::new(uri("kv-mars").unwrap(), Vec::new());
        let parse = |text: &str| ServiceSecret::parse(text, &allowed).map(|it| it.to_string());
        let good = "https://kv-mars.vault.azure.net/secrets/audit-key".to_owned();
        assert_eq!(parse(&good), Ok(good.clone()));
        for (text, wrong) in [
            (good.replace("audit-key", "azbackup-web01-rsv"), InvalidServiceSecret::OfMachines),
            (good.replace("audit-key", "AzBackupPending-x"), InvalidServiceSecret::OfMachines),
            (good.replace("kv-mars", "kv-other"), InvalidServiceSecret::NotAllowed),
            (format!("{good}/0d33f3ea76c04441b77aa9113da02333"), InvalidServiceSecret::Malformed),
            ("audit-key".to_owned(), InvalidServiceSecret::Malformed),
        ] {
            assert_eq!(parse(&text), Err(wrong), "{text}");
        }
    }
}
