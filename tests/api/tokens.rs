//! Which access tokens are believed: reliability goals C1 and C2.
//!
//! The tables are in the modules below. Each bad token is sent to the operation that releases a
//! passphrase, where the same token, unspoilt, is let in.

mod forge;
mod right_claims;
mod wrong_claims;
mod wrong_forms;
mod wrong_requests;

use std::time::{Duration, Instant};

use forge::{Forge, MARK};
use reqwest::Method;
use serde_json::json;
use wrong_requests::Case;

use crate::harness::{Answer, Broker, Setup, azure};

const RECORDED: &str = "select coalesce(sum(coalesce((event ->> 'count')::bigint, 1)), 0)::bigint
    from (select convert_from(body, 'UTF8')::jsonb as event from audit_events) as events
    where event ->> 'action' = 'retrieve_passphrase' and event ->> 'outcome' = 'denied'
      and event ->> 'problem' = 'unauthenticated' and event #>> '{actor,kind}' = 'anonymous'";

#[tokio::test]
async fn no_bad_token_is_accepted_or_repeated_and_each_is_on_record() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await;
    let path = format!("/v1/machines/{}/retrievals", machine.id());
    let forge = Forge::of(&broker);
    for good in [forge.user(), forge.application()] {
        let released = broker.bearer(&forge.with_claims(&good)).retrieve(machine.id()).await;
        assert_eq!(released.status, 201, "{}", released.text);
    }
    let reads = secret_reads(&broker);
    let cases =
        [wrong_claims::table(&forge), wrong_forms::table(&forge), wrong_requests::table(&forge)]
            .concat();
    for case in &cases {
        let request = broker.nobody().request(Method::POST, &format!("{path}{}", case.query));
        let answer = Answer::of(case.apply(request)).await;
        assert_refused(case, &answer, &[machine.field("passphrase"), &forge.object_id]);
    }
    assert_eq!(secret_reads(&broker), reads, "Key Vault was asked for a secret");
    assert_recorded(&broker, cases.len()).await;
    let printed = broker.log();
    let leaked = cases.iter().flat_map(|case| &case.secrets).find(|part| printed.contains(*part));
    assert_eq!(leaked, None);
    assert!(cases.len() >= 120);
    println!("{0}/{0} refused", cases.len());
}

fn secret_reads(broker: &Broker) -> usize {
    let requests = azure().requests(&broker.key_vault).unwrap();
    requests.iter().filter(|seen| seen.operation == "key_vault.get_secret").count()
}

/// 401, the challenge of RFC 6750, and nothing of what was sent.
fn assert_refused(case: &Case, answer: &Answer, secrets: &[&str]) {
    let title = &case.title;
    assert_eq!(answer.problem(), (401, "unauthenticated"), "{title}: {}", answer.text);
    let challenge = answer.header("www-authenticate");
    if case.token_seen {
        let start = "Bearer error=\"invalid_token\", error_description=\"";
        let described = challenge.strip_prefix(start).and_then(|rest| rest.strip_suffix('"'));
        assert_eq!(described, Some(answer.field("detail")), "{title}: {challenge}");
    } else {
        assert_eq!(challenge, "Bearer", "{title}");
    }
    let said = format!("{} {:?}", answer.text, answer.headers).to_lowercase();
    let library_words = ["base64", "serde", "at line", "column", "expected", "jwt", MARK];
    let parts = case.secrets.iter().map(String::as_str).chain(secrets.iter().copied());
    for part in parts.chain(library_words) {
        assert!(!said.contains(&part.to_lowercase()), "{title}: {said}");
    }
}

/// Beyond 50 a second they are summed up, each second; the sum is exact.
async fn assert_recorded(broker: &Broker, count: usize) {
    let expected = i64::try_from(count).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while broker.database.count(RECORDED).await < expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(broker.database.count(RECORDED).await, expected);
}

#[tokio::test]
async fn good_tokens_of_many_shapes_are_accepted() {
    let broker = Broker::shared().await;
    let forge = Forge::of(broker);
    let shapes = right_claims::table(&forge);
    for shape in &shapes {
        let request = broker.nobody().request(Method::GET, "/v1/me");
        let answer = Answer::of(request.header("authorization", &shape.authorization)).await;
        assert_eq!(answer.status, 200, "{}: {}", shape.title, answer.text);
        let seen = (answer.field("kind"), answer.field("objectId"));
        assert_eq!(seen, (shape.kind, forge.object_id.as_str()), "{}", shape.title);
        assert_eq!(answer.body["guest"], false, "{}", shape.title);
        assert_eq!(answer.body["roles"], json!(shape.roles), "{}", shape.title);
    }
    assert!(shapes.len() >= 20);
    println!("{0}/{0} accepted", shapes.len());
}

#[tokio::test]
async fn a_token_of_version_1_is_refused_with_advice() {
    let broker = Broker::shared().await;
    let forge = Forge::of(broker);
    let mut claims = forge.application();
    claims["ver"] = json!("1.0");
    claims["iss"] = json!(format!("https://sts.windows.net/{}/", forge.tenant));
    claims["aud"] = json!("api://passphrase-broker");
    let answer = broker.bearer(&forge.with_claims(&claims)).get("/v1/me").await;
    assert_eq!(answer.problem(), (401, "unauthenticated"));
    for advice in ["requestedAccessTokenVersion", "accessTokenAcceptedVersion", " to 2 "] {
        assert!(answer.field("detail").contains(advice), "{}", answer.text);
    }
}
