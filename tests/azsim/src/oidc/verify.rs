//! How Key Vault looks at a bearer token. Verdicts are kept by the token's hash until it expires.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use super::Tenant;
use crate::azure::{epoch_seconds, read, write};

const AUDIENCE: &str = "https://vault.azure.net";
const MOST_VERDICTS: usize = 10_000;

/// Whoever a valid token speaks for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) oid: String,
    pub(crate) appid: String,
    pub(crate) issuer: String,
    expires: i64,
}

#[derive(Default)]
pub(super) struct Verdicts(RwLock<HashMap<Vec<u8>, Arc<Caller>>>);

impl Verdicts {
    pub(super) fn forget(&self) {
        write(&self.0).clear();
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    exp: i64,
    nbf: Option<i64>,
    oid: String,
    #[serde(alias = "azp")]
    appid: Option<String>,
}

impl Tenant {
    /// Either the caller, or the message of Key Vault's 401.
    pub(crate) fn verify(&self, token: &str) -> Result<Arc<Caller>, String> {
        let hash = digest(&SHA256, token.as_bytes()).as_ref().to_vec();
        let known = read(&self.verdicts.0).get(&hash).cloned();
        if let Some(caller) = known.filter(|caller| caller.expires > epoch_seconds()) {
            return Ok(caller);
        }
        let caller = Arc::new(self.judge(token)?);
        let mut verdicts = write(&self.verdicts.0);
        if verdicts.len() >= MOST_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(hash, Arc::clone(&caller));
        Ok(caller)
    }

    fn judge(&self, token: &str) -> Result<Caller, String> {
        let unreadable =
            || "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.".to_owned();
        let (signed, signature) = token.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let header: Header = decode(header).ok_or_else(unreadable)?;
        let claims: Claims = decode(claims).ok_or_else(unreadable)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| unreadable())?;
        let issuer = self.v1_issuer();
        if claims.iss != issuer {
            return Err(format!(
                "AKV10032: Invalid issuer. Expected one of {issuer}, found {}.",
                claims.iss
            ));
        }
        let key = header.kid.and_then(|kid| self.key(&kid)).filter(|_| header.alg == "RS256");
        if !key.is_some_and(|key| key.verifies(signed.as_bytes(), &signature)) {
            return Err(
                "AKV10046: Unable to resolve the key used for signature validation.".to_owned()
            );
        }
        if claims.aud.trim_end_matches('/') != AUDIENCE {
            return Err(format!(
                "AKV10022: Invalid audience. Expected {AUDIENCE}, found: {}.",
                claims.aud
            ));
        }
        let now = epoch_seconds();
        if claims.exp <= now || claims.nbf.is_some_and(|nbf| nbf > now + 300) {
            return Err("[TokenExpired] Error validating token: 'S2S12086'.".to_owned());
        }
        Ok(Caller {
            oid: claims.oid,
            appid: claims.appid.unwrap_or_default(),
            issuer,
            expires: claims.exp,
        })
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
