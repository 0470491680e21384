//! The form of a token: what must be right before its signature is even looked at.
//!
//! The algorithm is ours to say, RS256; the token's header only has to agree. A header that brings
//! or points at its own key, or asks for extensions, is refused.

use std::{collections::HashSet, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use uuid::Uuid;

const MAXIMUM_LENGTH: usize = 8 * 1024;
const MAXIMUM_KEY_ID_LENGTH: usize = 128;
/// Keys from the token itself, extensions that must be understood, and other payload encodings.
const FORBIDDEN: [&str; 7] = ["jku", "x5u", "jwk", "x5c", "crit", "zip", "b64"];

/// A token taken apart. Nothing in it is to be believed yet.
pub(super) struct Unverified<'a> {
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    pub(super) payload: Vec<u8>,
    pub(super) tenant: Uuid,
    pub(super) key_id: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
}

#[derive(Deserialize)]
struct TenantOnly {
    tid: Uuid,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAXIMUM_LENGTH {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let key_id = key_id(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        // The reader of JSON passes over what nobody asks for without looking at its letters.
        let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?.into_bytes();
        serde_json::from_slice::<Members>(&payload).ok()?;
        let TenantOnly { tid: tenant } = serde_json::from_slice(&payload).ok()?;
        Some(Self { signed, signature, payload, tenant, key_id })
    }
}

/// The key's id, if the header is acceptable.
fn key_id(header: &[u8]) -> Option<String> {
    let Members(members) = serde_json::from_slice(header).ok()?;
    let Header { alg, kid, typ } = serde_json::from_slice(header).ok()?;
    let typ_fits =
        typ.is_none_or(|typ| ["JWT", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)));
    let acceptable = alg == "RS256"
        && typ_fits
        && (1..=MAXIMUM_KEY_ID_LENGTH).contains(&kid.len())
        && !FORBIDDEN.iter().any(|name| members.contains(*name));
    acceptable.then_some(kid)
}

/// The names in a JSON object, each of which occurs once. Of two alike, one reader takes the first
/// and the next takes the last.
struct Members(HashSet<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("a member occurs twice"));
                    }
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"alg":"RS256","kid":"k1","typ":"JWT","x5t":"k1"}"#;
    const PAYLOAD: &str = r#"{"tid":"11111111-1111-4111-8111-111111111111"}"#;

    fn parses(header: &str, payload: &str) -> bool {
        let encode = |text| URL_SAFE_NO_PAD.encode(text);
        Unverified::parse(&format!("{}.{}.c2ln", encode(header), encode(payload))).is_some()
    }

    #[test]
    fn the_form_of_entra_ids_tokens_is_accepted() {
        assert!(parses(HEADER, PAYLOAD));
        assert!(parses(r#"{"alg":"RS256","kid":"k1"}"#, PAYLOAD));
        assert!(parses(r#"{"alg":"RS256","kid":"k1","typ":"at+jwt"}"#, PAYLOAD));
    }

    #[test]
    fn a_header_that_wants_something_else_is_refused() {
        for wrong in [
            r#"{"alg":"none","kid":"k1"}"#,
            r#"{"alg":"HS256","kid":"k1"}"#,
            r#"{"alg":"rs256","kid":"k1"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":""}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":"k1","typ":"JWE"}"#,
            r#"{"alg":"RS256","kid":"k1","kid":"k2"}"#,
            r#"{"alg":"RS256","kid":"k1","a":1,"a":2}"#,
            r#"["RS256","k1"]"#,
            &format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(129)),
        ] {
            assert!(!parses(wrong, PAYLOAD), "{wrong}");
        }
        for name in FORBIDDEN {
            let header = format!(r#"{{"alg":"RS256","kid":"k1","{name}":null}}"#);
            assert!(!parses(&header, PAYLOAD), "{name}");
        }
    }

    #[test]
    fn a_payload_with_a_claim_twice_or_no_tenant_is_refused() {
        let twice = PAYLOAD.replace('}', r#","sub":"a","sub":"b"}"#);
        for wrong in [twice.as_str(), "{}", r#"{"tid":"common"}"#, r#"{"tid":1}"#, "not json"] {
            assert!(!parses(HEADER, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_payload_that_is_not_utf_8_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(HEADER);
        let payload = [PAYLOAD.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat();
        let token = format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        assert!(Unverified::parse(&token).is_none());
    }

    #[test]
    fn a_token_has_exactly_three_parts_and_is_not_huge() {
        let encode = |text| URL_SAFE_NO_PAD.encode(text);
        let (header, payload) = (encode(HEADER), encode(PAYLOAD));
        for wrong in [
            String::new(),
            "..".to_owned(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}.c2ln.x"),
            format!("{header}.{payload}.a.b.c"),
            format!("{header}=.{payload}.c2ln"),
            format!("{header}.{payload}.{}", "x".repeat(8192)),
        ] {
            assert!(Unverified::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
