//! The claims table: one right token of each kind, and every way to spoil it. What is said here
//! is said of tokens whose signature has been verified.

use serde_json::{Value, json};

use super::*;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const OBJECT: &str = "22222222-2222-4222-8222-222222222222";
const ISSUER: &str = "https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0";
const NOW: i64 = 1_800_000_000;

fn application() -> Value {
    json!({
        "aud": "broker", "iss": ISSUER, "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 86_000,
        "azp": "client", "idtyp": "app", "oid": OBJECT, "sub": OBJECT, "tid": TENANT, "ver": "2.0",
        "roles": ["Agent"], "uti": "x", "rh": "y",
    })
}

fn user() -> Value {
    json!({
        "aud": "broker", "iss": ISSUER, "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 4000,
        "azp": "client", "oid": OBJECT, "sub": "pairwise", "tid": TENANT, "ver": "2.0",
        "roles": ["Passphrases.Retrieve"], "scp": "profile access_as_user",
        "preferred_username": "somebody@example.com",
    })
}

fn verdict(claims: &Value) -> Result<Principal, TokenError> {
    let rules = Rules { audience: "broker".to_owned(), user_scope: "access_as_user".to_owned() };
    rules.apply(Claims::parse(claims.to_string().as_bytes())?, ISSUER, NOW)
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Result<Principal, TokenError> {
    claims[name] = value.into();
    verdict(&claims)
}

fn without(mut claims: Value, name: &str) -> Result<Principal, TokenError> {
    claims.as_object_mut().unwrap().remove(name);
    verdict(&claims)
}

#[test]
fn right_tokens_name_their_principal() {
    let agent = verdict(&application()).unwrap();
    assert!(agent.is_agent() && !agent.guest);
    assert_eq!(agent.object_id.to_string(), OBJECT);
    assert_eq!(agent.client_id.as_deref(), Some("client"));
    assert_eq!(agent.issued_at, NOW - 10);
    let person = verdict(&user()).unwrap();
    assert_eq!(person.kind, PrincipalKind::User);
    assert_eq!(person.roles.names(), ["Passphrases.Retrieve"]);
}

#[test]
fn every_claim_that_decides_is_required_and_typed() {
    for name in ["exp", "nbf", "iat", "iss", "aud", "tid", "oid", "ver"] {
        assert_eq!(without(application(), name), Err(TokenError::Claims), "{name}");
        assert_eq!(with(application(), name, Value::Null), Err(TokenError::Claims), "{name}");
        assert_eq!(with(application(), name, json!([])), Err(TokenError::Claims), "{name}");
    }
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(with(application(), name, NOW.to_string()), Err(TokenError::Claims), "{name}");
        assert_eq!(with(application(), name, 1.8e9), Err(TokenError::Claims), "{name}");
    }
    assert_eq!(with(application(), "aud", json!(["broker"])), Err(TokenError::Claims));
    assert_eq!(with(application(), "roles", "Agent"), Err(TokenError::Claims));
    assert_eq!(with(application(), "roles", json!([1])), Err(TokenError::Claims));
}

