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

#[tokio::test]
async fn an_identity_that_is_not_there_is_a_400_of_its_own_shape() -> anyhow::Result<()> {
    let [version, resource] = KEY_VAULT;
    let answer = ask(&[version, resource, ("client_id", "someone")]).send().await?;
    assert_eq!(answer.status(), 400);
    let body: Value = answer.json().await?;
    assert_eq!(body["statusCode"], 400);
    assert_eq!(
        body["message"],
        "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
    );
    assert!(body["correlationId"].is_string());
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
