//! The audit log: an event goes in, and once it is durable a receipt comes out.
//!
//! One writer task per replica takes whatever waits as one group and commits it in one transaction
//! ([`writer`]), holding the row of the log's head, so the order is total over all replicas. A change
//! of state rides in the same transaction as the event that tells of it. Whoever cannot get an event
//! on record within [`PATIENCE`] is refused: no event, no passphrase.

mod checkpoint;
mod export;
mod find;
mod flood;
mod list;
pub mod note;
mod outbox;
mod partitions;
mod proof;
mod prove;
mod receipt;
mod retrievals;
mod safeguards;
mod schedule;
mod standing;
mod subtrees;
mod tlog_proof;
mod tree;
pub mod verify;
mod watch;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use checkpoint::{CheckpointError, StoredCheckpoint, report_anchor};
pub use export::{Export, ExportFilter};
pub use find::FoundEvent;
pub use flood::Flood;
pub use list::{EventFilter, ListError, StoredEvent};
pub use outbox::{Batch, Lag, Outbox, OutboxEvent};
pub use prove::{ConsistencyProof, InclusionProof, ProofError};
pub use receipt::{ReadId, Recorded, Release, ReleaseReceipt};
pub use standing::ReadOnly;
pub use tlog_proof::{Receipt, ReceiptError, TlogProof};

use crate::domain::{audit_event::AuditEvent, clock::Clock, operation::Operation};
use standing::Standing;
use writer::{Entry, Verdict, Work};

/// How long a caller waits for the log before it is answered 503. With the look-ups around it, an
/// answer comes within 5 s. More than the 2 s after which a paused replica lets go of the head.
pub const PATIENCE: Duration = Duration::from_millis(2_500);

/// More waiting callers than this are refused at once.
const QUEUE_LENGTH: usize = 4_096;

/// The bound that the table has, too. A release names every version in it, some 230 bytes each.
const LARGEST_EVENT: usize = 65_535;

/// The event is not known to be durable. What depended on it must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the audit log is not available")]
pub struct AuditUnavailable;

/// Why an event with its change of state is not on record.
#[derive(Debug, Error)]
pub enum NotRecorded<E> {
    #[error(transparent)]
    Unavailable(#[from] AuditUnavailable),
    /// The change was refused, so there was nothing to record either.
    #[error("the change was refused")]
    Refused(E),
}

/// A handle to the log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    queue: mpsc::Sender<Entry>,
    pool: PgPool,
    flood: Arc<Flood>,
    clock: Clock,
    /// What checkpoints are signed with.
    signer: Arc<RwLock<Option<Arc<note::SigningKeys>>>>,
    standing: Arc<Standing>,
    /// Every key that ever signed.
    public_keys: Arc<RwLock<Vec<String>>>,
}

