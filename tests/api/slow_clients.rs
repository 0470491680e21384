//! Clients that stop in the middle (reliability goal D4): they cost others little, and not for long.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::harness::{Broker, Setup, full_size_or, until_closed};

/// How many of each kind.
struct Crowd {
    half_headers: usize,
    half_bodies: usize,
    silent_readers: usize,
}

/// Headers and bodies may take ten seconds; then they are closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);

async fn start() -> Broker {
    let environment = BTreeMap::from([("MAX_CONNECTIONS", "2000".to_owned())]);
    Broker::start(Setup { environment, ..Setup::default() }).await
}

/// The slowest of a hundred, over four connections side by side.
async fn p99(broker: &Broker, machine: &str, requests: usize) -> Duration {
    let actors = [broker.portal(), broker.helpdesk(), broker.auditor(), broker.portal()];
    let path = format!("/v1/machines/{machine}");
    let one = async |actor: &crate::harness::Actor| {
        let mut times = Vec::new();
        for _ in 0..requests / 4 {
            let started = Instant::now();
            assert_eq!(actor.get(&path).await.status, 200);
            times.push(started.elapsed());
        }
        times
    };
    let mut times = join_all(actors.iter().map(one)).await.concat();
    times.sort();
    times[times.len() * 99 / 100]
}

/// Every third without a token, every other one after a wrong path or in chunks.
fn half_body(number: usize, token: &str) -> String {
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let authorization = if number.is_multiple_of(3) { "" } else { &authorization };
    let framing = match number % 2 {
        0 => "Content-Length: 400\r\n\r\n{\"fqdn\":",
        _ => "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"fqdn\":\r\n",
    };
    let head = "POST /v1/machines HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    format!("{head}{authorization}{framing}")
}

async fn half_sent(broker: &Broker, crowd: &Crowd) -> Vec<TcpStream> {
    let portal = broker.portal();
    let beginnings = [
        "",
        "G",
        "GET /livez HTTP/1.1\r\nHost: a\r\n",
        "GET /livez HTTP/1.1\r\nHost: a\r\nX-A: b",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let mut streams = Vec::new();
    for number in 0..crowd.half_headers {
        streams.push(broker.send_raw(beginnings[number % 5].as_bytes()).await);
    }
    for number in 0..crowd.half_bodies {
        streams.push(broker.send_raw(half_body(number, portal.token()).as_bytes()).await);
    }
    streams
}

/// Ask for more than all buffers hold, and take nothing of it.
async fn silent_readers(broker: &Broker, count: usize) -> Vec<TcpStream> {
    let asked = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    join_all((0..count).map(|_| broker.send_raw(asked.as_bytes()))).await
}

/// Waits until nothing more is made for those who do not read: a flood is another matter than a crowd.
async fn settled(broker: &Broker) {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.process_id())).unwrap();
        // Behind the name, which may hold anything: user and system time are the 12th and the 13th.
        let numbers = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        numbers.map(|number| number.parse::<u64>().unwrap()).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let before = ticks();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if ticks() - before < 6 {
            return;
        }
        assert!(Instant::now() < deadline, "it does not come to rest");
    }
}

async fn endures(crowd: Crowd) {
    let broker = start().await;
    let machine = broker.portal().register().await.id().to_owned();
    let quiet = p99(&broker, &machine, 400).await;
    let silent = silent_readers(&broker, crowd.silent_readers).await;
    settled(&broker).await;
    let (half, sent) = (half_sent(&broker, &crowd).await, Instant::now());
    let waiting = tokio::spawn(async move {
        let closed = half.into_iter().map(|mut stream| async move {
            until_closed(&mut stream, Duration::from_secs(25)).await.map(|_| sent.elapsed())
        });
        join_all(closed).await
    });
    let healthy = p99(&broker, &machine, 400).await;
    let closed = waiting.await.unwrap();
    let open =
        closed.iter().filter(|after| after.is_none_or(|after| after > CLOSED_WITHIN)).count();
    let last = closed.iter().flatten().max().unwrap();
    assert_eq!(
        open,
        0,
        "of {} half-sent requests; the last was closed after {last:?}",
        closed.len()
    );
    // Other tests run beside this one, and nothing is optimised: the goal of 2x is for a quiet machine.
    assert!(healthy < quiet * 2 + Duration::from_millis(500), "{healthy:?} instead of {quiet:?}");
    drop(silent);
    println!(
        "p99 {healthy:?} beside {} half-sent headers, {} bodies and {} who do not read; {quiet:?} without; all {} closed within {last:?}",
        crowd.half_headers,
        crowd.half_bodies,
        crowd.silent_readers,
        closed.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_are_closed_and_others_are_served_meanwhile() {
    let full = Crowd { half_headers: 400, half_bodies: 200, silent_readers: 100 };
    let usual = Crowd { half_headers: 80, half_bodies: 40, silent_readers: 10 };
    endures(full_size_or(full, usual)).await;
}

/// How many of these connections the broker's side still has, as the kernel lists them.
fn held(broker: &Broker, streams: &[TcpStream]) -> usize {
    let port = |of: u16| format!(":{of:04X}");
    let here = port(broker.url.rsplit(':').next().unwrap().parse().unwrap());
    let peers: Vec<String> =
        streams.iter().map(|stream| port(stream.local_addr().unwrap().port())).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_held = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, peer, state) = (columns[1], columns[2], columns[3]);
        state == "01" && local.ends_with(&here) && peers.iter().any(|known| peer.ends_with(known))
    };
    table.lines().skip(1).filter(is_held).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_closed() {
    let broker = start().await;
    let started = Instant::now();
    let streams = silent_readers(&broker, 20).await;
    assert_eq!(held(&broker, &streams), 20);
    while held(&broker, &streams) > 0 {
        let open = held(&broker, &streams);
        assert!(started.elapsed() < Duration::from_mins(1), "{open} of 20 are open");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop(streams);
    println!("20 clients that never read were closed after {:?}", started.elapsed());
}
