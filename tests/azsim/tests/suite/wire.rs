//! Bodies and headers byte for byte, where a real answer was recorded or quoted.

use anyhow::Context;
use azsim::SecretSpec;
use serde_json::{Value, json};

use crate::harness::{Room, azsim};

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#)
}

#[tokio::test]
async fn the_challenge_comes_before_the_body_is_looked_at() -> anyhow::Result<()> {
    let room = Room::new()?;
    let answer = room.bare("PUT", "secrets/n?api-version=7.4")?.body("").send().await?;
    assert_eq!(answer.status(), 401);
    let challenge = format!(
        r#"Bearer authorization="https://login.microsoftonline.com/{}", resource="https://vault.azure.net""#,
        azsim().tenant_id()
    );
    assert_eq!(answer.headers()["www-authenticate"], challenge.as_str());
    assert_eq!(answer.headers()["content-length"], "108");
    assert_eq!(
        answer.text().await?,
        error("Unauthorized", "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.")
    );
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_the_service_headers() -> anyhow::Result<()> {
    let room = Room::new()?;
    let request = room.raw("GET", "secrets/none")?.header("x-ms-client-request-id", "mine");
    let answer = request.send().await?;
    let headers = answer.headers();
    assert_eq!(headers["x-ms-client-request-id"], "mine");
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("content-type", "application/json; charset=utf-8"),
        ("strict-transport-security", "max-age=31536000;includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-ms-keyvault-service-version", "1.9.3070.2"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers.contains_key("x-ms-keyvault-rbac-assignment-id"));
    assert!(headers.contains_key("date") && headers.contains_key("x-ms-request-id"));
    Ok(())
}

#[tokio::test]
async fn members_come_in_the_order_of_the_service() -> anyhow::Result<()> {
    let room = Room::new()?;
    let body = json!({
        "value": "v", "contentType": "text/plain", "tags": {"a": "b"},
        "attributes": {"enabled": true, "nbf": 1_422_864_000, "exp": 1_754_006_400}
    });
    let answer = room.raw("PUT", "secrets/Full")?.json(&body).send().await?.text().await?;
    let secret = azsim().secret(&room.name, "full")?.context("secret")?;
    let version = secret.latest().context("version")?;
    let expected = format!(
        r#"{{"value":"v","contentType":"text/plain","id":"{}secrets/Full/{}","attributes":{{"enabled":true,"nbf":1422864000,"exp":1754006400,"created":{},"updated":{},"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}},"tags":{{"a":"b"}}}}"#,
        room.uri, version.id, version.created, version.updated
    );
    assert_eq!(answer, expected);
    assert!(
        version.id.len() == 32 && version.id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    );
    Ok(())
}

#[tokio::test]
async fn absent_members_are_absent() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.settings.soft_delete_retention_days = 7)?;
    let answer =
        room.raw("PUT", "secrets/n")?.body(r#"{"value": ""}"#).send().await?.text().await?;
    let version = azsim().secret(&room.name, "n")?.context("secret")?.versions.remove(0);
    let expected = format!(
        r#"{{"value":"","id":"{}secrets/n/{}","attributes":{{"enabled":true,"created":{},"updated":{},"recoveryLevel":"CustomizedRecoverable+Purgeable","recoverableDays":7}}}}"#,
        room.uri, version.id, version.created, version.updated
    );
    assert_eq!(answer, expected);
    Ok(())
}

/// The member is documented, but seven sets of one secret recorded in 2026 do not have it: it is for certificates.
#[tokio::test]
async fn a_set_does_not_tell_the_version_before_it() -> anyhow::Result<()> {
    let room = Room::new()?;
    azsim().put_secret(&room.name, SecretSpec::new("n", "1"))?;
    for api_version in ["7.4", "2025-07-01", "2026-04-01"] {
        let request = room.raw_at(api_version, "PUT", "secrets/n")?.json(&json!({"value": "2"}));
        let set: Value = request.send().await?.error_for_status()?.json().await?;
        assert_eq!(set.get("previousVersion"), None, "{api_version}");
    }
    Ok(())
}

