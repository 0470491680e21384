//! Tokens whose header, signature or form is wrong, around claims that are right.

use azsim::{KeyChoice, TokenSpec};
use serde_json::{Value, json};

use super::{
    forge::{Forge, MARK, encode, without},
    wrong_requests::Case,
};
use crate::harness::azure;

pub fn table(forge: &Forge) -> Vec<Case> {
    [signatures(forge), headers(forge), key_ids(forge), payloads(forge), forms(forge)].concat()
}

fn signatures(forge: &Forge) -> Vec<Case> {
    let spec = || TokenSpec::claims(forge.user()).in_tenant(&forge.tenant);
    let mint = |spec: TokenSpec| azure().mint(&spec).unwrap();
    let mut cases: Vec<Case> = ["none", "HS256", "RS384", "RS512", "PS256"]
        .map(|algorithm| Case::token(algorithm, mint(spec().algorithm(algorithm))))
        .into();
    let foreign = mint(spec().signed_by(KeyChoice::Foreign));
    cases.push(Case::token("a key that nobody publishes", foreign));
    let other = azure().add_tenant().unwrap();
    let of_other = TokenSpec::claims(forge.user()).in_tenant(other);
    cases.push(Case::token("another tenant's key", mint(of_other.clone())));
    let disguised = mint(of_other.header("kid", forge.key_id.clone()));
    cases.push(Case::token("another tenant's key under our key's id", disguised));
    let (good, another) = (forge.with_claims(&forge.user()), forge.with_claim("uti", json!("x")));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, other_signature) = another.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    for (title, signature) in [
        ("no signature", String::new()),
        ("another token's signature", other_signature.to_owned()),
        ("a truncated signature", signature[..300].to_owned()),
        ("a signature with one letter changed", format!("{flipped}{}", &signature[1..])),
        ("a signature with a letter more", format!("{signature}A")),
        ("a padded signature", format!("{signature}==")),
        ("a signature of zeros", encode(&[0; 256])),
        ("a signature of one byte", encode(&[1])),
        ("a signature that is too long", encode(&[1; 512])),
    ] {
        cases.push(Case::token(title, format!("{signed}.{signature}")));
    }
    let roles = forge.user().to_string().replace("Machines.Read", "Audit.Read");
    let header = good.split('.').next().unwrap();
    let changed = format!("{header}.{}.{signature}", encode(roles.as_bytes()));
    cases.push(Case::token("claims changed after signing", changed));
    cases
}

fn headers(forge: &Forge) -> Vec<Case> {
    let jwk = json!({"kty": "RSA", "kid": forge.key_id, "n": "mischief", "e": "AQAB"});
    let certificate = json!(["bWlzY2hpZWY="]);
    let names = |name: &str, values: &[Value]| {
        let case = |value: &Value| {
            let token = forge.with_header(name, value.clone());
            Case::token(format!("header {name} = {value}"), token)
        };
        values.iter().map(case).collect::<Vec<_>>()
    };
    let algorithms = ["none", "None", "", "rs256", "RS256 ", "RS512", "HS256", "ES256", "EdDSA"];
    let mut cases = names("alg", &algorithms.map(Value::from));
    cases.extend(names("alg", &[json!(null), json!(["RS256"]), json!(7)]));
    cases.extend(names("jku", &[json!("https://login.microsoftonline.com/common/keys")]));
    cases.extend(names("jku", &[json!("https://mischief.example/keys"), json!(null)]));
    cases.extend(names("x5u", &[json!("https://mischief.example/cert")]));
    cases.extend(names("jwk", &[jwk, json!({})]));
    cases.extend(names("x5c", &[certificate, json!([])]));
    cases.extend(names("crit", &[json!(["exp"]), json!([]), json!(["b64"])]));
    cases.extend(names("b64", &[json!(false), json!(true)]));
    cases.extend(names("zip", &[json!("DEF")]));
    cases.extend(names("typ", &[json!("JWE"), json!("dpop+jwt"), json!("mischief"), json!(7)]));
    let absent = forge.sign(&without(forge.header(), "alg"), &forge.user());
    cases.push(Case::token("header without alg", absent));
    cases
}

