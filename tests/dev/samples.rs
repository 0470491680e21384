//! Azure around the broker: one pair of vaults where all is well, and one sample of each thing that goes wrong.
//!
//! Each sample has its one fault and no other, so that what preflight says of it is about that fault. `.dev/env` names them.

use anyhow::Context;
use azsim::{
    ADMINISTRATOR, Access, AccessPolicy, Container, DiagnosticSetting, Identity, KeyVaultSpec,
    Machine, MachineKind, Network, Owner, Permission, RecoveryServicesVault, RoleAssignment,
    RoleDefinition, SecretSpec, Settings, VaultIdentity,
};
use serde::Deserialize;
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591";
/// The machine that `az` speaks for, so that it is the administrator.
pub(crate) const ADMINISTRATORS_MACHINE: &str = "vm-administrator";
const WRITER: &str = "MARS passphrase writer";
const DIAGNOSIS: &str = include_str!("../../deploy/azure/role-definition-diagnosis.json");

const KEY_VAULT: &str = "kv-mars";
const DELETED: &str = "kv-mars-deleted";
const UNPROTECTED: &str = "kv-mars-unprotected";
const POLICIES: &str = "kv-mars-policies";
const FIREWALLED: &str = "kv-mars-firewalled";

/// The principals of system-assigned identities, and the one that is user-assigned.
const PROD: &str = "9a1c0d52-6a0e-4f51-8d0b-6b1f5e2a7c01";
const WITHOUT_PERMISSION: &str = "9a1c0d52-6a0e-4f51-8d0b-6b1f5e2a7c02";
const WITH_BOTH: &str = "9a1c0d52-6a0e-4f51-8d0b-6b1f5e2a7c03";
const USER_ASSIGNED: &str = "9a1c0d52-6a0e-4f51-8d0b-6b1f5e2a7c04";

const SAMPLE_FQDN: &str = "srv-web01.corp.contoso.com";
const SOFT_DELETED_FQDN: &str = "srv-gone01.corp.contoso.com";
const OLD_AGENT_FQDN: &str = "srv-old01.corp.contoso.com";
const INCOMPLETE_FQDN: &str = "srv-new01.corp.contoso.com";

pub(crate) fn recovery_services_vault_id() -> String {
    vault("rsv-prod", None).resource_id()
}

/// Every Key Vault of this world, the default one first.
pub(crate) fn key_vault_uris() -> String {
    [KEY_VAULT, DELETED, UNPROTECTED, POLICIES, FIREWALLED].map(uri).join(",")
}

/// Where the audit log's checkpoints are kept.
pub(crate) fn checkpoint_secret() -> String {
    format!("{}secrets/audit-checkpoint", uri(KEY_VAULT))
}

/// What `.dev/env` calls them.
pub(crate) fn names() -> Vec<(&'static str, String)> {
    let id = |name: &str| vault(name, None).resource_id();
    vec![
        ("KEY_VAULT_URI", uri(KEY_VAULT)),
        ("KEY_VAULT_ID", KeyVaultSpec::named(KEY_VAULT).resource_id()),
        ("RECOVERY_SERVICES_VAULT_ID", id("rsv-prod")),
        ("SAMPLE_FQDN", SAMPLE_FQDN.to_owned()),
        ("RSV_NO_IDENTITY_ID", id("rsv-no-identity")),
        ("RSV_USER_ASSIGNED_ID", id("rsv-user-assigned")),
        ("RSV_NO_PERMISSION_ID", id("rsv-no-permission")),
        ("RSV_BOTH_IDENTITIES_ID", id("rsv-both-identities")),
        ("KEY_VAULT_SOFT_DELETED_URI", uri(DELETED)),
        ("KEY_VAULT_NO_PURGE_PROTECTION_URI", uri(UNPROTECTED)),
        ("KEY_VAULT_ACCESS_POLICY_URI", uri(POLICIES)),
        ("KEY_VAULT_FIREWALLED_URI", uri(FIREWALLED)),
        ("SOFT_DELETED_FQDN", SOFT_DELETED_FQDN.to_owned()),
        ("OLD_AGENT_FQDN", OLD_AGENT_FQDN.to_owned()),
        ("INCOMPLETE_FQDN", INCOMPLETE_FQDN.to_owned()),
    ]
}

pub(crate) fn world() -> anyhow::Result<azsim::World> {
    let usual = azsim::World::default();
    let diagnosis = diagnosis()?;
    let role = |role: &str, principal: &str, scope: &str| RoleAssignment {
        role: Some(role.to_owned()),
        ..RoleAssignment::to(principal, scope)
    };
    let writer = |principal: &str, key_vault: &str| {
        role(WRITER, principal, &KeyVaultSpec::named(key_vault).resource_id())
    };
    Ok(azsim::World {
        role_assignments: vec![
            role(&diagnosis.id, &usual.identity.principal_id, SUBSCRIPTION),
            // To be an owner is no right to a secret.
            role("Key Vault Secrets Officer", ADMINISTRATOR, SUBSCRIPTION),
            writer(PROD, KEY_VAULT),
            writer(PROD, UNPROTECTED),
            writer(PROD, FIREWALLED),
            writer(WITH_BOTH, KEY_VAULT),
            writer(USER_ASSIGNED, KEY_VAULT),
        ],
        role_definitions: vec![diagnosis, writers_role()],
        key_vaults: key_vaults(&usual.identity),
        recovery_services_vaults: recovery_services_vaults(),
        user_assigned_identities: vec![user_assigned()],
        owners: vec![Owner {
            principal_id: ADMINISTRATOR.to_owned(),
            scope: SUBSCRIPTION.to_owned(),
        }],
        machines: vec![administrators_machine()],
        diagnostic_settings: [KEY_VAULT, UNPROTECTED, POLICIES, FIREWALLED].map(audited).into(),
        ..usual
    })
}

