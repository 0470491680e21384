//! Faults on request: what azsim does wrong, for which requests, how many times.
//!
//! Every room asks `Faults::take` at its door and runs its work inside `around`, so each effect works everywhere.
//! A fault that has run out stays listed until it is cleared, so that its hits can still be read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use crate::{
    azure::locked,
    http::{Answer, Dropped, Reply, ReplyBody},
};

/// One fault. `operation` is `any` or a name such as `key_vault.set_secret`, `identity.token`, `oidc.jwks`,
/// `oidc.discovery`, `proxy.connect`; a name that ends in `.` stands for its whole room.
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
            skip: 0,
            times: None,
            effect,
        }
    }

    #[must_use]
    pub fn key_vault(self, name: impl Into<String>) -> Self {
        Self {
            key_vault: Some(name.into()),
            ..self
        }
    }

    #[must_use]
    pub fn secret(self, name: impl Into<String>) -> Self {
        Self {
            secret: Some(name.into()),
            ..self
        }
    }

    #[must_use]
    pub fn tenant(self, id: impl Into<String>) -> Self {
        Self {
            tenant: Some(id.into()),
            ..self
        }
    }

    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    fn matches(&self, point: &Point<'_>) -> bool {
        let same = |wanted: &Option<String>, is: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
        };
        let room = self.operation.ends_with('.') && point.operation.starts_with(&self.operation);
        (self.operation == "any" || self.operation == point.operation || room)
            && same(&self.key_vault, point.key_vault)
            && same(&self.secret, point.secret)
            && same(&self.tenant, point.tenant)
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
        Self::Refuse {
            status,
            body: body.into(),
            headers: BTreeMap::new(),
        }
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

/// Where a request is when it asks for its fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point<'a> {
    pub(crate) operation: &'a str,
    pub(crate) key_vault: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) tenant: &'a str,
}

#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: String,
    pub(crate) fault: Fault,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    matched: u32,
    hits: u32,
    cleared: bool,
}

impl Active {
    pub(crate) fn hits(&self) -> u32 {
        self.progress.borrow().hits
    }

    pub(crate) async fn reached(&self, hits: u32) {
        // The sender lives in `self`, so this cannot end early.
        drop(
            self.progress
                .subscribe()
                .wait_for(|progress| progress.hits >= hits)
                .await,
        );
    }

    async fn cleared(&self) {
        drop(
            self.progress
                .subscribe()
                .wait_for(|progress| progress.cleared)
                .await,
        );
    }

    fn strike(&self) -> bool {
        let mut struck = false;
        self.progress.send_modify(|progress| {
            let due = progress.matched >= self.fault.skip;
            struck = due && self.fault.times.is_none_or(|times| progress.hits < times);
            progress.matched += 1;
            progress.hits += u32::from(struck);
        });
        struck
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Mutex<Vec<Arc<Active>>>,
    count: AtomicUsize,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) -> Arc<Active> {
        let progress = watch::Sender::new(Progress::default());
        let active = Arc::new(Active {
            id: Uuid::new_v4().to_string(),
            fault,
            progress,
        });
        let mut all = locked(&self.active);
        all.push(Arc::clone(&active));
        self.count.store(all.len(), Ordering::Release);
        active
    }

    /// The first fault that strikes here, if any.
    pub(crate) fn take(&self, point: &Point<'_>) -> Option<Arc<Active>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let all = locked(&self.active);
        all.iter()
            .find(|active| active.fault.matches(point) && active.strike())
            .cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Active>> {
        locked(&self.active).clone()
    }

    pub(crate) fn clear(&self, which: impl Fn(&Active) -> bool) -> usize {
        let mut all = locked(&self.active);
        let (cleared, kept): (Vec<_>, Vec<_>) = all.drain(..).partition(|active| which(active));
        *all = kept;
        self.count.store(all.len(), Ordering::Release);
        for active in &cleared {
            active
                .progress
                .send_modify(|progress| progress.cleared = true);
        }
        cleared.len()
    }
}

/// Does `act` with the fault around it. `dress` adds the room's headers to answers that the fault made up.
pub(crate) async fn around(
    active: Option<Arc<Active>>,
    act: impl FnOnce() -> Answer + Send,
    dress: impl FnOnce(Answer) -> Answer + Send,
) -> Reply {
    let Some(active) = active else {
        return Ok(act().whole());
    };
    match &active.fault.effect {
        Effect::Refuse {
            status,
            body,
            headers,
        } => {
            let json = "application/json; charset=utf-8";
            let answer = Answer::empty(*status)
                .with("Content-Type", json)
                .containing(body.clone().into());
            let mut answer = dress(answer);
            for (name, value) in headers {
                answer
                    .headers
                    .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                answer = answer.with(name, value);
            }
            Ok(answer.whole())
        }
        Effect::Throttle { retry_after } => {
            let mut answer = dress(throttled());
            if let Some(retry_after) = retry_after {
                answer = answer.with("Retry-After", retry_after);
            }
            Ok(answer.whole())
        }
        Effect::Delay { milliseconds } => {
            sleep(Duration::from_millis(*milliseconds)).await;
            Ok(act().whole())
        }
        Effect::HoldBefore => {
            active.cleared().await;
            Ok(act().whole())
        }
        Effect::DropBefore => Err(Dropped),
        after => {
            let answer = act();
            reply(answer, after, &active).await
        }
    }
}

async fn reply(mut answer: Answer, effect: &Effect, active: &Active) -> Reply {
    match effect {
        Effect::DropAfter => return Err(Dropped),
        Effect::DelayReply { milliseconds } => sleep(Duration::from_millis(*milliseconds)).await,
        Effect::HoldAfter => active.cleared().await,
        Effect::Garbage => answer.body = b"<!DOCTYPE html><title>502</title>\xff\xfe".to_vec(),
        Effect::Oversize { bytes } => answer.body.splice(..0, vec![b' '; *bytes]).for_each(drop),
        Effect::Truncate => return Ok(answer.reply(|body| ReplyBody::truncated(&body))),
        Effect::Drip { milliseconds, size } => {
            let pause = Duration::from_millis(*milliseconds);
            return Ok(answer.reply(|body: Bytes| ReplyBody::dripping(&body, *size, pause)));
        }
        _ => {}
    }
    Ok(answer.whole())
}

fn throttled() -> Answer {
    let body = concat!(
        r#"{"error":{"code":"Throttled","message":"Request was not processed because too many requests "#,
        r#"were received. Reason: VaultRequestTypeLimitReached"}}"#
    );
    Answer::empty(429)
        .with("Content-Type", "application/json; charset=utf-8")
        .containing(body.into())
}

fn any() -> String {
    "any".to_owned()
}
