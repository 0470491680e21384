//! ARM unplugged, slow, forbidden, or answering rubbish: unknown, in time, and never a pass.

use std::time::{Duration, Instant};

use azsim::{Effect, Fault};
use futures_util::StreamExt;
use serde_json::json;

use super::estate::{Estate, broker, uri};
use crate::harness::{Answer, azure};

/// What nobody but ARM knows.
const OF_ARM: [&str; 11] = [
    "PF-06", "PF-07", "PF-08", "PF-09", "PF-10", "PF-17", "PF-18", "PF-19", "PF-20", "PF-21",
    "PF-22",
];

fn no_pass(report: &Answer, because: &str) {
    for id in OF_ARM {
        let check = report.check(id);
        let status = check["status"].as_str().unwrap();
        assert!(matches!(status, "unknown" | "skipped"), "{because}: {check}");
    }
    assert_eq!(report.body["overall"], "unknown", "{because}: {}", report.text);
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_with_the_missing_action() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    let report = estate.report().await;
    no_pass(&report, "forbidden");
    let cause = |id: &str| report.check(id)["cause"].as_str().unwrap().to_owned();
    assert!(
        cause("PF-07").contains("Microsoft.RecoveryServices/Vaults/read"),
        "{}",
        cause("PF-07")
    );
    assert!(cause("PF-18").contains("backupProtectionContainers/read"), "{}", cause("PF-18"));
    assert_eq!(report.check("PF-07")["evidence"][0]["httpStatus"], 403);
    assert_eq!(report.check("PF-07")["evidence"][0]["code"], "AuthorizationFailed");
}

#[tokio::test]
async fn one_missing_action_makes_only_its_checks_unknown() {
    let estate = Estate::right().await;
    let fault = Fault::new("resource_manager.", Effect::refuse(403, forbidden()))
        .subscription(&estate.subscription);
    // The third call of the estate's is refused, whichever it is.
    let _guard = azure().inject(fault.skip(2).times(1));
    let report = estate.report().await;
    let count = |status: &str| {
        report.body["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["status"] == status)
            .count()
    };
    assert!(count("pass") > 12 && count("unknown") >= 1 && count("fail") == 0, "{}", report.text);
}

fn forbidden() -> String {
    json!({"error": {"code": "AuthorizationFailed", "message": "no"}}).to_string()
}

#[tokio::test]
async fn a_report_comes_within_ten_seconds_when_arm_hangs() {
    let estate = Estate::right().await;
    let fault =
        Fault::new("resource_manager.", Effect::HoldBefore).subscription(&estate.subscription);
    let _guard = azure().inject(fault);
    let started = Instant::now();
    let report = estate.report().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    no_pass(&report, "hanging");
    // Key Vault was asked all the same.
    assert_eq!(report.statuses(&["PF-13", "PF-04", "PF-05"]), ["pass", "pass", "pass"]);
}

#[tokio::test]
async fn rubbish_is_never_a_pass() {
    let page = json!({"value": [], "nextLink": "https://evil.example/subscriptions"}).to_string();
    let empty_object = "{}".to_owned();
    let rubbish = [
        ("a gateway's page", Effect::Garbage),
        ("half an answer", Effect::Truncate),
        ("an answer without an end", Effect::Oversize { bytes: 20 * 1024 * 1024 }),
        ("an empty object", Effect::refuse(200, empty_object)),
        ("an empty page that leads elsewhere", Effect::refuse(200, page)),
        ("a redirect", Effect::refuse(302, String::new())),
        ("an error", Effect::refuse(500, String::new())),
        ("a dropped connection", Effect::DropBefore),
    ];
    let reports = rubbish.into_iter().map(|(name, effect)| async move {
        let estate = Estate::right().await;
        let fault = Fault::new("resource_manager.", effect).subscription(&estate.subscription);
        let _guard = azure().inject(fault);
        (name, estate.report().await)
    });
    let mut reports = futures_util::stream::iter(reports).buffer_unordered(3);
    while let Some((name, report)) = reports.next().await {
        no_pass(&report, name);
    }
}

#[tokio::test]
async fn a_key_vault_that_is_not_configured_is_never_connected_to() {
    let estate = Estate::right().await;
    let name = "kv-of-somebody-else";
    let uri = azure()
        .add_key_vault(azsim::KeyVaultSpec {
            subscription_id: estate.subscription.clone(),
            ..azsim::KeyVaultSpec::named(name)
        })
        .unwrap();
    let mut subject = estate.subject();
    subject["keyVaultUri"] = json!(uri);
    let report = estate.report_on(subject).await;
    assert_eq!(
        report.statuses(&["PF-04", "PF-12", "PF-13", "PF-14"]),
        ["pass", "pass", "unknown", "unknown"]
    );
    assert!(!azure().hosts_seen().contains_key(&format!("{name}.vault.azure.net")));
}

#[tokio::test]
async fn other_hosts_than_key_vaults_are_never_connected_to() {
    let before: Vec<String> = azure().hosts_seen().into_keys().collect();
    for hostile in [
        "https://evil.example/",
        "https://127.0.0.1/",
        "https://kv.vault.azure.net@evil.example/",
        "https://xn--kv-mrs-cua.vault.azure.net/",
    ] {
        let answer =
            broker().await.portal().post("/v1/preflight", json!({"keyVaultUri": hostile})).await;
        assert_eq!((answer.status, &answer.body["overall"]), (200, &json!("fail")), "{hostile}");
    }
    let after = azure().hosts_seen().into_keys().filter(|host| !before.contains(host));
    let strange: Vec<String> = after
        .filter(|host| host.contains("evil") || host.contains("xn--") || host.contains("127"))
        .collect();
    assert_eq!(strange, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_vault_that_is_nowhere_is_not_called_well() {
    let estate = Estate::right().await;
    let nowhere = uri("pf-nowhere-at-all");
    let mut subject = estate.subject();
    subject["keyVaultUri"] = json!(nowhere);
    let report = estate.report_on(subject).await;
    assert_eq!(report.statuses(&["PF-04", "PF-05"]), ["unknown", "unknown"], "{}", report.text);
}
