//! Facts in which all is right, and the ways in which one thing is wrong.

use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::domain::{
    effective_permission::{
        AccessPolicy, DenyAssignment, Permission, PrincipalRef, RoleAssignment, RoleDefinition,
        SecretAction,
    },
    key_vault_id::KeyVaultUri,
    key_vault_resource::{DiagnosticSetting, KeyVaultNetwork, KeyVaultResource},
    machine::Fqdn,
    preflight::facts::{
        Door, Facts, Identity, Rights, SecretFacts, Seen, Source, Subject, VersionFacts,
    },
    recovery_services_resource::{
        MarsContainer, RecoveryServicesVaultConfig, RecoveryServicesVaultResource,
        ResourceIdentity, SystemAssignedIdentity,
    },
    recovery_services_vault::RecoveryServicesVaultId,
    resource_id::KeyVaultId,
    secret_name::SecretName,
};

pub(super) const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
pub(super) const KEY_VAULT: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-mars/providers/Microsoft.KeyVault/vaults/kv-mars";
const RSV: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rsv-prod";
pub(super) const TENANT: Uuid = Uuid::from_u128(0x70a0_36f6_8e4d_4615_bad6_149c_02e7_720d);
pub(super) const PRINCIPAL: Uuid = Uuid::from_u128(0x708f_a728_22b1_49fb_afc1_e871_561e_8f36);
pub(super) const BROKER: &str = "3975aeed-7d08-453b-b6f4-445f32698091";
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";
const NAME: &str = "AzBackup-srv-web01-corp-contoso-com-rsv-prod";

pub(super) fn source() -> Source {
    let call = "GET https://management.azure.com/x".to_owned();
    Source {
        call,
        status: Some(200),
        code: None,
        request_id: None,
        milliseconds: 1,
        answered_at: None,
    }
}

pub(super) fn found<T>(value: T) -> Seen<T> {
    Seen::Found(value, source())
}

pub(super) fn forbidden<T>(action: &str) -> Seen<T> {
    Seen::Forbidden { action: action.to_owned(), source: Source { status: Some(403), ..source() } }
}

pub(super) fn silent<T>() -> Seen<T> {
    Seen::Unreadable { why: "no answer".to_owned(), source: Source { status: None, ..source() } }
}

/// A role with these data actions, assigned long ago.
pub(super) fn rights(principal: &str, actions: &[SecretAction]) -> Rights {
    let definition =
        "/providers/Microsoft.Authorization/roleDefinitions/0d33f3ea-76c0-4441-b77a-a9113da02333";
    let long_ago = Some(NOW - Duration::days(30));
    let assignment = RoleAssignment {
        id: format!("{KEY_VAULT}/providers/Microsoft.Authorization/roleAssignments/1"),
        role_definition_id: definition.to_owned(),
        principal_id: principal.to_owned(),
        principal_type: Some("ServicePrincipal".to_owned()),
        scope: KEY_VAULT.to_owned(),
        condition: None,
        condition_version: None,
        created_on: long_ago,
        updated_on: long_ago,
    };
    let data_actions = actions.iter().map(|action| action.data_action().to_owned()).collect();
    let role = RoleDefinition {
        id: definition.to_owned(),
        name: "A role".to_owned(),
        permissions: vec![Permission { data_actions, ..Permission::default() }],
    };
    Rights {
        assignments: found(vec![assignment]),
        definitions: vec![role],
        definition_unread: None,
    }
}

pub(super) fn no_rights() -> Rights {
    Rights { assignments: found(Vec::new()), definitions: Vec::new(), definition_unread: None }
}

fn key_vault() -> KeyVaultResource {
    KeyVaultResource {
        id: KeyVaultId::parse(KEY_VAULT).unwrap(),
        location: "westeurope".to_owned(),
        tenant_id: TENANT,
        uri: "https://kv-mars.vault.azure.net/".to_owned(),
        soft_delete: Some(true),
        retention_days: Some(90),
        purge_protection: true,
        rbac: true,
        access_policies: Vec::new(),
        network: KeyVaultNetwork {
            public_access: Some("Enabled".to_owned()),
            default_action_deny: false,
            bypass_azure_services: true,
            ip_rules: Vec::new(),
            virtual_network_rules: 0,
            private_endpoints: 0,
        },
        provisioning_state: None,
    }
}

pub(super) fn recovery_services_vault(
    identity: ResourceIdentity,
) -> Seen<RecoveryServicesVaultResource> {
    found(RecoveryServicesVaultResource {
        id: RecoveryServicesVaultId::parse(RSV).unwrap(),
        location: "westeurope".to_owned(),
        identity,
        user_assigned_principals: Vec::new(),
        public_network_access: Some("Enabled".to_owned()),
        immutability: None,
        soft_delete: None,
        enhanced_security: None,
        multi_user_authorization: None,
        provisioning_state: None,
    })
}

