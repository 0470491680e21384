//! Answers that only look like Key Vault's or ARM's: a status without the code that goes with it, a list without a
//! list. They prove nothing.

use azsim::{Effect, Fault};
use serde_json::json;

use super::estate::Estate;
use crate::harness::azure;

const RUBBISH: [&str; 3] = ["", "{}", "<html><title>404 Not Found</title></html>"];

/// Of the estate's Key Vault and of ARM in its subscription.
fn both(estate: &Estate, effect: &Effect) -> [azsim::FaultGuard; 2] {
    [
        azure().inject(Fault::new("key_vault.", effect.clone()).key_vault(&estate.key_vault.name)),
        azure().inject(
            Fault::new("resource_manager.", effect.clone()).subscription(&estate.subscription),
        ),
    ]
}

#[tokio::test]
async fn a_404_without_key_vaults_code_does_not_say_that_nothing_lies_deleted() {
    let estate = Estate::right().await;
    for body in RUBBISH {
        let fault = Fault::new("key_vault.get_deleted_secret", Effect::refuse(404, body));
        let _guard = azure().inject(fault.key_vault(&estate.key_vault.name));
        let report = estate.report().await;
        assert_eq!(report.statuses(&["PF-13"]), ["unknown"], "{body}: {}", report.text);
        assert_eq!(report.body["overall"], "unknown");
        assert_eq!(report.check("PF-13")["marsErrorCode"], "391282");
    }
}

#[tokio::test]
async fn a_404_without_key_vaults_code_does_not_say_that_this_service_may_read() {
    let estate = Estate::right().await;
    let fault = Fault::new("key_vault.get_secret", Effect::refuse(404, "<html>"));
    let _guard = azure().inject(fault.key_vault(&estate.key_vault.name));
    let report = estate.report().await;
    let evidence = report.check("PF-16")["evidence"].to_string();
    assert!(!evidence.contains("\"httpStatus\":404"), "{evidence}");
}

#[tokio::test]
async fn a_list_of_versions_without_a_list_does_not_say_that_there_is_none() {
    let estate = Estate::right().await;
    for body in ["{}", r#"{"value":null}"#, r#"{"nextLink":null}"#] {
        let fault = Fault::new("key_vault.list_versions", Effect::refuse(200, body));
        let _guard = azure().inject(fault.key_vault(&estate.key_vault.name));
        let report = estate.report().await;
        assert_eq!(report.statuses(&["PF-14"]), ["unknown"], "{body}: {}", report.text);
    }
}

#[tokio::test]
async fn a_key_vault_is_not_there_because_something_answers() {
    let estate = Estate::right().await;
    for (status, body) in [(403, ""), (403, "<html>"), (200, "{}"), (404, "{}"), (400, "")] {
        let _guards = both(&estate, &Effect::refuse(status, body));
        let report = estate.report().await;
        let found = report.statuses(&["PF-04", "PF-05", "PF-09", "PF-13", "PF-14", "PF-16"]);
        assert!(
            found.iter().all(|status| *status == "unknown" || *status == "skipped"),
            "{status} {body}: {}",
            report.text
        );
        assert_eq!(report.body["overall"], "unknown", "{status} {body}");
    }
}

#[tokio::test]
async fn a_404_without_arms_code_does_not_say_that_something_is_missing() {
    let estate = Estate::right().await;
    for body in RUBBISH {
        let fault = Fault::new("resource_manager.", Effect::refuse(404, body));
        let _guard = azure().inject(fault.subscription(&estate.subscription));
        let report = estate.report().await;
        let found = report.statuses(&["PF-06", "PF-07", "PF-09", "PF-18", "PF-21"]);
        assert!(
            !found.iter().any(|status| *status == "pass" || *status == "fail"),
            "{body}: {}",
            report.text
        );
        assert_eq!(report.check("PF-06")["status"], json!("unknown"), "{body}");
    }
}
