//! Tokens that Entra ID could have signed, and that say something wrong.

use serde_json::{Value, json};

use super::{
    forge::{Forge, MARK, doubled, with, without},
    wrong_requests::Case,
};

pub fn table(forge: &Forge) -> Vec<Case> {
    [mistyped(forge), wrong(forge), times(forge), kinds(forge), repeated(forge)].concat()
}

fn mistyped(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["aud", "iss", "tid", "oid", "ver", "exp", "nbf", "iat"] {
        let absent = forge.with_claims(&without(forge.user(), name));
        cases.push(Case::token(format!("{name} absent"), absent));
        for value in [json!(null), json!([]), json!({}), json!(true)] {
            let title = format!("{name} = {value}");
            cases.push(Case::token(title, forge.with_claim(name, value)));
        }
        let listed = json!([forge.user()[name]]);
        cases.push(Case::token(format!("{name} in a list"), forge.with_claim(name, listed)));
    }
    for name in ["exp", "nbf", "iat"] {
        let right = forge.user()[name].as_i64().unwrap();
        let text = json!(right.to_string());
        cases.push(Case::token(format!("{name} as text"), forge.with_claim(name, text)));
        let fraction = json!(f64::from(u32::try_from(right).unwrap()) + 0.5);
        cases.push(Case::token(format!("{name} as a fraction"), forge.with_claim(name, fraction)));
        for huge in [json!(u64::MAX), json!(1e300)] {
            let title = format!("{name} = {huge}");
            cases.push(Case::token(title, forge.with_claim(name, huge)));
        }
    }
    cases
}

fn wrong(forge: &Forge) -> Vec<Case> {
    let right = forge.user();
    let (audience, issuer) = (right["aud"].as_str().unwrap(), forge.issuer());
    let elsewhere = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let values = [
        ("aud", json!(audience.to_uppercase())),
        ("aud", json!(format!("api://{audience}"))),
        ("aud", json!(format!("{audience} "))),
        ("aud", json!(format!("{audience}/.default"))),
        ("aud", json!(audience[..35])),
        ("aud", json!("https://vault.azure.net")),
        ("aud", json!("00000003-0000-0000-c000-000000000000")),
        ("aud", json!("")),
        ("iss", json!(format!("{issuer}/"))),
        ("iss", json!(issuer.to_uppercase())),
        ("iss", json!(issuer.replace("https", "http"))),
        ("iss", json!(issuer.replace(".com/", ".com.mischief.example/"))),
        ("iss", json!(issuer.replace(&forge.tenant, elsewhere))),
        ("iss", json!(issuer.replace(&forge.tenant, "common"))),
        ("iss", json!(issuer.replace("/v2.0", ""))),
        ("iss", json!(format!("{issuer}#{MARK}"))),
        ("iss", json!("")),
        ("tid", json!(elsewhere)),
        ("tid", json!("common")),
        ("tid", json!(MARK)),
        ("oid", json!("")),
        ("oid", json!("mischief@example.test")),
        ("oid", json!(7)),
        ("ver", json!("1.0")),
        ("ver", json!("2")),
        ("ver", json!("2.0 ")),
        ("ver", json!("3.0")),
        ("ver", json!(2.0)),
        ("azp", json!(7)),
        ("sub", json!(["mischief"])),
        ("idp", json!({"mischief": 1})),
    ];
    let case = |(name, value): (&str, Value)| {
        Case::token(format!("{name} = {value}"), forge.with_claim(name, value))
    };
    let mut cases: Vec<Case> = values.into_iter().map(case).collect();
    let version_1 = with(forge.user(), "ver", json!("1.0"));
    let issuer = json!(format!("https://sts.windows.net/{}/", forge.tenant));
    let version_1 = forge.with_claims(&with(version_1, "iss", issuer.clone()));
    cases.push(Case::token("version 1", version_1));
    cases.push(Case::token("version 1 by its issuer", forge.with_claim("iss", issuer)));
    let other = with(forge.user(), "tid", json!(elsewhere));
    let other_issuer = json!(forge.issuer().replace(&forge.tenant, elsewhere));
    let other = forge.with_claims(&with(other, "iss", other_issuer));
    cases.push(Case::token("another tenant, consistently", other));
    cases
}

