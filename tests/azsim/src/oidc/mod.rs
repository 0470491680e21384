//! Entra ID as far as a resource server needs it: discovery documents, key sets, and tenants with their keys.
//!
//! There is no token endpoint: tokens come from `TokenSpec` and from the identity endpoint.

pub(crate) mod keys;
pub(crate) mod token;
pub(crate) mod verify;

use std::sync::{Arc, OnceLock, RwLock};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::{Request, body::Incoming};
use serde::Serialize;
use serde_json::{Value, json};

use self::{
    keys::{Jwk, SigningKey, padding},
    verify::Verdicts,
};
use crate::{
    azure::{Azure, read, write},
    faults::{Point, around},
    http::{Answer, Reply},
};

/// A directory with its own signing keys, oldest first.
pub(crate) struct Tenant {
    pub(crate) id: String,
    keys: RwLock<Vec<Arc<SigningKey>>>,
    foreign: OnceLock<Arc<SigningKey>>,
    verdicts: Verdicts,
}

impl Tenant {
    pub(crate) fn new(id: &str) -> anyhow::Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            keys: RwLock::new(vec![Arc::new(SigningKey::generate()?)]),
            foreign: OnceLock::new(),
            verdicts: Verdicts::default(),
        })
    }

    /// Adds a key that signs from now on. The old ones stay published. Answers the new kid.
    pub(crate) fn rotate(&self) -> anyhow::Result<String> {
        let key = SigningKey::generate()?;
        let kid = key.kid.clone();
        write(&self.keys).push(Arc::new(key));
        Ok(kid)
    }

    pub(crate) fn withdraw(&self, kid: &str) -> bool {
        let mut keys = write(&self.keys);
        let before = keys.len();
        keys.retain(|key| key.kid != kid);
        self.verdicts.forget();
        keys.len() < before
    }

    pub(crate) fn kids(&self) -> Vec<String> {
        read(&self.keys).iter().map(|key| key.kid.clone()).collect()
    }

    /// Appends the newest key's RS256 signature to a text, whatever it says.
    pub(crate) fn sign(&self, text: &str) -> anyhow::Result<String> {
        let padding = padding("RS256").context("RS256")?;
        let signature = self.current_key()?.sign(padding, text.as_bytes())?;
        Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    pub(crate) fn v1_issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.id)
    }

    pub(crate) fn v2_issuer(&self) -> String {
        format!("https://login.microsoftonline.com/{}/v2.0", self.id)
    }

    fn current_key(&self) -> anyhow::Result<Arc<SigningKey>> {
        read(&self.keys).last().cloned().context("the tenant has no key left")
    }

    pub(crate) fn key(&self, kid: &str) -> Option<Arc<SigningKey>> {
        read(&self.keys).iter().find(|key| key.kid == kid).cloned()
    }

    fn foreign_key(&self) -> anyhow::Result<Arc<SigningKey>> {
        if let Some(key) = self.foreign.get() {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(SigningKey::generate()?);
        Ok(Arc::clone(self.foreign.get_or_init(|| key)))
    }

    fn key_set(&self) -> KeySet {
        KeySet { keys: read(&self.keys).iter().filter_map(|key| key.jwk().ok()).collect() }
    }

    fn discovery(&self, version: Version) -> Value {
        let base = format!("https://login.microsoftonline.com/{}", self.id);
        let (issuer, keys, oauth2) = match version {
            Version::V1 => (self.v1_issuer(), "discovery/keys", "oauth2"),
            Version::V2 => (self.v2_issuer(), "discovery/v2.0/keys", "oauth2/v2.0"),
        };
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{base}/{keys}"),
            "authorization_endpoint": format!("{base}/{oauth2}/authorize"),
            "token_endpoint": format!("{base}/{oauth2}/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "http_logout_supported": true,
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        })
    }
}

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

enum Page {
    Discovery(Version),
    Keys,
}

pub(crate) async fn answer(azure: Arc<Azure>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().trim_start_matches('/');
    let (tenant_id, rest) = path.split_once('/').unwrap_or((path, ""));
    let (operation, page) = match rest {
        ".well-known/openid-configuration" => ("oidc.discovery", Page::Discovery(Version::V1)),
        "v2.0/.well-known/openid-configuration" => ("oidc.discovery", Page::Discovery(Version::V2)),
        "discovery/keys" | "discovery/v2.0/keys" => ("oidc.jwks", Page::Keys),
        _ => return Ok(Answer::empty(404).whole()),
    };
    let Ok(tenant) = azure.tenant(tenant_id) else {
        let text = format!("AADSTS90002: Tenant '{tenant_id}' not found.");
        let body = json!({"error": "invalid_tenant", "error_description": text});
        return Ok(Answer::json(400, &body).whole());
    };
    let fault = azure.faults.take(&Point { operation, tenant: &tenant.id, ..Point::default() });
    let act = || {
        let answer = match page {
            Page::Discovery(version) => Answer::json(200, &tenant.discovery(version)),
            Page::Keys => Answer::json(200, &tenant.key_set()),
        };
        answer
            .with("Cache-Control", "max-age=86400, private")
            .with("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            .with("X-Content-Type-Options", "nosniff")
            .with("Access-Control-Allow-Origin", "*")
    };
    around(fault, act, |answer| answer).await
}
