//! Goal B8: every replica is restarted in turn under load, and nobody behind the load balancer notices.
//!
//! The load balancer is one of the plain kind: it asks `/readyz` now and then, gives each new connection to the
//! next replica that is ready as far as it knows, and repeats nothing.

mod balancer;
mod load;

use std::time::{Duration, Instant};

use crate::harness::{Broker, Setup, full_size_or};
use balancer::Balancer;
use load::Load;

/// From SIGTERM to the end of the process.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

fn drain() -> &'static str {
    full_size_or("5", "1")
}

async fn started() -> Broker {
    let environment = [("DRAIN_SECONDS", drain().to_owned())].into();
    Broker::start(Setup { environment, ..Setup::default() }).await
}

/// Stops a replica as an orchestrator does. Answers how long it took to end.
async fn drained(broker: &Broker) -> Duration {
    let stopped = Instant::now();
    broker.signal("TERM");
    while !broker.has_ended() {
        assert!(stopped.elapsed() < DRAINED_WITHIN, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(broker.wait().success(), "{}", broker.log());
    stopped.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let first = started().await;
    let second = first.replica(&[("DRAIN_SECONDS", drain())]).await;
    let balancer = Balancer::start([&first.url, &second.url]).await;
    let load = Load::begin(&first, &balancer.url).await;
    let mut replicas = [first, second];
    let mut slowest = Duration::ZERO;
    for round in 0..full_size_or(8, 2) {
        let slot = round % 2;
        slowest = slowest.max(drained(&replicas[slot]).await);
        let fresh = replicas[1 - slot].replica(&[("DRAIN_SECONDS", drain())]).await;
        balancer.replace(slot, &fresh.url);
        replicas[slot] = fresh;
        balancer.all_ready().await;
    }
    let (requests, took) = load.ends().await;
    let rate = f64::from(requests) / took.as_secs_f64();
    println!("{requests} requests at {rate:.0} a second, 0 failed; slowest drain {slowest:.1?}");
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_is_unready_at_once_and_serves_on() {
    let environment = [("DRAIN_SECONDS", "60".to_owned())].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    let portal = broker.portal();
    broker.signal("TERM");
    while !broker.log().contains("\"stopping\"") {
        tokio::task::yield_now().await;
    }
    let unready = broker.nobody().get("/readyz").await;
    assert_eq!((unready.status, unready.field("service")), (503, "stopping"), "{}", unready.text);
    assert_eq!(unready.field("database"), "ok");
    let served = portal.get("/v1/machines").await;
    assert_eq!((served.status, served.header("connection")), (200, "close"));
    // Whoever sends it again does not want to wait.
    broker.signal("TERM");
    assert!(broker.wait().success(), "{}", broker.log());
}
