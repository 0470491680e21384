//! Bodies that are too large, not JSON, ambiguous or hold a passphrase where none belongs.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bad_input::Room,
    harness::{Actor, Answer, unique_fqdn, until_closed},
};

const INVALID: (u16, &str) = (400, "invalid-request");

async fn send(
    actor: &Actor,
    path: &str,
    kind: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = actor.request(Method::POST, path).body(body);
    let request = match kind {
        Some(kind) => request.header("content-type", kind),
        None => request,
    };
    Answer::of(request).await
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let room = Room::open().await;
    let body = Actor::registration(&json!({"source": "generated"})).to_string();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonx"),
        Some("application/xml"),
        Some("json"),
        Some("*/*"),
        Some("text/json"),
    ] {
        for path in ["/v1/machines".to_owned(), room.path("/retrievals"), room.path("/rotations")] {
            let actor = if path.ends_with("retrievals") {
                room.broker.helpdesk()
            } else {
                room.broker.portal()
            };
            let answer = send(&actor, &path, kind, body.clone()).await;
            room.refused(&format!("{kind:?}"), &answer, (415, "unsupported-media-type")).await;
        }
        let path = room.path(&format!("/rotations/{}/fail", room.rotation.id()));
        let answer = send(&room.broker.portal(), &path, kind, "{}").await;
        room.refused(&format!("{kind:?}"), &answer, (415, "unsupported-media-type")).await;
    }
}

#[tokio::test]
async fn what_is_not_one_json_object_is_refused() {
    let room = Room::open().await;
    let whole = Actor::registration(&json!({"source": "generated"})).to_string();
    let deep = format!("{{\"tags\":{}", "[".repeat(60_000));
    let deeper = "{\"tags\":".repeat(8_000);
    for body in [
        "",
        " ",
        "null",
        "1",
        "\"text\"",
        "[]",
        "{",
        "{}",
        "{]",
        "nan",
        "{'fqdn':'a'}",
        "{\"fqdn\":\"a\",}",
        "\u{feff}{}",
        &whole[..whole.len() - 1],
        &format!("{whole}{whole}"),
        &format!("{whole}]"),
        &format!("{whole} x"),
        &deep,
        &deeper,
    ] {
        let label = &body[..body.len().min(40)];
        let answer =
            send(&room.broker.portal(), "/v1/machines", Some("application/json"), body.to_owned())
                .await;
        room.refused(label, &answer, INVALID).await;
    }
    let mut broken = whole.clone().into_bytes();
    broken[12] = 0xff;
    let answer =
        send(&room.broker.portal(), "/v1/machines", Some("application/json"), broken).await;
    room.refused("invalid UTF-8", &answer, INVALID).await;
}

#[tokio::test]
async fn members_that_are_unknown_or_there_twice_are_refused_at_each_level() {
    let room = Room::open().await;
    let head = format!(
        "{{\"fqdn\":\"{}\",\"recoveryServicesVaultId\":\"{}\",",
        unique_fqdn(),
        crate::harness::RSV
    );
    for rest in [
        "\"passphrase\":{\"source\":\"generated\"},\"fqdn\":\"b\"}",
        "\"passphrase\":{\"source\":\"none\"},\"passphrase\":{\"source\":\"generated\"}}",
        "\"passphrase\":{\"source\":\"none\",\"source\":\"generated\"}}",
        "\"passphrase\":{\"source\":\"none\"},\"tags\":{\"a\":\"1\",\"a\":\"2\"}}",
        "\"passphrase\":{\"source\":\"none\"},\"tags\":{\"a\":\"1\",\"\\u0061\":\"2\"}}",
        "\"passphrase\":{\"source\":\"none\"},\"tags\":{},\"tags\":{}}",
        "\"passphrase\":{\"source\":\"none\"},\"colour\":\"red\"}",
        "\"passphrase\":{\"source\":\"none\",\"colour\":\"red\"}}",
        "\"passphrase\":{\"source\":\"none\"},\"Fqdn\":\"b\"}",
        "\"passphrase\":{\"source\":\"none\"},\"key_vault_uri\":null}",
    ] {
        let body = format!("{head}{rest}");
        let answer =
            send(&room.broker.portal(), "/v1/machines", Some("application/json"), body).await;
        room.refused(rest, &answer, INVALID).await;
    }
    let path = room.path("/retrievals");
    for body in [
        r#"{"reason":"audit","reason":"other","justification":"a long enough justification"}"#,
        r#"{"reason":"audit","justification":"a long enough justification","force":true}"#,
    ] {
        let answer = send(&room.broker.helpdesk(), &path, Some("application/json"), body).await;
        room.refused(body, &answer, INVALID).await;
    }
}

#[tokio::test]
async fn tags_of_a_patch_are_there_once() {
    let room = Room::open().await;
    let body = "{\"tags\":{\"a\":\"1\",\"a\":null}}";
    let request = room.broker.portal().request(Method::PATCH, &room.path(""));
    let request =
        request.header("if-match", "\"1\"").header("content-type", "application/merge-patch+json");
    let answer = Answer::of(request.body(body)).await;
    room.refused(body, &answer, INVALID).await;
}

/// A request head of POST /v1/machines, up to and with these headers.
fn head(room: &Room, headers: &str) -> String {
    let token = room.broker.portal().token().to_owned();
    format!(
        "POST /v1/machines HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let room = Room::open().await;
    let chunk = format!(
        "{}11170\r\n{}\r\n",
        head(room, "Transfer-Encoding: chunked\r\n"),
        "x".repeat(0x11170)
    );
    for request in [head(room, "Content-Length: 10485760\r\n"), chunk] {
        let mut stream = room.broker.send_raw(request.as_bytes()).await;
        let (answer, _) = until_closed(&mut stream, Duration::from_secs(10)).await.expect("closed");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains("\"code\":\"payload-too-large\""), "{answer}");
        room.is_unchanged().await;
    }
}

