//! Facts about the accept loop, over real sockets.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Method, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

/// A server of its own for each test.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    shutdown: Shutdown,
    server: JoinHandle<()>,
}

/// Short, so that tests need not wait; long enough for a busy machine.
pub(super) fn limits() -> Limits {
    Limits {
        header_read_timeout: Duration::from_millis(300),
        keep_alive: Duration::from_millis(900),
        write_timeout: Duration::from_millis(400),
        shutdown_grace: Duration::from_secs(5),
        ..Limits::default()
    }
}

pub(super) async fn start(limits: Limits) -> Running {
    let echo = |method: Method, body: String| async move { format!("{method}:{body}") };
    let slow = || async {
        sleep(Duration::from_millis(700)).await;
        "slow"
    };
    let app = Router::new()
        .route("/", get(|| async { "hello" }).post(echo))
        .route("/slow", get(slow))
        .route("/big", get(|| async { vec![b'x'; 64 << 20] }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        );
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::default();
    let server = tokio::spawn(listener.serve(app, limits, shutdown.clone()));
    Running { address, shutdown, server }
}

impl Running {
    pub(super) async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

/// Everything that comes until the server closes, and how long that took.
pub(super) async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let (start, mut bytes, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    let reading = async {
        // A reset is a way of closing, too.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
    };
    timeout(Duration::from_secs(20), reading).await.expect("the server keeps it open");
    (String::from_utf8_lossy(&bytes).into_owned(), start.elapsed())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn a_client_that_stops_in_its_headers_is_closed() {
    let server = start(limits()).await;
    let beginnings: [&[u8]; 6] =
        [b"", b"P", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"\r\n", PREFACE, &PREFACE[..20]];
    for beginning in beginnings {
        let (answer, after) = until_closed(server.send(beginning).await).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(after < Duration::from_millis(800), "{beginning:?} was kept for {after:?}");
    }
}

#[tokio::test]
async fn trickling_headers_do_not_buy_time() {
    let server = start(limits()).await;
    let (mut reader, mut writer) = server.send(b"GET / HTTP/1.1\r\n").await.into_split();
    let trickle = async {
        while writer.write_all(b"A: b\r\n").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let read = async { reader.read_to_end(&mut Vec::new()).await };
    let ended = timeout(Duration::from_secs(5), async { tokio::join!(trickle, read) });
    assert!(ended.await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_stays_for_the_next_request_but_not_for_ever() {
    let server = start(limits()).await;
    let mut stream = server.send(GET).await;
    sleep(Duration::from_millis(500)).await; // longer than headers may take
    stream.write_all(GET).await.unwrap();
    let (answers, after) = until_closed(stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(after > Duration::from_millis(800) && after < Duration::from_secs(3), "{after:?}");
}

#[tokio::test]
async fn headers_of_a_second_request_have_the_short_limit() {
    let server = start(Limits { keep_alive: Duration::from_mins(1), ..limits() }).await;
    let mut stream = server.send(GET).await;
    sleep(Duration::from_millis(100)).await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (answers, after) = until_closed(stream).await;
    assert!(answers.contains("200 OK") && after < Duration::from_secs(1), "{after:?}");
}

#[tokio::test]
async fn a_slow_answer_is_not_an_idle_connection() {
    let server = start(Limits { keep_alive: Duration::from_millis(100), ..limits() }).await;
    let stream = server.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(until_closed(stream).await.0.ends_with("slow"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let server = start(limits()).await;
    let mut stream = server.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(1500)).await;
    let mut received = Vec::new();
    // What the kernel holds is still there; the rest of the 64 MiB is not.
    drop(timeout(Duration::from_secs(5), stream.read_to_end(&mut received)).await.expect("closed"));
    assert!(received.len() < 64 << 20, "{}", received.len());
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let server = start(limits()).await;
    let (_, after) = until_closed(server.send(&[PREFACE, SETTINGS].concat()).await).await;
    assert!(after < Duration::from_secs(2), "{after:?}");
}

#[tokio::test]
async fn an_http2_connection_hears_that_it_ends_and_is_closed_even_if_it_does_not_listen() {
    let server = start(limits()).await;
    // GET http://a/ as the first stream, in HPACK's shortest form.
    let get = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'a'];
    let mut stream = server.send(&[PREFACE, SETTINGS, &get].concat()).await;
    let mut received = Vec::new();
    let reading = timeout(Duration::from_secs(3), stream.read_to_end(&mut received));
    reading.await.expect("it stays open").unwrap();
    let contains = |bytes: &[u8]| received.windows(bytes.len()).any(|window| window == bytes);
    assert!(contains(b"hello"));
    assert!(contains(&[0, 0, 8, 7, 0, 0, 0, 0, 0]), "no GOAWAY in {received:?}");
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_at_once() {
    for limits in [
        Limits { max_connections: 2, max_connections_per_peer: 0, ..Limits::default() },
        Limits { max_connections: 9, max_connections_per_peer: 2, ..Limits::default() },
    ] {
        let server = start(limits).await;
        let first = server.send(b"").await;
        let mut second = server.send(GET).await;
        assert!(second.read(&mut [0; 64]).await.unwrap() > 0);
        let (answer, after) = until_closed(TcpStream::connect(server.address).await.unwrap()).await;
        assert!(answer.is_empty() && after < Duration::from_secs(1), "{after:?}");
        drop(first);
        sleep(Duration::from_millis(200)).await;
        let mut fourth = server.send(GET).await;
        assert!(fourth.read(&mut [0; 64]).await.unwrap() > 0, "no place was freed");
    }
}

#[tokio::test]
async fn a_shutdown_lets_a_slow_answer_finish_and_nothing_else_begin() {
    let server = start(limits()).await;
    let slow = server.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let idle = server.send(GET).await;
    sleep(Duration::from_millis(200)).await;
    server.shutdown.begin();
    let (answer, _) = until_closed(slow).await;
    assert!(answer.ends_with("slow") && answer.contains("connection: close"), "{answer}");
    let (answer, after) = until_closed(idle).await;
    assert!(answer.ends_with("hello") && after < Duration::from_millis(500), "{after:?}");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.server.await.unwrap();
}

#[tokio::test]
async fn an_announced_shutdown_still_takes_connections_and_answers_one_request_on_each() {
    let server = start(limits()).await;
    server.shutdown.announced.cancel();
    for _ in 0..2 {
        let (answer, after) = until_closed(server.send(GET).await).await;
        assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
        assert!(after < Duration::from_millis(500), "{after:?}");
    }
    assert!(!server.server.is_finished());
}

#[tokio::test]
async fn a_shutdown_ends_when_the_grace_time_is_over() {
    let server = start(Limits { shutdown_grace: Duration::from_millis(100), ..limits() }).await;
    let slow = server.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    server.shutdown.begin();
    timeout(Duration::from_millis(400), server.server).await.expect("it waits").unwrap();
    assert!(until_closed(slow).await.0.is_empty());
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let server = start(limits()).await;
    let stream = server.send(b"GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let own = stream.local_addr().unwrap().to_string();
    assert!(until_closed(stream).await.0.ends_with(&own));
}
