//! The log's stream: every event comes, in order, signed, at least once, and whatever the sink does, nobody who
//! appends to the log notices.

mod receiver;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Broker, Setup, free_port};
use receiver::{Behaviour, Receiver, SECRET, TAKE};

fn webhook(url: &str) -> [(&'static str, &str); 2] {
    [("AUDIT_WEBHOOK_URL", url), ("AUDIT_WEBHOOK_SECRET", SECRET)]
}

async fn streaming(variables: &[(&'static str, &str)]) -> Broker {
    let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let environment: BTreeMap<_, _> = variables.collect();
    Broker::start(Setup { environment, ..Setup::default() }).await
}

async fn until(what: &str, seconds: u64, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn size(broker: &Broker) -> i64 {
    broker.database.count("select size from audit_head").await
}

/// Whether everything in the log was taken; it may grow meanwhile.
async fn all_taken(broker: &Broker, receiver: &Receiver) -> bool {
    receiver.taken().last().copied() == Some(size(broker).await - 1)
}

/// The first time that each came, in order and without gaps.
fn is_in_order(taken: &[i64]) {
    let mut next = 0;
    for sequence in taken {
        assert!(*sequence <= next, "{sequence} came before {next}: {taken:?}");
        next = next.max(sequence + 1);
    }
}

async fn metric(broker: &Broker, name: &str) -> f64 {
    let text = broker.nobody().get("/metrics").await.text;
    let line =
        text.lines().find(|line| line.starts_with(&format!("passphrase_broker_siem_{name}{{")));
    line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_every_event_once_in_order_and_signed() {
    let receiver = Receiver::start();
    let broker = streaming(&webhook(&receiver.url)).await;
    let machine = broker.portal().register().await;
    broker.helpdesk().retrieve(machine.id()).await;
    until("all came", 15, async || all_taken(&broker, &receiver).await).await;
    let log = broker.database.logged("true").await;
    let (deliveries, mut events) = (receiver.deliveries(), Vec::new());
    for delivery in &deliveries {
        assert!(delivery.is_signed(), "{:?}", delivery.headers);
        assert_eq!(delivery.headers["content-type"], "application/json");
        let (first, last) = (delivery.sequences()[0], *delivery.sequences().last().unwrap());
        assert_eq!(delivery.headers["webhook-id"], format!("audit-{first}-{last}"));
        events.extend(delivery.events());
    }
    let bodies: Vec<Value> = events.iter().map(|event| event["event"].clone()).collect();
    assert_eq!(bodies, log.iter().map(crate::harness::Logged::body).collect::<Vec<_>>());
    assert_eq!(receiver.taken(), (0..size(&broker).await).collect::<Vec<_>>());
    assert!(!deliveries.iter().any(|delivery| delivery.body.contains(machine.field("passphrase"))));
}

/// Everything is refused for a while, and nobody waits for it.
async fn survives(name: &str, behaviour: Behaviour) {
    let receiver = Receiver::start();
    receiver.behaves(behaviour);
    let broker = streaming(&webhook(&receiver.url)).await;
    let portal = broker.portal();
    portal.register().await;
    until(name, 15, async || metric(&broker, "failures_total").await >= 1.0).await;
    let started = Instant::now();
    for _ in 0..5 {
        assert_eq!(portal.register().await.status, 201);
    }
    println!("{name}: 5 registrations meanwhile in {:?}", started.elapsed());
    assert_eq!(receiver.taken(), [0_i64; 0], "{name}");
    until(name, 10, async || metric(&broker, "lag_events").await >= 12.0).await;
    assert!(metric(&broker, "lag_seconds").await >= 1.0, "{name}");
    receiver.behaves(TAKE);
    until(name, 30, async || all_taken(&broker, &receiver).await).await;
    is_in_order(&receiver.taken());
    until(name, 10, async || metric(&broker, "lag_events").await == 0.0).await;
    assert_eq!(broker.nobody().get("/readyz").await.status, 200, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_fails_delays_nobody_and_gets_everything_later() {
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n";
    let failing = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    tokio::join!(
        survives("500", Behaviour::Answer(failing)),
        survives("a redirect", Behaviour::Answer(elsewhere)),
        survives("silence", Behaviour::Silence),
        survives("not HTTP", Behaviour::Answer("what?\r\n\r\n")),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_nobody_listens_at_delays_nobody() {
    let port = free_port();
    let broker = streaming(&webhook(&format!("https://localhost:{port}/"))).await;
    let portal = broker.portal();
    portal.register().await;
    until("a failure", 15, async || metric(&broker, "failures_total").await >= 1.0).await;
    assert_eq!(portal.register().await.status, 201);
    assert!(!broker.log().contains(&format!("localhost:{port}")), "the URL is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_says_when_is_asked_no_earlier_by_any_replica() {
    let receiver = Receiver::start();
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
    receiver.behaves(Behaviour::Answer(busy));
    let broker = streaming(&webhook(&receiver.url)).await;
    broker.portal().register().await;
    let _replica = broker.replica(&webhook(&receiver.url)).await;
    until("two attempts", 20, async || receiver.deliveries().len() >= 2).await;
    let attempts = receiver.deliveries();
    let between = attempts[1].at - attempts[0].at;
    assert!(between >= Duration::from_secs(5), "{between:?}");
    assert_eq!(attempts[0].headers["webhook-id"], attempts[1].headers["webhook-id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_deliver_each_event_once_and_one_goes_on_when_the_other_is_killed() {
    let receiver = Receiver::start();
    let first = streaming(&webhook(&receiver.url)).await;
    let second = first.replica(&webhook(&receiver.url)).await;
    let (here, there) = (first.portal(), second.portal());
    for _ in 0..10 {
        tokio::join!(here.register(), there.register());
    }
    until("all came", 15, async || all_taken(&first, &receiver).await).await;
    assert_eq!(receiver.taken(), (0..size(&first).await).collect::<Vec<_>>(), "once, in order");
    // Received, but the replica that sent it never hears so.
    receiver.behaves(Behaviour::Silence);
    let before = receiver.deliveries().len();
    first.database.append(20).await;
    until("it was sent", 15, async || receiver.deliveries().len() > before).await;
    let total = async |broker: &Broker| metric(broker, "events_total").await;
    let (killed, alive) = if total(&first).await > total(&second).await {
        (&first, &second)
    } else {
        (&second, &first)
    };
    killed.signal("KILL");
    killed.wait();
    receiver.behaves(TAKE);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !all_taken(alive, &receiver).await {
        assert!(Instant::now() < deadline, "nobody went on\n{}", alive.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_in_order(&receiver.taken());
}

#[tokio::test]
async fn standard_output_gets_every_event_as_ocsf() {
    let broker = streaming(&[("AUDIT_STDOUT", "ocsf")]).await;
    let machine = broker.portal().register().await;
    broker.helpdesk().retrieve(machine.id()).await;
    let lines = || -> Vec<Value> {
        let lines = broker
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect::<Vec<Value>>();
        lines.into_iter().filter(|line| line["class_uid"] == 6003).collect()
    };
    until("three came", 15, async || lines().len() >= 3).await;
    let lines = lines();
    for (sequence, line) in lines.iter().enumerate() {
        assert_eq!(line["metadata"]["sequence"], sequence);
    }
    let retrieval =
        lines.iter().find(|line| line["api"]["operation"] == "retrieve_passphrase").unwrap();
    assert_eq!((&retrieval["type_uid"], &retrieval["status_id"]), (&json!(600_302), &json!(1)));
    assert_eq!(retrieval["resources"][0]["uid"], machine.id());
    assert!(!broker.log().contains(machine.field("passphrase")));
}