fn times(forge: &Forge) -> Vec<Case> {
    let now = forge.now;
    let case = |title: &str, claims: Value, iat: i64, nbf: i64, exp: i64| {
        let claims = with(claims, "iat", json!(iat));
        let claims = with(with(claims, "nbf", json!(nbf)), "exp", json!(exp));
        Case::token(title, forge.with_claims(&claims))
    };
    let (user, application) = (forge.user(), forge.application());
    vec![
        case("expired a minute ago", user.clone(), now - 3600, now - 3600, now - 61),
        case("expired long ago", application.clone(), now - 90_000, now - 90_000, now - 7200),
        case("expired before 1970", user.clone(), now - 3600, now - 3600, -1),
        case("expires at 0", user.clone(), now - 3600, now - 3600, 0),
        case("expired at the beginning", application.clone(), now, now, i64::MIN),
        case("not valid yet", user.clone(), now, now + 600, now + 3600),
        case("not valid for ages", user.clone(), now, i64::MAX, now + 3600),
        case("issued in the future", user.clone(), now + 600, now, now + 3600),
        case("issued in ages", application.clone(), i64::MAX, now, now + 3600),
        case("a user's, for 3 hours", user.clone(), now, now, now + 3 * 3600),
        case("an application's, for 26 hours", application.clone(), now, now, now + 26 * 3600),
        case("for ever", application.clone(), now, now, i64::MAX),
        case("since ever", application, i64::MIN, now, now + 3600),
        case("issued before 1970", user, -1, now, now + 3600),
    ]
}

/// User or application, and what its roles are.
fn kinds(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for (claims, title, name, value) in [
        (forge.user(), "a user's", "idtyp", json!("app")),
        (forge.user(), "a user's", "idtyp", json!("User")),
        (forge.user(), "a user's", "idtyp", json!("device")),
        (forge.user(), "a user's", "idtyp", json!(7)),
        (forge.user(), "a user's", "scp", json!("")),
        (forge.user(), "a user's", "scp", json!("User.Read")),
        (forge.user(), "a user's", "scp", json!("Access_as_user")),
        (forge.user(), "a user's", "scp", json!("access_as_user_mischief")),
        (forge.user(), "a user's", "scp", json!("User.Read,access_as_user")),
        (forge.user(), "a user's", "scp", json!(["access_as_user"])),
        (forge.application(), "an application's", "idtyp", json!("user")),
        (forge.application(), "an application's", "idtyp", json!("APP")),
        (forge.application(), "an application's", "idtyp", json!("mischief")),
        (forge.application(), "an application's", "sub", json!("pairwise-mischief")),
        (forge.user(), "a user's", "roles", json!("Passphrases.Retrieve")),
        (forge.user(), "a user's", "roles", json!({"Passphrases.Retrieve": true})),
        (forge.user(), "a user's", "roles", json!([["Passphrases.Retrieve"]])),
        (forge.user(), "a user's", "roles", json!(["Passphrases.Retrieve", 7])),
        (forge.user(), "a user's", "roles", json!(null)),
    ] {
        let title = format!("{title}, {name} = {value}");
        cases.push(Case::token(title, forge.with_claims(&with(claims, name, value))));
    }
    let scopeless = forge.with_claims(&without(forge.user(), "scp"));
    cases.push(Case::token("a user's without scp", scopeless));
    let application = with(forge.application(), "scp", json!("access_as_user"));
    let both = forge.with_claims(&with(application, "idtyp", json!("app")));
    cases.push(Case::token("an application's with scp", both));
    let subjectless = forge.with_claims(&without(forge.application(), "sub"));
    cases.push(Case::token("no idtyp, no scp, no sub", subjectless));
    cases
}

/// Of two alike, one reader takes the first and the next takes the last.
fn repeated(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for member in [
        r#""aud":"mischief""#,
        r#""oid":"3f1b2c4d-0000-4000-8000-000000000000""#,
        r#""roles":["Audit.Read"]"#,
        r#""tid":"9188040d-6c67-4c5b-b112-36a304b66dad""#,
        r#""exp":1"#,
        r#""o\u0069d":"3f1b2c4d-0000-4000-8000-000000000000""#,
        r#""uti":"a","uti":"a""#,
    ] {
        let claims = doubled(&forge.user(), member);
        let token = forge.sign_bytes(forge.header().to_string().as_bytes(), claims.as_bytes());
        cases.push(Case::token(format!("twice: {member}"), token));
    }
    for member in [r#""alg":"none""#, r#""kid":"mischief""#, r#""x":1,"x":1"#, r#""typ":"JWT""#] {
        let header = doubled(&forge.header(), member);
        let token = forge.sign_bytes(header.as_bytes(), forge.user().to_string().as_bytes());
        cases.push(Case::token(format!("twice in the header: {member}"), token));
    }
    cases
}