pub(super) fn container(name: &str, agent: &str, items: u64) -> MarsContainer {
    MarsContainer {
        name: format!("Windows;{name}"),
        friendly_name: name.to_owned(),
        registration_status: Some("Registered".to_owned()),
        agent_version: Some(agent.to_owned()),
        protected_items: Some(items),
        health: None,
    }
}

fn version() -> VersionFacts {
    VersionFacts {
        version: "0d33f3ea76c04441b77aa9113da02333".to_owned(),
        enabled: true,
        created_at: Some(NOW - Duration::days(1)),
        not_before: None,
        expires_at: None,
        recovery_level: Some("Recoverable".to_owned()),
    }
}

pub(super) fn right() -> Facts {
    let identity = SystemAssignedIdentity { principal_id: PRINCIPAL, tenant_id: Some(TENANT) };
    let secret = SecretFacts {
        name: SecretName::parse(NAME).unwrap(),
        versions: found(vec![version()]),
        deleted: Seen::Absent(source()),
    };
    let setting =
        DiagnosticSetting { name: "audit".to_owned(), enabled: vec!["AuditEvent".to_owned()] };
    Facts {
        subject: Subject {
            key_vault_uri: "https://kv-mars.vault.azure.net/".to_owned(),
            key_vault_id: None,
            recovery_services_vault_id: Some(RecoveryServicesVaultId::parse(RSV).unwrap()),
            fqdn: Some(Fqdn::parse("srv-web01.corp.contoso.com").unwrap()),
            agent_version: None,
            registered_agent_version: None,
            secret_name: None,
        },
        key_vault_uri: Some(KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap()),
        key_vault_allowed: true,
        key_vault: found(key_vault()),
        deleted_key_vault: Seen::Absent(source()),
        recovery_services_vault: recovery_services_vault(ResourceIdentity::SystemAssigned(
            identity,
        )),
        rsv_config: found(RecoveryServicesVaultConfig {
            enhanced_security: Some("Enabled".to_owned()),
            soft_delete: None,
            soft_delete_retention_days: None,
        }),
        containers: found(vec![container("SRV-WEB01.corp.contoso.com.", "2.0.9262.0", 1)]),
        rights_of_recovery_services_vault: rights(&PRINCIPAL.to_string(), &[SecretAction::Set]),
        rights_of_broker: rights(
            BROKER,
            &[
                SecretAction::List,
                SecretAction::Get,
                SecretAction::Set,
                SecretAction::Update,
                SecretAction::Recover,
            ],
        ),
        role_holders: Seen::NotAsked("Access policies are not in force."),
        deny_assignments: found(Vec::new()),
        diagnostic_settings: found(vec![setting]),
        broker: Some(Identity { object_id: BROKER.to_owned(), tenant_id: TENANT.to_string() }),
        door: Door::Open(source()),
        may_get: found(true),
        secrets: vec![secret],
        recovery_level: Some(("Recoverable".to_owned(), source())),
        shared_with: Ok(Vec::new()),
        key_vaults_in_use: Ok(vec!["https://kv-mars.vault.azure.net/".to_owned()]),
        clock_ahead: Some((0, source())),
        machine_id: None,
    }
}

pub(super) fn edited(edit: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = right();
    edit(&mut facts);
    facts
}

/// With its resource changed.
pub(super) fn with_key_vault(edit: impl FnOnce(&mut KeyVaultResource)) -> Facts {
    let mut resource = key_vault();
    edit(&mut resource);
    edited(|facts| facts.key_vault = found(resource))
}

pub(super) fn policy(object_id: &str, words: &[&str]) -> AccessPolicy {
    AccessPolicy {
        tenant_id: TENANT.to_string(),
        object_id: object_id.to_owned(),
        application_id: None,
        secret_permissions: words.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn denial() -> DenyAssignment {
    DenyAssignment {
        id: format!("{KEY_VAULT}/providers/Microsoft.Authorization/denyAssignments/1"),
        name: "No writing".to_owned(),
        permissions: vec![Permission {
            data_actions: vec!["Microsoft.KeyVault/vaults/secrets/*".to_owned()],
            ..Permission::default()
        }],
        scope: "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591".to_owned(),
        do_not_apply_to_child_scopes: false,
        principals: vec![PrincipalRef {
            id: EVERYONE.to_owned(),
            principal_type: Some("SystemDefined".to_owned()),
        }],
        exclude_principals: Vec::new(),
        condition: None,
    }
}
