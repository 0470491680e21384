//! Faults on request: what azsim does wrong, for which requests, how many times.
//!
//! Every room asks `Faults::take` at its door and runs its work inside `around`, so each effect works everywhere.
//! A fault that has run out stays listed until it is cleared, so that its hits can still be read.

mod guard;
mod spec;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

pub use self::{
    guard::FaultGuard,
    spec::{Effect, Fault},
};
use crate::{
    azure::locked,
    http::{Answer, Dropped, Reply, ReplyBody},
};

/// Where a request is when it asks for its fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point<'a> {
    pub(crate) operation: &'a str,
    pub(crate) key_vault: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) subscription: &'a str,
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
        drop(self.progress.subscribe().wait_for(|progress| progress.hits >= hits).await);
    }

    async fn cleared(&self) {
        drop(self.progress.subscribe().wait_for(|progress| progress.cleared).await);
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
        let active = Arc::new(Active { id: Uuid::new_v4().to_string(), fault, progress });
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
        all.iter().find(|active| active.fault.matches(point) && active.strike()).cloned()
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
            active.progress.send_modify(|progress| progress.cleared = true);
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
        Effect::Refuse { status, body, headers } => {
            let json = "application/json; charset=utf-8";
            let answer =
                Answer::empty(*status).with("Content-Type", json).containing(body.clone().into());
            let mut answer = dress(answer);
            for (name, value) in headers {
                answer.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
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
