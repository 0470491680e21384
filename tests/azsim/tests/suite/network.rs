//! The proxy and the certificates: which hosts exist, and that nothing else can be reached.

use azsim::{Effect, Fault};

use crate::harness::{Room, azsim, http};

#[tokio::test]
async fn a_host_that_is_not_azure_is_refused_and_remembered() -> anyhow::Result<()> {
    let host = "example-of-a-leak.test";
    assert!(http()?.get(format!("https://{host}/")).send().await.is_err());
    let seen = azsim().hosts_seen()[host];
    assert_eq!((seen.accepted, seen.refused), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_key_vault_that_is_unknown_or_soft_deleted_does_not_resolve() -> anyhow::Result<()> {
    assert!(http()?.get("https://kv-nowhere.vault.azure.net/").send().await.is_err());
    let room = Room::with(|spec| spec.settings.soft_deleted = true)?;
    assert!(room.raw("GET", "secrets")?.send().await.is_err());
    azsim().change_settings(&room.name, |settings| settings.soft_deleted = false)?;
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 200);
    assert_eq!(azsim().hosts_seen()[&room.host()].refused, 1);
    Ok(())
}

#[tokio::test]
async fn one_connection_serves_many_requests_over_h2() -> anyhow::Result<()> {
    let room = Room::new()?;
    for _ in 0..3 {
        let answer = room.raw("GET", "secrets")?.send().await?;
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    }
    assert_eq!(azsim().hosts_seen()[&room.host()].accepted, 1);
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_know_the_authority_does_not_connect() -> anyhow::Result<()> {
    let room = Room::new()?;
    let proxy = reqwest::Proxy::https(azsim().proxy_url())?;
    let stranger = reqwest::Client::builder().proxy(proxy).build()?;
    assert!(stranger.get(&room.uri).send().await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_connection_can_be_refused_on_purpose() -> anyhow::Result<()> {
    let room = Room::new()?;
    let fault = Fault::new("proxy.connect", Effect::refuse(502, "")).key_vault(&room.name).times(1);
    let _guard = azsim().inject(fault);
    assert!(room.raw("GET", "secrets")?.send().await.is_err());
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 200);
    Ok(())
}
