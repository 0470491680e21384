//! A passphrase without an event does not exist, also when PostgreSQL dies under a crowd: for every
//! answered passphrase the log has the event that the answer names.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use passphrase_broker::audit::verify;

use crate::harness::{Actor, Answer, Broker, Postgres, Setup};

/// Retrieves again and again until told to stop.
async fn retrieve_until(stop: &AtomicBool, helpdesk: &Actor, machine: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        answers.push(helpdesk.retrieve(machine).await);
    }
    answers
}

/// Waits until another passphrase was answered.
async fn another(helpdesk: &Actor, machine: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while helpdesk.retrieve(machine).await.status != 201 {
        assert!(std::time::Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_passphrase_has_its_event_though_postgresql_dies() {
    let postgres = Postgres::start("--durable");
    let broker =
        Broker::start(Setup { database: Some(postgres.database().await), ..Setup::default() })
            .await;
    let machine = broker.portal().register().await.id().to_owned();
    let (helpdesk, stop) = (broker.helpdesk(), AtomicBool::new(false));
    let crowd = join_all((0..16).map(|_| retrieve_until(&stop, &helpdesk, &machine)));
    let deaths = async {
        for _ in 0..5 {
            for _ in 0..3 {
                another(&helpdesk, &machine).await;
            }
            postgres.crash();
        }
        another(&helpdesk, &machine).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(crowd, deaths);
    let released =
        broker.database.logged("outcome = 'released' and action = 'retrieve_passphrase'").await;
    let events: BTreeMap<i64, String> =
        released.into_iter().map(|event| (event.sequence, event.event_id)).collect();
    let (mut passphrases, mut refused) = (0, 0);
    for answer in answers.iter().flatten() {
        if answer.text.contains("\"passphrase\"") {
            let named = &answer.body["auditEvent"];
            let event = events.get(&named["sequence"].as_i64().unwrap());
            assert_eq!(
                event.map(String::as_str),
                named["id"].as_str(),
                "a passphrase without its event"
            );
            passphrases += 1;
        } else {
            assert!(matches!(answer.status, 503), "{}", answer.text);
            refused += 1;
        }
    }
    println!(
        "{passphrases} passphrases, each with its event; {refused} refused; 5 deaths of PostgreSQL"
    );
    assert!(passphrases >= 100, "only {passphrases}");
    let report =
        verify::database(&broker.database.service_url, verify::Evidence::default(), |_, _| ())
            .await
            .unwrap();
    assert!(report.is_good(), "the tree did not survive: {report}");
}
