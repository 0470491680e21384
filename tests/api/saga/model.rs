//! The reference: what a machine's rotations may become, in as few words as possible. It knows nothing of Key
//! Vault, of replicas or of time.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Requested,
    Prepared,
    Collected,
    Confirmed,
    Failed { collected: bool },
    Abandoned,
    Expired,
    Indeterminate,
}

use State::{Abandoned, Collected, Confirmed, Expired, Failed, Indeterminate, Prepared, Requested};

/// What somebody asks of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// By the agent, who may collect.
    Rotate,
    /// By the portal, who may not.
    Prepare,
    Collect,
    Confirm,
    Fail,
    Abandon,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// 0 is the registration's passphrase, n that of the nth rotation.
    pub in_force: usize,
    pub rotations: Vec<State>,
}

impl State {
    pub fn is_open(self) -> bool {
        matches!(self, Requested | Prepared | Collected)
    }

    pub fn is_unsettled(self) -> bool {
        matches!(self, Collected | Indeterminate | Failed { collected: true })
    }
}

impl Model {
    fn open(&self) -> Option<State> {
        self.rotations.last().copied().filter(|state| state.is_open())
    }

    /// What the help desk is given, in the order in which to try it.
    pub fn candidates(&self) -> Vec<usize> {
        let later = (self.in_force..self.rotations.len()).rev();
        let unsettled = later.filter(|index| self.rotations[*index].is_unsettled());
        std::iter::once(self.in_force).chain(unsettled.map(|index| index + 1)).collect()
    }

    fn with(&self, index: usize, state: State) -> Self {
        let mut next = self.clone();
        next.rotations[index] = state;
        if state == Confirmed {
            next.in_force = next.in_force.max(index + 1);
        }
        next
    }

    fn and(&self, state: State) -> Self {
        let mut next = self.clone();
        next.rotations.push(state);
        next
    }

    /// What comes of a call on the rotation `at` when nothing goes wrong: the status, and the next state.
    pub fn after(&self, call: Call, at: usize) -> (u16, Self) {
        let refused = |status| (status, self.clone());
        match call {
            Call::Rotate => match self.open() {
                None => (201, self.and(Collected)),
                Some(Requested) => refused(409),
                Some(_) => (201, self.with(self.rotations.len() - 1, Collected)),
            },
            Call::Prepare if self.open().is_none() => (201, self.and(Prepared)),
            Call::Prepare => refused(409),
            Call::Collect => match self.rotations[at] {
                Prepared | Collected => (200, self.with(at, Collected)),
                Expired | Indeterminate => refused(410),
                _ => refused(409),
            },
            Call::Confirm => match self.rotations[at] {
                Confirmed => refused(200),
                _ if self.in_force > at + 1 => refused(409),
                Expired => refused(410),
                state if state.is_unsettled() => (200, self.with(at, Confirmed)),
                _ => refused(409),
            },
            Call::Fail => match self.rotations[at] {
                Failed { .. } => refused(200),
                Expired => refused(410),
                Confirmed | Abandoned => refused(409),
                state => (200, self.with(at, Failed { collected: state.is_unsettled() })),
            },
            Call::Abandon => match self.rotations[at] {
                Abandoned => refused(200),
                Expired => refused(410),
                Requested | Prepared => (200, self.with(at, Abandoned)),
                _ => refused(409),
            },
        }
    }

    /// What may have come of it when something went wrong: nothing, all, or a rotation that somebody will
    /// finish.
    pub fn perhaps(&self, call: Call, at: usize) -> Vec<Self> {
        let mut possible = vec![self.clone(), self.after(call, at).1];
        if matches!(call, Call::Rotate | Call::Prepare) && self.open().is_none() {
            let begun = [Requested, Prepared, Failed { collected: false }];
            possible.extend(begun.map(|state| self.and(state)));
        }
        possible
    }

    /// What a deadline that has passed makes of the open rotation.
    pub fn overdue(&self) -> Self {
        match self.open() {
            None => self.clone(),
            Some(Collected) => self.with(self.rotations.len() - 1, Indeterminate),
            Some(_) => self.with(self.rotations.len() - 1, Expired),
        }
    }

    /// Whether this is what remains when everything that was interrupted is finished: intents end, and
    /// confirmations that were begun (`confirming`) succeed. Nothing else changes.
    pub fn may_settle_to(&self, settled: &Self, confirming: &[usize]) -> bool {
        let one = |index: usize| match (self.rotations[index], settled.rotations[index]) {
            (Requested, Prepared | Failed { collected: false }) => true,
            (before, Confirmed) if before.is_unsettled() => confirming.contains(&index),
            (before, after) => before == after && before != Requested,
        };
        let confirmed = (0..settled.rotations.len()).rev();
        let last = confirmed.map(|index| index + 1).find(|n| settled.rotations[n - 1] == Confirmed);
        self.rotations.len() == settled.rotations.len()
            && (0..self.rotations.len()).all(one)
            && settled.in_force >= self.in_force
            && settled.in_force == last.unwrap_or(0)
    }
}
