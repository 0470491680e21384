//! Minting: Entra-shaped access tokens, and any forgery a test wants to try.

use anyhow::{Context, bail};
use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Tenant, keys::padding};
use crate::{azure::epoch_seconds, world::Identity};

/// What to mint. `claims` and `header` are laid over what the kind makes; a null takes a member away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TokenSpec {
    pub kind: TokenKind,
    /// The default tenant when absent.
    pub tenant: Option<String>,
    pub oid: String,
    /// Client id in `azp`; a random one when absent.
    pub client_id: Option<String>,
    pub roles: Vec<String>,
    pub audience: String,
    /// 3600 when absent; may be negative.
    pub lifetime_seconds: Option<i64>,
    pub claims: Map<String, Value>,
    pub header: Map<String, Value>,
    pub key: KeyChoice,
    /// `RS256` when absent; also `RS384`, `RS512`, `PS256`, `none`, `HS256` (keyed with the public key's PEM).
    pub algorithm: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    /// Nothing but `claims`.
    #[default]
    Claims,
    /// A v2 delegated token: `scp`, pairwise `sub`, `preferred_username`.
    User,
    /// A v2 app-only token: `sub` = `oid`, no `scp`.
    Application,
}

/// Which key signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyChoice {
    /// The newest published key.
    #[default]
    Current,
    /// A published key by its kid.
    Kid(String),
    /// A key nobody publishes, under the kid of the current one.
    Foreign,
}

impl TokenSpec {
    pub fn user(audience: impl Into<String>, oid: impl Into<String>) -> Self {
        Self {
            kind: TokenKind::User,
            audience: audience.into(),
            oid: oid.into(),
            ..Self::default()
        }
    }

    pub fn application(audience: impl Into<String>, oid: impl Into<String>) -> Self {
        Self { kind: TokenKind::Application, ..Self::user(audience, oid) }
    }

    /// Exactly these claims and no others. Anything but a JSON object counts as none.
    pub fn claims(claims: Value) -> Self {
        Self::default().merge(claims)
    }

    /// A token of this principal for Key Vault itself, as Entra would issue it (v1).
    pub fn key_vault(tenant_id: &str, oid: &str, client_id: &str) -> Self {
        Self::claims(v1_claims(tenant_id, oid, client_id, "https://vault.azure.net", 3600))
            .in_tenant(tenant_id)
    }

    /// A token of this principal for ARM, as Entra would issue it (v1).
    pub fn resource_manager(tenant_id: &str, oid: &str, client_id: &str) -> Self {
        Self::claims(v1_claims(tenant_id, oid, client_id, "https://management.azure.com/", 3600))
            .in_tenant(tenant_id)
    }

    #[must_use]
    pub fn in_tenant(self, id: impl Into<String>) -> Self {
        Self { tenant: Some(id.into()), ..self }
    }

    #[must_use]
    pub fn roles(self, roles: &[&str]) -> Self {
        Self { roles: roles.iter().map(ToString::to_string).collect(), ..self }
    }

    #[must_use]
    pub fn lifetime_seconds(self, seconds: i64) -> Self {
        Self { lifetime_seconds: Some(seconds), ..self }
    }

