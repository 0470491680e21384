//! Ids of resources in Azure Resource Manager: a Key Vault's, and the parser that it shares with a
//! Recovery Services vault's.
//!
//! ARM compares ids without case. So do these types, which keep the given spelling of names and spell
//! the fixed words as ARM does.

use std::fmt;

use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use super::{key_vault_id::is_key_vault_name, secret_name::SecretName};

/// What a type of resource is called in an id, and which names it may have.
pub(super) struct ResourceType {
    pub(super) provider: &'static str,
    pub(super) kind: &'static str,
    pub(super) is_name: fn(&str) -> bool,
}

/// `/subscriptions/{guid}/resourceGroups/{name}/providers/{provider}/{kind}/{name}`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct ResourceId(String);

impl ResourceId {
    pub(super) fn parse(text: &str, of: &ResourceType) -> Option<Self> {
        let parts: Vec<&str> = text.strip_suffix('/').unwrap_or(text).split('/').collect();
        let &["", subscriptions, subscription, groups, group, providers, provider, kind, name] =
            parts.as_slice()
        else {
            return None;
        };
        let words = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (providers, "providers"),
            (provider, of.provider),
            (kind, of.kind),
        ];
        let fixed_words_fit =
            words.iter().all(|(given, wanted)| given.eq_ignore_ascii_case(wanted));
        let subscription = Uuid::try_parse(subscription).ok()?;
        let fits = fixed_words_fit && is_resource_group(group) && (of.is_name)(name);
        fits.then(|| {
            Self(format!(
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/{}/{}/{name}",
                of.provider, of.kind
            ))
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare and to index by.
    pub(super) fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    pub(super) fn subscription_id(&self) -> SubscriptionId {
        // Parsed once already: the id was made from it.
        SubscriptionId(self.part(2).parse().unwrap_or_default())
    }

    pub(super) fn resource_group(&self) -> &str {
        self.part(4)
    }

    /// The last part of the id.
    pub(super) fn name(&self) -> &str {
        self.part(8)
    }

    fn part(&self, number: usize) -> &str {
        self.0.split('/').nth(number).unwrap_or_default()
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What owns and pays for resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub Uuid);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

const KEY_VAULT: ResourceType =
    ResourceType { provider: "Microsoft.KeyVault", kind: "vaults", is_name: is_key_vault_name };

/// A Key Vault as ARM knows it. Its secrets are reached by its URI instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KeyVaultId(ResourceId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a Key Vault's resource id looks like /subscriptions/<guid>/resourceGroups/<name>/providers/\
     Microsoft.KeyVault/vaults/<name>"
)]
pub struct InvalidKeyVaultId;

impl KeyVaultId {
    /// Parses the id that the portal, az and ARM show.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyVaultId> {
        ResourceId::parse(text, &KEY_VAULT).map(Self).ok_or(InvalidKeyVaultId)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn subscription_id(&self) -> SubscriptionId {
        self.0.subscription_id()
    }

    pub fn resource_group(&self) -> &str {
        self.0.resource_group()
    }

    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether this Key Vault has that name. Names are compared without case.
    pub fn is_named(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for KeyVaultId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where rights to secrets are assigned: at a Key Vault, or at one secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretScope {
    pub key_vault: KeyVaultId,
    pub secret: Option<SecretName>,
}

impl fmt::Display for SecretScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            Some(secret) => write!(formatter, "{}/secrets/{secret}", self.key_vault),
            None => self.key_vault.fmt(formatter),
        }
    }
}

/// Letters, digits and a few signs; the last is no dot, so that no part of a path is `.` or `..`.
fn is_resource_group(name: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
    (1..=90).contains(&name.chars().count()) && name.chars().all(legal) && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-mars\
                      /providers/Microsoft.KeyVault/vaults/kv-mars";

    #[test]
    fn an_id_has_its_parts_and_is_compared_without_case() {
        let id = KeyVaultId::parse(ID).unwrap();
        assert_eq!(id.subscription_id().to_string(), "0b1f6471-1bf0-4dda-aec3-cb9272f09591");
        assert_eq!((id.resource_group(), id.name()), ("rg-mars", "kv-mars"));
        assert!(id.is_named("KV-MARS") && !id.is_named("kv-mar"));
        let shouted = KeyVaultId::parse(&ID.to_uppercase()).unwrap();
        assert_eq!(shouted, id);
        assert!(shouted.as_str().ends_with("/providers/Microsoft.KeyVault/vaults/KV-MARS"));
        assert_eq!(KeyVaultId::parse(&format!("{ID}/")).unwrap(), id);
    }

    #[test]
    fn what_is_no_key_vault_is_refused() {
        for wrong in [
            "",
            "kv-mars",
            "https://kv-mars.vault.azure.net/",
            &ID.replace("KeyVault", "RecoveryServices"),
            &ID.replace("/vaults/", "/managedHSMs/"),
            &ID.replace("0b1f6471", "../../x"),
            &ID.replace("kv-mars", "kv--mars"),
            &ID.replace("kv-mars", "kv"),
            &ID.replace("kv-mars", "kv-mars?x=y"),
            &ID.replace("rg-mars", ".."),
            &ID.replace("rg-mars", "rg%2fmars"),
            &ID.replace("rg-mars", "rg\nmars"),
            &format!("{ID}/secrets/x"),
            &format!("{ID}//"),
            &format!(" {ID}"),
        ] {
            assert_eq!(KeyVaultId::parse(wrong), Err(InvalidKeyVaultId), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_a_scope_below_its_key_vault() {
        let key_vault = KeyVaultId::parse(ID).unwrap();
        let secret = SecretName::parse("AzBackup-web01").ok();
        let scope = |secret| SecretScope { key_vault: key_vault.clone(), secret }.to_string();
        assert_eq!(scope(secret), format!("{ID}/secrets/AzBackup-web01"));
        assert_eq!(scope(None), ID);
    }
}
