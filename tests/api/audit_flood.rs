//! A flood of calls without a believable token: counted exactly, and in nobody's way.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::harness::{Actor, Broker, Database, Setup};

/// Alike calls, a thousand at a time; two kinds, so that the sums are kept apart.
async fn flood(broker: &Broker, machine: &str, calls: usize) {
    let (nobody, forger) = (broker.nobody(), broker.bearer("not.a.token"));
    for _ in 0..calls / 100 {
        let both =
            (0..50).flat_map(|_| [&nobody, &forger]).map(|actor: &Actor| actor.retrieve(machine));
        let answers = join_all(both).await;
        assert!(answers.iter().all(|answer| answer.problem() == (401, "unauthenticated")));
    }
}

/// Calls that the log tells of, and how many events it takes for that.
async fn on_record(database: &Database) -> (i64, i64) {
    let logged = database.logged("event #>> '{actor,kind}' = 'anonymous'").await;
    let calls = logged.iter().map(|event| event.body()["count"].as_i64().unwrap_or(1)).sum();
    (calls, i64::try_from(logged.len()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_counted_exactly_and_a_retrieval_meanwhile_is_quick() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    let helpdesk = broker.helpdesk();
    let slowest = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let started = Instant::now();
            assert_eq!(helpdesk.retrieve(&machine).await.status, 201);
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let (slowest, ()) = tokio::join!(slowest, flood(&broker, &machine, 5_000));
    assert!(slowest < Duration::from_secs(3), "a retrieval took {slowest:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut recorded = on_record(&broker.database).await;
    while recorded.0 != 5_000 {
        assert!(Instant::now() < deadline, "{recorded:?} calls and events");
        tokio::time::sleep(Duration::from_millis(50)).await;
        recorded = on_record(&broker.database).await;
    }
    println!("5000 calls in {} events, slowest retrieval {slowest:?}", recorded.1);
    assert!(recorded.1 < 2_500, "{} events", recorded.1);
}

#[tokio::test]
async fn what_was_only_counted_is_written_before_the_end() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await.id().to_owned();
    flood(&broker, &machine, 500).await;
    broker.signal("TERM");
    assert!(broker.wait().success());
    assert_eq!(on_record(&broker.database).await.0, 500);
}
