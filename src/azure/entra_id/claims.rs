//! What a verified token says, and the rules that it has to meet.
//!
//! Every claim that decides is required and typed: a date given as text is refused, not taken for
//! absent (CVE-2026-25537).

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::TokenError;
use crate::domain::principal::{Principal, PrincipalKind, Roles};

/// How far clocks may differ, in seconds.
const SKEW: i64 = 60;
const LONGEST_LIFE_OF_USER_TOKEN: i64 = 2 * 3600;
/// Managed identities get 24 hours.
const LONGEST_LIFE_OF_APPLICATION_TOKEN: i64 = 25 * 3600;

#[derive(Deserialize)]
pub(super) struct Claims {
    exp: i64,
    nbf: i64,
    iat: i64,
    iss: String,
    aud: String,
    tid: Uuid,
    oid: Uuid,
    ver: String,
    sub: Option<String>,
    idtyp: Option<String>,
    scp: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    azp: Option<String>,
    acct: Option<Value>,
    idp: Option<String>,
}

/// What is configured about tokens besides the tenants.
pub(super) struct Rules {
    pub(super) audience: String,
    pub(super) user_scope: String,
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(payload).map_err(|_missing_or_wrong_type| TokenError::Claims)
    }

    pub(super) fn expires_at(&self) -> i64 {
        self.exp
    }

    /// Of another tenant, invited into this one. For a member, `idp` is absent or the issuer, which
    /// Entra ID also writes the way version 1 tokens do.
    fn is_guest(&self) -> bool {
        let marked = self
            .acct
            .as_ref()
            .is_some_and(|account| account.as_i64() == Some(1) || account.as_str() == Some("1"));
        let at_home =
            |idp: &str| idp == self.iss || idp == format!("https://sts.windows.net/{}/", self.tid);
        marked || self.idp.as_deref().is_some_and(|idp| !at_home(idp))
    }
}

impl Rules {
    /// `issuer` is that of the tenant which the token names, and whose key has signed it.
    pub(super) fn apply(
        &self,
        claims: Claims,
        issuer: &str,
        now: i64,
    ) -> Result<Principal, TokenError> {
        if claims.ver == "1.0" || claims.iss.starts_with("https://sts.windows.net/") {
            return Err(TokenError::Version1);
        }
        if claims.ver != "2.0" {
            return Err(TokenError::Version);
        }
        if claims.iss != issuer {
            return Err(TokenError::Issuer);
        }
        if claims.aud != self.audience {
            return Err(TokenError::Audience);
        }
        check_times(&claims, now)?;
        let kind = self.kind(&claims)?;
        let longest = match kind {
            PrincipalKind::User => LONGEST_LIFE_OF_USER_TOKEN,
            PrincipalKind::Application => LONGEST_LIFE_OF_APPLICATION_TOKEN,
        };
        if claims.exp.saturating_sub(claims.iat) > longest {
            return Err(TokenError::Lifetime);
        }
        Ok(Principal {
            kind,
            tenant_id: claims.tid,
            object_id: claims.oid,
            roles: Roles::from_names(claims.roles.iter().map(String::as_str)),
            guest: kind == PrincipalKind::User && claims.is_guest(),
            issued_at: claims.iat,
            client_id: claims.azp,
        })
    }

    /// `idtyp` says it, if the app registration asks for it. Without it, only a token that looks
    /// like one kind in every respect is taken for that kind.
    fn kind(&self, claims: &Claims) -> Result<PrincipalKind, TokenError> {
        let scope = claims.scp.as_deref();
        let kind = match (claims.idtyp.as_deref(), scope) {
            (Some("app"), None) => PrincipalKind::Application,
            (Some("user"), _) | (None, Some(_)) => PrincipalKind::User,
            (None, None) if claims.subject_is_object() => PrincipalKind::Application,
            _ => return Err(TokenError::Kind),
        };
        let has_scope =
            scope.unwrap_or_default().split_ascii_whitespace().any(|one| one == self.user_scope);
        if kind == PrincipalKind::User && !has_scope {
            return Err(TokenError::ScopeMissing);
        }
        Ok(kind)
    }
}

impl Claims {
    /// So in applications' tokens; a user's subject is another one for each application.
    fn subject_is_object(&self) -> bool {
        let subject = self.sub.as_deref().and_then(|sub| Uuid::try_parse(sub).ok());
        subject == Some(self.oid)
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), TokenError> {
    if now >= claims.exp.saturating_add(SKEW) {
        return Err(TokenError::Expired);
    }
    let soon = now.saturating_add(SKEW);
    if claims.nbf > soon || claims.iat > soon {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
