//! What was kept elsewhere and signed by the log's key: checkpoints, and receipts of single events. Both
//! say what the root over some range of events is, and each is compared when that range has been read.

use crate::audit::{
    note::Checkpoint,
    proof::{self, Leaves},
    tlog_proof::Receipt,
    tree::{Hash, leaf_hash},
};

/// That the tree over these events has this root.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) leaves: Leaves,
    pub(super) root: Hash,
    /// Whether it is of all events from the first on: then nothing before its end is missing.
    pub(super) is_checkpoint: bool,
}

pub(super) type Claims = std::vec::IntoIter<Claim>;

#[derive(Debug, Default)]
pub struct Evidence {
    claims: Vec<Claim>,
}

impl Evidence {
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: &Checkpoint) -> Self {
        let Checkpoint { size, root } = *checkpoint;
        self.claims.push(Claim { leaves: 0..size, root, is_checkpoint: true });
        self
    }

    /// Its checkpoint, its event, and the siblings on the way up: they narrow down where a log differs.
    #[must_use]
    pub fn with_receipt(mut self, receipt: &Receipt) -> Self {
        let Receipt { index, ref body, ref tree, ref hashes } = *receipt;
        let siblings = proof::inclusion(index, tree.size).unwrap_or_default();
        let claims = siblings.into_iter().zip(hashes.iter().copied());
        let event = (index..index + 1, leaf_hash(body));
        let claim = |(leaves, root)| Claim { leaves, root, is_checkpoint: false };
        self.claims.extend(claims.chain([event]).map(claim));
        self.with_checkpoint(tree)
    }

    /// How many events there were at least.
    pub(super) fn size(&self) -> Option<u64> {
        self.claims.iter().filter(|claim| claim.is_checkpoint).map(|claim| claim.leaves.end).max()
    }

    /// In the order in which they can be compared: the narrower ones first, which name more.
    pub(super) fn into_claims(mut self) -> Claims {
        self.claims.sort_by_key(|claim| (claim.leaves.end, u64::MAX - claim.leaves.start));
        self.claims.into_iter()
    }
}
