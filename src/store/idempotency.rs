//! Table `idempotency_keys`: which resource a key made. A replay answers that resource without any
//! passphrase, so nothing of an answer is kept.

use uuid::Uuid;

use super::{Error, Store, within_deadline};
use crate::domain::caller::Caller;

/// A key of one caller for one operation, with the fingerprint of what was asked.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub key: String,
    pub fingerprint: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has used the key: go on.
    First,
    /// The request was made before, and this came of it.
    Replay(Uuid),
    /// The first request is still running.
    InProgress,
    /// The key was used for something else.
    Reused,
}

impl Store {
    /// Claims the key for this request. A first request that has not ended after so long was interrupted;
    /// its repetition may go on. A key is remembered for 24 hours; all times are PostgreSQL's.
    pub async fn claim_idempotency_key(
        &self,
        caller: &Caller,
        key: &IdempotencyKey,
        interrupted_after: std::time::Duration,
    ) -> Result<Claim, Error> {
        let (tenant, object, operation) = owner(caller);
        // One statement claims an absent, outdated or interrupted key, so two replicas cannot both.
        let claimed = sqlx::query!(
            "insert into idempotency_keys (tenant_id, object_id, operation, key, fingerprint, created_at)
             values ($1, $2, $3, $4, $5, now())
             on conflict (tenant_id, object_id, operation, key) do update
                 set fingerprint = excluded.fingerprint, created_at = excluded.created_at, resource_id = null
                 where idempotency_keys.created_at < now() - interval '24 hours'
                    or (idempotency_keys.resource_id is null
                        and idempotency_keys.created_at < now() - make_interval(secs => $6)
                        and idempotency_keys.fingerprint = excluded.fingerprint)",
            tenant,
            object,
            operation,
            key.key,
            &key.fingerprint,
            interrupted_after.as_secs_f64()
        );
        if within_deadline(claimed.execute(&self.pool)).await?.rows_affected() == 1 {
            return Ok(Claim::First);
        }
        let found = sqlx::query!(
            "select fingerprint, resource_id from idempotency_keys
             where tenant_id = $1 and object_id = $2 and operation = $3 and key = $4",
            tenant,
            object,
            operation,
            key.key
        );
        Ok(match within_deadline(found.fetch_optional(&self.pool)).await? {
            Some(row) if row.fingerprint != key.fingerprint => Claim::Reused,
            Some(row) => row.resource_id.map_or(Claim::InProgress, Claim::Replay),
            // Released in between: the first request failed.
            None => Claim::InProgress,
        })
    }

    /// Remembers what came of the request.
    pub async fn settle_idempotency_key(
        &self,
        caller: &Caller,
        key: &str,
        resource: Uuid,
    ) -> Result<(), Error> {
        let (tenant, object, operation) = owner(caller);
        let query = sqlx::query!(
            "update idempotency_keys set resource_id = $5
             where tenant_id = $1 and object_id = $2 and operation = $3 and key = $4",
            tenant,
            object,
            operation,
            key,
            resource
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }

    /// Frees the key of a request that made nothing, so that it can be repeated.
    pub async fn release_idempotency_key(&self, caller: &Caller, key: &str) -> Result<(), Error> {
        let (tenant, object, operation) = owner(caller);
        let query = sqlx::query!(
            "delete from idempotency_keys
             where tenant_id = $1 and object_id = $2 and operation = $3 and key = $4 and resource_id is null",
            tenant,
            object,
            operation,
            key
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }

    /// Forgets keys that are too old to be replayed.
    pub async fn forget_idempotency_keys(&self) -> Result<(), Error> {
        let query = sqlx::query!(
            "delete from idempotency_keys where created_at < now() - interval '24 hours'"
        );
        within_deadline(query.execute(&self.pool)).await.map(drop)
    }
}

fn owner(caller: &Caller) -> (Uuid, Uuid, &'static str) {
    let principal = caller.principal();
    (principal.tenant_id, principal.object_id, caller.operation().id())
}
