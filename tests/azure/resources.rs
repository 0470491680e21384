//! What Azure Resource Manager says of Key Vaults, Recovery Services vaults and machines, as it arrives.

use azsim::{Access, AccessPolicy, DiagnosticSetting, KeyVaultSpec, Network, Paging};
use passphrase_broker::domain::{
    key_vault_id::KeyVaultUri,
    recovery_services_resource::ResourceIdentity,
    resource_id::{KeyVaultId, SecretScope},
};
use serde_json::json;

use crate::harness::{
    Azure, SUBSCRIPTION, deadline, key_vault_id, key_vault_uri, principal,
    recovery_services_vault_id,
};

#[tokio::test]
async fn a_key_vault_is_told_with_its_protection_and_its_evidence() {
    let azure = Azure::start();
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await.unwrap();
    let (kv, facts) = (told.value, told.facts);
    assert_eq!((kv.id, kv.uri.as_str()), (key_vault_id(), "https://kv-mars.vault.azure.net/"));
    assert_eq!((kv.location.as_str(), kv.retention_days), ("westeurope", Some(90)));
    assert_eq!((kv.soft_delete, kv.purge_protection, kv.rbac), (Some(true), true, true));
    assert_eq!(kv.tenant_id.to_string(), azure.azsim.tenant_id());
    assert!(!kv.network.default_action_deny && kv.network.bypass_azure_services);
    assert_eq!((facts.method, facts.status, facts.code), ("GET", Some(200), None));
    assert_eq!(facts.path, format!("{}?api-version=2026-02-01", key_vault_id()));
    assert!(facts.request_id.is_some_and(|id| id.len() == 36) && !facts.duration.is_zero());
}

#[tokio::test]
async fn access_policies_and_a_closed_network_are_told() {
    let azure = Azure::start();
    let policy = AccessPolicy {
        object_id: principal().to_string(),
        secrets: vec!["Get".to_owned(), "set".to_owned()],
        ..AccessPolicy::default()
    };
    azure
        .azsim
        .change_settings("kv-mars", |settings| {
            settings.access = Access::Policies(vec![policy]);
            settings.network = Network::FirewallDenies;
            settings.purge_protection = false;
        })
        .unwrap();
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await.unwrap();
    let kv = told.value;
    assert!(!kv.rbac && !kv.purge_protection && kv.network.default_action_deny);
    let [policy] = kv.access_policies.as_slice() else { panic!("{:?}", kv.access_policies) };
    assert_eq!(policy.object_id, principal().to_string());
    assert_eq!(policy.secret_permissions, ["Get", "set"]);
}

#[tokio::test]
async fn a_key_vault_is_found_by_its_uri() {
    let azure = Azure::start();
    let arm = &azure.resource_manager;
    let found = arm.find_key_vault("r-1", SUBSCRIPTION, &key_vault_uri(), deadline()).await;
    assert_eq!(found.unwrap().value, Some(key_vault_id()));
    let other = KeyVaultUri::parse("https://kv-other.vault.azure.net/").unwrap();
    let found = arm.find_key_vault("r-1", SUBSCRIPTION, &other, deadline()).await;
    assert_eq!(found.unwrap().value, None);
}

#[tokio::test]
async fn a_deleted_key_vault_is_in_the_list_with_its_dates() {
    let azure = Azure::start();
    let spec = KeyVaultSpec::named("kv-gone");
    azure.azsim.add_key_vault(spec).unwrap();
    azure.azsim.change_settings("kv-gone", |settings| settings.soft_deleted = true).unwrap();
    let told = azure.resource_manager.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await;
    let deleted = told.unwrap().value;
    let [only] = deleted.as_slice() else { panic!("{deleted:?}") };
    assert!(only.id.is_named("KV-GONE") && only.purge_protection);
    assert_eq!((only.id.resource_group(), only.location.as_str()), ("rg-mars", "westeurope"));
    let kept = only.scheduled_purge_at.unwrap() - only.deleted_at.unwrap();
    assert_eq!(kept.whole_days(), 90);
}

#[tokio::test]
async fn a_recovery_services_vault_is_told_with_its_identity() {
    let azure = Azure::start();
    let id = recovery_services_vault_id();
    let told = azure.resource_manager.recovery_services_vault("r-1", &id, deadline()).await;
    let rsv = told.unwrap().value;
    assert_eq!((rsv.id, rsv.location.as_str()), (id, "westeurope"));
    let ResourceIdentity::SystemAssigned(identity) = rsv.identity else {
        panic!("{:?}", rsv.identity)
    };
    assert_eq!(identity.principal_id, principal());
    assert_eq!(identity.tenant_id.unwrap().to_string(), azure.azsim.tenant_id());
    assert_eq!(rsv.provisioning_state.as_deref(), Some("Succeeded"));
}