#[tokio::test]
async fn a_next_link_carries_the_port_and_the_limit() -> anyhow::Result<()> {
    let room = Room::new()?;
    for _ in 0..2 {
        azsim().put_secret(&room.name, SecretSpec::new("n", "v"))?;
    }
    let request = room.raw("GET", "secrets/n/versions")?.query(&[("maxresults", "1")]);
    let page: Value = request.send().await?.json().await?;
    let link = page["nextLink"].as_str().context("nextLink")?;
    let host = room.host();
    let start =
        format!("https://{host}:443/secrets/n/versions?api-version=2025-07-01&$skiptoken=ey");
    assert!(link.starts_with(&start) && link.ends_with("&maxresults=1"), "{link}");
    assert!(!link.contains("%24") && link.matches('=').count() == 3);
    let unknown = room.raw("GET", "secrets/other/versions")?.send().await?.text().await?;
    assert_eq!(unknown, r#"{"value":[],"nextLink":null}"#);
    Ok(())
}

#[tokio::test]
async fn a_hyphen_in_a_query_key_may_be_percent_encoded() -> anyhow::Result<()> {
    let room = Room::new()?;
    let token = crate::harness::broker_token()?;
    let request = room.bare("GET", "secrets?api%2Dversion=2025-07-01")?.bearer_auth(token);
    assert_eq!(request.send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_missing_or_unknown_api_version_is_a_400() -> anyhow::Result<()> {
    let room = Room::new()?;
    let token = crate::harness::broker_token()?;
    for path in ["secrets", "secrets?api-version=2015-06-01"] {
        let answer = room.bare("GET", path)?.bearer_auth(&token).send().await?;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Value>().await?["error"]["code"], "BadParameter");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_secret_is_told_in_the_services_words() -> anyhow::Result<()> {
    let room = Room::new()?;
    azsim().put_secret(&room.name, SecretSpec::new("n", "v"))?;
    for (path, told) in [("secrets/none/", "none"), ("secrets/n/0123", "n/0123")] {
        let answer = room.raw("GET", path)?.send().await?;
        assert_eq!(answer.status(), 404);
        let message = format!(
            "A secret with (name/id) {told} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        assert_eq!(answer.text().await?, error("SecretNotFound", &message));
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_secret_is_not_read() -> anyhow::Result<()> {
    let room = Room::new()?;
    let spec = SecretSpec { enabled: false, ..SecretSpec::new("n", "v") };
    azsim().put_secret(&room.name, spec)?;
    let answer = room.raw("GET", "secrets/n/")?.send().await?;
    assert_eq!(answer.status(), 403);
    assert_eq!(
        answer.text().await?,
        r#"{"error":{"code":"Forbidden","message":"Operation get is not allowed on a disabled secret.","innererror":{"code":"SecretDisabled"}}}"#
    );
    Ok(())
}

#[tokio::test]
async fn a_put_without_a_name_is_a_405() -> anyhow::Result<()> {
    let answer = Room::new()?.raw("PUT", "secrets/")?.body("{}").send().await?;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.text().await?, error("MethodNotAllowed", "HTTP PUT not allowed"));
    Ok(())
}

async fn put(room: &Room, name: &str, body: Value) -> anyhow::Result<(u16, String)> {
    let path = format!("secrets/{name}");
    let answer = room.raw("PUT", &path)?.json(&body).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test]
async fn a_value_has_a_limit() -> anyhow::Result<()> {
    let room = Room::new()?;
    let longest = json!({"value": "v".repeat(25_600)});
    assert_eq!(put(&room, "n", longest).await?.0, 200);
    let message = "Secret is beyond the maximum permitted length of 25600 characters.";
    let refused = put(&room, "n", json!({"value": "v".repeat(25_601)})).await?;
    assert_eq!(refused, (400, error("BadParameter", message)));
    Ok(())
}

#[tokio::test]
async fn tags_have_limits() -> anyhow::Result<()> {
    let room = Room::new()?;
    let tags = |number: u32| -> Value {
        let tags = (0..number).map(|n| (n.to_string(), json!("t".repeat(512))));
        json!({"value": "v", "tags": tags.collect::<serde_json::Map<_, _>>()})
    };
    assert_eq!(put(&room, "n", tags(15)).await?.0, 200);
    assert_eq!(put(&room, "n", tags(16)).await?.0, 400);
    let long = json!({"value": "v", "tags": {"t": "v".repeat(513)}});
    assert_eq!(put(&room, "n", long).await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn a_name_has_127_letters_digits_and_hyphens() -> anyhow::Result<()> {
    let room = Room::new()?;
    let body = || json!({"value": "v"});
    assert_eq!(put(&room, &"n".repeat(127), body()).await?.0, 200);
    assert_eq!(put(&room, &"n".repeat(128), body()).await?.0, 400);
    let message = "The request URI contains an invalid name: a_b";
    let refused = put(&room, "a_b", body()).await?;
    assert_eq!(refused, (400, error("BadParameter", message)));
    Ok(())
}

#[tokio::test]
async fn a_corrupt_backup_is_told_with_a_code_of_three_words() -> anyhow::Result<()> {
    let room = Room::open()?;
    let answer = room.raw("POST", "secrets/restore")?.body(r#"{"value":"AAAA"}"#).send().await?;
    assert_eq!(answer.status(), 400);
    let message = "Backup blob contains invalid or corrupt version.";
    assert_eq!(answer.text().await?, error("Malformed backup blob", message));
    Ok(())
}

#[tokio::test]
async fn the_health_status_needs_no_token_and_tells_the_address() -> anyhow::Result<()> {
    let answer = Room::new()?.bare("GET", "healthstatus")?.send().await?;
    assert_eq!(answer.status(), 200);
    let seen = answer.headers()["x-ms-keyvault-network-info"].to_str()?;
    assert!(seen.starts_with("conn_type=Ipv4;addr="));
    Ok(())
}
