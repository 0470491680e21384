//! A value whose changes reach those who ask only after a while, as role assignments do in Azure.
//!
//! Whoever changes it sees the latest at once; whoever decides by it sees what is in force.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(crate) struct Lagging<T> {
    settled: Arc<T>,
    /// Oldest first; times never go back.
    pending: VecDeque<(Instant, Arc<T>)>,
}

impl<T: Clone> Lagging<T> {
    pub(crate) fn of(value: T) -> Self {
        Self { settled: Arc::new(value), pending: VecDeque::new() }
    }

    pub(crate) fn latest(&self) -> Arc<T> {
        Arc::clone(self.pending.back().map_or(&self.settled, |(_, value)| value))
    }

    pub(crate) fn in_force(&self) -> Arc<T> {
        let now = Instant::now();
        let arrived = self.pending.iter().rev().find(|(at, _)| *at <= now);
        Arc::clone(arrived.map_or(&self.settled, |(_, value)| value))
    }

    /// Changes the latest; it comes into force after `lag`, and never before an earlier change.
    pub(crate) fn change(&mut self, lag: Duration, change: impl FnOnce(&mut T)) {
        self.settle();
        let mut value = T::clone(&self.latest());
        change(&mut value);
        if lag.is_zero() && self.pending.is_empty() {
            self.settled = Arc::new(value);
            return;
        }
        let due = Instant::now() + lag;
        let due = self.pending.back().map_or(due, |(last, _)| due.max(*last));
        self.pending.push_back((due, Arc::new(value)));
    }

    /// Changes what is in force and everything that is under way: no client did this.
    pub(crate) fn change_at_once(&mut self, change: impl Fn(&mut T)) {
        self.settle();
        for value in self.pending.iter_mut().map(|(_, value)| value).chain([&mut self.settled]) {
            let mut changed = T::clone(value);
            change(&mut changed);
            *value = Arc::new(changed);
        }
    }

    fn settle(&mut self) {
        let now = Instant::now();
        while let Some((_, value)) = self.pending.pop_front_if(|(at, _)| *at <= now) {
            self.settled = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_change_without_lag_is_in_force_at_once() {
        let mut value = Lagging::<u8>::default();
        value.change(Duration::ZERO, |it| *it = 1);
        assert_eq!((*value.latest(), *value.in_force()), (1, 1));
    }

    #[test]
    fn a_lagging_change_is_seen_and_not_yet_in_force() {
        let mut value = Lagging::<u8>::default();
        value.change(HOUR, |it| *it = 1);
        assert_eq!((*value.latest(), *value.in_force()), (1, 0));
    }

    #[test]
    fn what_no_client_did_reaches_everything() {
        let mut value = Lagging::<Vec<u8>>::default();
        value.change(HOUR, |it| it.push(1));
        value.change_at_once(|it| it.push(2));
        assert_eq!(
            (value.latest().as_slice(), value.in_force().as_slice()),
            (&[1, 2][..], &[2][..])
        );
    }
}
