//! Every way in which one thing is wrong, and no other.

use time::Duration;
use uuid::Uuid;

use super::world::{
    BROKER, KEY_VAULT, NOW, PRINCIPAL, container, denial, edited, found, no_rights, policy,
    recovery_services_vault, source, with_key_vault,
};
use crate::domain::{
    key_vault_resource::DeletedKeyVault,
    preflight::facts::{DeletedSecretFacts, Door, Facts, Seen},
    recovery_services_resource::{ResourceIdentity, SystemAssignedIdentity},
    resource_id::KeyVaultId,
};

fn identity(identity: ResourceIdentity) -> Facts {
    edited(|facts| facts.recovery_services_vault = recovery_services_vault(identity))
}

fn deleted_secret(disabled: bool) -> Facts {
    edited(|facts| {
        let scheduled_purge_at = (!disabled).then_some(NOW + Duration::days(90));
        facts.secrets[0].versions = found(Vec::new());
        facts.secrets[0].deleted = found(DeletedSecretFacts { disabled, scheduled_purge_at });
    })
}

fn deleted_key_vault() -> Facts {
    edited(|facts| {
        facts.key_vault = Seen::Absent(source());
        facts.deleted_key_vault = found(DeletedKeyVault {
            id: KeyVaultId::parse(KEY_VAULT).unwrap(),
            location: "westeurope".to_owned(),
            deleted_at: None,
            scheduled_purge_at: Some(NOW + Duration::days(90)),
            purge_protection: true,
        });
        facts.door = Door::Unreadable { why: "no answer".to_owned(), source: source() };
    })
}

/// Every way in which one thing is wrong.
pub(super) fn all() -> Vec<(&'static str, Facts)> {
    let other_tenant =
        SystemAssignedIdentity { principal_id: PRINCIPAL, tenant_id: Some(Uuid::max()) };
    let client_address = Some([203, 0, 113, 7].into());
    vec![
        ("identity removed", identity(ResourceIdentity::Absent { was_taken_away: true })),
        ("identity never made", identity(ResourceIdentity::Absent { was_taken_away: false })),
        (
            "user-assigned only",
            identity(ResourceIdentity::UserAssigned { ids: vec!["id".to_owned()] }),
        ),
        ("other tenant", identity(ResourceIdentity::SystemAssigned(other_tenant))),
        ("no role", edited(|facts| facts.rights_of_recovery_services_vault = no_rights())),
        (
            "no policy",
            with_key_vault(|resource| {
                resource.rbac = false;
                resource.access_policies = vec![policy(BROKER, &["get", "list", "set", "recover"])];
            }),
        ),
        ("deny assignment", edited(|facts| facts.deny_assignments = found(vec![denial()]))),
        (
            "portal page",
            edited(|facts| {
                facts.subject.key_vault_uri = "https://portal.azure.com/#home".to_owned();
                facts.key_vault_uri = None;
                facts.key_vault = Seen::NotAsked("There is no URI.");
                facts.deleted_key_vault = Seen::NotAsked("There is no URI.");
            }),
        ),
        ("secret deleted", deleted_secret(false)),
        ("secret disabled and deleted", deleted_secret(true)),
        ("key vault deleted", deleted_key_vault()),
        (
            "registration incomplete",
            edited(|facts| {
                facts.containers =
                    found(vec![container("srv-web01.corp.contoso.com", "2.0.9262.0", 0)]);
                facts.secrets[0].versions = found(Vec::new());
            }),
        ),
        ("no purge protection", with_key_vault(|resource| resource.purge_protection = false)),
        (
            "firewall",
            edited(|facts| facts.door = Door::Firewall { client_address, source: source() }),
        ),
        (
            "old agent",
            edited(|facts| {
                facts.containers = found(vec![container("srv-web01", "2.0.9261.99", 1)]);
            }),
        ),
    ]
}
