//! Each fault does what it says, to the requests it names, as often as it says.

use std::time::{Duration, Instant};

use anyhow::Context;
use azsim::{Effect, Fault, SecretSpec};
use serde_json::Value;

use crate::harness::{Room, azsim, broker_token, builder, http};

fn set(room: &Room) -> anyhow::Result<reqwest::RequestBuilder> {
    Ok(room.raw("PUT", "secrets/n")?.body(r#"{"value":"v"}"#))
}

fn get(room: &Room) -> anyhow::Result<reqwest::RequestBuilder> {
    room.raw("GET", "secrets/n/")
}

fn fault(room: &Room, operation: &str, effect: Effect) -> Fault {
    Fault::new(operation, effect).key_vault(&room.name)
}

fn versions(room: &Room) -> anyhow::Result<usize> {
    Ok(azsim().secret(&room.name, "n")?.map_or(0, |secret| secret.versions.len()))
}

fn room_with_a_secret() -> anyhow::Result<Room> {
    Room::with(|spec| spec.secrets = vec![SecretSpec::new("n", "v")])
}

#[tokio::test]
async fn a_refusal_strikes_as_often_as_told_after_those_it_skips() -> anyhow::Result<()> {
    let room = room_with_a_secret()?;
    let refuse = fault(&room, "key_vault.get_secret", Effect::refuse(503, "{}")).skip(1).times(2);
    let guard = azsim().inject(refuse);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&room)?.send().await?.status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    assert_eq!(guard.hits(), 2);
    Ok(())
}

#[tokio::test]
async fn throttling_comes_with_and_without_retry_after() -> anyhow::Result<()> {
    let room = room_with_a_secret()?;
    for retry_after in [None, Some("7".to_owned())] {
        let effect = Effect::Throttle { retry_after: retry_after.clone() };
        let _guard = azsim().inject(fault(&room, "any", effect));
        let answer = get(&room)?.send().await?;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["content-length"], "146");
        let told = answer.headers().get("retry-after").map(|value| value.to_str());
        assert_eq!(told.transpose()?, retry_after.as_deref());
        assert_eq!(
            answer.text().await?,
            r#"{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"}}"#
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_has_taken_effect_and_a_lost_request_has_not() -> anyhow::Result<()> {
    let room = Room::new()?;
    let guard = azsim().inject(fault(&room, "key_vault.set_secret", Effect::DropBefore));
    assert!(set(&room)?.send().await.is_err());
    assert_eq!(versions(&room)?, 0);
    guard.release();
    let guard = azsim().inject(fault(&room, "key_vault.set_secret", Effect::DropAfter));
    assert!(set(&room)?.send().await.is_err());
    assert_eq!(versions(&room)?, 1);
    let id = guard.id().to_owned();
    let log = azsim().requests(&room.name)?;
    let [before, after] = &log[..] else { anyhow::bail!("{log:?}") };
    assert_eq!((before.status, after.status), (0, 200));
    assert_eq!(after.fault, Some(id));
    Ok(())
}

#[tokio::test]
async fn a_held_request_goes_on_when_it_is_released() -> anyhow::Result<()> {
    let room = Room::new()?;
    let guard = azsim().inject(fault(&room, "key_vault.set_secret", Effect::HoldBefore));
    let request = tokio::spawn(set(&room)?.send());
    guard.reached(1).await;
    assert_eq!(versions(&room)?, 0);
    guard.release();
    assert_eq!(request.await??.status(), 200);
    let guard = azsim().inject(fault(&room, "key_vault.set_secret", Effect::HoldAfter));
    let request = tokio::spawn(set(&room)?.send());
    while versions(&room)? < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!request.is_finished());
    guard.release();
    assert_eq!(request.await??.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_reply_is_late_truncated_garbled_or_too_long() -> anyhow::Result<()> {
    let room = room_with_a_secret()?;
    let guard = azsim().inject(fault(&room, "any", Effect::DelayReply { milliseconds: 60 }));
    let start = Instant::now();
    get(&room)?.send().await?;
    assert!(start.elapsed() >= Duration::from_millis(60));
    guard.release();
    let guard = azsim().inject(fault(&room, "any", Effect::Truncate));
    assert!(get(&room)?.send().await?.bytes().await.is_err());
    guard.release();
    let guard = azsim().inject(fault(&room, "any", Effect::Garbage));
    assert!(get(&room)?.send().await?.json::<Value>().await.is_err());
    guard.release();
    let guard = azsim().inject(fault(&room, "any", Effect::Oversize { bytes: 1_000_000 }));
    assert!(get(&room)?.send().await?.bytes().await?.len() > 1_000_000);
    guard.release();
    let drip = Effect::Drip { milliseconds: 1, size: 10 };
    let _guard = azsim().inject(fault(&room, "any", drip));
    assert_eq!(get(&room)?.send().await?.json::<Value>().await?["value"], "v");
    Ok(())
}

#[tokio::test]
async fn a_fault_leaves_other_key_vaults_and_secrets_alone() -> anyhow::Result<()> {
    let (room, other) = (room_with_a_secret()?, room_with_a_secret()?);
    let refuse = Effect::refuse(500, "");
    let _guard = azsim().inject(fault(&room, "key_vault.", refuse).secret("N"));
    assert_eq!(get(&room)?.send().await?.status(), 500);
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 200);
    assert_eq!(get(&other)?.send().await?.status(), 200);
    assert_eq!(azsim().clear_faults(&room.name), 1);
    assert_eq!(get(&room)?.send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_challenge_does_not_use_a_fault_up() -> anyhow::Result<()> {
    let room = room_with_a_secret()?;
    let _guard = azsim().inject(fault(&room, "any", Effect::refuse(500, "")).times(1));
    let bare = room.bare("GET", "secrets/n/?api-version=7.4")?.send().await?;
    assert_eq!(bare.status(), 401);
    assert_eq!(get(&room)?.send().await?.status(), 500);
    Ok(())
}

#[tokio::test]
async fn the_issuer_of_one_tenant_can_be_out_of_order() -> anyhow::Result<()> {
    let tenant = azsim().add_tenant()?;
    let fault = Fault::new("oidc.jwks", Effect::refuse(500, "")).tenant(&tenant);
    let guard = azsim().inject(fault);
    let keys =
        |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys");
    let http = http().context("client")?;
    assert_eq!(http.get(keys(&tenant)).send().await?.status(), 500);
    assert_eq!(http.get(keys(azsim().tenant_id())).send().await?.status(), 200);
    guard.release();
    assert_eq!(http.get(keys(&tenant)).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn over_http_1_1_a_reply_is_lost_or_cut_short_as_well() -> anyhow::Result<()> {
    let room = room_with_a_secret()?;
    let client = builder()?.http1_only().build()?;
    let get = || -> anyhow::Result<_> {
        let url = format!("{}secrets/n/?api-version=7.4", room.uri);
        Ok(client.get(url).bearer_auth(broker_token()?))
    };
    let guard = azsim().inject(fault(&room, "any", Effect::Truncate));
    let answer = get()?.send().await?;
    assert!(answer.headers()["content-length"] != "0" && answer.bytes().await.is_err());
    guard.release();
    let guard = azsim().inject(fault(&room, "any", Effect::DropAfter));
    assert!(get()?.send().await.is_err());
    guard.release();
    assert_eq!(get()?.send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_held_request_takes_effect_though_its_client_gave_up() -> anyhow::Result<()> {
    let room = Room::new()?;
    let guard = azsim().inject(fault(&room, "key_vault.set_secret", Effect::HoldBefore));
    let impatient = set(&room)?.timeout(Duration::from_millis(200)).send();
    assert!(impatient.await.is_err());
    assert_eq!((guard.hits(), versions(&room)?), (1, 0));
    guard.release();
    while versions(&room)? == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(versions(&room)?, 1);
    Ok(())
}
