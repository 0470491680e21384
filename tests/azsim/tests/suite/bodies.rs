//! Every success body of the secrets data plane, byte for byte (wire contract, 1.4). Answers here are recorded ones.

use anyhow::Context;
use azsim::{SecretSpec, VersionView};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{Room, azsim, broker_token};

/// A secret with every member, which every operation here is about.
async fn room_with_a_full_secret() -> anyhow::Result<Room> {
    let room = Room::open_with(|spec| spec.settings.soft_delete_retention_days = 7)?;
    let body = json!({
        "value": "v", "contentType": "text/plain", "tags": {"a": "b"},
        "attributes": {"nbf": 1_422_864_000, "exp": 1_754_006_400}
    });
    let set = room.raw("PUT", "secrets/Full")?.json(&body).send().await?;
    assert_eq!(set.status(), 200);
    Ok(room)
}

fn latest(room: &Room) -> anyhow::Result<VersionView> {
    let mut secret = azsim().secret(&room.name, "full")?.context("secret")?;
    secret.versions.pop().context("version")
}

async fn body(room: &Room, method: &str, path: &str) -> anyhow::Result<String> {
    let answer = room.raw(method, path)?.send().await?;
    assert_eq!(answer.status(), 200, "{method} {path}");
    Ok(answer.text().await?)
}

/// From `contentType` to `tags`, with or without the version in the id.
fn described(room: &Room, version: &VersionView, in_id: bool) -> String {
    let id = if in_id { format!("/{}", version.id) } else { String::new() };
    format!(
        r#""contentType":"text/plain","id":"{}secrets/Full{id}","attributes":{{"enabled":true,"nbf":1422864000,"exp":1754006400,"created":{},"updated":{},"recoveryLevel":"CustomizedRecoverable+Purgeable","recoverableDays":7}},"tags":{{"a":"b"}}"#,
        room.uri, version.created, version.updated
    )
}

#[tokio::test]
async fn get_answers_what_set_answered() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let version = latest(&room)?;
    let expected = format!(r#"{{"value":"v",{}}}"#, described(&room, &version, true));
    for path in ["secrets/full".to_owned(), format!("secrets/FULL/{}", version.id)] {
        assert_eq!(body(&room, "GET", &path).await?, expected);
    }
    assert_eq!(body(&room, "GET", "secrets/full/").await?, expected);
    Ok(())
}

#[tokio::test]
async fn an_update_answers_without_the_value_and_keeps_the_rest() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let version = latest(&room)?.id;
    for path in ["secrets/Full/".to_owned(), format!("secrets/Full/{version}")] {
        let answer = room.raw("PATCH", &path)?.json(&json!({})).send().await?.text().await?;
        assert_eq!(answer, format!("{{{}}}", described(&room, &latest(&room)?, true)));
    }
    Ok(())
}

