//! Errors as a caller meets them: RFC 9457 with the request's id, headers that keep answers out of caches,
//! and a page for each code.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Actor, Answer, Broker, secret_name_of, until_closed},
    openapi::printed,
};

fn is_a_problem(label: &str, answer: &Answer, expected: (u16, &str)) {
    assert_eq!(answer.problem(), expected, "{label}: {}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{label}");
    assert_eq!(answer.body["status"], answer.status, "{label}");
    assert_eq!(answer.field("type"), format!("/problems/{}", expected.1), "{label}");
    assert!(answer.field("requestId").len() >= 32, "{label}");
    assert_eq!(answer.field("requestId"), answer.header("x-request-id"), "{label}");
    for member in ["title", "detail"] {
        assert!(!answer.field(member).is_empty(), "{label}");
    }
}

#[tokio::test]
async fn a_problem_is_exactly_this() {
    let broker = Broker::shared().await;
    let body = json!({"fqdn": 1});
    let request = broker.portal().request(Method::POST, "/v1/machines");
    let answer = Answer::of(request.header("x-request-id", "ticket-4711").json(&body)).await;
    let detail = "this value is of the wrong kind (line 1, column 9)";
    assert_eq!(
        answer.body,
        json!({
            "type": "/problems/invalid-request",
            "title": "The request is not valid",
            "status": 400,
            "detail": detail,
            "code": "invalid-request",
            "requestId": "ticket-4711",
            "errors": [{"pointer": "/fqdn", "detail": detail}],
            "retryable": false,
        })
    );
}

#[tokio::test]
async fn everything_that_is_not_a_success_is_a_problem() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    for (method, path, expected) in [
        (Method::GET, "/", (404, "not-found")),
        (Method::GET, "/v1", (404, "not-found")),
        (Method::GET, "/v1/machine", (404, "not-found")),
        (Method::GET, "/v1/machines/", (404, "not-found")),
        (Method::GET, "/v2/machines", (404, "not-found")),
        (Method::GET, "/problems/no-such-code", (404, "not-found")),
        (Method::DELETE, "/v1/machines", (405, "method-not-allowed")),
        (Method::PUT, "/livez", (405, "method-not-allowed")),
        (Method::OPTIONS, "/v1/machines", (405, "method-not-allowed")),
        (Method::TRACE, "/v1/machines", (405, "method-not-allowed")),
        (Method::POST, "/v1/machines", (415, "unsupported-media-type")),
        (Method::POST, "/v1/audit/events", (405, "method-not-allowed")),
    ] {
        let answer = Answer::of(portal.request(method.clone(), path)).await;
        is_a_problem(&format!("{method} {path}"), &answer, expected);
        assert_eq!(answer.header("allow").is_empty(), answer.status != 405, "{method} {path}");
    }
    let answer = broker.nobody().get("/v1/machines").await;
    is_a_problem("no token", &answer, (401, "unauthenticated"));
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    let answer = broker.helpdesk().act("/v1/machines").await;
    is_a_problem("no role", &answer, (403, "role-missing"));
    assert!(answer.field("detail").contains("Machines.Register"));
}

#[tokio::test]
async fn paths_with_dots_are_refused_before_they_mean_anything() {
    let broker = Broker::shared().await;
    let token = broker.portal().token().to_owned();
    for path in [
        "/v1/../livez",
        "/v1/machines/../machines",
        "/v1/machines/..",
        "/v1/./machines",
        "/v1//machines",
        "//v1/machines",
        "/v1/%2e%2e/livez",
        "/v1/machines%2f..",
        "/v1\\machines",
        "/v1/machines/%00",
        "/problems/..%2f..%2fetc",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = broker.send_raw(request.as_bytes()).await;
        let (answer, _) =
            until_closed(&mut stream, std::time::Duration::from_secs(10)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        // hyper itself refuses what is no request target at all, without a body.
        assert!(
            answer.contains("application/problem+json") || path.contains('\\'),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn answers_say_how_they_may_be_used() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let answers = [
        broker.portal().get("/v1/machines").await,
        broker.portal().get("/v1/nothing").await,
        broker.nobody().get("/v1/me").await,
        broker.helpdesk().retrieve(machine.id()).await,
        broker.portal().post("/v1/machines", json!({})).await,
        machine,
    ];
    for answer in answers {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ] {
            assert_eq!(answer.header(name), value, "{name}: {}", answer.status);
        }
        assert!(answer.headers.get("server").is_none());
    }
}

#[tokio::test]
async fn a_request_id_is_taken_when_it_is_harmless_and_goes_to_key_vault() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let body = Actor::registration(&json!({"source": "generated"}));
    let id = format!("portal.{}_x", uuid::Uuid::new_v4());
    let request = portal.request(Method::POST, "/v1/machines").header("x-request-id", &id);
    let machine = Answer::of(request.json(&body)).await;
    assert_eq!((machine.status, machine.header("x-request-id")), (201, id.as_str()));
    let asked = broker.requests_on(&secret_name_of(&body));
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|seen| seen.client_request_id.as_ref() == Some(&id)), "{asked:?}");
    // A thread of the harness reads what the broker prints.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !broker.log().contains(&id) {
        assert!(Instant::now() < deadline, "the log does not name {id}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let passphrase = "6mw4t-h47ky-txh2h-427yr-hmhfw-77fkm-h622y-t2rx7-7h6wt";
    for wrong in ["", "two words", &"x".repeat(65), "a/b", "<script>", "{}", passphrase] {
        let request = portal.request(Method::GET, "/v1/me").header("x-request-id", wrong);
        let given = Answer::of(request).await.header("x-request-id").to_owned();
        assert!(uuid::Uuid::try_parse(&given).is_ok(), "{wrong}: {given}");
    }
}

/// Every code between backticks in the descriptions of error responses.
fn described_codes() -> BTreeSet<String> {
    let document = printed();
    let mut codes = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let text = response["description"].as_str().unwrap();
                let named = text.split('`').skip(1).step_by(2).map(str::to_owned);
                codes.extend(
                    named.filter(|_| status.starts_with(['4', '5']) && !text.contains("`down`")),
                );
            }
        }
    }
    codes
}

#[tokio::test]
async fn every_code_has_a_page_for_the_caller_and_the_operator() {
    let broker = Broker::shared().await;
    let codes = described_codes();
    assert!(codes.len() > 30, "{codes:?}");
    for code in codes {
        let page = broker.nobody().get(&format!("/problems/{code}")).await;
        assert_eq!(page.status, 200, "{code}");
        assert!(page.header("content-type").starts_with("text/html"), "{code}");
        for part in [&format!("<code>{code}</code>"), "<h1>", "If you called", "If you operate"] {
            assert!(page.text.contains(part), "{code}: {part}");
        }
        let advice: Vec<&str> = page.text.split("</h2>\n<p>").skip(1).collect();
        assert_eq!(advice.len(), 2, "{code}");
        assert!(
            advice.iter().all(|text| text.split("</p>").next().unwrap().len() >= 10),
            "{code}: {advice:?}"
        );
    }
}
