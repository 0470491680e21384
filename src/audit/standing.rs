//! Whether this replica may append: only while the log agrees with everything that it is known to have been.
//!
//! What is known is held here, in memory, out of the database's reach: how the log was when it was last
//! compared, and the newest event that this replica saw in it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{checkpoint::Head, tree::Hash};

/// Why nothing is appended and nothing signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// Not since this process started.
    NotCompared,
    HeadBehind,
    Forked,
    Unsafe,
}

impl ReadOnly {
    /// For whoever asks whether this replica is ready.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotCompared => "the log has not been compared with its anchors yet",
            Self::HeadBehind => {
                "the log is shorter than it was: the database was restored, or events were removed"
            }
            Self::Forked => {
                "the log is not the one that was signed: events were altered or replaced"
            }
            Self::Unsafe => {
                "the database does not protect the log; the error log says what is missing"
            }
        }
    }
}

/// An event that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    pub(super) leaf: Hash,
}

#[derive(Debug, Clone, Copy)]
struct State {
    read_only: Option<ReadOnly>,
    verified: Option<Head>,
    newest: Option<Newest>,
}

pub(super) struct Standing(Mutex<State>);

impl Default for Standing {
    fn default() -> Self {
        let read_only = Some(ReadOnly::NotCompared);
        Self(Mutex::new(State { read_only, verified: None, newest: None }))
    }
}

impl Standing {
    pub(super) fn read_only(&self) -> Option<ReadOnly> {
        self.state().read_only
    }

    /// The log when it was last compared.
    pub(super) fn verified(&self) -> Option<Head> {
        self.state().verified
    }

    pub(super) fn newest(&self) -> Option<Newest> {
        self.state().newest
    }

    /// This event was appended, or seen at the end of a log that agreed.
    pub(super) fn saw(&self, seen: Newest) {
        let mut state = self.state();
        if state.newest.is_none_or(|newest| newest.sequence < seen.sequence) {
            state.newest = Some(seen);
        }
    }

    /// The log agrees with all that is known, and this is how it is.
    pub(super) fn agreed(&self, head: Head) {
        let mut state = self.state();
        if state.verified.is_none_or(|verified| verified.size < head.size) {
            state.verified = Some(head);
        }
        if let Some(ended) = state.read_only.take()
            && ended != ReadOnly::NotCompared
        {
            tracing::warn!(
                size = head.size,
                "the audit log is as it was again: events are recorded"
            );
        }
        metrics::gauge!("passphrase_broker_audit_read_only").set(0.0);
    }

    /// From now on nothing is appended and nothing signed. The alarm.
    pub(super) fn forbid(&self, why: ReadOnly, detail: &str) {
        self.state().read_only = Some(why);
        metrics::gauge!("passphrase_broker_audit_read_only").set(1.0);
        tracing::error!(reason = why.reason(), detail, "ALARM: the audit log is read-only");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
