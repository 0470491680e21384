//! `Idempotency-Key`: the same request again makes nothing twice, and its replay holds no passphrase.

use uuid::Uuid;

use super::{Broker, Error};
use crate::{
    domain::caller::Caller,
    store::idempotency::{Claim, IdempotencyKey},
};

/// A key as the caller gave it, with the digest of the request (its passphrase left out).
pub type Key = IdempotencyKey;

impl Broker {
    /// The resource that this request made before; none when it has to be made now.
    pub(super) async fn replayed(
        &self,
        caller: &Caller,
        key: Option<&Key>,
    ) -> Result<Option<Uuid>, Error> {
        let Some(key) = key else { return Ok(None) };
        let interrupted_after = self.rules.interrupted_after;
        let claim = self.store.claim_idempotency_key(caller, key, interrupted_after);
        match claim.await? {
            Claim::First => Ok(None),
            Claim::Replay(resource) => Ok(Some(resource)),
            Claim::InProgress => Err(Error::IdempotencyInProgress),
            Claim::Reused => Err(Error::IdempotencyKeyReused),
        }
    }

    /// Remembers what came of the request. What it made stays made if this fails: then a repetition
    /// meets the resource itself (409) and not a second one.
    pub(super) async fn remember<T, E>(
        &self,
        caller: &Caller,
        key: Option<&Key>,
        result: &Result<T, E>,
        resource: impl Fn(&T) -> Uuid,
    ) {
        let Some(key) = key else { return };
        let kept = match result {
            Ok(made) => self.store.settle_idempotency_key(caller, &key.key, resource(made)).await,
            Err(_) => self.store.release_idempotency_key(caller, &key.key).await,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "an Idempotency-Key was not settled");
        }
    }
}
