//! Soft delete, and the seconds in which it is not finished yet.

use azsim::SecretSpec;
use serde_json::Value;

use crate::harness::{Room, azsim};

/// Long enough that nothing becomes visible by itself while a test looks.
const FOREVER: u64 = 3_600_000;

async fn ask(room: &Room, method: &str, path: &str) -> anyhow::Result<(u16, Value)> {
    let answer = room.raw(method, path)?.body(r#"{"value":"v"}"#).send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

fn room_with_a_secret(change: impl FnOnce(&mut azsim::Settings)) -> anyhow::Result<Room> {
    Room::open_with(|spec| {
        spec.secrets = vec![SecretSpec::new("Plop", "v")];
        change(&mut spec.settings);
    })
}

#[tokio::test]
async fn a_deleted_secret_says_when_it_will_be_purged() -> anyhow::Result<()> {
    let room = room_with_a_secret(|settings| settings.soft_delete_retention_days = 7)?;
    let answer = room.raw("DELETE", "secrets/plop")?.send().await?.text().await?;
    let deleted: Value = serde_json::from_str(&answer)?;
    assert_eq!(deleted["recoveryId"], format!("{}deletedsecrets/Plop", room.uri));
    let date = |member: &str| deleted[member].as_i64().unwrap_or_default();
    assert_eq!(date("scheduledPurgeDate") - date("deletedDate"), 7 * 86_400);
    assert!(answer.starts_with(r#"{"recoveryId":"#) && deleted.get("value").is_none());
    assert_eq!(ask(&room, "GET", "deletedsecrets/PLOP").await?, (200, deleted));
    Ok(())
}

#[tokio::test]
async fn the_name_of_a_deleted_secret_is_taken() -> anyhow::Result<()> {
    let room = room_with_a_secret(|_| {})?;
    ask(&room, "DELETE", "secrets/Plop").await?;
    let (status, body) = ask(&room, "PUT", "secrets/plop").await?;
    assert_eq!(status, 409);
    assert_eq!(body["error"]["innererror"]["code"], "ObjectIsDeletedButRecoverable");
    assert_eq!(
        body["error"]["message"],
        "Secret Plop is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged."
    );
    Ok(())
}

#[tokio::test]
async fn while_a_delete_goes_on_the_secret_is_nowhere() -> anyhow::Result<()> {
    let room = room_with_a_secret(|settings| settings.lag_milliseconds = FOREVER)?;
    assert_eq!(ask(&room, "DELETE", "secrets/plop").await?.0, 200);
    let (status, body) = ask(&room, "GET", "deletedsecrets/plop").await?;
    assert_eq!(
        (status, &body["error"]["message"]),
        (404, &"Deleted Secret not found: plop".into())
    );
    assert_eq!(ask(&room, "GET", "secrets/plop/").await?.0, 404);
    assert_eq!(ask(&room, "DELETE", "secrets/plop").await?.0, 404);
    let (status, body) = ask(&room, "DELETE", "deletedsecrets/plop").await?;
    assert_eq!(
        (status, &body["error"]["message"]),
        (409, &"Secret is currently being deleted.".into())
    );
    let (status, body) = ask(&room, "PUT", "secrets/plop").await?;
    assert_eq!(
        (status, &body["error"]["innererror"]["code"]),
        (409, &"ObjectIsBeingDeleted".into())
    );
    Ok(())
}

#[tokio::test]
async fn while_a_recovery_goes_on_the_secret_is_not_there_yet() -> anyhow::Result<()> {
    let room = room_with_a_secret(|_| {})?;
    ask(&room, "DELETE", "secrets/plop").await?;
    azsim().change_settings(&room.name, |settings| settings.lag_milliseconds = FOREVER)?;
    let (status, recovered) = ask(&room, "POST", "deletedsecrets/plop/recover").await?;
    assert!(status == 200 && recovered.get("value").is_none());
    assert_eq!(ask(&room, "GET", "secrets/plop/").await?.0, 404);
    assert_eq!(ask(&room, "POST", "deletedsecrets/never/recover").await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn after_a_purge_the_name_is_blocked_though_nothing_is_there() -> anyhow::Result<()> {
    let room = room_with_a_secret(|_| {})?;
    ask(&room, "DELETE", "secrets/plop").await?;
    azsim().change_settings(&room.name, |settings| settings.lag_milliseconds = FOREVER)?;
    let purged = room.raw("DELETE", "deletedsecrets/plop")?.send().await?;
    assert_eq!(purged.status(), 204);
    assert!(!purged.headers().contains_key("content-type"));
    assert_eq!(ask(&room, "GET", "deletedsecrets/plop").await?.0, 404);
    assert_eq!(ask(&room, "GET", "secrets/plop/").await?.0, 404);
    let (status, body) = ask(&room, "PUT", "secrets/plop").await?;
    let message = "Secret plop is currently being deleted and cannot be re-created; retry later.";
    assert_eq!((status, &body["error"]["message"]), (409, &message.into()));
    Ok(())
}

#[tokio::test]
async fn purge_protection_is_told_with_the_place() -> anyhow::Result<()> {
    let room = room_with_a_secret(|settings| settings.purge_protection = true)?;
    let (_, deleted) = ask(&room, "DELETE", "secrets/plop").await?;
    assert_eq!(deleted["attributes"]["recoveryLevel"], "Recoverable");
    let (status, body) = ask(&room, "DELETE", "deletedsecrets/plop").await?;
    let message = format!(
        "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.\r\nVault: {};location=westeurope",
        room.name
    );
    assert_eq!((status, &body["error"]["message"]), (403, &message.into()));
    assert_eq!(body["error"].get("innererror"), None);
    Ok(())
}

#[tokio::test]
async fn the_list_of_deleted_secrets_has_empty_pages_when_asked_to() -> anyhow::Result<()> {
    let room = room_with_a_secret(|settings| settings.empty_pages = true)?;
    ask(&room, "DELETE", "secrets/plop").await?;
    let (_, first) = ask(&room, "GET", "deletedsecrets").await?;
    assert_eq!(first["value"], Value::Array(Vec::new()));
    let link =
        first["nextLink"].as_str().unwrap_or_default().split_once(":443/").unwrap_or_default();
    let token = crate::harness::broker_token()?;
    let second = room.bare("GET", link.1)?.bearer_auth(token).send().await?.json::<Value>().await?;
    assert_eq!(second["value"][0]["id"], format!("{}secrets/Plop", room.uri));
    assert_eq!(second["nextLink"], Value::Null);
    Ok(())
}
