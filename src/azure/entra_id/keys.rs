//! The signing keys of one tenant: in use until a refresh succeeds, and for a week at most.
//!
//! An unknown key id may be a key that was published a minute ago, or an attack on Entra ID by way
//! of us. So it costs one fetch in five minutes, however many ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::DecodingKey;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

use super::{KeysError, Shared, TokenError, fetch};

/// Then they are no longer believed, whatever the reason that nobody could refresh them.
const MAXIMUM_AGE: Duration = Duration::days(7);
/// Between two fetches for an unknown key id.
const FETCH_INTERVAL: Duration = Duration::minutes(5);
/// Between two fetches while there is no key to go by.
const FIRST_FETCH_INTERVAL: Duration = Duration::seconds(5);
/// A key id that was not found is not looked for again so soon, and leaves the turn to others.
const MISSING_FOR: Duration = Duration::minutes(10);
const MISSING_CAPACITY: usize = 1_000;

pub(super) struct TenantKeys {
    tenant: Uuid,
    issuer: String,
    shared: Arc<Shared>,
    current: ArcSwapOption<Fetched>,
    fetching: Arc<AsyncMutex<()>>,
    history: Mutex<History>,
}

struct Fetched {
    keys: fetch::Keys,
    at: OffsetDateTime,
}

#[derive(Default)]
struct History {
    /// For an unknown key id; refreshes on schedule do not count.
    latest_attempt: Option<OffsetDateTime>,
    missing: HashMap<String, OffsetDateTime>,
}

impl TenantKeys {
    pub(super) fn new(tenant: Uuid, issuer: String, shared: Arc<Shared>) -> Self {
        let (current, fetching, history) =
            (ArcSwapOption::empty(), Arc::default(), Mutex::default());
        Self { tenant, issuer, shared, current, fetching, history }
    }

    pub(super) fn tenant(&self) -> Uuid {
        self.tenant
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn are_fresh(&self) -> bool {
        self.fresh().is_some()
    }

    /// The key of this id, fetched if need be.
    pub(super) async fn key(self: Arc<Self>, id: &str) -> Result<DecodingKey, TokenError> {
        if let Some(outcome) = self.known(id) {
            return outcome;
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        // Somebody may have fetched while this one waited.
        if let Some(outcome) = self.known(id) {
            return outcome;
        }
        let keys = Arc::clone(&self);
        // A task of its own: a caller who hangs up does not waste the turn.
        let fetched = tokio::spawn(async move {
            let outcome = keys.fetch().await;
            // Only now: until it has ended, whoever asks waits for it.
            keys.history().latest_attempt = Some(keys.shared.clock.now());
            drop(turn);
            outcome
        })
        .await;
        if matches!(fetched, Ok(Ok(()))) {
            self.remember_missing(id);
        }
        self.known(id).unwrap_or_else(|| Err(self.unknown()))
    }

    pub(super) async fn refresh(self: Arc<Self>) -> Result<(), KeysError> {
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        let fetched = tokio::spawn(async move {
            let outcome = self.fetch().await;
            drop(turn);
            outcome
        });
        fetched.await.unwrap_or(Err(KeysError::Unreachable))
    }

    /// What can be said without a fetch; none if one is due.
    fn known(&self, id: &str) -> Option<Result<DecodingKey, TokenError>> {
        let fresh = self.fresh();
        if let Some(found) = fresh.as_ref().and_then(|fetched| fetched.keys.get(id)) {
            return Some(Ok(found.key.clone()));
        }
        let now = self.shared.clock.now();
        let history = self.history();
        let interval = if fresh.is_some() { FETCH_INTERVAL } else { FIRST_FETCH_INTERVAL };
        let fetched_lately = history.latest_attempt.is_some_and(|at| now - at < interval);
        let missing = fresh.is_some()
            && history.missing.get(id).is_some_and(|since| now - *since < MISSING_FOR);
        drop(history);
        (fetched_lately || missing).then(|| Err(self.unknown()))
    }

    /// With keys to go by, an unknown one is the token's fault.
    fn unknown(&self) -> TokenError {
        if self.are_fresh() { TokenError::Invalid } else { TokenError::KeysUnavailable }
    }

    fn fresh(&self) -> Option<Arc<Fetched>> {
        let now = self.shared.clock.now();
        self.current.load_full().filter(|fetched| now - fetched.at <= MAXIMUM_AGE)
    }

    async fn fetch(&self) -> Result<(), KeysError> {
        let outcome = fetch::keys(&self.shared.http, self.tenant, &self.issuer).await;
        let label = outcome.as_ref().map_or_else(|error| error.code(), |_keys| "ok");
        metrics::counter!("passphrase_broker_jwks_fetches_total", "outcome" => label).increment(1);
        match outcome {
            Ok(keys) => {
                self.replace(keys);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(tenant = %self.tenant, %error, "no new signing keys");
                Err(error)
            }
        }
    }

    fn replace(&self, keys: fetch::Keys) {
        self.history().missing.retain(|id, _since| !keys.contains_key(id));
        let fetched = Fetched { keys, at: self.shared.clock.now() };
        let current = Arc::new(fetched);
        let before = self.current.swap(Some(Arc::clone(&current)));
        let stays =
            |(id, key): (&String, &fetch::Key)| current.keys.get(id).is_some_and(|now| now.is(key));
        if !before.is_none_or(|before| before.keys.iter().all(stays)) {
            tracing::info!(tenant = %self.tenant, "a signing key was withdrawn");
            self.shared.verdicts.clear();
        }
    }

    fn remember_missing(&self, id: &str) {
        if self.fresh().is_some_and(|fetched| fetched.keys.contains_key(id)) {
            return;
        }
        let now = self.shared.clock.now();
        let mut history = self.history();
        history.missing.retain(|_id, since| now - *since < MISSING_FOR);
        if history.missing.len() < MISSING_CAPACITY {
            history.missing.insert(id.to_owned(), now);
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
