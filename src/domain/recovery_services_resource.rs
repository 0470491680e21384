//! What Azure Resource Manager says of a Recovery Services vault, its identity and the machines that
//! are registered with it.
//!
//! MARS saves a passphrase as the system-assigned identity; a user-assigned one does not count, and a
//! system-assigned one without a principal cannot be given any rights.

use thiserror::Error;
use uuid::Uuid;

use super::recovery_services_vault::RecoveryServicesVaultId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryServicesVaultResource {
    pub id: RecoveryServicesVaultId,
    pub location: String,
    pub identity: ResourceIdentity,
    /// The principals of its user-assigned identities, as far as they are told.
    pub user_assigned_principals: Vec<Uuid>,
    /// `Enabled` or `Disabled`.
    pub public_network_access: Option<String>,
    /// `Disabled`, `Unlocked` or `Locked`.
    pub immutability: Option<String>,
    /// `Enabled`, `Disabled` or `AlwaysON`.
    pub soft_delete: Option<String>,
    /// Whether a change of the passphrase needs the security PIN: `Enabled`, `Disabled`, `AlwaysON`.
    pub enhanced_security: Option<String>,
    /// `Enabled` or `Disabled`.
    pub multi_user_authorization: Option<String>,
    pub provisioning_state: Option<String>,
}

/// The forms of a resource's `identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceIdentity {
    /// It never had one, or it was taken away again.
    Absent {
        was_taken_away: bool,
    },
    SystemAssigned(SystemAssignedIdentity),
    /// These alone, by their resource ids: MARS cannot use them.
    UserAssigned {
        ids: Vec<String>,
    },
    SystemAndUserAssigned {
        system_assigned: SystemAssignedIdentity,
        ids: Vec<String>,
    },
    /// A system-assigned identity is announced and has no principal: nobody can give it rights.
    WithoutPrincipal {
        ids: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemAssignedIdentity {
    /// The object that roles and access policies are given to.
    pub principal_id: Uuid,
    pub tenant_id: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the type of an identity is None, SystemAssigned, UserAssigned or both of these")]
pub struct UnknownIdentityType;

impl ResourceIdentity {
    /// From the words of `type`, in any case, order and spacing.
    pub fn of_type(
        words: &str,
        principal_id: Option<Uuid>,
        tenant_id: Option<Uuid>,
        ids: Vec<String>,
    ) -> Result<Self, UnknownIdentityType> {
        let (mut none, mut system, mut user) = (false, false, false);
        for word in words.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "none" => none = true,
                "systemassigned" => system = true,
                "userassigned" => user = true,
                _ => return Err(UnknownIdentityType),
            }
        }
        let system_assigned =
            principal_id.map(|principal_id| SystemAssignedIdentity { principal_id, tenant_id });
        match (none, system, user) {
            (true, false, false) => Ok(Self::Absent { was_taken_away: true }),
            (false, false, true) => Ok(Self::UserAssigned { ids }),
            (false, true, both) => Ok(match system_assigned {
                None => Self::WithoutPrincipal { ids },
                Some(system_assigned) if both => {
                    Self::SystemAndUserAssigned { system_assigned, ids }
                }
                Some(system_assigned) => Self::SystemAssigned(system_assigned),
            }),
            _ => Err(UnknownIdentityType),
        }
    }

    /// The identity that MARS uses, if there is one.
    pub fn system_assigned(&self) -> Option<SystemAssignedIdentity> {
        match self {
            Self::SystemAssigned(identity)
            | Self::SystemAndUserAssigned { system_assigned: identity, .. } => Some(*identity),
            Self::Absent { .. } | Self::UserAssigned { .. } | Self::WithoutPrincipal { .. } => None,
        }
    }
}

/// A machine that is registered with a Recovery Services vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarsContainer {
    /// Like `Windows;web01.contoso.com`.
    pub name: String,
    /// The machine's own name.
    pub friendly_name: String,
    /// `Registered` and others.
    pub registration_status: Option<String>,
    pub agent_version: Option<String>,
    /// None: not told. None backed up yet is `Some(0)`.
    pub protected_items: Option<u64>,
    pub health: Option<String>,
}

/// How a Recovery Services vault guards against attackers who are administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryServicesVaultConfig {
    /// Whether a change of the passphrase needs the security PIN.
    pub enhanced_security: Option<String>,
    pub soft_delete: Option<String>,
    pub soft_delete_retention_days: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: Uuid = Uuid::from_u128(7);

    fn of(
        words: &str,
        principal_id: Option<Uuid>,
    ) -> Result<ResourceIdentity, UnknownIdentityType> {
        ResourceIdentity::of_type(words, principal_id, Some(Uuid::max()), vec!["id".to_owned()])
    }

    #[test]
    fn only_a_system_assigned_identity_with_a_principal_counts() {
        let usable = |words| of(words, Some(PRINCIPAL)).unwrap().system_assigned().is_some();
        assert!(usable("SystemAssigned") && usable("SystemAssigned, UserAssigned"));
        assert!(!usable("UserAssigned") && !usable("None"));
        for words in ["SystemAssigned", "SystemAssigned, UserAssigned"] {
            let without = of(words, None).unwrap();
            assert_eq!(without, ResourceIdentity::WithoutPrincipal { ids: vec!["id".to_owned()] });
            assert_eq!(without.system_assigned(), None);
        }
    }

    #[test]
    fn case_order_and_blanks_do_not_matter() {
        let both = of("SystemAssigned, UserAssigned", Some(PRINCIPAL)).unwrap();
        for words in ["userassigned,systemassigned", " USERASSIGNED ,SystemAssigned "] {
            assert_eq!(of(words, Some(PRINCIPAL)).unwrap(), both, "{words}");
        }
        assert_eq!(of("none", None), Ok(ResourceIdentity::Absent { was_taken_away: true }));
    }

    #[test]
    fn words_that_nobody_knows_are_no_identity() {
        for words in ["", ",", "System", "SystemAssigned,", "None, SystemAssigned", "Both"] {
            assert_eq!(of(words, Some(PRINCIPAL)), Err(UnknownIdentityType), "{words}");
        }
    }
}
