//! Who this service is: the object id that its roles are assigned to, read from its own token.
//!
//! Nothing is verified: the token came from our own identity endpoint, and the ids are used to look up
//! rights and to fill in commands, never to decide about a caller.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct OwnIdentity {
    #[serde(rename = "oid")]
    pub object_id: Uuid,
    #[serde(rename = "tid")]
    pub tenant_id: Uuid,
}

impl OwnIdentity {
    pub(super) fn of_token(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1)?;
        let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
        serde_json::from_slice(&claims).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_in_the_payload() {
        let (object_id, tenant_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let claims = format!(r#"{{"aud":"x","oid":"{object_id}","tid":"{tenant_id}"}}"#);
        let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(OwnIdentity::of_token(&token), Some(OwnIdentity { object_id, tenant_id }));
    }

    #[test]
    fn what_is_no_token_has_no_identity() {
        for wrong in ["", "a", "a.b", "a.!!.c", "h.e30.s", "h.bm90IGpzb24.s"] {
            assert_eq!(OwnIdentity::of_token(wrong), None, "{wrong}");
        }
    }
}
