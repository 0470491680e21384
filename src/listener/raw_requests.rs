//! Requests that two servers in a row may understand differently. Each of them is one step to
//! smuggling a second request past whoever stands in front of this service.
//!
//! What is sent is followed by a complete request, as smuggled ones are: it is never answered.

use super::tests::{limits, start, until_closed};

const NEXT: &str = "GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n";

/// Refused: 400, 405, 414, 431, 501, 505, or closed without a word.
fn refused() -> Vec<(&'static str, String)> {
    let post =
        |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
        ("two lengths in one", post("Content-Length: 5, 6\r\n", "hello")),
        ("the same length twice in one", post("Content-Length: 5, 5\r\n", "hello")),
        ("a length with a sign", post("Content-Length: +5\r\n", "hello")),
        ("a negative length", post("Content-Length: -5\r\n", "hello")),
        ("a hexadecimal length", post("Content-Length: 0x5\r\n", "hello")),
        ("a length with a letter", post("Content-Length: 5a\r\n", "hello")),
        ("an empty length", post("Content-Length: \r\n", "hello")),
        ("a length with a space inside", post("Content-Length: 5 5\r\n", "hello")),
        ("a length beyond 64 bits", post("Content-Length: 18446744073709551621\r\n", "hello")),
        (
            "a length at the end of 64 bits",
            post("Content-Length: 18446744073709551615\r\n", "hello"),
        ),
        ("a space before the colon", post("Content-Length : 5\r\n", "hello")),
        ("a tab before the colon", post("Content-Length\t: 5\r\n", "hello")),
        ("a space before the name", post(" Content-Length: 5\r\n", "hello")),
        ("a folded header", post("X-A: b\r\n Content-Length: 5\r\n", "hello")),
        ("a header without a colon", post("Content-Length 5\r\n", "hello")),
        ("an empty header name", post(": x\r\n", "")),
        ("NUL in a value", post("X-A: b\0c\r\n", "")),
        ("NUL in a name", post("X\0A: b\r\n", "")),
        ("a bare CR in a value", post("X-A: b\rContent-Length: 5\r\n", "hello")),
        ("an escape in a value", post("X-A: \u{1b}[2J\r\n", "")),
        ("an umlaut in a name", post("X-\u{e4}: b\r\n", "")),
        ("an unknown encoding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("an encoding after chunked", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        (
            "identity after chunked",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ),
        ("a vertical tab before chunked", post("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n")),
        ("chunked in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
        (
            "chunked over HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("a chunk size that is no number", chunked("xyz\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size with a sign", chunked("-5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size with 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size beyond 64 bits", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("an empty chunk size", chunked("\r\nhello\r\n0\r\n\r\n")),
        ("a chunk longer than its size", chunked("3\r\nhello\r\n0\r\n\r\n")),
        ("a bare LF after a chunk size", chunked("5\nhello\r\n0\r\n\r\n")),
        ("a bare LF after the first line", "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned()),
        ("a bare LF between headers", post("X-A: b\nContent-Length: 5\r\n", "hello")),
        ("a bare LF at the end of the headers", post("X-A: b\r\n\n", "")),
        ("bare LFs everywhere", "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        ("a bare LF between empty lines", line("\r\n\r\n\nGET / HTTP/1.1")),
        ("a bare CR for a line's end", "GET / HTTP/1.1\rHost: a\r\r".to_owned()),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", line("GET / HTTP/1.1\r\nHost: b")),
        ("a version that does not exist", line("GET / HTTP/1.9")),
        ("a version in lower case", line("GET / http/1.1")),
        ("no version", "GET /\r\n\r\n".to_owned()),
        ("a space in the path", line("GET /a b HTTP/1.1")),
        ("NUL in the path", line("GET /a\0b HTTP/1.1")),
        ("no path", line("GET HTTP/1.1")),
        ("an empty method", line(" / HTTP/1.1")),
        ("a method of control characters", line("G\u{1}T / HTTP/1.1")),
        ("a path of 100 KiB", line(&format!("GET /{} HTTP/1.1", "a".repeat(100 << 10)))),
        ("a header of 100 KiB", post(&format!("X-A: {}\r\n", "a".repeat(100 << 10)), "")),
        ("1000 headers", post(&"X-A: b\r\n".repeat(1000), "")),
        ("the preface of HTTP/2, spelled wrongly", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".to_owned()),
        ("a TLS handshake", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned()),
    ]
}

/// RFC 9112 6.1 lets a server take `chunked` for what it is, if it closes afterwards.
const ANSWERED_ONCE: [(&str, &str); 4] = [
    ("a length, then chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    ("chunked, then a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    ("chunked, then a wrong length", "Transfer-Encoding: chunked\r\nContent-Length: x\r\n"),
    (
        "three lengths and chunked",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    ),
];

#[tokio::test]
async fn an_ambiguous_request_is_refused_and_what_follows_it_is_not_read() {
    let server = start(limits()).await;
    for (name, request) in refused() {
        let stream = server.send(format!("{request}{NEXT}").as_bytes()).await;
        let (answers, _) = until_closed(stream).await;
        let refusal = answers.is_empty()
            || answers.starts_with("HTTP/1.1 4")
            || answers.starts_with("HTTP/1.1 5");
        assert!(refusal && answers.matches("HTTP/1.").count() <= 1, "{name}: {answers}");
    }
}

#[tokio::test]
async fn a_request_with_two_framings_is_the_last_of_its_connection() {
    let server = start(limits()).await;
    for (name, headers) in ANSWERED_ONCE {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n5\r\nhello\r\n0\r\n\r\n{NEXT}");
        let (answers, _) = until_closed(server.send(request.as_bytes()).await).await;
        assert_eq!(answers.matches("HTTP/1.").count(), 1, "{name}: {answers}");
        assert!(!answers.ends_with("\r\n\r\nhello"), "{name}: {answers}");
    }
}