/// As people are told to make it.
fn diagnosis() -> anyhow::Result<RoleDefinition> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        name: String,
        actions: Vec<String>,
    }
    let file: File = serde_json::from_str(DIAGNOSIS).context("role-definition-diagnosis.json")?;
    Ok(custom_role(&file.name, Permission { actions: file.actions, ..Permission::default() }))
}

fn writers_role() -> RoleDefinition {
    let data_actions = vec!["Microsoft.KeyVault/vaults/secrets/setSecret/action".to_owned()];
    custom_role(WRITER, Permission { data_actions, ..Permission::default() })
}

fn custom_role(name: &str, permission: Permission) -> RoleDefinition {
    RoleDefinition {
        id: uuid::Uuid::new_v4().to_string(),
        role_name: name.to_owned(),
        description: String::new(),
        assignable_scopes: vec![SUBSCRIPTION.to_owned()],
        permissions: vec![permission],
    }
}

fn key_vaults(broker: &Identity) -> Vec<KeyVaultSpec> {
    let with = |name: &str, change: fn(&mut Settings)| {
        let mut spec = KeyVaultSpec::named(name);
        change(&mut spec.settings);
        spec
    };
    let gone = SecretSpec::new(
        "AzBackup-srv-gone01-corp-contoso-com-rsv-prod",
        "Sample-of-a-deleted-passphrase-1",
    );
    let mut main = KeyVaultSpec::named(KEY_VAULT);
    main.secrets = vec![SecretSpec { deleted: true, ..gone }];
    let policy = |object_id: &str, words: &[&str]| AccessPolicy {
        object_id: object_id.to_owned(),
        secrets: words.iter().map(ToString::to_string).collect(),
        ..AccessPolicy::default()
    };
    let mut policies = KeyVaultSpec::named(POLICIES);
    policies.settings.access = Access::Policies(vec![
        policy(&broker.principal_id, &["get", "list", "set", "recover"]),
        policy(ADMINISTRATOR, &["all"]),
    ]);
    vec![
        main,
        with(DELETED, |settings| settings.soft_deleted = true),
        with(UNPROTECTED, |settings| settings.purge_protection = false),
        policies,
        with(FIREWALLED, |settings| settings.network = Network::FirewallDenies),
    ]
}

fn recovery_services_vaults() -> Vec<RecoveryServicesVault> {
    let identity = |principal: Option<&str>, user_assigned: Vec<String>| VaultIdentity {
        principal_id: principal.map(str::to_owned),
        user_assigned,
    };
    let user = || vec![user_assigned().resource_id];
    let machine = |name: &str, agent_version: &str, protected_item_count: u32| Container {
        agent_version: agent_version.to_owned(),
        protected_item_count,
        ..Container::named(name)
    };
    let containers = vec![
        machine(SAMPLE_FQDN, "2.0.9262.0", 2),
        machine("srv-sql01.corp.contoso.com", "2.0.9270.0", 1),
        machine(SOFT_DELETED_FQDN, "2.0.9262.0", 1),
        machine(OLD_AGENT_FQDN, "2.0.9100.0", 3),
        machine(INCOMPLETE_FQDN, "2.0.9262.0", 0),
    ];
    let prod = vault("rsv-prod", Some(identity(Some(PROD), Vec::new())));
    vec![
        RecoveryServicesVault { containers, ..prod },
        vault("rsv-no-identity", None),
        vault("rsv-user-assigned", Some(identity(None, user()))),
        vault("rsv-no-permission", Some(identity(Some(WITHOUT_PERMISSION), Vec::new()))),
        vault("rsv-both-identities", Some(identity(Some(WITH_BOTH), user()))),
    ]
}

fn vault(name: &str, identity: Option<VaultIdentity>) -> RecoveryServicesVault {
    let resource_group = "rg-backup".to_owned();
    RecoveryServicesVault { resource_group, identity, ..RecoveryServicesVault::named(name) }
}

fn user_assigned() -> Identity {
    Identity {
        principal_id: USER_ASSIGNED.to_owned(),
        client_id: "9a1c0d52-6a0e-4f51-8d0b-6b1f5e2a7c05".to_owned(),
        resource_id: format!(
            "{SUBSCRIPTION}/resourcegroups/rg-backup/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup"
        ),
        ..Identity::default()
    }
}

fn administrators_machine() -> Machine {
    let mut machine = Machine::new(ADMINISTRATORS_MACHINE, MachineKind::VirtualMachine);
    if let Some(identity) = &mut machine.system_assigned {
        ADMINISTRATOR.clone_into(&mut identity.principal_id);
    }
    machine
}

fn audited(key_vault: &str) -> DiagnosticSetting {
    let logs: Value = json!([{"category": "AuditEvent", "enabled": true}]);
    let workspace = format!(
        "{SUBSCRIPTION}/resourceGroups/rg-mars/providers/Microsoft.OperationalInsights/workspaces/log-mars"
    );
    DiagnosticSetting {
        resource_id: KeyVaultSpec::named(key_vault).resource_id(),
        name: "audit".to_owned(),
        properties: json!({"workspaceId": workspace, "logs": logs}),
    }
}

fn uri(key_vault: &str) -> String {
    format!("https://{key_vault}.vault.azure.net/")
}
