//! Proves things about the log from what is stored. A proof that does not hold is never given away: the
//! log is not the one that the checkpoint was made of, and whoever asked must not think it a hiccup.

use thiserror::Error;

use super::{
    AuditLog, ListError,
    list::in_time,
    note::Checkpoint,
    proof::{self, Leaves},
    subtrees,
    tree::{Hash, leaf_hash},
};

/// That an event is in the tree of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The event's sequence.
    pub index: u64,
    pub leaf: Hash,
    pub tree: Checkpoint,
    /// From the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Whether these are the bytes of its event.
    pub fn is_of(&self, body: &[u8]) -> bool {
        self.leaf == leaf_hash(body)
    }
}

/// That one checkpoint's tree is the beginning of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    pub from: Checkpoint,
    pub to: Checkpoint,
    pub hashes: Vec<Hash>,
}

#[derive(Debug, Error)]
pub enum ProofError {
    #[error(transparent)]
    Unreadable(#[from] ListError),
    /// The tree does not have that event, or that many.
    #[error("this is beyond the log, or beyond the checkpoint")]
    Beyond,
    /// What is stored and what was signed are two different logs.
    #[error("the log is not the one that the checkpoint was made of")]
    Contradiction,
}

impl AuditLog {
    /// How many events there are.
    pub async fn size(&self) -> Result<u64, ListError> {
        Ok(self.head().await?.size)
    }

    /// The root of the log when it had this size. Not above the size that it has now.
    pub async fn root_at(&self, size: u64) -> Result<Hash, ListError> {
        let mut roots = self.roots(std::slice::from_ref(&(0..size))).await?;
        roots.pop().ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    pub async fn prove_inclusion(
        &self,
        index: u64,
        tree: Checkpoint,
    ) -> Result<InclusionProof, ProofError> {
        let mut ranges = proof::inclusion(index, tree.size).ok_or(ProofError::Beyond)?;
        ranges.push(index..index + 1);
        let mut hashes = self.roots(&ranges).await?;
        let leaf = hashes.pop().unwrap_or_default();
        if !proof::includes(&tree.root, tree.size, index, &leaf, &hashes) {
            return Err(contradiction(tree.size));
        }
        Ok(InclusionProof { index, leaf, tree, hashes })
    }

    pub async fn prove_consistency(
        &self,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<ConsistencyProof, ProofError> {
        let ranges = proof::consistency(from.size, to.size).ok_or(ProofError::Beyond)?;
        let hashes = self.roots(&ranges).await?;
        if !proof::is_consistent((from.size, &from.root), (to.size, &to.root), &hashes) {
            return Err(contradiction(to.size));
        }
        Ok(ConsistencyProof { from, to, hashes })
    }

    pub(super) async fn roots(&self, ranges: &[Leaves]) -> Result<Vec<Hash>, ListError> {
        in_time(subtrees::roots(&self.pool, ranges)).await
    }
}

fn contradiction(size: u64) -> ProofError {
    tracing::error!(size, "the audit log is not the one that its checkpoint was made of");
    ProofError::Contradiction
}
