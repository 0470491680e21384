//! Where backups live. Never said as bare "vault": there is a Key Vault too.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

const PROVIDER: &str = "Microsoft.RecoveryServices";
const KIND: &str = "vaults";

/// `/subscriptions/{guid}/resourceGroups/{name}/providers/Microsoft.RecoveryServices/vaults/{name}`.
///
/// ARM compares ids without case; so does this type, which keeps the caller's spelling of names.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct RecoveryServicesVaultId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a Recovery Services vault id looks like /subscriptions/<guid>/resourceGroups/<name>/providers/\
     Microsoft.RecoveryServices/vaults/<name>"
)]
pub struct InvalidRecoveryServicesVaultId;

impl RecoveryServicesVaultId {
    /// Parses the id that the portal, az and ARM show, and spells its fixed words as ARM does.
    pub fn parse(text: &str) -> Result<Self, InvalidRecoveryServicesVaultId> {
        let parts: Vec<&str> = text.strip_suffix('/').unwrap_or(text).split('/').collect();
        let &["", subscriptions, subscription, groups, group, providers, provider, kind, name] =
            parts.as_slice()
        else {
            return Err(InvalidRecoveryServicesVaultId);
        };
        let words = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (providers, "providers"),
            (provider, PROVIDER),
            (kind, KIND),
        ];
        let fixed_words_fit =
            words.iter().all(|(given, wanted)| given.eq_ignore_ascii_case(wanted));
        let subscription = uuid::Uuid::try_parse(subscription)
            .map_err(|_not_a_guid| InvalidRecoveryServicesVaultId)?;
        if !fixed_words_fit || !is_resource_group(group) || !is_recovery_services_vault_name(name) {
            return Err(InvalidRecoveryServicesVaultId);
        }
        Ok(Self(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/{PROVIDER}/{KIND}/{name}"
        )))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare and to index by.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The last part of the id.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl PartialEq for RecoveryServicesVaultId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for RecoveryServicesVaultId {}

impl fmt::Display for RecoveryServicesVaultId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_resource_group(name: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
    (1..=90).contains(&name.chars().count()) && name.chars().all(legal) && !name.ends_with('.')
}

fn is_recovery_services_vault_name(name: &str) -> bool {
    (2..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup\
                      /providers/Microsoft.RecoveryServices/vaults/rsv-prod";

    #[test]
    fn ids_are_compared_without_case() {
        let shouted = RecoveryServicesVaultId::parse(&ID.to_uppercase()).unwrap();
        assert_eq!(shouted, RecoveryServicesVaultId::parse(ID).unwrap());
        assert_eq!(shouted.folded(), ID.to_lowercase());
    }

    #[test]
    fn the_name_is_the_last_part() {
        assert_eq!(RecoveryServicesVaultId::parse(ID).unwrap().name(), "rsv-prod");
    }

    #[test]
    fn other_resources_and_other_depths_are_refused() {
        for wrong in [
            "",
            "rsv-prod",
            "/subscriptions/x/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv",
            &ID.replace("RecoveryServices", "KeyVault"),
            &format!("{ID}/backupPolicies/p"),
            &ID.replace("rsv-prod", "rsv/../x"),
            &ID.replace("rsv-prod", "r\u{e4}"),
            &ID.replace("rg-backup", ""),
        ] {
            assert!(RecoveryServicesVaultId::parse(wrong).is_err(), "{wrong}");
        }
    }
}
