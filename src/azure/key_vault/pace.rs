//! How fast background work asks: a budget of its own, so that a person who waits for a passphrase is not
//! throttled by it. Key Vault allows 4,000 operations in 10 s.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Calls at even distances, one after the other. Clones share them.
#[derive(Clone)]
pub(super) struct Pace {
    distance: Duration,
    next: Arc<Mutex<Instant>>,
}

impl Pace {
    pub(super) fn per_second(calls: u32) -> Self {
        let distance = Duration::from_secs(1) / calls.max(1);
        Self { distance, next: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits for the next turn.
    pub(super) async fn turn(&self) {
        let mine = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = Instant::now().max(*next);
            *next = mine + self.distance;
            mine
        };
        tokio::time::sleep_until(mine).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_apart_and_shared_by_clones() {
        let pace = Pace::per_second(100);
        let (other, began) = (pace.clone(), Instant::now());
        for _ in 0..5 {
            pace.turn().await;
            other.turn().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
    }
}
