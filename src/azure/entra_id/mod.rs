//! Entra ID: whether a bearer token is to be believed, and whom it is about.
//!
//! Version 2 tokens of the configured tenants, signed with RS256 by a key that the tenant
//! publishes.
//! Nothing is told of a token before its signature is verified: until then every fault is
//! [`TokenError::Invalid`]. Names and e-mail addresses in tokens are never read.

use std::sync::Arc;

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, crypto};
use url::Url;
use uuid::Uuid;

use crate::domain::{clock::Clock, principal::Principal};

mod cache;
mod claims;
mod error;
mod fetch;
mod keys;
mod token;

use cache::Verdicts;
use claims::{Claims, Rules};
pub use error::{KeysError, TokenError};
use keys::TenantKeys;
use token::Unverified;

#[derive(Debug, Clone)]
pub struct EntraSettings {
    /// `https://login.microsoftonline.com`
    pub authority: Url,
    pub tenants: Vec<Uuid>,
    /// The client id of this service's app registration.
    pub audience: String,
    /// `access_as_user`: what a user's token must say besides roles.
    pub user_scope: String,
}

/// Shared by all requests.
pub struct TokenVerifier {
    tenants: Vec<Arc<TenantKeys>>,
    rules: Rules,
    shared: Arc<Shared>,
}

/// What the tenants have in common.
struct Shared {
    http: reqwest::Client,
    clock: Clock,
    verdicts: Verdicts,
}

impl TokenVerifier {
    /// Fetches nothing yet; [`Self::refresh_keys`] does, or the first token.
    pub fn new(http: reqwest::Client, clock: Clock, settings: EntraSettings) -> Self {
        let EntraSettings { authority, tenants, audience, user_scope } = settings;
        let shared = Arc::new(Shared { http, clock, verdicts: Verdicts::default() });
        let authority = authority.as_str().trim_end_matches('/');
        let tenants = tenants.into_iter().map(|tenant| {
            let issuer = format!("{authority}/{tenant}/v2.0");
            Arc::new(TenantKeys::new(tenant, issuer, Arc::clone(&shared)))
        });
        Self { tenants: tenants.collect(), rules: Rules { audience, user_scope }, shared }
    }

    /// Who sent `token`, the text after `Bearer `.
    pub async fn verify(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        let Shared { clock, verdicts, .. } = self.shared.as_ref();
        let digest = cache::digest(token);
        let known = verdicts
            .get(&digest, clock.now().unix_timestamp())
            // A verdict is no better than the key that it rests on.
            .filter(|who| self.keys_of(who.tenant_id).is_some_and(|keys| keys.are_fresh()));
        let label = if known.is_some() { "hit" } else { "miss" };
        metrics::counter!("passphrase_broker_token_cache_total", "result" => label).increment(1);
        if let Some(principal) = known {
            return Ok(principal);
        }
        let epoch = verdicts.epoch();
        let (claims, issuer) = self.verified_claims(token).await?;
        let (now, expires_at) = (clock.now().unix_timestamp(), claims.expires_at());
        let principal = Arc::new(self.rules.apply(claims, issuer, now)?);
        verdicts.put(epoch, digest, Arc::clone(&principal), expires_at, now);
        Ok(principal)
    }

    /// Fetches the keys of every tenant: at the start, and once a day. A failure leaves the keys of
    /// before in use.
    pub async fn refresh_keys(&self) -> Result<(), KeysError> {
        let refreshes = self.tenants.iter().map(|keys| Arc::clone(keys).refresh());
        join_all(refreshes).await.into_iter().collect()
    }

    /// Whether tokens of every tenant can be verified.
    pub fn keys_are_fresh(&self) -> bool {
        self.tenants.iter().all(|keys| keys.are_fresh())
    }

    /// The claims and the issuer that has vouched for them.
    async fn verified_claims(&self, token: &str) -> Result<(Claims, &str), TokenError> {
        let unverified = Unverified::parse(token).ok_or(TokenError::Invalid)?;
        // The token chooses the key, among ours: a tenant that is not configured has none.
        let keys = self.keys_of(unverified.tenant).ok_or(TokenError::Invalid)?;
        let key = Arc::clone(keys).key(&unverified.key_id).await?;
        let verdict = crypto::verify(
            unverified.signature,
            unverified.signed.as_bytes(),
            &key,
            Algorithm::RS256,
        );
        if !matches!(verdict, Ok(true)) {
            return Err(TokenError::Invalid);
        }
        Ok((Claims::parse(&unverified.payload)?, keys.issuer()))
    }

    fn keys_of(&self, tenant: Uuid) -> Option<&Arc<TenantKeys>> {
        self.tenants.iter().find(|keys| keys.tenant() == tenant)
    }
}
