//! Whether this replica can do its work now, and whether its clock is to be trusted.
//!
//! What several replicas decide together goes by PostgreSQL's clock: the order and time of events,
//! deadlines of rotations, takeovers, the age of an Idempotency-Key. A replica's own clock says when a token or a
//! key of Entra ID is too old, and stands in the body of an event; so one that is far off takes no traffic.

use time::Duration;
use uuid::Uuid;

use super::Broker;
use crate::{audit::ReadOnly, azure::Deadline};

/// For asking Key Vault whether it answers.
const BUDGET: std::time::Duration = std::time::Duration::from_millis(4500);

/// As far as tokens are forgiven, too.
const APART: Duration = Duration::seconds(60);

/// What `/readyz` tells.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "four independent answers to four questions")]
pub struct Readiness {
    pub database: bool,
    pub audit_log: bool,
    /// Why no event is recorded, when the log itself is why.
    pub audit_read_only: Option<&'static str>,
    pub key_vault: bool,
    pub identity_keys: bool,
    pub clocks: Clocks,
}

/// This replica's and PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    Agree,
    Apart,
    /// PostgreSQL does not answer.
    Unknown,
}

impl Broker {
    /// Which of the things that this service needs answer now.
    pub async fn readiness(&self) -> Readiness {
        let request_id = Uuid::new_v4().to_string();
        let (uri, by) = (self.rules.key_vaults.default_uri(), Deadline::after(BUDGET));
        let key_vault = self.key_vault.probe(&request_id, uri, by);
        let (clocks, audit_log, key_vault) =
            tokio::join!(self.compare_clocks(), self.audit.is_writable(), key_vault);
        Readiness {
            database: clocks != Clocks::Unknown,
            audit_log,
            audit_read_only: self.audit.read_only().map(ReadOnly::reason),
            key_vault: key_vault.is_ok(),
            identity_keys: self.tokens.keys_are_fresh(),
            clocks,
        }
    }

    pub(super) async fn compare_clocks(&self) -> Clocks {
        let asked = self.clock.now();
        let Some(theirs) = self.store.clock().await else { return Clocks::Unknown };
        // They answered at some time between: what that leaves open is no difference.
        let open: Duration = (self.clock.now() - asked) / 2;
        let ahead: Duration = asked + open - theirs;
        metrics::gauge!("passphrase_broker_clock_ahead_seconds").set(ahead.as_seconds_f64());
        if ahead.abs() - open.abs() <= APART {
            return Clocks::Agree;
        }
        tracing::warn!(seconds = ahead.whole_seconds(), "this clock is ahead of PostgreSQL's");
        Clocks::Apart
    }
}
