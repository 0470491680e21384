//! Verdicts on tokens, so that a client's hundred calls cost one signature check.
//!
//! Only acceptance is kept, under the token's digest, until the token expires. When a key is
//! withdrawn all of it is forgotten.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest as hash};

use crate::domain::principal::Principal;

const CAPACITY: usize = 10_000;

pub(super) type Digest = [u8; 32];

#[derive(Default)]
pub(super) struct Verdicts(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// How often it was emptied.
    epoch: u64,
    verdicts: HashMap<Digest, Verdict>,
    /// The oldest first.
    order: VecDeque<Digest>,
}

struct Verdict {
    principal: Arc<Principal>,
    expires_at: i64,
}

pub(super) fn digest(token: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(hash(&SHA256, token.as_bytes()).as_ref());
    bytes
}

impl Verdicts {
    pub(super) fn get(&self, digest: &Digest, now: i64) -> Option<Arc<Principal>> {
        let kept = self.lock();
        let verdict = kept.verdicts.get(digest)?;
        (now < verdict.expires_at).then(|| Arc::clone(&verdict.principal))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Keeps a verdict, unless the cache was emptied since `epoch`: the key that was checked with
    /// may be the one that was withdrawn.
    pub(super) fn put(
        &self,
        epoch: u64,
        digest: Digest,
        principal: Arc<Principal>,
        expires_at: i64,
        now: i64,
    ) {
        let mut kept = self.lock();
        if kept.epoch != epoch || now >= expires_at {
            return;
        }
        if kept.verdicts.insert(digest, Verdict { principal, expires_at }).is_some() {
            return;
        }
        kept.order.push_back(digest);
        if kept.order.len() > CAPACITY
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.verdicts.remove(&oldest);
        }
    }

    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        *kept = Kept { epoch: kept.epoch + 1, ..Kept::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::principal::{PrincipalKind, Roles};

    fn principal() -> Arc<Principal> {
        Arc::new(Principal {
            kind: PrincipalKind::User,
            tenant_id: Uuid::nil(),
            object_id: Uuid::nil(),
            client_id: None,
            roles: Roles::default(),
            guest: false,
            issued_at: 0,
        })
    }

    #[test]
    fn a_verdict_lasts_until_the_token_expires() {
        let verdicts = Verdicts::default();
        verdicts.put(0, digest("a"), principal(), 100, 50);
        assert!(verdicts.get(&digest("a"), 99).is_some());
        assert!(verdicts.get(&digest("a"), 100).is_none());
        assert!(verdicts.get(&digest("b"), 50).is_none());
    }

    #[test]
    fn a_verdict_from_before_the_cache_was_emptied_is_not_kept() {
        let verdicts = Verdicts::default();
        let epoch = verdicts.epoch();
        verdicts.put(epoch, digest("a"), principal(), 100, 50);
        verdicts.clear();
        assert!(verdicts.get(&digest("a"), 50).is_none());
        verdicts.put(epoch, digest("a"), principal(), 100, 50);
        assert!(verdicts.get(&digest("a"), 50).is_none());
    }

    #[test]
    fn the_cache_is_bounded_and_the_oldest_goes_first() {
        let verdicts = Verdicts::default();
        for number in 0..=CAPACITY {
            verdicts.put(0, digest(&number.to_string()), principal(), 100, 50);
        }
        assert!(verdicts.get(&digest("0"), 50).is_none());
        assert!(verdicts.get(&digest("1"), 50).is_some());
        assert_eq!(verdicts.lock().verdicts.len(), CAPACITY);
        assert_eq!(verdicts.lock().order.len(), CAPACITY);
    }
}