#[tokio::test]
async fn a_body_of_exactly_64_kib_is_read_and_one_more_byte_is_not() {
    let room = Room::open().await;
    let blank = |size: usize| format!("{{\"colour\":1{}}}", " ".repeat(size - 12));
    let portal = room.broker.portal();
    let kind = Some("application/json");
    let fits = send(&portal, "/v1/machines", kind, blank(65_536)).await;
    room.refused("64 KiB", &fits, INVALID).await;
    let large = send(&portal, "/v1/machines", kind, blank(65_537)).await;
    room.refused("64 KiB and a byte", &large, (413, "payload-too-large")).await;
}

/// A passphrase that somebody put where none belongs.
const CANARY: &str = "Canary-7k2f-Passphrase-9x4m";

/// Method, path, a header and the body.
type Request = (Method, String, Option<(&'static str, String)>, Value);

/// A request for each wrong place.
fn wrong_places(room: &Room) -> Vec<Request> {
    let register = |member: &str, value: Value| {
        let mut body = Actor::registration(&json!({"source": "none"}));
        body[member] = value;
        (Method::POST, "/v1/machines".to_owned(), None, body)
    };
    let spaced = format!("{CANARY} {CANARY}");
    let mut places: Vec<_> = [
        ("fqdn", json!(spaced)),
        ("recoveryServicesVaultId", json!(CANARY)),
        ("keyVaultUri", json!(CANARY)),
        ("secretName", json!(CANARY)),
        ("agentVersion", json!(CANARY)),
        ("agentObjectId", json!(CANARY)),
        ("passphrase", json!(CANARY)),
        ("passphrase", json!({"source": CANARY})),
        ("passphrase", json!({CANARY: 1})),
        ("passphrase", json!({"source": "adopted", "version": CANARY})),
        ("tags", json!(CANARY)),
        ("passphrase", json!({"source": "none", "value": CANARY})),
        ("tags", json!({CANARY: 1})),
        (CANARY, json!(1)),
        ("passphrase", json!({"source": "provided", "value": format!("{CANARY}\u{e9}")})),
        ("value", json!(CANARY)),
    ]
    .into_iter()
    .map(|(member, value)| register(member, value))
    .collect();
    let (rotations, rotation) =
        (room.path("/rotations"), room.path(&format!("/rotations/{}", room.rotation.id())));
    let none = || Actor::registration(&json!({"source": "none"}));
    places.extend([
        (Method::POST, rotations.clone(), None, json!({"passphrase": CANARY})),
        (
            Method::POST,
            rotations.clone(),
            None,
            json!({"passphrase": {"source": "generated"}, "writer": CANARY}),
        ),
        (
            Method::POST,
            rotations,
            None,
            json!({"passphrase": {"source": "generated"}, "expiresInSeconds": CANARY}),
        ),
        (Method::POST, format!("{rotation}/fail"), None, json!({"marsErrorCode": CANARY})),
        (Method::POST, format!("{rotation}/confirm"), None, json!({"agentVersion": CANARY})),
        (Method::POST, format!("{rotation}/confirm"), None, json!({"secretIdentifier": CANARY})),
        (Method::POST, format!("{rotation}/{CANARY}"), None, json!({})),
        (Method::GET, format!("/v1/machines/{CANARY}"), None, Value::Null),
        (Method::GET, format!("/v1/{CANARY}"), None, Value::Null),
        (Method::GET, format!("/v1/machines?state={CANARY}"), None, Value::Null),
        (Method::GET, format!("/v1/machines?{CANARY}=1"), None, Value::Null),
        (Method::GET, format!("/v1/machines?cursor={CANARY}"), None, Value::Null),
        (Method::GET, format!("/problems/{CANARY}"), None, Value::Null),
        (
            Method::POST,
            "/v1/machines".to_owned(),
            Some(("idempotency-key", spaced.clone())),
            none(),
        ),
        (Method::POST, "/v1/machines".to_owned(), Some(("x-request-id", spaced)), json!({})),
        (Method::PATCH, room.path(""), Some(("if-match", CANARY.to_owned())), json!({})),
    ]);
    places
}

#[tokio::test]
async fn a_passphrase_in_the_wrong_place_comes_back_nowhere() {
    let room = Room::open().await;
    let portal = room.broker.portal();
    for (method, path, header, body) in wrong_places(room) {
        let mut request = portal.request(method, &path).json(&body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = Answer::of(request).await;
        assert!((400..500).contains(&answer.status), "{path} {body}: {}", answer.text);
        let told = format!("{:?}{}", answer.headers, answer.text);
        assert!(!told.contains("Canary"), "{path} {body}: {told}");
        room.is_unchanged().await;
    }
    for reason in
        [json!({"reason": CANARY}), json!({"reason": "audit", "justification": 1, CANARY: 1})]
    {
        let answer = room.broker.helpdesk().post(&room.path("/retrievals"), reason).await;
        assert!(answer.status < 500 && !answer.text.contains("Canary"), "{}", answer.text);
    }
    assert!(!room.broker.log().contains("Canary"), "{}", room.broker.log());
    let query =
        "select count(*) from audit_events where convert_from(body, 'UTF8') ilike '%canary%'";
    assert_eq!(room.broker.database.count(query).await, 0);
}
