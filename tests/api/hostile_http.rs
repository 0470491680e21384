//! Requests that two servers in a row may understand differently, against the whole service (reliability goal D6). Each
//! is followed by a complete request for a machine of ours, as smuggled ones are: it is never answered.
//!
//! `src/listener/raw_requests.rs` has more of them, against the listener alone.

use std::time::Duration;

use crate::harness::{Broker, until_closed};

const LIMIT: Duration = Duration::from_secs(14);

/// Headers before the empty line, and a body: of a POST that would be fine without them.
const REFUSED: [(&str, &str); 30] = [
    ("Content-Length: 2\r\nContent-Length: 3", "{}"),
    ("Content-Length: 2, 3", "{}"),
    ("Content-Length: +2", "{}"),
    ("Content-Length: -2", "{}"),
    ("Content-Length: 0x2", "{}"),
    ("Content-Length: 2a", "{}"),
    ("Content-Length: 2 2", "{}"),
    ("Content-Length: 18446744073709551618", "{}"),
    ("Content-Length : 2", "{}"),
    (" Content-Length: 2", "{}"),
    ("Content-Length 2", "{}"),
    ("Content-Length: 2\nX-A: b", "{}"),
    ("Content-Length: 2\rX-A: b", "{}"),
    ("X-A: b\0\r\nContent-Length: 2", "{}"),
    ("X-A: b\r\n c\r\nContent-Length: 2", "{}"),
    (": b\r\nContent-Length: 2", "{}"),
    ("Host: b\r\nContent-Length: 2", "{}"),
    ("Transfer-Encoding: xchunked", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked, gzip", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: \u{b}chunked", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding : chunked", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: \"chunked\"", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding:\n chunked", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "x\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "0x2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "1\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "2\n{}\r\n0\r\n\r\n"),
];

/// First lines that are no request of HTTP/1.1, or not for this server.
const FIRST_LINES: [&str; 10] = [
    "GET  /v1/me HTTP/1.1",
    "GET /v1/me  HTTP/1.1",
    "GET /v1/me HTTP/1.1 HTTP/1.1",
    "GET /v1/me HTTP/1.9",
    "GET /v1/me HTTP/3.0",
    "GET /v1/me",
    "GET /v1/m\0e HTTP/1.1",
    "G\u{1}T /v1/me HTTP/1.1",
    "GET /v1/me\tHTTP/1.1",
    "/v1/me HTTP/1.1",
];

/// Whose framing is legal, if the connection ends with it (RFC 9112 6.1).
const LAST: [&str; 4] = [
    "Content-Length: 2\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 2",
    "Transfer-Encoding: chunked\r\nContent-Length: x",
    "Content-Length: 7\r\nTransfer-Encoding: chunked",
];

async fn answers(broker: &Broker, request: &str, token: &str) -> (String, Duration) {
    let next = format!("GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = broker.send_raw(format!("{request}{next}").as_bytes()).await;
    let closed = until_closed(&mut stream, LIMIT).await;
    closed.unwrap_or_else(|| panic!("it stays open after {request:?}"))
}

fn count(answers: &str) -> usize {
    answers.matches("HTTP/1.").count()
}

/// The one that is smuggled behind would tell who its caller is.
fn tells_of_the_next(answers: &str) -> bool {
    answers.contains("\"roles\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_request_is_refused_and_what_follows_it_is_not_answered() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let head = format!(
        "POST /v1/machines HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        portal.token()
    );
    let mut requests: Vec<String> =
        REFUSED.iter().map(|(headers, body)| format!("{head}{headers}\r\n\r\n{body}")).collect();
    requests.extend(FIRST_LINES.iter().map(|line| format!("{line}\r\nHost: a\r\n\r\n")));
    requests.push("GET /v1/me HTTP/1.1\r\n\r\n".to_owned());
    requests.push("GET /v1/me HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned());
    requests.push(format!("{head}{}\r\n", "X-A: b\r\n".repeat(1000)));
    requests.push(format!("{head}X-A: {}\r\n\r\n", "b".repeat(100 << 10)));
    let mut slowest = Duration::ZERO;
    for request in &requests {
        let (answers, after) = answers(broker, request, portal.token()).await;
        let refused = answers.is_empty() || answers.starts_with("HTTP/1.1 4");
        assert!(refused && count(&answers) <= 1, "{request:?}: {answers}");
        assert!(!tells_of_the_next(&answers), "{request:?}: {answers}");
        slowest = slowest.max(after);
    }
    assert!(requests.len() >= 40 && slowest < Duration::from_secs(2), "{slowest:?}");
    println!(
        "0 ambiguous parses of {} requests, 0 answers of 5xx; the slowest took {slowest:?}",
        requests.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_two_framings_is_the_last_of_its_connection() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    for headers in LAST {
        let request = format!(
            "POST /v1/machines HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{headers}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
            portal.token()
        );
        let (answers, _) = answers(broker, &request, portal.token()).await;
        assert!(count(&answers) <= 1 && !tells_of_the_next(&answers), "{headers}: {answers}");
    }
}

/// The rest of a body that was refused unread is not a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_inside_the_body_of_a_refused_one_is_not_answered() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let inner = format!(
        "GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        portal.token()
    );
    for (path, content_type) in
        [("/v1/machines", "application/json"), ("/nowhere", "text/plain"), ("/livez", "text/plain")]
    {
        for length in [inner.len(), 70_000] {
            let body = format!("{inner}{}", "x".repeat(length - inner.len()));
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let mut stream = broker.send_raw(request.as_bytes()).await;
            let (answers, _) = until_closed(&mut stream, LIMIT).await.unwrap();
            assert!(count(&answers) <= 1 && !tells_of_the_next(&answers), "{path}: {answers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_method_makes_no_series_in_the_metrics() {
    let broker = Broker::shared().await;
    let mut stream =
        broker.send_raw(b"MADEUP-A7 /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (answer, _) = until_closed(&mut stream, LIMIT).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let metrics = broker.nobody().get("/metrics").await.text;
    assert!(metrics.contains("method=\"other\"") && !metrics.contains("MADEUP"));
}
