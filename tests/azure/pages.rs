//! Lists of many pages: all of them are read, none from anywhere else, and not for ever.

use std::time::{Duration, Instant};

use azsim::{Effect, KeyVaultSpec, Paging, RecoveryServicesVault};
use passphrase_broker::azure::{Deadline, ResourceManagerError};

use crate::harness::{Azure, SUBSCRIPTION, deadline, recovery_services_vault_id};

fn list(host: &str) -> String {
    format!("{host}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/deletedVaults")
}

/// A page with deleted Key Vaults of these names.
fn page(names: &[&str], next_link: &str) -> String {
    let items: Vec<String> = names
        .iter()
        .map(|name| {
            format!(
                r#"{{"properties":{{"location":"westeurope","deletionDate":"2026-07-22T06:24:25Z","vaultId":
                "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/{name}"}}}}"#
            )
        })
        .collect();
    format!(r#"{{"value":[{}],"nextLink":{next_link}}}"#, items.join(","))
}

#[tokio::test]
async fn all_pages_are_read_empty_ones_too() {
    let azure = Azure::start();
    let next = |token: &str| {
        let list =
            list("https://management.azure.com:443").replace("subscriptions", "Subscriptions");
        format!("\"{list}?api-version=2026-02-01&%24skiptoken={token}\"")
    };
    let script = azure.script(&[
        page(&["kv-one", "kv-two"], &next("a%2Bb")),
        page(&[], &next("c")),
        page(&["kv-three"], "null"),
    ]);
    let told = azure.resource_manager.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await;
    let told = told.unwrap();
    let names: Vec<&str> = told.value.iter().map(|deleted| deleted.id.name()).collect();
    assert_eq!(names, ["kv-one", "kv-two", "kv-three"]);
    assert!(told.facts.path.ends_with("&%24skiptoken=c"), "{}", told.facts.path);
    assert!(script.iter().all(|page| page.hits() == 1));
}

#[tokio::test]
async fn every_list_is_read_to_its_end() {
    let azure = Azure::start();
    for number in 0..5 {
        let name = format!("kv-gone-{number}");
        azure.azsim.add_key_vault(KeyVaultSpec::named(&name)).unwrap();
        azure.azsim.change_settings(&name, |settings| settings.soft_deleted = true).unwrap();
    }
    let vault = RecoveryServicesVault {
        containers: (0..5).map(|number| format!("srv{number}").as_str().into()).collect(),
        ..RecoveryServicesVault::named("rsv-mars")
    };
    azure.azsim.add_recovery_services_vault(vault);
    azure.azsim.set_paging(Paging { page_size: Some(2), empty_pages: true });
    let (arm, id) = (&azure.resource_manager, recovery_services_vault_id());
    let deleted = arm.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await.unwrap();
    assert_eq!(deleted.value.len(), 5);
    let containers = arm.mars_containers("r-1", &id, deadline()).await.unwrap();
    assert_eq!(containers.value.len(), 5);
    for (_, ended) in azure.ask_everything(deadline()).await {
        assert_eq!(ended.unwrap().status, Some(200));
    }
}

#[tokio::test]
async fn a_link_to_anywhere_else_is_not_followed() {
    let azure = Azure::start();
    let token = "api-version=2026-02-01&$skiptoken=x";
    for host in [
        "https://management.azure.com.evil.example",
        "https://kv-mars.vault.azure.net",
        "https://management.azure.com@evil.example",
        "http://management.azure.com",
        "https://management.azure.com:8443",
        "",
    ] {
        let link = format!("\"{}?{token}\"", list(host));
        let _page = azure.fault(Effect::refuse(200, page(&["kv-one"], &link)));
        let arm = &azure.resource_manager;
        let error = arm.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await.unwrap_err();
        assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{host}");
    }
    let elsewhere =
        format!("\"https://management.azure.com/subscriptions/{SUBSCRIPTION}/resources?{token}\"");
    let _page = azure.fault(Effect::refuse(200, page(&["kv-one"], &elsewhere)));
    let arm = &azure.resource_manager;
    let error = arm.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await.unwrap_err();
    assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)));
    let hosts: Vec<String> = azure.azsim.hosts_seen().into_keys().collect();
    assert_eq!(hosts, ["management.azure.com"]);
}

#[tokio::test]
async fn a_list_without_an_end_is_no_answer() {
    let azure = Azure::start();
    let link = format!("\"{}?$skiptoken=again\"", list("https://management.azure.com"));
    let endless = azure.fault(Effect::refuse(200, page(&["kv-one"], &link)));
    let started = Instant::now();
    let by = Deadline::after(Duration::from_secs(8));
    let told = azure.resource_manager.deleted_key_vaults("r-1", SUBSCRIPTION, by).await;
    assert!(told.is_err());
    assert!(endless.hits() <= 200 && started.elapsed() < Duration::from_millis(8500));
}

#[tokio::test]
async fn all_pages_together_have_a_limit() {
    let azure = Azure::start();
    let link = format!("\"{}?$skiptoken=again\"", list("https://management.azure.com"));
    let filler = " ".repeat(3 * 1024 * 1024);
    let endless = azure.fault(Effect::refuse(200, page(&["kv-one"], &link) + &filler));
    let arm = &azure.resource_manager;
    let error = arm.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await.unwrap_err();
    assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{error}");
    assert!(endless.hits() <= 6, "{}", endless.hits());
}

#[tokio::test]
async fn an_item_of_another_subscription_or_vault_makes_the_list_worthless() {
    let azure = Azure::start();
    let (arm, other) = (&azure.resource_manager, "11111111-1111-4111-8111-111111111111");
    let foreign = page(&["kv-one"], "null").replace(&SUBSCRIPTION.to_string(), other);
    let page = azure.fault(Effect::refuse(200, foreign));
    let error = arm.deleted_key_vaults("r-1", SUBSCRIPTION, deadline()).await.unwrap_err();
    assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{error}");
    drop(page);
    let container =
        r#"{"value":[{"id":"/x/rsv-other/Windows;a","name":"Windows;a","properties":{}}]}"#;
    let _page = azure.fault(Effect::refuse(200, container));
    let id = recovery_services_vault_id();
    let error = arm.mars_containers("r-1", &id, deadline()).await.unwrap_err();
    assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{error}");
}
