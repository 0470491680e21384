//! Anchors that cannot be read, or that nobody signed: they are told of, and prove and stop nothing.

use std::time::{Duration, Instant};

use azsim::Effect;

use super::{ARM, DISARM, KEPT, SIZE, events, hasty, reads};
use crate::harness::Broker;

#[tokio::test]
async fn an_anchor_that_cannot_be_read_is_told_of_and_stops_nobody() {
    let first = Broker::start(hasty()).await;
    let secret = format!("https://{}.vault.azure.net/secrets/{KEPT}", first.key_vault);
    let _fault = first.fault("get_secret", KEPT, Effect::refuse(403, "{}"));
    let keeping = [("AUDIT_CHECKPOINT_SECRET", secret.as_str()), ("AUDIT_CHECKPOINT_SECONDS", "1")];
    let broker = first.replica(&keeping).await;
    events(&broker, 1).await;
    let metrics = broker.nobody().get("/metrics").await.text;
    let unreadable = "passphrase_broker_audit_anchor_unreadable{source=\"key_vault\"} 1";
    assert!(metrics.contains(unreadable), "{metrics}");
    assert!(
        broker.log().contains("the checkpoint in Key Vault cannot be read"),
        "{}",
        broker.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_checkpoint_that_is_not_as_it_was_signed_is_told_of() {
    let broker = Broker::start(hasty()).await;
    events(&broker, 1).await;
    assert_eq!(broker.auditor().get("/v1/audit/checkpoint").await.status, 200);
    let alter = format!(
        "{DISARM} update audit_checkpoints set note = replace(note, 'audit', 'other');{ARM}"
    );
    broker.database.execute(&alter).await;
    let unreadable = "passphrase_broker_audit_anchor_unreadable{source=\"database\"} 1";
    let deadline = Instant::now() + Duration::from_secs(15);
    while !broker.nobody().get("/metrics").await.text.contains(unreadable) {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reads(&broker, "ok").await;
}

#[tokio::test]
async fn what_only_the_services_role_wrote_is_no_anchor_and_keeps_no_checkpoint_from_being_signed()
{
    let broker = Broker::start(hasty()).await;
    let mut service = broker.database.service().await;
    for _ in 0..20 {
        events(&broker, 1).await;
        let forge = "insert into audit_checkpoints (size, root, note)
            select size - 1, sha256(''), 'forged' from audit_head on conflict do nothing";
        sqlx::Executor::execute(&mut service, forge).await.unwrap();
    }
    let answer = broker.auditor().get("/v1/audit/checkpoint").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(
        broker.database.count("select count(*) from audit_checkpoints where note = 'forged'").await
            > 0
    );
    let size = broker.database.count(SIZE).await;
    let covered =
        format!("select count(*) from audit_checkpoints where size >= {size} and note <> 'forged'");
    let deadline = Instant::now() + Duration::from_secs(15);
    while broker.database.count(&covered).await == 0 {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reads(&broker, "ok").await;
}
