//! The Merkle tree over the log, as RFC 6962 section 2.1 hashes it with SHA-256. Pure: PostgreSQL makes
//! the tree when events are appended (migration 0004); what is here checks it without PostgreSQL.

use aws_lc_rs::digest::{Context, SHA256};

pub(super) type Hash = [u8; 32];

/// Of one event: its stored bytes, behind a byte that no inner node begins with.
pub(super) fn leaf_hash(body: &[u8]) -> Hash {
    sha256(&[&[0], body])
}

pub(super) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// All of a tree that is needed to append to it and to know its root: the roots of the perfect subtrees
/// that it consists of, largest first, one for each 1 in its size.
#[derive(Debug, Clone, Default)]
pub(super) struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
    /// The last leaf and the inner nodes that it completed.
    path: Vec<Hash>,
}

impl Frontier {
    /// Of a tree that others have made. None when it does not have as many subtrees as its size says.
    pub(super) fn resumed(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        let fits = u32::try_from(subtrees.len()) == Ok(size.count_ones());
        fits.then(|| Self { size, subtrees, path: Vec::new() })
    }

    /// Appends a leaf and answers the inner nodes that it completes, lowest first.
    pub(super) fn append(&mut self, leaf: Hash) -> &[Hash] {
        self.path.clear();
        self.path.push(leaf);
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
                self.path.push(node);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
        &self.path[1..]
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    pub(super) fn root(&self) -> Hash {
        root(&self.subtrees)
    }

    /// The root of the tree over the leaves from `start` on, if a proof could name it: when `start` is a
    /// multiple of a power of two that is not smaller than their number.
    pub(super) fn root_from(&self, start: u64) -> Option<Hash> {
        let count = self.size.checked_sub(start)?;
        let perfect =
            count.is_power_of_two().then(|| self.path.get(count.trailing_zeros() as usize));
        if let Some(&root) = perfect.flatten() {
            return Some(root);
        }
        let (mut at, mut skipped) = (0, 0);
        while at < start {
            at += 1 << (self.size - at).ilog2();
            skipped += 1;
        }
        (at == start).then(|| root(self.subtrees.get(skipped..).unwrap_or_default()))
    }

    /// The first leaf below the first of `theirs` that differs from ours. Both have the same size.
    pub(super) fn first_difference(&self, theirs: &[u8]) -> Option<u64> {
        let mut start = 0;
        let heights = (0..u64::BITS).rev().filter(|height| self.size >> height & 1 == 1);
        for ((height, ours), theirs) in heights.zip(&self.subtrees).zip(theirs.chunks(32)) {
            if ours != theirs {
                return Some(start);
            }
            start += 1 << height;
        }
        None
    }
}

/// The root of the tree that consists of these perfect subtrees, largest first.
pub(super) fn root(subtrees: &[Hash]) -> Hash {
    let mut smallest_first = subtrees.iter().rev();
    let Some(&last) = smallest_first.next() else { return sha256(&[]) };
    smallest_first.fold(last, |right, left| node_hash(left, &right))
}

/// The same of a frontier as the head stores it. None when it is not one.
pub(super) fn frontier_root(stored: &[u8]) -> Option<Hash> {
    let (subtrees, rest) = stored.as_chunks();
    rest.is_empty().then(|| root(subtrees))
}

#[cfg(test)]
mod tests;
