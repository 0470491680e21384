//! Signed checkpoints of the log: made of its head, stored in `audit_checkpoints`, found again by size.

use std::sync::{Arc, PoisonError};

use thiserror::Error;
use time::OffsetDateTime;

use super::{
    AuditLog, ListError,
    list::in_time,
    note::{Checkpoint, SigningKeys, VerifierKeys},
    tree::{Hash, frontier_root},
};

/// Checkpoints that are looked at to find one that our keys have signed.
const MOST_UNREADABLE: i64 = 16;

/// A checkpoint as it is stored. What it says is only worth what its note's signatures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many events it covers: those of the sequences below.
    pub size: u64,
    pub root: [u8; 32],
    /// The signed note.
    pub note: String,
    /// By the database's clock.
    pub signed_at: OffsetDateTime,
}

impl StoredCheckpoint {
    fn is_signed_by(&self, keys: &VerifierKeys) -> bool {
        let said = Checkpoint { size: self.size, root: self.root };
        Checkpoint::open(&self.note, keys) == Ok(said)
    }
}

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("there is no key to sign checkpoints with")]
    NoKey,
    /// The log is not what it was, or nobody knows yet.
    #[error("the audit log is read-only")]
    ReadOnly,
    #[error("another checkpoint of this size is stored, which these keys have not signed")]
    Foreign,
    #[error("the checkpoints are not readable or not writable")]
    Unreadable(#[from] ListError),
}

/// The end of the log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) root: Hash,
}

impl AuditLog {
    /// Signs with these keys from now on. None: nothing is signed.
    pub fn sign_with(&self, keys: Option<Arc<SigningKeys>>) {
        *self.signer.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The largest that is stored.
    pub async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, CheckpointError> {
        let found = sqlx::query_as!(
            Row,
            "select size, root, note, signed_at from audit_checkpoints order by size desc limit 1"
        );
        Ok(in_time(found.fetch_optional(&self.pool)).await?.map(StoredCheckpoint::from))
    }

    /// The smallest stored one that covers the first `size` events.
    pub async fn checkpoint_at(
        &self,
        size: u64,
    ) -> Result<Option<StoredCheckpoint>, CheckpointError> {
        let found = sqlx::query_as!(
            Row,
            "select size, root, note, signed_at from audit_checkpoints where size >= $1 order by size limit 1",
            i64::try_from(size).unwrap_or(i64::MAX)
        );
        Ok(in_time(found.fetch_optional(&self.pool)).await?.map(StoredCheckpoint::from))
    }

    /// Whether checkpoints can be signed.
    pub fn signs(&self) -> bool {
        self.signer().is_some()
    }

    pub(super) fn signer(&self) -> Option<Arc<SigningKeys>> {
        self.signer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs and stores a checkpoint of everything that is in the log. One that is stored already is
    /// answered as it is: signing is deterministic, so that two replicas write the same. Nothing is signed that does
    /// not continue what is known to have been signed.
    pub async fn sign_checkpoint(&self) -> Result<StoredCheckpoint, CheckpointError> {
        let signer = self.signer().ok_or(CheckpointError::NoKey)?;
        if self.standing.read_only().is_some() {
            return Err(CheckpointError::ReadOnly);
        }
        let head = self.agreeing_head(None).await?;
        let checkpoint = Checkpoint { size: head.size, root: head.root };
        let note = signer.sign(&checkpoint);
        fail_point!(("checkpoint.signed"), Err(ListError::Late.into()));
        let stored = self.store(&signer, &checkpoint, &note).await?;
        fail_point!(("checkpoint.stored"), Err(ListError::Late.into()));
        Ok(stored)
    }

    async fn store(
        &self,
        signer: &SigningKeys,
        checkpoint: &Checkpoint,
        note: &str,
    ) -> Result<StoredCheckpoint, CheckpointError> {
        let size = i64::try_from(checkpoint.size).unwrap_or(i64::MAX);
        let keys = signer.verifier_keys();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let known = sqlx::query!(
            "insert into audit_verifier_keys (verifier_key) select key from unnest($1::text[]) key
             where not exists (select from audit_verifier_keys where verifier_key = key)
             on conflict do nothing",
            &keys
        );
        in_time(known.execute(&self.pool)).await?;
        let stored = sqlx::query!(
            "insert into audit_checkpoints (size, root, note) values ($1, $2, $3) on conflict do nothing",
            size,
            &checkpoint.root,
            note
        );
        let is_new = in_time(stored.execute(&self.pool)).await?.rows_affected() == 1;
        let found = self
            .checkpoint_at(checkpoint.size)
            .await?
            .ok_or(ListError::from(sqlx::Error::RowNotFound))?;
        if found.root != checkpoint.root || !found.is_signed_by(&signer.verifier_keys()) {
            return Err(CheckpointError::Foreign);
        }
        if is_new {
            // One line that whoever collects the log keeps out of the database's reach.
            tracing::info!(size, note = found.note, "audit checkpoint");
        }
        Ok(found)
    }

    /// The largest stored one that our keys have signed. One that they have not says nothing: the service's own role
    /// could write it. Without a key there is none.
    pub async fn newest_signed(&self) -> Result<Option<StoredCheckpoint>, CheckpointError> {
        let Some(signer) = self.signer() else { return Ok(None) };
        let stored = sqlx::query_as!(
            Row,
            "select size, root, note, signed_at from audit_checkpoints order by size desc limit $1",
            MOST_UNREADABLE
        );
        let stored = in_time(stored.fetch_all(&self.pool)).await?;
        let keys = signer.verifier_keys();
        let mut stored = stored.into_iter().map(StoredCheckpoint::from);
        Ok(stored.find(|stored| stored.is_signed_by(&keys)))
    }

    /// Size and root of one moment: they are one row.
    pub(super) async fn head(&self) -> Result<Head, ListError> {
        let head = sqlx::query!("select size, frontier from audit_head where id = 1");
        let head = in_time(head.fetch_one(&self.pool)).await?;
        let root = frontier_root(&head.frontier).ok_or(sqlx::Error::RowNotFound)?;
        Ok(Head { size: u64::try_from(head.size).unwrap_or_default(), root })
    }
}

/// One that cannot be read is not one that agrees.
pub fn report_anchor(source: &'static str, readable: bool) {
    let unreadable = if readable { 0.0 } else { 1.0 };
    metrics::gauge!("passphrase_broker_audit_anchor_unreadable", "source" => source)
        .set(unreadable);
    if !readable {
        tracing::error!(source, "an anchor of the audit log cannot be read");
    }
}

struct Row {
    size: i64,
    root: Vec<u8>,
    note: String,
    signed_at: OffsetDateTime,
}

impl From<Row> for StoredCheckpoint {
    fn from(row: Row) -> Self {
        Self {
            size: u64::try_from(row.size).unwrap_or_default(),
            // The table checks its length.
            root: row.root.try_into().unwrap_or_default(),
            note: row.note,
            signed_at: row.signed_at,
        }
    }
}
