//! That each checkpoint is kept in Key Vault whatever fails on the way (C25 of the crash points).

use azsim::Effect;
use base64::Engine;

use crate::{
    audit_checkpoints::{all_signed, newest_note, open, until, verify},
    harness::{Broker, PUBLIC_KEY, Setup},
};

const KEPT: &str = "audit-checkpoint";

/// A broker whose checkpoints are kept in its Key Vault, on a log with a few events. One that shall fail may do so
/// before it is ready.
async fn keeping(fail_point: Option<&str>) -> Broker {
    let without_key = [("AUDIT_SIGNING_KEY", String::new())].into();
    let first = Broker::start(Setup { environment: without_key, ..Setup::default() }).await;
    first.portal().register().await;
    let mut environment = keeping_environment(&first);
    environment.extend(fail_point.map(|point| ("FAIL_POINT", point.to_owned())));
    let replica_of = Some((first.key_vault.clone(), first.tenant.clone()));
    let (database, unready) = (Some(first.database.clone()), fail_point.is_some());
    let environment = environment.into_iter().collect();
    Broker::start(Setup { database, environment, replica_of, unready, ..Setup::default() }).await
}

fn keeping_environment(broker: &Broker) -> Vec<(&'static str, String)> {
    let secret = format!("https://{}.vault.azure.net/secrets/{KEPT}", broker.key_vault);
    vec![("AUDIT_CHECKPOINT_SECRET", secret), ("AUDIT_CHECKPOINT_SECONDS", "1".to_owned())]
}

/// The newest checkpoint of the database is the newest of Key Vault, once.
async fn is_kept(broker: &Broker) {
    all_signed(broker).await;
    until("kept", async || {
        let kept = broker.versions(KEPT);
        let newest = newest_note(broker).await;
        kept.last().is_some_and(|version| version.value == newest)
    })
    .await;
    let kept = broker.versions(KEPT);
    let notes: std::collections::BTreeSet<_> = kept.iter().map(|version| &version.value).collect();
    assert_eq!(notes.len(), kept.len(), "each once");
    let last = kept.last().unwrap();
    let checkpoint = open(&last.value, PUBLIC_KEY).unwrap();
    assert_eq!(last.tags["size"], checkpoint.size.to_string());
    let root = base64::prelude::BASE64_STANDARD.encode(checkpoint.root);
    assert_eq!(last.tags["root"], root);
}

#[tokio::test]
async fn a_checkpoint_becomes_a_version_of_its_secret() {
    let broker = keeping(None).await;
    is_kept(&broker).await;
    broker.portal().register().await;
    is_kept(&broker).await;
}

#[tokio::test]
async fn a_checkpoint_that_key_vault_refused_is_kept_by_the_next_round() {
    let broker = keeping(None).await;
    is_kept(&broker).await;
    let fault = broker.fault("set_secret", KEPT, Effect::refuse(403, "{}"));
    broker.portal().register().await;
    all_signed(&broker).await;
    until("refused", async || broker.log().contains("was not kept in Key Vault")).await;
    fault.release();
    is_kept(&broker).await;
    assert_eq!(broker.nobody().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_checkpoint_whose_acknowledgement_was_lost_is_not_written_twice() {
    let broker = keeping(None).await;
    is_kept(&broker).await;
    let fault = broker.fault_once("set_secret", KEPT, Effect::DropAfter);
    broker.portal().register().await;
    fault.reached(1).await;
    is_kept(&broker).await;
}

#[tokio::test]
async fn a_crash_between_signing_storing_and_keeping_is_mended_by_the_next_replica() {
    for point in
        ["checkpoint.signed", "checkpoint.stored", "put.before checkpoint", "put.after checkpoint"]
    {
        for action in ["exit", "error"] {
            let armed = format!("{point}={action}");
            let broker = keeping(Some(&armed)).await;
            until(&armed, async || broker.log().contains("a fail point was reached")).await;
            let environment = keeping_environment(&broker);
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let next = if action == "exit" { broker.replica(&environment).await } else { broker };
            is_kept(&next).await;
            next.portal().register().await;
            is_kept(&next).await;
            assert_eq!(verify(&next, &newest_note(&next).await, PUBLIC_KEY).0, Some(0), "{armed}");
        }
    }
}