#[tokio::test]
async fn a_list_has_the_latest_version_without_its_id_and_its_value() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let item = described(&room, &latest(&room)?, false);
    let expected = format!(r#"{{"value":[{{{item}}}],"nextLink":null}}"#);
    assert_eq!(body(&room, "GET", "secrets").await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_list_of_versions_has_their_ids_in_hexadecimal_order() -> anyhow::Result<()> {
    let room = Room::open()?;
    let mut made = Vec::new();
    for _ in 0..8 {
        made.push(azsim().put_secret(&room.name, SecretSpec::new("n", "v"))?);
    }
    made.sort();
    let secret = azsim().secret(&room.name, "n")?.context("secret")?;
    let item = |id: &String| {
        let version = secret.versions.iter().find(|version| version.id == *id);
        let (created, updated) = version.map_or((0, 0), |found| (found.created, found.updated));
        format!(
            r#"{{"id":"{}secrets/n/{id}","attributes":{{"enabled":true,"created":{created},"updated":{updated},"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}}}}"#,
            room.uri
        )
    };
    let items = made.iter().map(item).collect::<Vec<_>>().join(",");
    let expected = format!(r#"{{"value":[{items}],"nextLink":null}}"#);
    assert_eq!(body(&room, "GET", "secrets/n/versions").await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_page_has_25_and_its_skip_token_a_marker() -> anyhow::Result<()> {
    let room = Room::open()?;
    for number in 0..26 {
        azsim().put_secret(&room.name, SecretSpec::new(format!("s{number:02}"), "v"))?;
    }
    let page: Value = serde_json::from_str(&body(&room, "GET", "secrets").await?)?;
    assert_eq!(page["value"].as_array().map(Vec::len), Some(25));
    let link = page["nextLink"].as_str().context("nextLink")?;
    let token = link.split_once("$skiptoken=").context("$skiptoken")?.1;
    let token = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token)?)?;
    assert!(token.starts_with(r#"{"NextMarker":"2!"#) && token.ends_with(r#""TargetLocation":0}"#));
    // Clients follow it as it stands, port and dollar sign included.
    let path = link.split_once(":443/").context(":443")?.1;
    let rest = room.bare("GET", path)?.bearer_auth(broker_token()?).send().await?;
    let rest: Value = rest.json().await?;
    assert_eq!(rest["value"][0]["id"], format!("{}secrets/s25", room.uri));
    assert_eq!(rest["nextLink"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_deleted_secret_has_its_three_dates_and_places_first() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let version = latest(&room)?;
    let deleted = body(&room, "DELETE", "secrets/full").await?;
    let since: Value = serde_json::from_str(&deleted)?;
    let since = since["deletedDate"].as_i64().context("deletedDate")?;
    let dates = format!(
        r#""recoveryId":"{}deletedsecrets/Full","deletedDate":{since},"scheduledPurgeDate":{}"#,
        room.uri,
        since + 7 * 86_400
    );
    assert_eq!(deleted, format!("{{{dates},{}}}", described(&room, &version, true)));
    assert_eq!(body(&room, "GET", "deletedsecrets/full").await?, deleted);
    let item = described(&room, &version, false);
    let expected = format!(r#"{{"value":[{{{dates},{item}}}],"nextLink":null}}"#);
    assert_eq!(body(&room, "GET", "deletedsecrets").await?, expected);
    Ok(())
}

#[tokio::test]
async fn recover_and_restore_answer_as_an_update_does() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let expected = format!("{{{}}}", described(&room, &latest(&room)?, true));
    let backup: Value = serde_json::from_str(&body(&room, "POST", "secrets/full/backup").await?)?;
    let blob = backup["value"].as_str().context("value")?;
    assert!(backup.as_object().is_some_and(|members| members.len() == 1));
    assert!(BASE64_URL_SAFE_NO_PAD.decode(blob).is_ok());
    body(&room, "DELETE", "secrets/full").await?;
    assert_eq!(body(&room, "POST", "deletedsecrets/full/recover").await?, expected);
    body(&room, "DELETE", "secrets/full").await?;
    room.raw("DELETE", "deletedsecrets/full")?.send().await?.error_for_status()?;
    let restored = room.raw("POST", "secrets/restore")?.json(&backup).send().await?;
    assert_eq!(restored.text().await?, expected);
    Ok(())
}

#[tokio::test]
async fn the_recovery_level_follows_retention_and_purge_protection() -> anyhow::Result<()> {
    for (days, protected, level) in [
        (90, false, "Recoverable+Purgeable"),
        (90, true, "Recoverable"),
        (89, false, "CustomizedRecoverable+Purgeable"),
        (7, true, "CustomizedRecoverable"),
    ] {
        let room = Room::with(|spec| {
            spec.settings.soft_delete_retention_days = days;
            spec.settings.purge_protection = protected;
        })?;
        let set = room.raw("PUT", "secrets/n")?.json(&json!({"value": "v"})).send().await?;
        let set: Value = set.json().await?;
        assert_eq!(set["attributes"]["recoveryLevel"], level);
        assert_eq!(set["attributes"]["recoverableDays"], days);
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_is_read_before_and_after_its_time_and_in_any_content_type() -> anyhow::Result<()>
{
    let room = room_with_a_full_secret().await?;
    let late = json!({"value": "v", "attributes": {"nbf": 4_102_444_800_i64}});
    room.raw("PUT", "secrets/late")?.json(&late).send().await?.error_for_status()?;
    for name in ["full", "late"] {
        let request = room.raw("GET", &format!("secrets/{name}/"))?;
        let answer = request.query(&[("outContentType", "PEM")]).send().await?;
        assert_eq!(answer.status(), 200, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn every_api_version_answers_alike() -> anyhow::Result<()> {
    let room = room_with_a_full_secret().await?;
    let expected = body(&room, "GET", "secrets/full/").await?;
    for version in ["7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"] {
        let answer = room.raw_at(version, "GET", "secrets/full/")?.send().await?;
        assert_eq!(answer.text().await?, expected, "{version}");
    }
    Ok(())
}

/// As JavaScript sends every date after 2038-01-19.
#[tokio::test]
async fn a_date_may_be_negative() -> anyhow::Result<()> {
    let room = Room::new()?;
    let set = json!({"value": "v", "attributes": {"exp": -1_769_564_096}});
    let set: Value = room.raw("PUT", "secrets/n")?.json(&set).send().await?.json().await?;
    assert_eq!(set["attributes"]["exp"], -1_769_564_096);
    Ok(())
}