#[tokio::test]
async fn security_settings_are_told_where_they_are_set() {
    let azure = Azure::start();
    let security = json!({"publicNetworkAccess": "Disabled", "securitySettings": {
        "immutabilitySettings": {"state": "Locked"}, "multiUserAuthorization": "Enabled",
        "softDeleteSettings": {"softDeleteState": "AlwaysON", "enhancedSecurityState": "Enabled"}}});
    let spec = azsim::RecoveryServicesVault {
        properties: security,
        backup_config: json!({"enhancedSecurityState": "Disabled"}),
        ..azsim::RecoveryServicesVault::named("rsv-mars")
    };
    azure.azsim.add_recovery_services_vault(spec);
    let (arm, id) = (&azure.resource_manager, recovery_services_vault_id());
    let rsv = arm.recovery_services_vault("r-1", &id, deadline()).await.unwrap().value;
    assert_eq!(rsv.public_network_access.as_deref(), Some("Disabled"));
    assert_eq!(rsv.immutability.as_deref(), Some("Locked"));
    assert_eq!(rsv.soft_delete.as_deref(), Some("AlwaysON"));
    assert_eq!(rsv.enhanced_security.as_deref(), Some("Enabled"));
    assert_eq!(rsv.multi_user_authorization.as_deref(), Some("Enabled"));
    let config = arm.recovery_services_vault_config("r-1", &id, deadline()).await.unwrap().value;
    assert_eq!(config.enhanced_security.as_deref(), Some("Disabled"));
    assert_eq!(config.soft_delete.as_deref(), Some("Enabled"));
    assert_eq!(config.soft_delete_retention_days, Some(14));
}

#[tokio::test]
async fn the_machines_of_a_recovery_services_vault_are_told() {
    let azure = Azure::start();
    let id = recovery_services_vault_id();
    let told = azure.resource_manager.mars_containers("r-1", &id, deadline()).await.unwrap();
    let names: Vec<&str> = told.value.iter().map(|it| it.friendly_name.as_str()).collect();
    assert_eq!(names, ["srv01", "srv02"]);
    let first = &told.value[0];
    assert_eq!((first.name.as_str(), first.protected_items), ("Windows;srv01", Some(1)));
    assert_eq!(first.registration_status.as_deref(), Some("Registered"));
    assert_eq!(first.agent_version.as_deref(), Some("2.0.9270.0"));
    assert_eq!(first.health.as_deref(), Some("Healthy"));
    assert!(told.facts.path.contains("$filter=backupManagementType%20eq%20%27MAB%27"));
}

#[tokio::test]
async fn diagnostic_settings_are_told_with_what_they_log() {
    let azure = Azure::start();
    let (arm, id) = (&azure.resource_manager, key_vault_id());
    assert_eq!(arm.diagnostic_settings("r-1", &id, deadline()).await.unwrap().value, []);
    azure.azsim.add_diagnostic_setting(DiagnosticSetting {
        resource_id: id.to_string(),
        name: "to-workspace".to_owned(),
        properties: json!({"logs": [
            {"categoryGroup": "audit", "category": null, "enabled": true},
            {"category": "AzurePolicyEvaluationDetails", "enabled": false}]}),
    });
    let settings = arm.diagnostic_settings("r-1", &id, deadline()).await.unwrap().value;
    let [only] = settings.as_slice() else { panic!("{settings:?}") };
    assert_eq!((only.name.as_str(), only.logs_audit_events()), ("to-workspace", true));
    assert_eq!(only.enabled, ["audit"]);
}

#[tokio::test]
async fn a_resource_group_may_have_letters_and_signs_of_its_own() {
    let azure = Azure::start();
    let resource_group = "rg-M\u{fc}nchen_(1).x".to_owned();
    let spec = KeyVaultSpec { resource_group, ..KeyVaultSpec::named("kv-bavaria") };
    let id = KeyVaultId::parse(&spec.resource_id()).unwrap();
    azure.azsim.add_key_vault(spec).unwrap();
    azure.azsim.set_paging(Paging { page_size: Some(1), empty_pages: true });
    let arm = &azure.resource_manager;
    assert_eq!(arm.key_vault("r-1", &id, deadline()).await.unwrap().value.id, id);
    let uri = KeyVaultUri::parse("https://kv-bavaria.vault.azure.net/").unwrap();
    let found = arm.find_key_vault("r-1", SUBSCRIPTION, &uri, deadline()).await.unwrap();
    assert_eq!(found.value.as_ref(), Some(&id));
    let scope = SecretScope { key_vault: id, secret: None };
    assert!(arm.deny_assignments("r-1", &scope, deadline()).await.is_ok());
}

#[tokio::test]
async fn every_question_is_counted_by_its_outcome() {
    let metrics = passphrase_broker::telemetry::install_metrics();
    let azure = Azure::start();
    let (arm, id) = (&azure.resource_manager, key_vault_id());
    arm.diagnostic_settings("r-1", &id, deadline()).await.unwrap();
    azure.forbid();
    arm.diagnostic_settings("r-1", &id, deadline()).await.unwrap_err();
    let text = metrics.render();
    for outcome in ["ok", "forbidden"] {
        let line = format!(
            "passphrase_broker_resource_manager_calls_total{{operation=\"diagnostic_settings\",outcome=\"{outcome}\"}} "
        );
        assert!(text.contains(&line), "{line} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn every_question_is_a_get_to_one_host() {
    let azure = Azure::start();
    for (action, ended) in azure.ask_everything(deadline()).await {
        let facts = ended.unwrap();
        assert_eq!((facts.action, facts.method, facts.status), (action, "GET", Some(200)));
    }
    let seen = azure.azsim.management_requests();
    assert_eq!(seen.len(), 10);
    assert!(seen.iter().all(|it| it.method == "GET" && it.status == 200), "{seen:?}");
    let hosts: Vec<String> = azure.azsim.hosts_seen().into_keys().collect();
    assert_eq!(hosts, ["management.azure.com"]);
}
