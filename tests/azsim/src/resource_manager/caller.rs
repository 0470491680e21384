//! Whom a token of ARM speaks for. Four audiences are one; a Key Vault token is refused by name.
//!
//! The tenant is that of the subscription in the path, or the default one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use time::{OffsetDateTime, macros::format_description};

use super::{error::Refused, path::Path};
use crate::azure::{Azure, epoch_seconds};

const AUDIENCES: [&str; 4] = [
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
];

#[derive(Debug)]
pub(super) struct Caller {
    pub(super) oid: String,
    pub(super) appid: String,
    pub(super) is_user: bool,
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
    scp: Option<String>,
}

pub(super) fn verify(azure: &Azure, path: &Path, headers: &HeaderMap) -> Result<Caller, Refused> {
    let own = path.subscription().and_then(|id| azure.subscription(id));
    let tenant_id = own.and_then(|subscription| subscription.tenant_id);
    let tenant_id = tenant_id.unwrap_or_else(|| azure.default_tenant_id().to_owned());
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| Refused::missing_token(&tenant_id))?;
    let refused = |code, message: &str| Refused::invalid_token(&tenant_id, code, message);
    let invalid = || refused("InvalidAuthenticationToken", "The access token is invalid.");
    let (scheme, token) = header.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        let message =
            "Authentication failed. The 'Authorization' header is provided in an invalid format.";
        return Err(refused("AuthenticationFailedInvalidHeader", message));
    }
    let (signed, signature) = token.trim().rsplit_once('.').ok_or_else(invalid)?;
    let (header, claims) = signed.split_once('.').ok_or_else(invalid)?;
    let header: Header = decode(header).ok_or_else(invalid)?;
    let claims: Claims = decode(claims).ok_or_else(invalid)?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
    let tenant = azure.tenant(&tenant_id).map_err(|_| invalid())?;
    if claims.iss != tenant.v1_issuer() && claims.iss != tenant.v2_issuer() {
        return Err(refused(
            "InvalidAuthenticationTokenTenant",
            &wrong_issuer(&claims.iss, &tenant_id),
        ));
    }
    let key = header.kid.and_then(|kid| tenant.key(&kid)).filter(|_| header.alg == "RS256");
    if !key.is_some_and(|key| key.verifies(signed.as_bytes(), &signature)) {
        return Err(invalid());
    }
    if !AUDIENCES.contains(&claims.aud.as_str()) {
        return Err(refused("InvalidAuthenticationTokenAudience", &wrong_audience(&claims.aud)));
    }
    let now = epoch_seconds();
    if claims.exp <= now {
        return Err(refused("ExpiredAuthenticationToken", &expired(claims.exp, now)));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now + 300) {
        return Err(invalid());
    }
    let appid = claims.appid.unwrap_or_default();
    Ok(Caller { oid: claims.oid, appid, is_user: claims.scp.is_some() })
}

fn wrong_audience(audience: &str) -> String {
    let allowed = AUDIENCES.map(|audience| format!("'{audience}'")).join(",");
    format!(
        "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with \
         one of the allowed audiences {allowed}."
    )
}

fn wrong_issuer(issuer: &str, tenant_id: &str) -> String {
    format!(
        "The access token is from the wrong issuer '{issuer}'. It must match the tenant \
         'https://sts.windows.net/{tenant_id}/' associated with this subscription. Please use the authority (URL) \
         'https://login.windows.net/{tenant_id}' to get the token. Note, if the subscription is transferred to another \
         tenant there is no impact to the services, but information about new tenant could take time to propagate (up \
         to an hour). If you just transferred your subscription and see this error message, please try back later."
    )
}

fn expired(at: i64, now: i64) -> String {
    let format = format_description!(
        "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
    );
    let text = |seconds| {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
        time.and_then(|time| time.format(format).ok()).unwrap_or_default()
    };
    let (at, now) = (text(at), text(now));
    format!("The access token expiry UTC time '{at}' is earlier than current UTC time '{now}'.")
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
