//! A request that must be refused, and the ways to bring no token or a good one in a wrong place.

use reqwest::{RequestBuilder, header::HeaderValue};
use serde_json::json;

use super::forge::Forge;

#[derive(Clone)]
pub struct Case {
    pub title: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    pub query: String,
    /// Whether a token is seen at all; RFC 6750 wants no error code when there is none.
    pub token_seen: bool,
    /// What must not be seen again.
    pub secrets: Vec<String>,
}

impl Case {
    pub fn token(title: impl Into<String>, token: impl Into<String>) -> Self {
        let token = token.into();
        let value = [b"Bearer ", token.as_bytes()].concat();
        Self { token_seen: true, ..Self::new(title, &token, vec![("authorization", value)]) }
    }

    fn new(title: impl Into<String>, token: &str, headers: Vec<(&'static str, Vec<u8>)>) -> Self {
        let parts = token.split(['.', ' ', ',']).filter(|part| part.len() >= 12);
        let secrets = parts.map(str::to_owned).collect();
        Self { title: title.into(), headers, query: String::new(), token_seen: false, secrets }
    }

    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        let body = json!({"reason": "restoreDrill", "justification": "the yearly restore drill"});
        self.headers
            .iter()
            .fold(request, |request, (name, bytes)| request.header(*name, value(bytes)))
            .json(&body)
    }
}

/// Every one of them brings a token that is good.
pub fn table(forge: &Forge) -> Vec<Case> {
    let token = forge.with_claims(&forge.user());
    let authorization = |value: String| vec![("authorization", value.into_bytes())];
    let bearer = || format!("Bearer {token}").into_bytes();
    let case =
        |title: &str, headers: Vec<(&'static str, Vec<u8>)>| Case::new(title, &token, headers);
    let seen = |case: Case| Case { token_seen: true, ..case };
    let mut cases = vec![
        case("no token", Vec::new()),
        case("an empty header", authorization(String::new())),
        case("Bearer and nothing", authorization("Bearer".to_owned())),
        case("Bearer and blanks", authorization("Bearer   ".to_owned())),
        case("Basic", authorization(format!("Basic {token}"))),
        case("Digest", authorization(format!("Digest {token}"))),
        case("DPoP", authorization(format!("DPoP {token}"))),
        case("no scheme", authorization(token.clone())),
        case("a scheme with a colon", authorization(format!("Bearer:{token}"))),
        case("a scheme with an equals sign", authorization(format!("Bearer={token}"))),
        case("a tab for the blank", authorization(format!("Bearer\t{token}"))),
        case("no ASCII", authorization(format!("Bearer {token}é"))),
        seen(case("two schemes", authorization(format!("Bearer Bearer {token}")))),
        seen(case("a parameter", authorization(format!("Bearer token={token}")))),
        case("two headers", vec![("authorization", bearer()), ("authorization", bearer())]),
        case(
            "a second, empty header",
            vec![("authorization", bearer()), ("authorization", vec![])],
        ),
        case("a cookie", vec![("cookie", format!("access_token={token}").into_bytes())]),
    ];
    for name in [
        "proxy-authorization",
        "x-authorization",
        "x-forwarded-authorization",
        "x-ms-token-aad-access-token",
        "x-ms-client-principal",
    ] {
        cases.push(case(name, vec![(name, bearer())]));
    }
    let query = format!("?access_token={token}");
    cases.push(Case { query, ..case("a query parameter", Vec::new()) });
    cases
}
