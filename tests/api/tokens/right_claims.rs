//! Tokens as Entra ID issues them, in the shapes that differ between tenants, clients and settings.

use serde_json::{Value, json};

use super::forge::{Forge, with, without};

pub struct Shape {
    pub title: &'static str,
    pub authorization: String,
    pub kind: &'static str,
    pub roles: Vec<&'static str>,
}

const BASE: [&str; 2] = ["Machines.Read", "Passphrases.Retrieve"];

pub fn table(forge: &Forge) -> Vec<Shape> {
    let tables = [times(forge), kinds(forge), roles(forge), headers(forge)];
    let mut shapes: Vec<Shape> = tables.into_iter().flatten().collect();
    let token = forge.with_claims(&forge.user());
    for (title, authorization) in [
        ("a scheme in lower case", format!("bearer {token}")),
        ("a scheme in upper case", format!("BEARER {token}")),
        ("two blanks", format!("Bearer  {token}")),
    ] {
        shapes.push(Shape { title, authorization, kind: "user", roles: BASE.to_vec() });
    }
    shapes
}

fn shape(forge: &Forge, title: &'static str, kind: &'static str, claims: &Value) -> Shape {
    let authorization = format!("Bearer {}", forge.with_claims(claims));
    Shape { title, authorization, kind, roles: BASE.to_vec() }
}

fn times(forge: &Forge) -> Vec<Shape> {
    let now = forge.now;
    let lived = |claims: Value, iat: i64, nbf: i64, exp: i64| {
        with(with(with(claims, "iat", json!(iat)), "nbf", json!(nbf)), "exp", json!(exp))
    };
    let user =
        |title, iat, nbf, exp| shape(forge, title, "user", &lived(forge.user(), iat, nbf, exp));
    let application = |title, iat, nbf, exp| {
        shape(forge, title, "application", &lived(forge.application(), iat, nbf, exp))
    };
    vec![
        user("expired, by a clock that is half a minute fast", now - 3600, now - 3600, now - 30),
        user("valid, by a clock that is slow", now + 50, now + 50, now + 3600),
        user("not valid before a moment ahead", now, now + 50, now + 3600),
        user("an hour and a half", now, now, now + 5400),
        user("two hours", now - 300, now - 300, now + 6900),
        application("a managed identity's day", now, now, now + 86_400),
        application("a day, almost over", now - 86_000, now - 86_000, now + 400),
        application("a day and an hour", now, now, now + 90_000),
    ]
}

fn kinds(forge: &Forge) -> Vec<Shape> {
    let application = |title, claims: Value| shape(forge, title, "application", &claims);
    let user = |title, claims: Value| shape(forge, title, "user", &claims);
    let app_only = with(forge.application(), "idtyp", json!("app"));
    let issuer = json!(forge.issuer());
    let old_issuer = json!(format!("https://sts.windows.net/{}/", forge.tenant));
    vec![
        application("an application's, without idtyp", forge.application()),
        application("an application's, with idtyp", app_only.clone()),
        application("an application's, without sub", without(app_only.clone(), "sub")),
        application("an application's, without azp", without(app_only, "azp")),
        user("a user's, without idtyp", forge.user()),
        user("a user's, with idtyp", with(forge.user(), "idtyp", json!("user"))),
        user("several scopes", with(forge.user(), "scp", json!("User.Read access_as_user email"))),
        user("no name", without(forge.user(), "preferred_username")),
        user("a name in Cyrillic", with(forge.user(), "name", json!("Ольга Ладыженская"))),
        user("a member's account", with(forge.user(), "acct", json!(0))),
        user("at home, in words of version 2", with(forge.user(), "idp", issuer)),
        user("at home, in words of version 1", with(forge.user(), "idp", old_issuer)),
    ]
}

fn roles(forge: &Forge) -> Vec<Shape> {
    let with_roles =
        |title, claims: Value, roles| Shape { roles, ..shape(forge, title, "user", &claims) };
    let given = |roles: Value| with(forge.user(), "roles", roles);
    let groups: Vec<String> = (0..100).map(|number| format!("group-{number}")).collect();
    vec![
        with_roles("no roles", without(forge.user(), "roles"), vec![]),
        with_roles("an empty list of roles", given(json!([])), vec![]),
        with_roles("another service's role", given(json!(["Files.Read.All"])), vec![]),
        with_roles("roles in another case", given(json!(["audit.read", "AGENT"])), vec![]),
        with_roles("a role twice", given(json!(["Agent", "Agent"])), vec!["Agent"]),
        shape(forge, "many groups", "user", &with(forge.user(), "groups", json!(groups))),
        shape(forge, "objects inside", "user", &with(forge.user(), "x", json!({"a": {"a": [1]}}))),
        shape(forge, "authentication contexts", "user", &with(forge.user(), "acrs", json!(["c1"]))),
        shape(forge, "7 kB", "user", &with(forge.user(), "x", json!("x".repeat(5_000)))),
    ]
}

fn headers(forge: &Forge) -> Vec<Shape> {
    let header = |title, header: Value| Shape {
        title,
        authorization: format!("Bearer {}", forge.sign(&header, &forge.user())),
        kind: "user",
        roles: BASE.to_vec(),
    };
    vec![
        header("no typ", without(forge.header(), "typ")),
        header("typ of RFC 9068", with(forge.header(), "typ", json!("at+jwt"))),
        header("typ in lower case", with(forge.header(), "typ", json!("jwt"))),
        header("a thumbprint", with(forge.header(), "x5t", json!(forge.key_id))),
        header("a nonce", with(forge.header(), "nonce", json!("n-0S6_WzA2Mj"))),
    ]
}