/// Names for a key that is not there, and some that a careless reader would look for elsewhere.
fn key_ids(forge: &Forge) -> Vec<Case> {
    let upper = forge.key_id.to_uppercase();
    let ids = [
        json!(null),
        json!(""),
        json!(7),
        json!([forge.key_id]),
        json!(MARK),
        json!(format!("{} ", forge.key_id)),
        json!(upper),
        json!("../../../../dev/null"),
        json!("' or '1'='1"),
        json!("https://mischief.example/key"),
        json!("k".repeat(129)),
        json!("k".repeat(10_240)),
        json!("\u{0}"),
        json!("ключ"),
    ];
    let mut cases: Vec<Case> = ids
        .into_iter()
        .map(|id| {
            let title = format!("kid = {:.40}", id.to_string());
            Case::token(title, forge.with_header("kid", id))
        })
        .collect();
    let absent = forge.sign(&without(forge.header(), "kid"), &forge.user());
    cases.push(Case::token("header without kid", absent));
    cases
}

fn payloads(forge: &Forge) -> Vec<Case> {
    let header = forge.header().to_string();
    let claims = forge.user().to_string();
    let nested = forge.with_claims(&forge.user());
    let deep = format!("{}{claims}{}", "[".repeat(500), "]".repeat(500));
    [
        ("an empty payload", Vec::new()),
        ("an empty object", b"{}".to_vec()),
        ("a list", format!("[{claims}]").into_bytes()),
        ("text", format!("{claims:?}").into_bytes()),
        ("a number", b"7".to_vec()),
        ("a nested token", nested.into_bytes()),
        ("a deeply nested list", deep.into_bytes()),
        ("something after the object", format!("{claims}{{}}").into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", claims.as_bytes()].concat()),
        ("a control character", claims.replace("somebody", "\u{1}").into_bytes()),
        ("a stray byte", [claims.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat()),
        ("single quotes", claims.replace('"', "'").into_bytes()),
        ("a comment", format!("/* */{claims}").into_bytes()),
        ("a comma too many", claims.replace('}', ",}").into_bytes()),
    ]
    .into_iter()
    .map(|(title, payload)| Case::token(title, forge.sign_bytes(header.as_bytes(), &payload)))
    .collect()
}

fn forms(forge: &Forge) -> Vec<Case> {
    let good = forge.with_claims(&forge.user());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{good}") };
    let large = forge.with_claim("x", json!("x".repeat(6_800)));
    assert!(large.len() > 9_000);
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4 + 4));
    [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts, like an encrypted one", format!("{good}.{payload}.{signature}")),
        ("nothing but dots", "..".to_owned()),
        ("three letters", "a.b.c".to_owned()),
        ("no header", forge.sign_text(&format!(".{payload}"))),
        ("no payload", forge.sign_text(&format!("{header}."))),
        ("a padded header", forge.sign_text(&format!("{}.{payload}", padded(header)))),
        ("a padded payload", forge.sign_text(&format!("{header}.{}", padded(payload)))),
        ("a header that is not base64", forge.sign_text(&format!("!{header}.{payload}"))),
        ("a payload of plain JSON", forge.sign_text(&format!("{header}.{}", forge.user()))),
        ("a blank within", forge.sign_text(&format!("{header}.{payload} "))),
        ("a tab within", forge.sign_text(&format!("{header}\t.{payload}"))),
        ("truncated", good[..good.len() - 10].to_owned()),
        ("cut in the middle", good[..good.len() / 2].to_owned()),
        ("a leading dot", format!(".{good}")),
        ("a trailing dot", format!("{good}.")),
        ("in quotes", format!("\"{good}\"")),
        ("percent-encoded", good.replace('.', "%2E")),
        ("a comma after it", format!("{good},")),
        ("two tokens", format!("{good} {good}")),
        ("9 kB, correctly signed", large),
        ("64 letters", "x".repeat(64)),
        ("null", "null".to_owned()),
        ("undefined", "undefined".to_owned()),
    ]
    .map(|(title, token)| Case::token(title, token))
    .into()
}
