//! Fetching a tenant's signing keys: the discovery document, which must be the tenant's own, and
//! the key set that it names, which must be on the same host.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::KeysError;

const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: usize = 256 * 1024;
const MAXIMUM_KEY_ID_LENGTH: usize = 128;
const MINIMUM_MODULUS_BITS: usize = 2048;

/// Signing keys by their id.
pub(super) type Keys = HashMap<String, Key>;

pub(super) struct Key {
    pub(super) key: DecodingKey,
    modulus: Vec<u8>,
}

impl Key {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.modulus == other.modulus
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Entra ID's keys have no `alg`.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    issuer: Option<String>,
}

pub(super) async fn keys(
    http: &reqwest::Client,
    tenant: Uuid,
    issuer: &str,
) -> Result<Keys, KeysError> {
    let address = format!("{issuer}/.well-known/openid-configuration");
    let address = Url::parse(&address).map_err(|_malformed| KeysError::Discovery)?;
    let discovery: Discovery = get(http, address.clone()).await?;
    let key_set = Url::parse(&discovery.jwks_uri).map_err(|_malformed| KeysError::Discovery)?;
    if discovery.issuer != issuer || !same_host(&key_set, &address) {
        return Err(KeysError::Discovery);
    }
    let KeySet { keys } = get(http, key_set).await?;
    let keys: Keys = keys.into_iter().filter_map(|key| usable(key, tenant, issuer)).collect();
    if keys.is_empty() { Err(KeysError::NoKeys) } else { Ok(keys) }
}

fn same_host(one: &Url, other: &Url) -> bool {
    one.scheme() == "https"
        && one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
        && one.username().is_empty()
        && one.password().is_none()
}

async fn get<T: DeserializeOwned>(http: &reqwest::Client, url: Url) -> Result<T, KeysError> {
    let mut response = http
        .get(url)
        .timeout(FETCH_TIMEOUT)
        .send()
        .await
        .map_err(|_no_answer| KeysError::Unreachable)?;
    if response.status().as_u16() != 200 {
        return Err(KeysError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_broken| KeysError::Unreachable)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(KeysError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_malformed| KeysError::Malformed)
}

/// A key that may sign tokens of this tenant. Others are left out, they are no reason to refuse the
/// whole set: keys of new kinds will come.
fn usable(key: Value, tenant: Uuid, issuer: &str) -> Option<(String, Key)> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let issued_here =
        key.issuer.is_none_or(|text| text.replace("{tenantid}", &tenant.to_string()) == issuer);
    let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
    let suits = key.kty == "RSA"
        && key.purpose.is_none_or(|purpose| purpose == "sig")
        && key.alg.is_none_or(|alg| alg == "RS256")
        && (1..=MAXIMUM_KEY_ID_LENGTH).contains(&key.kid.len())
        && bits(&modulus) >= MINIMUM_MODULUS_BITS
        && issued_here;
    let decoding_key = DecodingKey::from_rsa_components(&key.n, &key.e).ok()?;
    suits.then_some((key.kid, Key { key: decoding_key, modulus }))
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let rest = number.get(zeros..).unwrap_or_default();
    rest.first().map_or(0, |first| rest.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str =
        "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0";

    fn accepted(name: &str, value: Value) -> bool {
        let modulus = URL_SAFE_NO_PAD.encode([0xC5; 256]);
        let mut key = json!({"kty": "RSA", "use": "sig", "kid": "k1", "n": modulus, "e": "AQAB",
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0", "x5t": "k1", "x5c": []});
        key[name] = value;
        usable(key, Uuid::nil(), ISSUER).is_some()
    }

    #[test]
    fn entra_ids_keys_are_usable() {
        assert!(accepted("cloud_instance_name", "microsoftonline.com".into()));
        assert!(accepted("issuer", ISSUER.into()));
        assert!(accepted("alg", "RS256".into()));
    }

    #[test]
    fn other_keys_are_left_out() {
        let modulus = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        assert!(!accepted("n", modulus(&[0xC5; 128])));
        assert!(!accepted("n", modulus(&[&[0; 128][..], &[0xC5; 128]].concat())));
        assert!(!accepted("n", modulus(&[&[0x7F][..], &[0xC5; 255]].concat())));
        for (name, wrong) in [
            ("kty", "EC"),
            ("use", "enc"),
            ("alg", "PS256"),
            ("kid", ""),
            ("issuer", "https://login.microsoftonline.com/9188040d/v2.0"),
        ] {
            assert!(!accepted(name, wrong.into()), "{name}");
        }
        assert!(!accepted("kid", "k".repeat(129).into()));
        assert!(!accepted("n", Value::Null));
    }

    #[test]
    fn the_key_set_is_on_the_same_host() {
        let url = |text: &str| Url::parse(text).unwrap();
        let home = url(&format!("{ISSUER}/.well-known/openid-configuration"));
        assert!(same_host(&url("https://login.microsoftonline.com/common/keys"), &home));
        for wrong in [
            "http://login.microsoftonline.com/keys",
            "https://login.microsoftonline.com:8443/keys",
            "https://login.microsoftonline.com.evil.example/keys",
            "https://user@login.microsoftonline.com/keys",
        ] {
            assert!(!same_host(&url(wrong), &home), "{wrong}");
        }
    }
}
