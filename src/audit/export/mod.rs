//! The log as a file: read some events at a time in short queries, so that neither a long log nor a slow
//! reader holds memory, a transaction or a connection.
//!
//! The events of other tenants are there by their hashes only, so that the tree over all events can be
//! made from everybody's export.

pub(super) mod format;

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use self::format::{Beginning, Ending, EventLine, FORMAT, moment, written};
use super::{
    AuditLog, ListError, StoredCheckpoint,
    list::{first_since, in_time},
    note::Checkpoint,
    proof::subtrees,
};

/// At 64 KiB for the largest event that is 16 MiB; commonly it is some 200 KiB.
const EVENTS_AT_ONCE: i64 = 256;

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportFilter {
    /// Whose events are shown. As in [`super::EventFilter`].
    pub tenant_id: Uuid,
    /// Inclusive.
    pub from: Option<OffsetDateTime>,
    /// Exclusive.
    pub to: Option<OffsetDateTime>,
}

/// An export that goes on while it is asked for more.
pub struct Export {
    log: AuditLog,
    tenant_id: Uuid,
    beginning: Option<Vec<u8>>,
    next: u64,
    end: u64,
    /// None: it is written.
    ending: Option<Ending>,
}

struct Row {
    sequence: i64,
    body: Vec<u8>,
    recorded_at: OffsetDateTime,
    leaf: Vec<u8>,
    nodes: Vec<u8>,
    fingerprint: Vec<u8>,
    visible: bool,
}

impl AuditLog {
    /// Of the events that the checkpoint covers; of all, without one.
    pub async fn export(
        &self,
        filter: ExportFilter,
        checkpoint: Option<StoredCheckpoint>,
    ) -> Result<Export, ListError> {
        let covered = match &checkpoint {
            Some(checkpoint) => checkpoint.size,
            None => self.size().await?,
        };
        let end = self.sequence_at(filter.to).await?.map_or(covered, |end| end.min(covered));
        let start = match filter.from {
            Some(_) => self.sequence_at(filter.from).await?.map_or(end, |start| start.min(end)),
            None => self.first_kept().await?,
        };
        let frontier = written(&self.frontier(start).await?);
        let beginning = Beginning { format: Cow::Borrowed(FORMAT), start, end, frontier };
        let ending = self.ending(end, checkpoint).await?;
        Ok(Export {
            log: self.clone(),
            tenant_id: filter.tenant_id,
            beginning: Some(line(&beginning)),
            next: start,
            end,
            ending: Some(ending),
        })
    }

    /// Known beforehand, because the log only grows. What cannot be had is left out: an export of a log
    /// that somebody has damaged is evidence.
    async fn ending(
        &self,
        size: u64,
        checkpoint: Option<StoredCheckpoint>,
    ) -> Result<Ending, ListError> {
        let frontier = match self.frontier(size).await {
            Ok(frontier) => Some(written(&frontier)),
            Err(ListError::Database(sqlx::Error::RowNotFound)) => None,
            Err(error) => return Err(error),
        };
        let mut ending =
            Ending { events: 0, size, frontier, checkpoint: None, consistency: Vec::new() };
        if let Some(StoredCheckpoint { size: covered, root, note, .. }) = checkpoint {
            if let Ok(root_here) = self.root_at(size).await {
                let (here, there) =
                    (Checkpoint { size, root: root_here }, Checkpoint { size: covered, root });
                if let Ok(proof) = self.prove_consistency(here, there).await {
                    ending.consistency = written(&proof.hashes);
                }
            }
            ending.checkpoint = Some(note);
        }
        Ok(ending)
    }

    async fn frontier(&self, size: u64) -> Result<Vec<super::tree::Hash>, ListError> {
        let parts = subtrees(&(0..size));
        let ranges: Vec<_> = parts.map(super::proof::Subtree::leaves).collect();
        self.roots(&ranges).await
    }

    /// The first event that is not in the archive.
    async fn first_kept(&self) -> Result<u64, ListError> {
        let archived = sqlx::query_scalar!(
            "select max(end_sequence) from audit_partitions where archived_at is not null"
        );
        let end = in_time(archived.fetch_one(&self.pool)).await?;
        Ok(end.and_then(|end| u64::try_from(end).ok()).unwrap_or_default())
    }

    /// The first event of that time or a later one.
    async fn sequence_at(&self, time: Option<OffsetDateTime>) -> Result<Option<u64>, ListError> {
        let Some(time) = time else { return Ok(None) };
        let found = in_time(first_since(&self.pool, time)).await?;
        Ok(found.and_then(|sequence| u64::try_from(sequence).ok()))
    }
}

impl Export {
    /// Some lines, each with its end; none when the last one is given away. An error means that the rest
    /// will not come.
    pub async fn lines(&mut self) -> Result<Option<Vec<u8>>, ListError> {
        if let Some(beginning) = self.beginning.take() {
            return Ok(Some(beginning));
        }
        let rows = if self.next < self.end { self.rows().await? } else { Vec::new() };
        let Some(ending) = &mut self.ending else { return Ok(None) };
        let Some(last) = rows.last() else {
            // Events that somebody deleted do not come: that shows in what was counted.
            let ending = self.ending.take();
            return Ok(ending.as_ref().map(line));
        };
        self.next = u64::try_from(last.sequence).unwrap_or_default() + 1;
        ending.events += rows.len() as u64;
        let mut lines = Vec::new();
        for row in rows {
            lines.append(&mut row.line());
        }
        Ok(Some(lines))
    }

    async fn rows(&self) -> Result<Vec<Row>, ListError> {
        let rows = sqlx::query_as!(
            Row,
            r#"select sequence, body, recorded_at, leaf, nodes, fingerprint,
                   (actor_tenant_id = $1 or (actor_tenant_id is null and not exists
                       (select from machines m where m.id = machine_id and m.tenant_id <> $1))) as "visible!"
               from audit_events where sequence >= $2 and sequence < $3 order by sequence limit $4"#,
            self.tenant_id,
            self.next.cast_signed(),
            self.end.cast_signed(),
            EVENTS_AT_ONCE
        );
        in_time(rows.fetch_all(&self.log.pool)).await
    }
}

impl Row {
    fn line(&self) -> Vec<u8> {
        let base64 = |bytes: &[u8]| Cow::Owned(STANDARD.encode(bytes));
        let text = std::str::from_utf8(&self.body).ok();
        line(&EventLine {
            sequence: u64::try_from(self.sequence).unwrap_or_default(),
            leaf: base64(&self.leaf),
            nodes: base64(&self.nodes),
            fingerprint: self.visible.then(|| base64(&self.fingerprint)),
            recorded_at: self.visible.then(|| Cow::Owned(moment(self.recorded_at))),
            body: text.filter(|_| self.visible).map(Cow::Borrowed),
            body_base64: (self.visible && text.is_none()).then(|| base64(&self.body)),
        })
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
