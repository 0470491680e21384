//! Where backups live. Never said as bare "vault": there is a Key Vault too.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use super::resource_id::{ResourceId, ResourceType, SubscriptionId};

const RECOVERY_SERVICES_VAULT: ResourceType = ResourceType {
    provider: "Microsoft.RecoveryServices",
    kind: "vaults",
    is_name: is_recovery_services_vault_name,
};

/// `/subscriptions/{guid}/resourceGroups/{name}/providers/Microsoft.RecoveryServices/vaults/{name}`.
///
/// ARM compares ids without case; so does this type, which keeps the caller's spelling of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RecoveryServicesVaultId(ResourceId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a Recovery Services vault id looks like /subscriptions/<guid>/resourceGroups/<name>/providers/\
     Microsoft.RecoveryServices/vaults/<name>"
)]
pub struct InvalidRecoveryServicesVaultId;

impl RecoveryServicesVaultId {
    /// Parses the id that the portal, az and ARM show, and spells its fixed words as ARM does.
    pub fn parse(text: &str) -> Result<Self, InvalidRecoveryServicesVaultId> {
        let id = ResourceId::parse(text, &RECOVERY_SERVICES_VAULT);
        id.map(Self).ok_or(InvalidRecoveryServicesVaultId)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The form to compare and to index by.
    pub fn folded(&self) -> String {
        self.0.folded()
    }

    pub fn subscription_id(&self) -> SubscriptionId {
        self.0.subscription_id()
    }

    pub fn resource_group(&self) -> &str {
        self.0.resource_group()
    }

    /// The last part of the id.
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl fmt::Display for RecoveryServicesVaultId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
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
