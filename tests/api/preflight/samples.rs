//! Each of Microsoft's errors, in a world that has it and nothing else wrong.

use azsim::{
    Access, Container, Identity, Machine, MachineKind, Network, SecretSpec, VaultIdentity,
};
use serde_json::{Value, json};

use super::estate::{Estate, FQDN, brokers_policy};
use crate::harness::{Answer, azure};

const NAME: &str = "AzBackup-srv-web01-corp-contoso-com-rsv-prod";

/// The check fails with the code, and its az lines hold this.
fn fails(report: &Answer, id: &str, code: &Value, line: &str) {
    let check = report.check(id);
    assert_eq!((&check["status"], &check["marsErrorCode"]), (&json!("fail"), code), "{check}");
    assert_eq!(report.body["overall"], "fail");
    let commands: String = check["remediation"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|remedy| remedy["client"] == "az")
        .map(|remedy| remedy["commands"].to_string())
        .collect();
    assert!(commands.contains(line), "{line} is not in {commands}");
}

async fn with_identity(identity: Option<VaultIdentity>) -> Estate {
    let estate = Estate::without_rights(|_| {}, |vault| vault.identity = identity).await;
    estate.let_broker_read();
    estate
}

#[tokio::test]
async fn no_identity_is_391224() {
    let estate = with_identity(None).await;
    let line = "az backup vault identity assign --system-assigned --resource-group rg-backup --name rsv-prod";
    fails(&estate.report().await, "PF-07", &json!("391224"), line);
}

#[tokio::test]
async fn a_user_assigned_identity_alone_is_391224_and_told_to_be_unsupported() {
    let resource_id = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup";
    let mut holder = Machine::new("vm-of-user-assigned", MachineKind::VirtualMachine);
    holder.user_assigned =
        vec![Identity { resource_id: resource_id.to_owned(), ..Identity::default() }];
    azure().add_machine(holder);
    let user_assigned = vec![resource_id.to_owned()];
    let estate = with_identity(Some(VaultIdentity { principal_id: None, user_assigned })).await;
    let report = estate.report().await;
    fails(&report, "PF-07", &json!("391224"), "--system-assigned");
    let cause = report.check("PF-07")["cause"].as_str().unwrap();
    assert!(cause.contains("does not support a user-assigned"), "{cause}");
}

#[tokio::test]
async fn an_identity_without_a_role_is_391225() {
    let estate = with_identity(Some(VaultIdentity {
        principal_id: Some("0a000000-0000-4000-8000-000000000001".to_owned()),
        user_assigned: Vec::new(),
    }))
    .await;
    let line = "--assignee-object-id 0a000000-0000-4000-8000-000000000001 --assignee-principal-type ServicePrincipal";
    fails(&estate.report().await, "PF-09", &json!("391225"), line);
}

#[tokio::test]
async fn access_policies_of_others_are_391225() {
    let estate = Estate::without_rights(
        |key_vault| key_vault.settings.access = Access::Policies(vec![brokers_policy()]),
        |_| {},
    )
    .await;
    estate.let_broker_read();
    // A role, which does not count while access policies decide.
    estate.let_mars_write();
    let line = format!("--object-id {} --secret-permissions set", estate.principal);
    fails(&estate.report().await, "PF-09", &json!("391225"), &line);
}

#[tokio::test]
async fn a_deny_assignment_is_391225_whatever_roles_there_are() {
    let estate = Estate::right().await;
    let denial = json!({"scope": estate.scope(), "name": "frozen", "principals": ["00000000-0000-0000-0000-000000000000"],
        "permissions": [{"dataActions": ["Microsoft.KeyVault/vaults/secrets/setSecret/action"]}]});
    azure().deny(serde_json::from_value(denial).unwrap());
    let report = estate.report().await;
    fails(&report, "PF-21", &json!("391225"), "");
    fails(&report, "PF-09", &json!("391225"), "");
}

#[tokio::test]
async fn a_soft_deleted_secret_is_391282_disabled_ones_too() {
    for enabled in [true, false] {
        let secret =
            SecretSpec { deleted: true, enabled, ..SecretSpec::new(NAME, "Made-up-passphrase-2") };
        let estate =
            Estate::without_rights(|key_vault| key_vault.secrets = vec![secret], |_| {}).await;
        estate.let_broker_read();
        estate.let_mars_write();
        let line = format!(
            "az keyvault secret recover --vault-name {} --name {NAME}",
            estate.key_vault.name
        );
        fails(&estate.report().await, "PF-13", &json!("391282"), &line);
    }
}

#[tokio::test]
async fn a_soft_deleted_key_vault_is_391283_by_its_uri_alone() {
    let estate =
        Estate::without_rights(|key_vault| key_vault.settings.soft_deleted = true, |_| {}).await;
    estate.let_broker_read();
    let report = estate.report_on(json!({"keyVaultUri": estate.key_vault_uri()})).await;
    let line = format!("az keyvault recover --name {} --location", estate.key_vault.name);
    fails(&report, "PF-05", &json!("391283"), &line);
    let cause = report.check("PF-05")["cause"].as_str().unwrap();
    assert!(cause.contains("neither role assignments nor Event Grid subscriptions"), "{cause}");
}

#[tokio::test]
async fn no_purge_protection_fails_and_is_told_to_be_for_ever() {
    let estate =
        Estate::without_rights(|key_vault| key_vault.settings.purge_protection = false, |_| {})
            .await;
    estate.let_broker_read();
    let report = estate.report().await;
    fails(&report, "PF-12", &Value::Null, "--enable-purge-protection true");
    assert!(report.check("PF-12")["cause"].as_str().unwrap().contains("cannot be undone"));
}

#[tokio::test]
async fn a_firewall_is_told_with_the_address_that_key_vault_saw() {
    let estate = Estate::without_rights(
        |key_vault| key_vault.settings.network = Network::FirewallDenies,
        |_| {},
    )
    .await;
    estate.let_broker_read();
    let report = estate.report().await;
    fails(&report, "PF-15", &Value::Null, "az keyvault network-rule add");
    assert!(
        report.check("PF-15")["cause"].as_str().unwrap().contains("203.0.113.7"),
        "{}",
        report.check("PF-15")
    );
}

#[tokio::test]
async fn an_old_agent_and_an_incomplete_registration_are_told() {
    let old = Container { agent_version: "2.0.9261.0".to_owned(), ..Container::named(FQDN) };
    let estate = Estate::without_rights(|_| {}, |vault| vault.containers = vec![old]).await;
    estate.let_broker_read();
    fails(&estate.report().await, "PF-17", &Value::Null, "");
    let incomplete = Container { protected_item_count: 0, ..Container::named(FQDN) };
    let estate = Estate::without_rights(|_| {}, |vault| vault.containers = vec![incomplete]).await;
    estate.let_broker_read();
    fails(&estate.report().await, "PF-18", &json!("Registration is incomplete"), "");
}

#[tokio::test]
async fn what_is_no_uri_is_100272_and_the_rest_is_still_checked() {
    let estate = with_identity(None).await;
    let mut subject = estate.subject();
    subject["keyVaultUri"] = json!(format!("{}secrets/{NAME}", estate.key_vault_uri()));
    let report = estate.report_on(subject).await;
    fails(&report, "PF-01", &json!("100272"), &estate.key_vault.name);
    fails(&report, "PF-07", &json!("391224"), "");
    let cause = report.check("PF-01")["cause"].as_str().unwrap();
    assert!(
        cause.contains("identifier of a secret") && cause.contains(&estate.key_vault_uri()),
        "{cause}"
    );
}
