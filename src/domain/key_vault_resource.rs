//! What Azure Resource Manager says of a Key Vault: whether it keeps what is deleted, who is let in,
//! and, once it is deleted, until when it can be recovered.
//!
//! A member that ARM left out, or wrote in a way that nobody would show in a terminal, is none here.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{effective_permission::AccessPolicy, resource_id::KeyVaultId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVaultResource {
    pub id: KeyVaultId,
    pub location: String,
    pub tenant_id: Uuid,
    /// As told: right after its creation a Key Vault's URI lacks the final slash.
    pub uri: String,
    /// None: not told. It cannot be turned off any more.
    pub soft_delete: Option<bool>,
    pub retention_days: Option<u32>,
    pub purge_protection: bool,
    /// Otherwise access policies decide, role assignments do not.
    pub rbac: bool,
    pub access_policies: Vec<AccessPolicy>,
    pub network: KeyVaultNetwork,
    pub provisioning_state: Option<String>,
}

/// Who may connect to a Key Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVaultNetwork {
    /// `Enabled`, `Disabled` or `SecuredByPerimeter`.
    pub public_access: Option<String>,
    /// Only the rules let somebody in.
    pub default_action_deny: bool,
    /// Services that Microsoft trusts are let in whatever the rules say.
    pub bypass_azure_services: bool,
    pub ip_rules: Vec<String>,
    pub virtual_network_rules: usize,
    pub private_endpoints: usize,
}

/// A Key Vault that holds its name until it is recovered or purged: MARS's 391283.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedKeyVault {
    /// The id that it had, and has again when it is recovered.
    pub id: KeyVaultId,
    pub location: String,
    pub deleted_at: Option<OffsetDateTime>,
    pub scheduled_purge_at: Option<OffsetDateTime>,
    pub purge_protection: bool,
}

/// Where a resource sends its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagnosticSetting {
    pub name: String,
    /// Categories and groups of categories that are on, such as `AuditEvent` and `allLogs`.
    pub enabled: Vec<String>,
}

impl DiagnosticSetting {
    /// Whether every use of a secret is logged.
    pub fn logs_audit_events(&self) -> bool {
        let covers = |category: &String| {
            ["AuditEvent", "audit", "allLogs"].iter().any(|it| it.eq_ignore_ascii_case(category))
        };
        self.enabled.iter().any(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_events_are_logged_by_their_category_or_a_group_of_it() {
        let logs = |enabled: &[&str]| {
            let enabled = enabled.iter().map(ToString::to_string).collect();
            DiagnosticSetting { name: "mpb".to_owned(), enabled }.logs_audit_events()
        };
        assert!(logs(&["AuditEvent"]) && logs(&["x", "alllogs"]) && logs(&["audit"]));
        assert!(!logs(&[]) && !logs(&["AzurePolicyEvaluationDetails", "AllMetrics"]));
    }
}
