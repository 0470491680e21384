//! Tokens and key sets, judged by `jsonwebtoken`, and forgeries, judged by azsim's own Key Vault.

use anyhow::Context;
use azsim::{KeyChoice, TokenSpec};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};

use crate::harness::{Room, azsim, http};

const AUDIENCE: &str = "6e1d3a9c-0000-4000-8000-000000000001";

async fn page(url: &str) -> anyhow::Result<Value> {
    Ok(http()?.get(url).send().await?.error_for_status()?.json().await?)
}

/// Discovery, key set, signature, issuer, audience: the way a resource server goes.
async fn validated(token: &str, issuer: &str) -> anyhow::Result<Value> {
    let discovery = page(&format!("{issuer}/.well-known/openid-configuration")).await?;
    assert_eq!(discovery["issuer"], issuer);
    let keys = page(discovery["jwks_uri"].as_str().context("jwks_uri")?).await?;
    let keys: JwkSet = serde_json::from_value(keys)?;
    let kid = decode_header(token)?.kid.context("kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).context("unknown kid")?)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    Ok(decode::<Value>(token, &key, &validation)?.claims)
}

#[tokio::test]
async fn a_user_token_is_a_delegated_v2_token() -> anyhow::Result<()> {
    let spec = TokenSpec::user(AUDIENCE, "u1").roles(&["Passphrase.Read"]);
    let claims = validated(&azsim().mint(&spec)?, &azsim().issuer()).await?;
    assert_eq!(claims["ver"], "2.0");
    assert_eq!(claims["roles"], json!(["Passphrase.Read"]));
    assert_eq!(claims["scp"], "access_as_user");
    assert_ne!(claims["sub"], claims["oid"]);
    Ok(())
}

#[tokio::test]
async fn an_application_token_has_no_scope_and_its_own_subject() -> anyhow::Result<()> {
    let spec =
        TokenSpec::application(AUDIENCE, "a1").claim("idtyp", "app").claim("aio", Value::Null);
    let claims = validated(&azsim().mint(&spec)?, &azsim().issuer()).await?;
    assert_eq!((&claims["sub"], &claims["idtyp"]), (&json!("a1"), &json!("app")));
    for absent in ["scp", "roles", "aio", "xms_mirid"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }
    Ok(())
}

#[tokio::test]
async fn a_published_key_has_a_certificate_and_no_algorithm() -> anyhow::Result<()> {
    let tenant = azsim().tenant_id();
    let base = format!("https://login.microsoftonline.com/{tenant}");
    let v1 = page(&format!("{base}/.well-known/openid-configuration")).await?;
    assert_eq!(v1["issuer"], format!("https://sts.windows.net/{tenant}/"));
    let keys = page(v1["jwks_uri"].as_str().context("jwks_uri")?).await?;
    let key = &keys["keys"][0];
    assert_eq!(key.get("alg"), None);
    assert_eq!(key["kid"], key["x5t"]);
    assert!(key["x5c"][0].as_str().context("x5c")?.starts_with("MII"));
    assert_eq!(keys, page(&format!("{base}/discovery/v2.0/keys")).await?);
    Ok(())
}

#[tokio::test]
async fn keys_and_discovery_have_the_members_of_the_real_ones() -> anyhow::Result<()> {
    let tenant = azsim().tenant_id();
    let base = format!("https://login.microsoftonline.com/{tenant}");
    for (version, issuer, path) in [
        ("", format!("https://sts.windows.net/{tenant}/"), "discovery/keys"),
        ("/v2.0", format!("{base}/v2.0"), "discovery/v2.0/keys"),
    ] {
        let url = format!("{base}{version}/.well-known/openid-configuration");
        let discovery = page(&url).await?;
        assert_eq!(discovery["issuer"], issuer);
        assert_eq!(discovery["jwks_uri"], format!("{base}/{path}"));
        assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["RS256"]));
        assert_eq!(discovery["subject_types_supported"], json!(["pairwise"]));
        assert_eq!(discovery["cloud_instance_name"], "microsoftonline.com");
        let keys = http()?.get(format!("{base}/{path}")).send().await?.text().await?;
        assert!(keys.starts_with(r#"{"keys":[{"kty":"RSA","use":"sig","kid":""#), "{keys}");
        let end = r#"],"cloud_instance_name":"microsoftonline.com","issuer":"https://login.microsoftonline.com/{tenantid}/v2.0"}]}"#;
        assert!(keys.ends_with(end), "{keys}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rotated_key_signs_while_the_old_one_stays_published() -> anyhow::Result<()> {
    let tenant = azsim().add_tenant()?;
    let spec = TokenSpec::application(AUDIENCE, "a1").in_tenant(&tenant);
    let (old, issuer) = (azsim().mint(&spec)?, azsim().issuer_of(&tenant));
    let kid = azsim().rotate_keys_of(&tenant)?;
    let new = azsim().mint(&spec)?;
    assert_eq!(decode_header(&new)?.kid, Some(kid.clone()));
    validated(&old, &issuer).await?;
    validated(&new, &issuer).await?;
    assert!(azsim().withdraw_key(&tenant, &kid)?);
    assert!(validated(&new, &issuer).await.is_err());
    Ok(())
}

#[tokio::test]
async fn forgeries_are_signed_as_told() -> anyhow::Result<()> {
    let spec = TokenSpec::user(AUDIENCE, "u1");
    let none = azsim().mint(&spec.clone().algorithm("none"))?;
    assert!(none.ends_with('.'));
    let hmac = azsim().mint(&spec.clone().algorithm("HS256"))?;
    assert_eq!(decode_header(&hmac)?.alg, Algorithm::HS256);
    let foreign = azsim().mint(&spec.clone().signed_by(KeyChoice::Foreign))?;
    assert!(validated(&foreign, &azsim().issuer()).await.is_err());
    let header = spec.header("jku", "https://evil.test/keys").header("kid", Value::Null);
    let header = decode_header(azsim().mint(&header)?)?;
    assert_eq!((header.kid, header.jku), (None, Some("https://evil.test/keys".to_owned())));
    Ok(())
}

/// What Key Vault says to this token.
async fn refusal(spec: &TokenSpec) -> anyhow::Result<String> {
    let request = Room::new()?.bare("GET", "secrets?api-version=7.4")?;
    let answer = request.bearer_auth(azsim().mint(spec)?).send().await?;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    let body: Value = answer.json().await?;
    Ok(body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn for_key_vault(tenant: &str) -> TokenSpec {
    TokenSpec::key_vault(tenant, &azsim().identity().principal_id, "c")
}

#[tokio::test]
async fn key_vault_refuses_foreign_audiences_issuers_and_old_tokens() -> anyhow::Result<()> {
    let own = for_key_vault(azsim().tenant_id());
    let arm = own.clone().claim("aud", "https://management.azure.com/");
    assert_eq!(
        refusal(&arm).await?,
        "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com/."
    );
    let expired = refusal(&own.claim("exp", 1)).await?;
    assert_eq!(expired, "[TokenExpired] Error validating token: 'S2S12086'.");
    let stranger = refusal(&for_key_vault(&azsim().add_tenant()?)).await?;
    assert!(stranger.starts_with("AKV10032: Invalid issuer. Expected one of https://sts.windows"));
    Ok(())
}

#[tokio::test]
async fn key_vault_refuses_forged_signatures() -> anyhow::Result<()> {
    let own = for_key_vault(azsim().tenant_id());
    for forged in [
        own.clone().signed_by(KeyChoice::Foreign),
        own.clone().algorithm("none"),
        own.algorithm("HS256"),
    ] {
        let told = refusal(&forged).await?;
        assert!(told.starts_with("AKV10046: Unable to resolve the key"), "{told}");
    }
    Ok(())
}
