//! The App Service identity endpoint, byte for byte where it was seen.

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::harness::azsim;

fn ask(query: &[(&str, &str)]) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .get(azsim().identity_endpoint())
        .query(query)
        .header("X-IDENTITY-HEADER", azsim().identity_header())
}

const KEY_VAULT: [(&str, &str); 2] =
    [("api-version", "2019-08-01"), ("resource", "https://vault.azure.net")];

#[tokio::test]
async fn a_missing_or_wrong_header_is_403_and_not_a_byte() -> anyhow::Result<()> {
    let bare = reqwest::Client::new().get(azsim().identity_endpoint()).query(&KEY_VAULT);
    let wrong = bare.try_clone().context("request")?.header("X-IDENTITY-HEADER", "wrong");
    for request in [bare, wrong] {
        let answer = request.send().await?;
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["server"], "Kestrel");
        assert_eq!(answer.headers()["content-length"], "0");
        assert!(!answer.headers().contains_key("content-type"));
    }
    Ok(())
}

#[tokio::test]
async fn a_token_comes_with_its_expiry_as_a_string() -> anyhow::Result<()> {
    let answer: Value = ask(&KEY_VAULT).send().await?.json().await?;
    assert!(answer["expires_on"].as_str().context("expires_on")?.parse::<i64>()? > 0);
    assert_eq!(answer["resource"], "https://vault.azure.net");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["client_id"], azsim().identity().client_id);
    assert_eq!(answer.get("expires_in"), None);
    let token = answer["access_token"].as_str().context("access_token")?;
    let claims = token.split('.').nth(1).context("claims")?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{}/", azsim().tenant_id()));
    assert_eq!(claims["xms_mirid"], azsim().identity().resource_id);
    Ok(())
}

fn part(token: &str, index: usize) -> anyhow::Result<Value> {
    let part = token.split('.').nth(index).context("part")?;
    Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part)?)?)
}

#[tokio::test]
async fn the_answer_has_five_members_in_their_order() -> anyhow::Result<()> {
    let answer = ask(&KEY_VAULT).send().await?;
    assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
    let text = answer.text().await?;
    let body: Value = serde_json::from_str(&text)?;
    let member = |name: &str| body[name].as_str().unwrap_or_default();
    let expected = format!(
        r#"{{"access_token":"{}","expires_on":"{}","resource":"https://vault.azure.net","token_type":"Bearer","client_id":"{}"}}"#,
        member("access_token"),
        member("expires_on"),
        azsim().identity().client_id
    );
    assert_eq!(text, expected);
    let header = part(member("access_token"), 0)?;
    assert_eq!((&header["typ"], &header["alg"]), (&"JWT".into(), &"RS256".into()));
    assert_eq!(header["x5t"], header["kid"]);
    Ok(())
}

/// `xms_mirid` is Microsoft's own, and `idtyp` is an optional claim that the resource must ask for.
#[tokio::test]
async fn a_token_for_a_customers_api_does_not_name_the_resource_behind_it() -> anyhow::Result<()> {
    let [version, _] = KEY_VAULT;
    for (resource, first_party) in [
        ("https://vault.azure.net", true),
        ("https://management.core.windows.net/", true),
        ("api://passphrase-broker", false),
        ("6e1d3a9c-0000-4000-8000-000000000001", false),
        ("https://vault.azure.net.example.test", false),
    ] {
        let answer: Value = ask(&[version, ("resource", resource)]).send().await?.json().await?;
        let claims = part(answer["access_token"].as_str().context("access_token")?, 1)?;
        assert_eq!(claims["aud"], resource);
        assert_eq!(claims.get("xms_mirid").is_some(), first_party, "{resource}");
        assert_eq!(claims.get("idtyp").is_some(), first_party, "{resource}");
        assert_eq!(claims["sub"], claims["oid"]);
    }
    Ok(())
}

#[tokio::test]
async fn an_identity_that_is_not_there_is_a_400_of_its_own_shape() -> anyhow::Result<()> {
    let [version, resource] = KEY_VAULT;
    let answer = ask(&[version, resource, ("client_id", "someone")]).send().await?;
    assert_eq!(answer.status(), 400);
    let text = answer.text().await?;
    let body: Value = serde_json::from_str(&text)?;
    let id = body["correlationId"].as_str().context("correlationId")?;
    let expected = format!(
        r#"{{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.","correlationId":"{id}"}}"#
    );
    assert_eq!(text, expected);
    assert_eq!(id.len(), 36);
    Ok(())
}

#[tokio::test]
async fn an_old_api_version_is_400_and_a_post_is_405() -> anyhow::Result<()> {
    let [_, resource] = KEY_VAULT;
    let old = ask(&[("api-version", "2017-09-01"), resource]).send().await?;
    assert_eq!(old.status(), 400);
    let post = reqwest::Client::new().post(azsim().identity_endpoint()).send().await?;
    assert_eq!(post.status(), 405);
    Ok(())
}
