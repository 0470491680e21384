//! A scan of many pages: within its budget, cut short, and with cursors and links that lead elsewhere.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use azsim::{Effect, Fault};
use serde_json::json;

use crate::{
    adoption_scan::{put, readable, scan, scan_all},
    harness::{Broker, Setup, azure},
};

/// Machine names with hyphens in all places, so that nothing can be told from hyphens.
fn awkward(number: usize) -> String {
    match number % 5 {
        0 => format!("srv{number}.corp.example"),
        1 => format!("srv-{number}-rsv.corp.example"),
        2 => format!("a-{number}"),
        3 => format!("X{number}-prod-rsv"),
        _ => format!("h{number}.rsv-many.example"),
    }
}

#[tokio::test]
async fn five_thousand_secrets_are_scanned_within_the_budget_and_none_is_lost() {
    let broker = Broker::start(Setup::default()).await;
    azure().change_settings(&broker.key_vault, |settings| settings.empty_pages = true).unwrap();
    let names: Vec<String> = (0..5_000).map(awkward).collect();
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let rsv = readable("rsv-many", &borrowed);
    for name in &names {
        put(&broker, &format!("AzBackup-{}-rsv-many", name.replace('.', "-")));
    }
    let began = Instant::now();
    let (items, scanned, calls) =
        scan_all(&broker, json!({"recoveryServicesVaultIds": [rsv.resource_id()]})).await;
    let took = began.elapsed();
    assert_eq!((items.len(), scanned), (5_000, 5_000));
    let found: BTreeSet<String> =
        items.iter().map(|item| item["fqdn"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, names.iter().map(|name| name.to_lowercase()).collect());
    assert!(items.iter().all(|item| item["confidence"] == "high"));
    let pages = azure().requests(&broker.key_vault).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let rate = pages as f64 / took.as_secs_f64();
    println!("5,000 secrets in {took:?}, {calls} calls, {pages} pages, {rate:.0} a second");
    assert!(rate < 100.0 && took < Duration::from_mins(1), "{rate} {took:?}");
}

#[tokio::test]
async fn a_scan_that_is_cut_short_keeps_what_it_has_and_goes_on_where_it_was() {
    let broker = Broker::start(Setup::default()).await;
    for number in 0..100 {
        put(&broker, &format!("AzBackup-srv{number:03}-rsv-cut"));
    }
    let fault = Fault::new("key_vault.list_secrets", Effect::refuse(500, ""))
        .key_vault(&broker.key_vault)
        .skip(2);
    let fault = azure().inject(fault);
    let first = scan(&broker, json!({})).await;
    assert_eq!((first.status, first.body["scanned"].as_u64()), (200, Some(50)), "{}", first.text);
    let rest = json!({"cursor": first.body["nextCursor"]});
    let refused = scan(&broker, rest.clone()).await;
    assert_eq!(refused.problem(), (503, "key-vault-unavailable"), "{}", refused.text);
    fault.release();
    let (items, scanned, _) = scan_all(&broker, rest).await;
    assert_eq!((items.len(), scanned), (50, 100));
}

#[tokio::test]
async fn a_cursor_is_worth_nothing_altered_or_elsewhere() {
    let (broker, other) =
        tokio::join!(Broker::start(Setup::default()), Broker::start(Setup::default()));
    for number in 0..30 {
        put(&broker, &format!("AzBackup-srv{number:03}-rsv-cut"));
    }
    let fault = Fault::new("key_vault.list_secrets", Effect::refuse(500, ""))
        .key_vault(&broker.key_vault)
        .skip(1);
    let _fault = azure().inject(fault);
    let cursor = scan(&broker, json!({})).await.body["nextCursor"].as_str().unwrap().to_owned();
    let mut altered = cursor.clone();
    altered.replace_range(30..31, if altered.as_bytes()[30] == b'A' { "B" } else { "A" });
    for wrong in [altered, "AAAA".to_owned(), String::new()] {
        let refused = scan(&broker, json!({"cursor": wrong})).await;
        assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
    }
    assert_eq!(scan(&other, json!({"cursor": cursor})).await.problem(), (400, "invalid-request"));
    let listed = broker.portal().get(&format!("/v1/machines?cursor={cursor}")).await;
    assert_eq!(listed.problem(), (400, "invalid-request"));
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed_and_other_key_vaults_are_not_scanned() {
    let broker = Broker::start(Setup::default()).await;
    let evil = "scan-evil.vault.azure.net";
    let page = json!({"value": [], "nextLink": format!("https://{evil}:443/secrets?api-version=2025-07-01&$skiptoken=x")});
    let fault = Fault::new("key_vault.list_secrets", Effect::refuse(200, page.to_string()))
        .key_vault(&broker.key_vault);
    let _fault = azure().inject(fault);
    let refused = scan(&broker, json!({})).await;
    assert_eq!(refused.problem(), (503, "key-vault-unavailable"), "{}", refused.text);
    assert!(!azure().hosts_seen().contains_key(evil));
    let foreign = scan(&broker, json!({"keyVaultUri": format!("https://{evil}/")})).await;
    assert_eq!(foreign.problem(), (400, "key-vault-not-allowed"), "{}", foreign.text);
    let many: Vec<String> = (0..201).map(|_| readable("rsv-x", &[]).resource_id()).collect();
    let refused = scan(&broker, json!({"recoveryServicesVaultIds": many})).await;
    assert_eq!(
        refused.body["errors"][0]["pointer"], "/recoveryServicesVaultIds",
        "{}",
        refused.text
    );
}