    /// Lays one claim over the others; null takes it away.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn signed_by(self, key: KeyChoice) -> Self {
        Self { key, ..self }
    }

    #[must_use]
    pub fn algorithm(self, algorithm: impl Into<String>) -> Self {
        Self { algorithm: Some(algorithm.into()), ..self }
    }

    fn merge(mut self, claims: Value) -> Self {
        if let Value::Object(claims) = claims {
            self.claims.extend(claims);
        }
        self
    }

    pub(crate) fn mint(&self, tenant: &Tenant) -> anyhow::Result<String> {
        let algorithm = self.algorithm.as_deref().unwrap_or("RS256");
        let key = match &self.key {
            KeyChoice::Current => tenant.current_key()?,
            KeyChoice::Kid(kid) => tenant.key(kid).with_context(|| format!("no key {kid}"))?,
            KeyChoice::Foreign => tenant.foreign_key()?,
        };
        let kid = match &self.key {
            KeyChoice::Foreign => tenant.current_key()?.kid.clone(),
            _ => key.kid.clone(),
        };
        let claims = overlaid(self.base_claims(&tenant.id), &self.claims);
        let mut header = json!({"typ": "JWT", "alg": algorithm, "kid": kid});
        if claims["ver"] == "1.0" {
            header["x5t"] = header["kid"].clone();
        }
        let header = overlaid(header, &self.header);
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match (algorithm, padding(algorithm)) {
            (_, Some(padding)) => key.sign(padding, signed.as_bytes())?,
            ("none", _) => Vec::new(),
            ("HS256", _) => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_pem()?.as_bytes());
                hmac::sign(&secret, signed.as_bytes()).as_ref().to_vec()
            }
            _ => bail!("unknown algorithm {algorithm}"),
        };
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn base_claims(&self, tenant_id: &str) -> Value {
        if self.kind == TokenKind::Claims {
            return json!({});
        }
        let now = epoch_seconds();
        let client_id = self.client_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut claims = json!({
            "aud": self.audience,
            "iss": format!("https://login.microsoftonline.com/{tenant_id}/v2.0"),
            "iat": now, "nbf": now, "exp": now + self.lifetime_seconds.unwrap_or(3600),
            "aio": opaque(), "azp": client_id, "azpacr": "2", "oid": self.oid, "rh": opaque(),
            "sub": self.oid, "tid": tenant_id, "uti": opaque(), "ver": "2.0",
        });
        if !self.roles.is_empty() {
            claims["roles"] = json!(self.roles);
        }
        if self.kind == TokenKind::User {
            claims["azpacr"] = json!("0");
            claims["sub"] = json!(format!("pairwise-{}", self.oid));
            claims["scp"] = json!("access_as_user");
            claims["name"] = json!("A User");
            claims["preferred_username"] = json!(format!("{}@example.test", self.oid));
        }
        claims
    }
}

/// Microsoft's own resources: they alone get `xms_mirid`, and `idtyp` without asking for it.
const FIRST_PARTY: [&str; 6] = [
    "vault.azure.net",
    "management.azure.com",
    "management.core.windows.net",
    "graph.microsoft.com",
    "storage.azure.com",
    "database.windows.net",
];

/// The token of a managed identity: v1, unless the resource is an application that wants v2.
pub(crate) fn managed_identity(identity: &Identity, tenant_id: &str, resource: &str) -> TokenSpec {
    let asked = resource.strip_prefix("api://").unwrap_or(resource).trim_end_matches('/');
    let mut applications = identity.app_roles.iter();
    if let Some((audience, roles)) = applications.find(|(id, _)| id.eq_ignore_ascii_case(asked)) {
        return TokenSpec {
            client_id: Some(identity.client_id.clone()),
            roles: roles.clone(),
            ..TokenSpec::application(audience, &identity.principal_id)
                .lifetime_seconds(identity.token_lifetime_seconds)
        };
    }
    let claims = v1_claims(
        tenant_id,
        &identity.principal_id,
        &identity.client_id,
        resource,
        identity.token_lifetime_seconds,
    );
    let spec = TokenSpec::claims(claims);
    let host = resource.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    if host.is_some_and(|host| FIRST_PARTY.contains(&host)) {
        return spec.claim("xms_mirid", identity.resource_id.clone());
    }
    spec.claim("idtyp", Value::Null)
}

fn v1_claims(tenant_id: &str, oid: &str, client_id: &str, audience: &str, lifetime: i64) -> Value {
    let issuer = format!("https://sts.windows.net/{tenant_id}/");
    let now = epoch_seconds();
    json!({
        "aud": audience, "iss": issuer, "iat": now, "nbf": now, "exp": now + lifetime,
        "aio": opaque(), "appid": client_id, "appidacr": "2", "idp": issuer, "idtyp": "app",
        "oid": oid, "rh": opaque(), "sub": oid, "tid": tenant_id, "uti": opaque(), "ver": "1.0",
    })
}

fn overlaid(base: Value, over: &Map<String, Value>) -> Value {
    let mut object = match base {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for (name, value) in over {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    Value::Object(object)
}

fn encode(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn opaque() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}
