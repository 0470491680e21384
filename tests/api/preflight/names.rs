//! Rights that depend on the secret's name: MARS saves under one of a few names, and preflight asks about each.

use azsim::RoleAssignment;
use serde_json::json;

use super::estate::{Estate, SET_SECRET};
use crate::harness::azure;

const HYPHENS: &str = "AzBackup-srv-web01-corp-contoso-com-rsv-prod";
const HOST_ONLY: &str = "AzBackup-srv-web01-rsv-prod";

/// The right to set, where `condition` says something of the name.
async fn where_the_name(condition: &str) -> Estate {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_broker_read();
    let condition = format!("@Request[Microsoft.KeyVault/vaults/secrets:name] {condition}");
    azure().assign(&RoleAssignment {
        data_actions: vec![SET_SECRET.to_owned()],
        condition: Some(condition),
        ..RoleAssignment::to(&estate.principal, estate.key_vault.resource_id())
    });
    estate
}

#[tokio::test]
async fn a_right_to_one_of_the_names_that_mars_may_use_is_no_proof() {
    let estate = where_the_name(&format!("StringEquals '{HYPHENS}'")).await;
    let report = estate.report().await;
    let found = report.check("PF-09");
    assert_eq!(
        (&found["status"], &found["marsErrorCode"]),
        (&json!("unknown"), &json!("391225")),
        "{found}"
    );
    let cause = found["cause"].as_str().unwrap();
    assert!(cause.contains(HYPHENS) && cause.contains(HOST_ONLY), "{cause}");
    assert!(!found["remediation"].as_array().unwrap().is_empty(), "{found}");
}

#[tokio::test]
async fn a_right_to_all_of_the_names_or_to_none_is_certain() {
    let all = where_the_name("StringStartsWith 'AzBackup-'").await.report().await;
    assert_eq!(all.statuses(&["PF-09"]), ["pass"], "{}", all.text);
    let none = where_the_name("StringEquals 'AzBackup-other'").await.report().await;
    assert_eq!(none.statuses(&["PF-09"]), ["fail"], "{}", none.text);
}

#[tokio::test]
async fn a_character_that_cannot_be_shown_in_one_condition_spoils_that_assignment_alone() {
    for hidden in ['\u{202e}', '\u{1b}'] {
        let estate = where_the_name(&format!("StringNotEquals 'x{hidden}y'")).await;
        let report = estate.report().await;
        let found = report.check("PF-09");
        assert_eq!(found["status"], "unknown", "{found}");
        let cause = found["cause"].as_str().unwrap();
        let told = cause.contains("cannot be shown") && cause.contains("/roleAssignments/");
        assert!(told && !report.text.contains(hidden), "{cause}");
        assert_eq!(report.statuses(&["PF-21"]), ["pass"], "{}", report.text);
        estate.let_mars_write();
        let report = estate.report().await;
        assert_eq!(report.statuses(&["PF-09", "PF-21"]), ["pass", "pass"], "{}", report.text);
    }
}
