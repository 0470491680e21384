//! Tokens by the byte: every one that is signed here has a signature that verifies, so that it is
//! refused for what it says and for nothing else.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use passphrase_broker::domain::clock::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{AUDIENCE, Broker, azure};

/// A part of every odd value in the tables: it must not be seen again.
pub const MARK: &str = "mischief";

pub struct Forge {
    pub tenant: String,
    pub key_id: String,
    pub object_id: String,
    pub now: i64,
}

impl Forge {
    pub fn of(broker: &Broker) -> Self {
        Self {
            tenant: broker.tenant.clone(),
            key_id: azure().kids(&broker.tenant).unwrap().last().unwrap().clone(),
            object_id: Uuid::new_v4().to_string(),
            now: Clock::system().now().unix_timestamp(),
        }
    }

    pub fn issuer(&self) -> String {
        azure().issuer_of(&self.tenant)
    }

    pub fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": "RS256", "kid": self.key_id})
    }

    /// What may retrieve any passphrase.
    pub fn user(&self) -> Value {
        let mut claims = self.application();
        claims["sub"] = json!("pairwise");
        claims["scp"] = json!("access_as_user");
        claims["preferred_username"] = json!("somebody@example.test");
        claims
    }

    pub fn application(&self) -> Value {
        json!({
            "aud": AUDIENCE, "iss": self.issuer(), "tid": self.tenant, "ver": "2.0",
            "oid": self.object_id, "sub": self.object_id, "azp": Uuid::new_v4().to_string(),
            "iat": self.now, "nbf": self.now, "exp": self.now + 3600,
            "roles": ["Machines.Read", "Passphrases.Retrieve"],
        })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    pub fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        self.sign_text(&format!("{}.{}", encode(header), encode(claims)))
    }

    /// Signs what stands before the second dot, whatever it is.
    pub fn sign_text(&self, text: &str) -> String {
        azure().sign(&self.tenant, text).unwrap()
    }

    pub fn with_header(&self, name: &str, value: Value) -> String {
        self.sign(&with(self.header(), name, value), &self.user())
    }

    pub fn with_claim(&self, name: &str, value: Value) -> String {
        self.sign(&self.header(), &with(self.user(), name, value))
    }

    pub fn with_claims(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }
}

pub fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

pub fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

/// Puts a member in front of the others, though it may be there already.
pub fn doubled(object: &Value, member: &str) -> String {
    object.to_string().replacen('{', &format!("{{{member},"), 1)
}
