//! The watch over the log: is it still the one that it was, at every size that somebody signed or saw?
//!
//! It is compared with three anchors, each by itself, because one that lies must not hide another: what this
//! process saw, the largest stored checkpoint, and one that the caller brings from outside the database.

use super::{
    AuditLog, ListError,
    checkpoint::{CheckpointError, Head, StoredCheckpoint, report_anchor},
    list::in_time,
    note::Checkpoint,
    prove::ProofError,
    standing::{Newest, ReadOnly},
};

impl AuditLog {
    /// Why nothing is appended and signed at the moment.
    pub fn read_only(&self) -> Option<ReadOnly> {
        self.standing.read_only()
    }

    /// Looks at the database's safeguards and compares the log with every anchor there is; `elsewhere` was kept
    /// outside the database. From then on events are recorded, or no more until a comparison agrees.
    pub async fn compare(&self, elsewhere: Option<Checkpoint>) -> Result<(), CheckpointError> {
        let missing = self.missing_safeguards().await?;
        if !missing.is_empty() {
            self.standing.forbid(ReadOnly::Unsafe, &missing.join("; "));
            return Ok(());
        }
        match self.agreeing_head(elsewhere).await {
            Ok(_) | Err(CheckpointError::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The head, when the log agrees with all anchors; else the alarm.
    pub(super) async fn agreeing_head(
        &self,
        elsewhere: Option<Checkpoint>,
    ) -> Result<Head, CheckpointError> {
        // The anchors first: a head that is read later is never smaller by itself.
        let (memory, newest) = (self.standing.verified(), self.standing.newest());
        let memory = memory.map(|head| Checkpoint { size: head.size, root: head.root });
        let stored = self.stored_anchor().await?;
        let head = self.head().await?;
        let anchors = [("memory", memory), ("audit_checkpoints", stored), ("elsewhere", elsewhere)];
        for (source, anchor) in anchors {
            let Some(anchor) = anchor else { continue };
            self.agrees(source, &anchor, &head).await?;
        }
        if let Some(newest) = newest {
            self.still_holds(&newest, &head).await?;
        }
        if self.lies_beyond_the_head().await? {
            self.fork("the table of its tree has a place beyond the head");
            return Err(CheckpointError::ReadOnly);
        }
        if let Some(sequence) = head.size.checked_sub(1) {
            let leaf = self.leaf(sequence).await?.ok_or(CheckpointError::ReadOnly);
            let leaf = leaf.inspect_err(|_missing| self.fork("its newest event is missing"))?;
            self.standing.saw(Newest { sequence, leaf });
        }
        self.standing.agreed(head);
        Ok(head)
    }

    /// Where nobody appended anything nobody can: whoever put it there has stopped the log.
    async fn lies_beyond_the_head(&self) -> Result<bool, CheckpointError> {
        // One statement, because both move with each event.
        let beyond = sqlx::query_scalar!(
            r#"select exists (select from audit_tree
                   where sequence >= (select size from audit_head where id = 1)) as "beyond!""#
        );
        Ok(in_time(beyond.fetch_one(&self.pool)).await?)
    }

    async fn stored_anchor(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let newest = self.newest_signed().await?;
        if self.signs() {
            let largest = self.latest_checkpoint().await?;
            report_anchor("database", largest.is_none_or(|largest| self.was_signed(&largest)));
        }
        Ok(newest.map(|stored| Checkpoint { size: stored.size, root: stored.root }))
    }

    /// By a key of this log, a former one perhaps. One that was not hides whatever was signed at its size.
    fn was_signed(&self, stored: &StoredCheckpoint) -> bool {
        let said = Checkpoint { size: stored.size, root: stored.root };
        self.open_checkpoint(&stored.note) == Some(said)
    }

    async fn agrees(
        &self,
        source: &str,
        anchor: &Checkpoint,
        head: &Head,
    ) -> Result<(), CheckpointError> {
        if head.size < anchor.size {
            let (size, known) = (head.size, anchor.size);
            let detail = format!("it has {size} events; the anchor in {source} has {known}");
            self.standing.forbid(ReadOnly::HeadBehind, &detail);
            return Err(CheckpointError::ReadOnly);
        }
        let here = Checkpoint { size: head.size, root: head.root };
        let detail = match self.prove_consistency(anchor.clone(), here).await {
            Ok(_) => return Ok(()),
            Err(ProofError::Unreadable(ListError::Database(sqlx::Error::RowNotFound))) => {
                "events are missing in it".to_owned()
            }
            Err(ProofError::Unreadable(error)) => return Err(error.into()),
            Err(ProofError::Beyond | ProofError::Contradiction) => {
                let size = anchor.size;
                format!("its first {size} events are not those of the anchor in {source}")
            }
        };
        self.fork(&detail);
        Err(CheckpointError::ReadOnly)
    }

    async fn still_holds(&self, newest: &Newest, head: &Head) -> Result<(), CheckpointError> {
        let sequence = newest.sequence;
        if head.size <= sequence {
            let detail = format!("event {sequence}, which this replica saw, is not in it");
            self.standing.forbid(ReadOnly::HeadBehind, &detail);
            return Err(CheckpointError::ReadOnly);
        }
        if self.leaf(sequence).await? != Some(newest.leaf) {
            self.fork(&format!("event {sequence} is another one than this replica saw"));
            return Err(CheckpointError::ReadOnly);
        }
        Ok(())
    }

    async fn leaf(&self, sequence: u64) -> Result<Option<super::tree::Hash>, CheckpointError> {
        let only = sequence..sequence + 1;
        match self.roots(std::slice::from_ref(&only)).await {
            Ok(hashes) => Ok(hashes.first().copied()),
            Err(ListError::Database(sqlx::Error::RowNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn fork(&self, detail: &str) {
        self.standing.forbid(ReadOnly::Forked, detail);
    }
}
