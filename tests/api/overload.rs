//! What happens at the limits: too many requests at once, too slow ones, too many connections.

use std::{collections::BTreeMap, time::Duration};

use azsim::{Effect, Fault, FaultGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Broker, Setup, azure, until_closed};

async fn start(variable: &'static str, value: &str) -> Broker {
    let environment = BTreeMap::from([(variable, value.to_owned())]);
    Broker::start(Setup { environment, ..Setup::default() }).await
}

/// Key Vault does not answer reads until this is dropped.
fn hold_reads(broker: &Broker) -> FaultGuard {
    azure()
        .inject(Fault::new("key_vault.get_secret", Effect::HoldBefore).key_vault(&broker.key_vault))
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_are_worked_on_at_once_are_told_to_come_back() {
    let broker = start("MAX_CONCURRENT_REQUESTS", "2").await;
    let machine = broker.portal().register().await;
    let held = hold_reads(&broker);
    let (one, two) = (broker.helpdesk(), broker.helpdesk());
    let others = async {
        held.reached(2).await;
        let third = broker.helpdesk().retrieve(machine.id()).await;
        let live = broker.nobody().get("/livez").await;
        held.release();
        (third, live)
    };
    let (first, second, (third, live)) =
        tokio::join!(one.retrieve(machine.id()), two.retrieve(machine.id()), others);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(third.problem(), (503, "overloaded"));
    assert_eq!((third.header("retry-after"), &third.body["retryable"]), ("2", &true.into()));
    assert_eq!(live.status, 200);
    let events = broker.auditor().events("action=retrieve_passphrase").await;
    assert_eq!(events.iter().filter(|event| event["outcome"] == "released").count(), 2);
    assert_eq!(broker.helpdesk().retrieve(machine.id()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_all_the_same() {
    let broker = start("REQUEST_TIMEOUT_SECONDS", "1").await;
    let machine = broker.portal().register().await;
    let held = hold_reads(&broker);
    let started = std::time::Instant::now();
    let answer = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(answer.problem(), (503, "timed-out"), "{}", answer.text);
    assert_eq!(answer.header("retry-after"), "2");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    held.release();
    let events = broker.auditor().events("action=retrieve_passphrase").await;
    assert_eq!((events.len(), &events[0]["outcome"]), (1, &"failed".into()));
}

/// Opens ten connections and keeps those that are served.
async fn served(broker: &Broker) -> Vec<tokio::net::TcpStream> {
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = broker.connect().await;
        drop(stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await);
        if matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {
            open.push(stream);
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_and_places_become_free_again() {
    for variable in ["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_PEER"] {
        let broker = start(variable, "4").await;
        // Connections that were just closed may hold a place until that is noticed.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let mut held = served(&broker).await;
        while held.len() != 4 {
            assert!(std::time::Instant::now() < deadline, "{variable}");
            drop(std::mem::take(&mut held));
            tokio::time::sleep(Duration::from_millis(100)).await;
            held = served(&broker).await;
        }
        let mut fifth = broker.connect().await;
        let closed = until_closed(&mut fifth, Duration::from_secs(2)).await;
        assert!(closed.is_some_and(|(answer, _)| answer.is_empty()), "{variable}");
    }
}
