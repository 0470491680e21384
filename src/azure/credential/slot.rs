//! The token of one scope: used while it is valid, renewed by one task at a time. While that task
//! is at work or has failed, the old token serves until it expires.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use azure_core::credentials::AccessToken as Token;
use reqwest::header::HeaderValue;
use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use zeroize::Zeroizing;

use super::{AccessToken, CredentialError, Source};

/// With less left, a token is renewed in the background.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// With less left, a token might expire on its way.
const UNUSABLE_BEFORE: Duration = Duration::from_secs(10);
/// Between two renewals that nobody waits for, and between two rejections.
const PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Slot {
    scope: String,
    held: ArcSwapOption<Held>,
    /// Held by whoever fetches.
    fetching: Arc<AsyncMutex<()>>,
    tried: Mutex<Option<Tried>>,
    /// When a token was last rejected.
    rejected: Mutex<Option<Instant>>,
    generations: AtomicU64,
}

struct Held {
    token: AccessToken,
    expires_at: OffsetDateTime,
}

/// How the latest fetch ended.
#[derive(Clone, Copy)]
struct Tried {
    ended: Instant,
    failure: Option<CredentialError>,
}

impl Slot {
    pub(super) fn new(scope: &str) -> Self {
        Self {
            scope: scope.to_owned(),
            held: ArcSwapOption::empty(),
            fetching: Arc::default(),
            tried: Mutex::new(None),
            rejected: Mutex::new(None),
            generations: AtomicU64::new(0),
        }
    }

    pub(super) async fn token(
        self: Arc<Self>,
        source: &Arc<Source>,
    ) -> Result<AccessToken, CredentialError> {
        if let Some(held) = self.held.load_full() {
            let left = held.expires_at - source.clock.now();
            if left > UNUSABLE_BEFORE {
                if left < RENEW_BEFORE {
                    self.renew(source);
                }
                return Ok(held.token.clone());
            }
        }
        self.wait_for_fetch(source).await
    }

    pub(super) fn reject(&self, source: &Source, token: &AccessToken) -> bool {
        let Some(held) = self.held.load_full() else { return true };
        if held.token.generation != token.generation {
            return true; // somebody else rejected it already
        }
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        if rejected.is_some_and(|at| at.elapsed() < PAUSE) {
            return false;
        }
        *rejected = Some(Instant::now());
        source.forget();
        self.held.store(None);
        true
    }

    /// In the background, unless somebody is at it or was a moment ago.
    fn renew(self: Arc<Self>, source: &Arc<Source>) {
        if self.tried().is_some_and(|tried| tried.ended.elapsed() < PAUSE) {
            return;
        }
        if let Ok(turn) = Arc::clone(&self.fetching).try_lock_owned() {
            drop(tokio::spawn(self.fetch(Arc::clone(source), turn)));
        }
    }

    /// One fetches; whoever waited meanwhile shares what came of it, a failure too.
    async fn wait_for_fetch(
        self: Arc<Self>,
        source: &Arc<Source>,
    ) -> Result<AccessToken, CredentialError> {
        let asked = Instant::now();
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if let Some(tried) = self.tried().filter(|tried| tried.ended > asked) {
            if let Some(failure) = tried.failure {
                return Err(failure);
            }
            if let Some(held) = self.held.load_full() {
                return Ok(held.token.clone());
            }
        }
        // A task of its own: a caller who gives up does not take the answer away from the others.
        let task = tokio::spawn(self.fetch(Arc::clone(source), turn));
        task.await.unwrap_or(Err(CredentialError::Unavailable))
    }

    async fn fetch(
        self: Arc<Self>,
        source: Arc<Source>,
        _turn: OwnedMutexGuard<()>,
    ) -> Result<AccessToken, CredentialError> {
        let fetched = source.fetch(&self.scope).await.and_then(|token| self.hold(&token));
        let failure = fetched.as_ref().err().copied();
        if let Some(error) = failure {
            tracing::warn!(scope = self.scope, %error, "no new access token");
        }
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Tried { ended: Instant::now(), failure });
        fetched
    }

    fn hold(&self, token: &Token) -> Result<AccessToken, CredentialError> {
        let text = Zeroizing::new(format!("Bearer {}", token.token.secret()));
        let mut header =
            HeaderValue::from_str(&text).map_err(|_not_a_token| CredentialError::Unavailable)?;
        header.set_sensitive(true);
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let token_for_use = AccessToken { header, generation };
        self.held.store(Some(Arc::new(Held {
            token: token_for_use.clone(),
            expires_at: token.expires_on,
        })));
        Ok(token_for_use)
    }

    fn tried(&self) -> Option<Tried> {
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
