//! What a fault looks like: to whom it happens, how often, and what happens. JSON of the control API as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Point;

/// One fault. `operation` is `any` (except connections) or a name such as `key_vault.set_secret`,
/// `identity.token`, `oidc.jwks`, `oidc.discovery`, `proxy.connect`; a name that ends in `.` stands
/// for its whole room.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    #[serde(default = "any")]
    pub operation: String,
    /// Name of the Key Vault; every one when absent.
    #[serde(default)]
    pub key_vault: Option<String>,
    /// Name of the secret; every one when absent.
    #[serde(default)]
    pub secret: Option<String>,
    /// Tenant of the OIDC room; every one when absent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Subscription in a path of ARM; every one when absent.
    #[serde(default)]
    pub subscription: Option<String>,
    /// Lets this many matching requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// Strikes this many times; until cleared when absent.
    #[serde(default)]
    pub times: Option<u32>,
    pub effect: Effect,
}

impl Fault {
    pub fn new(operation: impl Into<String>, effect: Effect) -> Self {
        Self {
            operation: operation.into(),
            key_vault: None,
            secret: None,
            tenant: None,
            subscription: None,
            skip: 0,
            times: None,
            effect,
        }
    }

    #[must_use]
    pub fn key_vault(self, name: impl Into<String>) -> Self {
        Self { key_vault: Some(name.into()), ..self }
    }

    #[must_use]
    pub fn secret(self, name: impl Into<String>) -> Self {
        Self { secret: Some(name.into()), ..self }
    }

    #[must_use]
    pub fn tenant(self, id: impl Into<String>) -> Self {
        Self { tenant: Some(id.into()), ..self }
    }

    #[must_use]
    pub fn subscription(self, id: impl Into<String>) -> Self {
        Self { subscription: Some(id.into()), ..self }
    }

    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    pub(super) fn matches(&self, point: &Point<'_>) -> bool {
        let same = |wanted: &Option<String>, is: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
        };
        let room = self.operation.ends_with('.') && point.operation.starts_with(&self.operation);
        // A connection is no operation: it has to be named.
        let any = self.operation == "any" && !point.operation.starts_with("proxy.");
        (any || room || self.operation == point.operation)
            && same(&self.key_vault, point.key_vault)
            && same(&self.secret, point.secret)
            && same(&self.tenant, point.tenant)
            && same(&self.subscription, point.subscription)
    }
}

/// What happens to the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Effect {
    /// Answers this and does nothing.
    Refuse {
        status: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Answers Key Vault's 429 and does nothing.
    Throttle {
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Waits, then goes on as usual.
    Delay { milliseconds: u64 },
    /// Takes effect, waits, then answers.
    DelayReply { milliseconds: u64 },
    /// Closes the connection, does nothing.
    DropBefore,
    /// Takes effect, closes the connection without an answer.
    DropAfter,
    /// Waits until the fault is cleared, then goes on as usual.
    HoldBefore,
    /// Takes effect, waits until the fault is cleared, then answers.
    HoldAfter,
    /// Takes effect; promises the whole body, sends half, closes.
    Truncate,
    /// Takes effect; the body is not what the `Content-Type` says.
    Garbage,
    /// Takes effect; sends `size` bytes at a time with a pause before each.
    Drip { milliseconds: u64, size: usize },
    /// Takes effect; the body is this many blanks in front of the real one.
    Oversize { bytes: usize },
}

impl Effect {
    pub fn refuse(status: u16, body: impl Into<String>) -> Self {
        Self::Refuse { status, body: body.into(), headers: BTreeMap::new() }
    }

    /// The status of the answer if the request is refused before it takes effect; 0 for no answer.
    pub(crate) fn refusal(&self) -> Option<u16> {
        match self {
            Self::Refuse { status, .. } => Some(*status),
            Self::Throttle { .. } => Some(429),
            Self::DropBefore => Some(0),
            _ => None,
        }
    }
}

fn any() -> String {
    "any".to_owned()
}
