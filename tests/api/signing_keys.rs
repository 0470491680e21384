//! The signing keys of Entra ID: reliability goal C3.
//!
//! A key id that is unknown may be a key that was published a minute ago, or an attack on Entra ID by
//! way of this service.

use std::time::{Duration, Instant};

use azsim::{Effect, Fault, FaultGuard, KeyChoice, TokenSpec};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use crate::harness::{AUDIENCE, Actor, Answer, Broker, Setup, azure};

const FLOOD: u32 = 10_000;

/// Counts how often a broker's tenant is asked for its keys, and changes nothing.
fn fetches_of(broker: &Broker) -> FaultGuard {
    let nothing = Effect::Delay { milliseconds: 0 };
    azure().inject(Fault::new("oidc.jwks", nothing).tenant(&broker.tenant))
}

fn with_key(broker: &Broker, key: KeyChoice) -> Actor {
    let spec = TokenSpec::user(AUDIENCE, Uuid::new_v4()).in_tenant(&broker.tenant).signed_by(key);
    broker.bearer(&azure().mint(&spec).unwrap())
}

/// A token that looks right and has a key id that nobody knows.
fn with_unknown_key(broker: &Broker, number: u32) -> String {
    let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let header = encode(format!(r#"{{"typ":"JWT","alg":"RS256","kid":"unknown-{number}"}}"#));
    let claims = encode(format!(r#"{{"tid":"{}"}}"#, broker.tenant));
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode([7; 256]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_costs_one_fetch_and_disturbs_nobody() {
    let broker = Broker::start(Setup::default()).await;
    let valid = broker.helpdesk();
    let fetches = fetches_of(&broker);
    flood(&broker, 200).await;
    let (quiet, memory) = (latency(&valid, Duration::from_secs(2)).await, resident_kib(&broker));
    let started = Instant::now();
    let measure = latency(&valid, Duration::from_secs(10));
    let (refused, loud) = tokio::join!(flood(&broker, FLOOD), measure);
    let grown = resident_kib(&broker).saturating_sub(memory);
    println!(
        "{refused} refused in {:.1?}; {} fetches; p99 {quiet:.1?} quiet, {loud:.1?} in the flood; \
         {grown} KiB more memory",
        started.elapsed(),
        fetches.hits()
    );
    assert_eq!(refused, FLOOD);
    assert!(fetches.hits() <= 2, "{} fetches", fetches.hits());
    // For a debug build next to other tests; the goal itself is 2 times.
    assert!(loud <= (quiet * 5).max(Duration::from_secs(2)), "{quiet:?}, then {loud:?}");
    assert!(grown <= 20 * 1024, "{grown} KiB");
}

/// 1,000 requests a second, on 16 connections. Answers how many were refused with 401.
async fn flood(broker: &Broker, count: u32) -> u32 {
    let path = format!("/v1/machines/{}/retrievals", Uuid::new_v4());
    let connection = |first: u32| {
        let (nobody, path) = (broker.nobody(), path.clone());
        let tokens: Vec<String> =
            (first..count).step_by(16).map(|number| with_unknown_key(broker, number)).collect();
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(16));
            let mut refused = 0;
            for token in tokens {
                ticks.tick().await;
                let request = nobody.request(Method::POST, &path).bearer_auth(token);
                refused += u32::from(Answer::of(request).await.status == 401);
            }
            refused
        })
    };
    let connections: Vec<_> = (0..16).map(connection).collect();
    let mut refused = 0;
    for connection in connections {
        refused += connection.await.unwrap();
    }
    refused
}

/// The 99th percentile of a valid caller's calls.
async fn latency(caller: &Actor, during: Duration) -> Duration {
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < during {
        let sent = Instant::now();
        assert_eq!(caller.get("/v1/machines?pageSize=1").await.status, 200);
        times.push(sent.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    times.sort();
    times[times.len() * 99 / 100]
}

fn resident_kib(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_new_key_is_accepted_after_one_fetch() {
    let broker = Broker::start(Setup::default()).await;
    let old = with_key(&broker, KeyChoice::Current);
    let fetches = fetches_of(&broker);
    azure().rotate_keys_of(&broker.tenant).unwrap();
    let new = with_key(&broker, KeyChoice::Current);
    assert_eq!(new.get("/v1/me").await.status, 200);
    assert_eq!(with_key(&broker, KeyChoice::Current).get("/v1/me").await.status, 200);
    assert_eq!(old.get("/v1/me").await.status, 200);
    assert_eq!(fetches.hits(), 1);
}

#[tokio::test]
async fn many_callers_with_a_new_key_share_one_fetch_and_all_get_in() {
    let broker = Broker::start(Setup::default()).await;
    let fetches = fetches_of(&broker);
    azure().rotate_keys_of(&broker.tenant).unwrap();
    let callers: Vec<Actor> = (0..20).map(|_| with_key(&broker, KeyChoice::Current)).collect();
    let answers =
        futures_util::future::join_all(callers.iter().map(|caller| caller.get("/v1/me"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(fetches.hits(), 1);
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_along() {
    let broker = Broker::start(Setup::default()).await;
    let old = with_key(&broker, KeyChoice::Current);
    assert_eq!(old.get("/v1/me").await.status, 200);
    let old_key = azure().kids(&broker.tenant).unwrap().remove(0);
    azure().rotate_keys_of(&broker.tenant).unwrap();
    assert!(azure().withdraw_key(&broker.tenant, &old_key).unwrap());
    // The first token of the new key makes the broker look.
    assert_eq!(with_key(&broker, KeyChoice::Current).get("/v1/me").await.status, 200);
    assert_eq!(old.get("/v1/me").await.problem(), (401, "unauthenticated"));
}

#[tokio::test]
async fn known_keys_go_on_while_entra_id_is_down() {
    let broker = Broker::start(Setup::default()).await;
    let down = Fault::new("oidc.", Effect::refuse(500, "mischief")).tenant(&broker.tenant);
    let fault = azure().inject(down);
    let answer = broker.bearer(&with_unknown_key(&broker, 1)).get("/v1/me").await;
    assert_eq!(answer.problem(), (401, "unauthenticated"));
    assert!(!answer.text.contains("mischief"));
    assert_eq!(fault.hits(), 1);
    // Each is new to the broker: it verifies the signature.
    for _ in 0..3 {
        let known = with_key(&broker, KeyChoice::Current);
        assert_eq!(known.get("/v1/me").await.status, 200);
    }
    assert_eq!(broker.nobody().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn nobody_waits_for_the_fetch_that_another_token_caused() {
    let broker = Broker::start(Setup::default()).await;
    let hold = Fault::new("oidc.jwks", Effect::HoldBefore).tenant(&broker.tenant);
    let fault = azure().inject(hold);
    let stranger = broker.bearer(&with_unknown_key(&broker, 1));
    let waiting = tokio::spawn(async move { stranger.get("/v1/me").await });
    fault.reached(1).await;
    let known = with_key(&broker, KeyChoice::Current);
    assert_eq!(known.get("/v1/me").await.status, 200);
    assert!(!waiting.is_finished());
    fault.release();
    assert_eq!(waiting.await.unwrap().problem(), (401, "unauthenticated"));
}