#[test]
fn a_claim_given_twice_is_refused() {
    let text = application().to_string().replacen('{', r#"{"aud":"broker","#, 1);
    assert_eq!(Claims::parse(text.as_bytes()).err(), Some(TokenError::Claims));
}

#[test]
fn version_1_gets_advice() {
    let issuer = format!("https://sts.windows.net/{TENANT}/");
    let mut claims = application();
    claims["iss"] = issuer.into();
    claims["ver"] = "1.0".into();
    claims["aud"] = "api://broker".into();
    assert_eq!(verdict(&claims), Err(TokenError::Version1));
    assert!(TokenError::Version1.to_string().contains("requestedAccessTokenVersion"));
    assert_eq!(with(application(), "ver", "2"), Err(TokenError::Version));
    assert_eq!(with(application(), "ver", "3.0"), Err(TokenError::Version));
}

#[test]
fn issuer_and_audience_are_exact() {
    for wrong in [
        format!("{ISSUER}/"),
        ISSUER.to_uppercase(),
        ISSUER.replace("1111-4111", "2222-4111"),
        "https://login.microsoftonline.com/common/v2.0".to_owned(),
    ] {
        assert_eq!(with(application(), "iss", wrong), Err(TokenError::Issuer));
    }
    for wrong in ["BROKER", "api://broker", "https://vault.azure.net", ""] {
        assert_eq!(with(application(), "aud", wrong), Err(TokenError::Audience));
    }
}

#[test]
fn times_allow_for_a_minute() {
    let lived = |iat: i64, exp: i64| {
        let mut claims = application();
        (claims["iat"], claims["nbf"], claims["exp"]) = (iat.into(), iat.into(), exp.into());
        verdict(&claims).map(drop)
    };
    assert_eq!(lived(NOW - 3600, NOW - 59), Ok(()));
    assert_eq!(lived(NOW - 3600, NOW - 60), Err(TokenError::Expired));
    assert_eq!(lived(NOW + 60, NOW + 3600), Ok(()));
    assert_eq!(lived(NOW + 61, NOW + 3600), Err(TokenError::NotYetValid));
    assert_eq!(with(application(), "nbf", NOW + 61), Err(TokenError::NotYetValid));
    assert_eq!(with(application(), "iat", NOW + 61), Err(TokenError::NotYetValid));
    assert_eq!(lived(i64::MIN, i64::MAX), Err(TokenError::Lifetime));
}

#[test]
fn life_is_limited() {
    let hours = |claims: Value, hours: i64| with(claims, "exp", NOW - 10 + hours * 3600).map(drop);
    assert_eq!(hours(application(), 25), Ok(()));
    assert_eq!(hours(application(), 26), Err(TokenError::Lifetime));
    assert_eq!(hours(user(), 2), Ok(()));
    assert_eq!(hours(user(), 3), Err(TokenError::Lifetime));
}

#[test]
fn users_and_applications_are_told_apart() {
    let kind = |verdict: Result<Principal, TokenError>| verdict.map(|who| who.kind);
    assert_eq!(kind(without(application(), "idtyp")), Ok(PrincipalKind::Application));
    assert_eq!(kind(with(user(), "idtyp", "user")), Ok(PrincipalKind::User));
    assert_eq!(with(application(), "scp", "access_as_user"), Err(TokenError::Kind));
    assert_eq!(with(application(), "idtyp", "APP"), Err(TokenError::Kind));
    assert_eq!(with(application(), "idtyp", "user"), Err(TokenError::ScopeMissing));
    assert_eq!(with(user(), "idtyp", "app"), Err(TokenError::Kind));
    assert_eq!(without(user(), "scp"), Err(TokenError::Kind));
    assert_eq!(with(user(), "scp", ""), Err(TokenError::ScopeMissing));
    assert_eq!(with(user(), "scp", "Access_as_user"), Err(TokenError::ScopeMissing));
    assert_eq!(with(user(), "scp", "access_as_user_2"), Err(TokenError::ScopeMissing));
    let mut odd = application();
    odd["sub"] = "pairwise".into();
    assert_eq!(without(odd, "idtyp"), Err(TokenError::Kind));
}

#[test]
fn guests_are_marked() {
    let guest = |name, value: Value| with(user(), name, value).unwrap().guest;
    assert!(!verdict(&user()).unwrap().guest);
    assert!(guest("acct", 1.into()));
    assert!(!guest("acct", 0.into()));
    assert!(guest("idp", "live.com".into()));
    assert!(guest("idp", format!("https://sts.windows.net/{OBJECT}/").into()));
    assert!(!guest("idp", ISSUER.into()));
    assert!(!guest("idp", format!("https://sts.windows.net/{TENANT}/").into()));
}

#[test]
fn roles_and_names_decide_nothing_else() {
    assert_eq!(without(user(), "roles").unwrap().roles, Roles::default());
    assert!(without(user(), "preferred_username").is_ok());
}
