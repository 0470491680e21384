//! Calls without a believable token. Each is on record, but somebody who sends a million of them must
//! not fill the disk or keep the writer from those who wait for a passphrase: beyond a rate they are
//! counted, and the count is exact.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use time::OffsetDateTime;

use crate::domain::operation::Operation;

/// Events a second that are written one by one.
const RATE: u32 = 50;

#[derive(Debug, Default)]
pub struct Flood(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    second: i64,
    admitted: u32,
    summed: HashMap<(Operation, &'static str), u64>,
}

impl Flood {
    /// Whether one more may be written by itself in this second.
    pub fn admits(&self, now: OffsetDateTime) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.unix_timestamp();
        if counts.second != second {
            (counts.second, counts.admitted) = (second, 0);
        }
        let admits = counts.admitted < RATE;
        counts.admitted += u32::from(admits);
        admits
    }

    pub fn count(&self, operation: Operation, problem: &'static str) {
        self.put_back(operation, problem, 1);
    }

    pub fn put_back(&self, operation: Operation, problem: &'static str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.summed.entry((operation, problem)).or_default() += count;
    }

    pub fn take(&self) -> Vec<(Operation, &'static str, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .summed
            .drain()
            .map(|((operation, problem), count)| (operation, problem, count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_rate_calls_are_counted_exactly() {
        let flood = Flood::default();
        let now = OffsetDateTime::UNIX_EPOCH;
        for _ in 0..1_000 {
            if !flood.admits(now) {
                flood.count(Operation::RetrievePassphrase, "unauthenticated");
            }
        }
        assert_eq!(flood.take(), [(Operation::RetrievePassphrase, "unauthenticated", 950)]);
        assert!(flood.admits(now + time::Duration::seconds(1)));
    }
}