impl AuditLog {
    /// Starts the writer. Nothing is recorded before [`AuditLog::compare`] agrees. It ends, with everything in
    /// its queue committed, when the last handle is gone.
    pub fn start(pool: PgPool, clock: Clock) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let standing = Arc::<Standing>::default();
        let task = tokio::spawn(writer::run(pool.clone(), Arc::clone(&standing), waiting));
        let (flood, signer, public_keys) = Default::default();
        (Self { queue, pool, flood, clock, signer, standing, public_keys }, task)
    }

    /// Puts `event` on record.
    pub async fn record(&self, event: AuditEvent) -> Result<Recorded, AuditUnavailable> {
        match self.submit(event, None).await? {
            Verdict::Recorded(recorded) => Ok(recorded),
            Verdict::Undone => Err(AuditUnavailable),
        }
    }

    /// Makes a change of state and puts its event on record, both or neither.
    pub async fn record_with<T, E, F>(
        &self,
        event: AuditEvent,
        change: F,
    ) -> Result<(Recorded, T), NotRecorded<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let result = change(connection).await;
                let keep = result.is_ok();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                keep
            })
        });
        let verdict = self.submit(event, Some(work)).await?;
        let result = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (verdict, result) {
            (Verdict::Recorded(recorded), Some(Ok(value))) => Ok((recorded, value)),
            (Verdict::Undone, Some(Err(error))) => Err(NotRecorded::Refused(error)),
            _ => Err(AuditUnavailable.into()),
        }
    }

    /// Puts the release of passphrases on record. The receipt opens them.
    pub async fn record_release(
        &self,
        release: Release,
    ) -> Result<ReleaseReceipt, AuditUnavailable> {
        let Release { read, event } = release;
        self.record(event).await.map(|event| ReleaseReceipt { read, event })
    }

    /// Like [`AuditLog::record_release`], with the change of state that goes with it.
    pub async fn record_release_with<T, E, F>(
        &self,
        release: Release,
        change: F,
    ) -> Result<(ReleaseReceipt, T), NotRecorded<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        let Release { read, event } = release;
        let (event, value) = self.record_with(event, change).await?;
        Ok((ReleaseReceipt { read, event }, value))
    }

    /// Puts a call without a believable token on record: by itself while there are few, else counted
    /// and written as one event a second.
    pub async fn record_anonymous(
        &self,
        event: AuditEvent,
        operation: Operation,
        problem: &'static str,
    ) -> Result<(), AuditUnavailable> {
        if self.flood.admits(self.clock.now()) {
            self.record(event).await.map(drop)
        } else {
            self.flood.count(operation, problem);
            Ok(())
        }
    }

    /// Writes what [`AuditLog::record_anonymous`] only counted. Called each second and at the end.
    pub async fn flush_flood(&self) {
        for (operation, problem, count) in self.flood.take() {
            let event = AuditEvent::anonymous_flood(operation, problem, count, self.clock.now());
            if self.record(event).await.is_err() {
                self.flood.put_back(operation, problem, count);
            }
        }
    }

    /// Whether events can be written: what `/readyz` asks. Takes no lock.
    pub async fn is_writable(&self) -> bool {
        if self.standing.read_only().is_some() {
            return false;
        }
        let privileges = sqlx::query_scalar!(
            r#"select has_table_privilege('audit_events', 'insert')
                and has_function_privilege('lock_audit_head()', 'execute')
                and audit_log_has_room()
                and not pg_is_in_recovery()
                and current_setting('transaction_read_only') = 'off' as "writable!""#
        );
        let asked = tokio::time::timeout(Duration::from_secs(1), privileges.fetch_one(&self.pool));
        matches!(asked.await, Ok(Ok(true)))
    }

    async fn submit(
        &self,
        event: AuditEvent,
        work: Option<Work>,
    ) -> Result<Verdict, AuditUnavailable> {
        let body =
            serde_json_canonicalizer::to_vec(&event).map_err(|_unserializable| AuditUnavailable)?;
        // Checked here: in a group, one event that the table refuses would fail its neighbours.
        if body.len() > LARGEST_EVENT {
            tracing::error!(
                action = event.action(),
                bytes = body.len(),
                "an audit event is too large"
            );
            return Err(AuditUnavailable);
        }
        if self.standing.read_only().is_some() {
            return Err(AuditUnavailable);
        }
        fail_point!(
            ("record.before {}.{}", event.action(), event.outcome().name()),
            Err(AuditUnavailable)
        );
        let (reply, verdict) = oneshot::channel();
        let entry = Entry { id: event.id(), body, work, reply };
        self.queue.try_send(entry).map_err(|_full_or_closed| AuditUnavailable)?;
        let verdict = tokio::time::timeout(PATIENCE, verdict)
            .await
            .map_err(|_late| AuditUnavailable)?
            .unwrap_or(Err(AuditUnavailable));
        fail_point!(
            ("record.after {}.{}", event.action(), event.outcome().name()),
            Err(AuditUnavailable)
        );
        verdict
    }
}
