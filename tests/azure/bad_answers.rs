//! Answers that make no sense, or do not come: never a value, always within the deadline, and never more
//! than a few megabytes.

use std::time::{Duration, Instant};

use azsim::{Effect, Fault};
use passphrase_broker::azure::{Deadline, ResourceManagerError};

use crate::harness::{Azure, deadline, key_vault_id};

/// Everything is asked, and every answer ends in an error of this kind before the deadline.
async fn all_end(azure: &Azure, seconds: u64, kind: &str) {
    let started = Instant::now();
    let by = Deadline::after(Duration::from_secs(seconds));
    for (action, ended) in azure.ask_everything(by).await {
        let error = ended.unwrap_err();
        assert_eq!((error.code(), error.action()), (kind, action), "{:?}", error.facts());
    }
    let late = started.elapsed().saturating_sub(Duration::from_secs(seconds));
    // A second attempt, or one that runs to its end, would be later.
    assert!(late < Duration::from_millis(1500), "{late:?} too late");
}

#[tokio::test]
async fn what_hangs_ends_at_the_deadline() {
    let azure = Azure::awake().await;
    let _hold = azure.fault(Effect::HoldBefore);
    all_end(&azure, 1, "unavailable").await;
}

#[tokio::test]
async fn an_attempt_that_hangs_leaves_time_for_another() {
    let azure = Azure::awake().await;
    let hold = azure.azsim.inject(Fault::new("resource_manager.get", Effect::HoldAfter).times(1));
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await;
    assert!(told.unwrap().facts.duration > Duration::from_secs(3));
    assert_eq!(hold.hits(), 1);
}

#[tokio::test]
async fn what_drips_ends_at_the_deadline() {
    let azure = Azure::awake().await;
    let _drip = azure.fault(Effect::Drip { milliseconds: 100, size: 1 });
    all_end(&azure, 1, "unavailable").await;
}

#[tokio::test]
async fn what_breaks_off_is_unavailable_after_three_attempts() {
    for effect in [Effect::Truncate, Effect::DropAfter] {
        let azure = Azure::start();
        let broken = azure.fault(effect);
        all_end(&azure, 8, "unavailable").await;
        assert_eq!(broken.hits(), 30);
    }
}

#[tokio::test]
async fn a_gateway_in_trouble_is_asked_again() {
    let azure = Azure::start();
    let trouble = Fault::new("resource_manager.get", Effect::refuse(503, "<html>")).times(2);
    let trouble = azure.azsim.inject(trouble);
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await;
    assert_eq!(told.unwrap().value.id, key_vault_id());
    assert_eq!(trouble.hits(), 2);
}

#[tokio::test]
async fn garbage_is_no_answer_and_is_not_asked_for_again() {
    let azure = Azure::start();
    let garbage = azure.fault(Effect::Garbage);
    all_end(&azure, 8, "invalid_answer").await;
    assert_eq!(garbage.hits(), 10);
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let azure = Azure::start();
    let _large = azure.fault(Effect::Oversize { bytes: 5 * 1024 * 1024 });
    all_end(&azure, 8, "invalid_answer").await;
}

#[tokio::test]
async fn json_of_another_shape_is_no_answer() {
    let azure = Azure::start();
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "true",
        r#"{"value":null}"#,
        r#"{"value":{}}"#,
        r#"{"value":[null]}"#,
        r#"{"value":[{}]}"#,
        r#"{"id":7,"location":[],"properties":"x","value":"x","name":{}}"#,
        r#"{"error":{"code":"AuthorizationFailed","message":"with status 200"}}"#,
        &"[".repeat(100_000),
    ] {
        let _shape = azure.fault(Effect::refuse(200, body));
        all_end(&azure, 8, "invalid_answer").await;
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_no_answer() {
    let azure = Azure::start();
    let arm = &azure.resource_manager;
    let own = key_vault_id().to_string();
    let body = |id: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","location":"westeurope","properties":{{"vaultUri":"https://kv-mars.vault.azure.net/",
            "tenantId":"70a036f6-8e4d-4615-bad6-149c02e7720d"{more}}}}}"#
        )
    };
    let ask = async |body: String| {
        let _answer = azure.fault(Effect::refuse(200, body));
        arm.key_vault("r-1", &key_vault_id(), deadline()).await
    };
    assert!(ask(body(&own.to_uppercase(), "")).await.is_ok());
    for wrong in [
        body(&own.replace("kv-mars", "kv-evil"), ""),
        body(&own.replace("rg-mars", "rg-evil"), ""),
        body(&own.replace("0b1f", "1b1f"), ""),
        body("", ""),
        body(&own, r#","enablePurgeProtection":"true""#),
        body(&own, r#","enablePurgeProtection":1"#),
        body(&own, r#","enablePurgeProtection":false,"enablePurgeProtection":true"#),
        body(&own, r#","enableRbacAuthorization":"yes""#),
        body(&own, r#","accessPolicies":[{"objectId":7}]"#),
        body(&own, r#","softDeleteRetentionInDays":-1"#),
    ] {
        let error = ask(wrong.clone()).await.unwrap_err();
        assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{wrong}");
    }
}
