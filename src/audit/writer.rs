//! The one task of this replica that appends to the log.
//!
//! It takes whatever waits as one group. No timer makes groups: while one commits the next gathers, so
//! a single caller pays one commit and a crowd shares one (measured: grouping is worth a factor of
//! nine). The head's row is locked per group, not per event.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::{Acquire, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    AuditUnavailable, Recorded,
    standing::{Newest, ReadOnly, Standing},
    tree::leaf_hash,
};

/// A group that takes longer has failed; those who wait have given up by then.
const GROUP_DEADLINE: Duration = Duration::from_millis(2_400);
const LOOK_UP_DEADLINE: Duration = Duration::from_secs(1);
const LARGEST_GROUP: usize = 512;

/// A change of state that is committed together with its event. Answers whether to keep it.
pub(super) type Work = Box<dyn for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, bool> + Send>;

pub(super) enum Verdict {
    Recorded(Recorded),
    /// The change was not kept, and the event with it.
    Undone,
}

type Reply = oneshot::Sender<Result<Verdict, AuditUnavailable>>;

pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) body: Vec<u8>,
    pub(super) work: Option<Work>,
    pub(super) reply: Reply,
}

struct Appended {
    id: Uuid,
    body: Vec<u8>,
    reply: Reply,
}

pub(super) async fn run(pool: PgPool, standing: Arc<Standing>, mut waiting: mpsc::Receiver<Entry>) {
    while let Some(first) = waiting.recv().await {
        let mut group = vec![first];
        let started = Instant::now();
        let mut appended = Vec::new();
        let mut committing = false;
        let append =
            append(&pool, &standing, &mut waiting, &mut group, &mut appended, &mut committing);
        // A panic in one group's work must not end the log for everybody.
        let append = AssertUnwindSafe(append).catch_unwind();
        let append = append.map(|ended| ended.unwrap_or(Err(sqlx::Error::WorkerCrashed)));
        let result = tokio::time::timeout(GROUP_DEADLINE, append).await;
        let size = match result {
            Ok(Ok(size)) => Some(size),
            // The reply to COMMIT was lost. All of the group is in one transaction: one look tells.
            Ok(Err(_)) | Err(_) if committing => look_up(&pool, &appended).await,
            Ok(Err(error)) => {
                tracing::error!(%error, "the audit log refused a group");
                None
            }
            Err(_late) => {
                tracing::error!("the audit log did not take a group in time");
                None
            }
        };
        if let (Some(size), Some(last)) = (size, appended.last()) {
            let sequence = u64::try_from(size).unwrap_or_default() + appended.len() as u64 - 1;
            standing.saw(Newest { sequence, leaf: leaf_hash(&last.body) });
        }
        measure(started, appended.len(), size.is_some(), waiting.len());
        answer(appended, size);
    }
}

/// Appends the group and answers the log's size before it.
async fn append(
    pool: &PgPool,
    standing: &Standing,
    waiting: &mut mpsc::Receiver<Entry>,
    group: &mut Vec<Entry>,
    appended: &mut Vec<Appended>,
    committing: &mut bool,
) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let newest = standing.newest();
    let locked = sqlx::query!(
        "select lock_audit_head() as size, (select substr(hashes, 1, 32) from audit_tree where sequence = $1) as leaf",
        newest.map(|newest| newest.sequence.cast_signed())
    )
    .fetch_one(&mut *transaction)
    .await?;
    let size = locked.size.ok_or(sqlx::Error::RowNotFound)?;
    if let Some(newest) = newest {
        // Not after an event that is gone, or another one: this would be the first on a fork.
        let why = if size <= newest.sequence.cast_signed() {
            Some((ReadOnly::HeadBehind, "is not in it"))
        } else if locked.leaf.as_deref() != Some(&newest.leaf) {
            Some((ReadOnly::Forked, "is another one in it"))
        } else {
            None
        };
        if let Some((why, what)) = why {
            let detail = format!("event {}, which this replica saw, {what}", newest.sequence);
            standing.forbid(why, &detail);
            return Err(sqlx::Error::RowNotFound);
        }
    }
    if standing.read_only().is_some() {
        return Err(sqlx::Error::RowNotFound);
    }
    fail_point!(("group.locked"), Err(sqlx::Error::WorkerCrashed));
    // More have come while we waited for the lock.
    while group.len() < LARGEST_GROUP
        && let Ok(entry) = waiting.try_recv()
    {
        group.push(entry);
    }
    for Entry { id, body, work, reply } in group.drain(..) {
        // Whoever gave up was told 503: their change must not happen behind their back.
        if reply.is_closed() {
            continue;
        }
        if let Some(work) = work {
            let mut savepoint = transaction.begin().await?;
            if !work(&mut savepoint).await {
                savepoint.rollback().await?;
                drop(reply.send(Ok(Verdict::Undone)));
                continue;
            }
            savepoint.commit().await?;
        }
        appended.push(Appended { id, body, reply });
    }
    if appended.is_empty() {
        transaction.rollback().await?;
        return Ok(size);
    }
    // In order, because each row joins the tree of those before it. The table's triggers make the tree
    // and move the head: neither is ours to get wrong.
    let bodies: Vec<Vec<u8>> = appended.iter().map(|event| event.body.clone()).collect();
    sqlx::query!(
        "insert into audit_events (sequence, body)
         select $1 + position - 1, body from unnest($2::bytea[]) with ordinality as event (body, position)
         order by position",
        size,
        &bodies
    )
    .execute(&mut *transaction)
    .await?;
    *committing = true;
    transaction.commit().await?;
    fail_point!(("commit.lost"), Err(sqlx::Error::WorkerCrashed));
    Ok(size)
}

/// Whether the group is in the log after all. Without an answer it counts as absent.
async fn look_up(pool: &PgPool, appended: &[Appended]) -> Option<i64> {
    let first = appended.first()?.id;
    let found = sqlx::query_scalar!("select sequence from audit_tree where event_id = $1", first);
    match tokio::time::timeout(LOOK_UP_DEADLINE, found.fetch_optional(pool)).await {
        Ok(Ok(sequence)) => sequence,
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Entries that are not in `appended` any more were dropped, which answers them: not recorded.
fn answer(appended: Vec<Appended>, size: Option<i64>) {
    for (position, event) in (0..).zip(appended) {
        let verdict = size.map(|size| {
            Verdict::Recorded(Recorded { sequence: size + position, event_id: event.id })
        });
        drop(event.reply.send(verdict.ok_or(AuditUnavailable)));
    }
}

fn measure(started: Instant, events: usize, committed: bool, queued: usize) {
    metrics::histogram!("passphrase_broker_audit_commit_seconds")
        .record(started.elapsed().as_secs_f64());
    metrics::histogram!("passphrase_broker_audit_group_size")
        .record(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
    metrics::gauge!("passphrase_broker_audit_queue_length")
        .set(f64::from(u32::try_from(queued).unwrap_or(u32::MAX)));
    if !committed {
        metrics::counter!("passphrase_broker_audit_failures_total").increment(1);
    }
}
