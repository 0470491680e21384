//! Proofs over the log's tree, as RFC 6962 sections 2.1.1 and 2.1.2 have them: that an event is in it,
//! and that a smaller tree is the beginning of a larger one.
//!
//! Both proofs are hashes of ranges of leaves. Pure: this says which ranges, [`super::subtrees`] reads
//! their hashes, and the verification needs neither.

use std::ops::Range;

use super::tree::{Hash, node_hash, sha256};

/// Consecutive leaves. Those that proofs name begin at a multiple of the largest power of two in them.
pub(super) type Leaves = Range<u64>;

/// A perfect subtree: `2^height` leaves, of which this is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subtree {
    pub(super) last: u64,
    pub(super) height: u32,
}

impl Subtree {
    pub(super) fn leaves(self) -> Leaves {
        self.last + 1 - (1 << self.height)..self.last + 1
    }
}

/// The perfect subtrees that leaves consist of, largest first.
pub(super) fn subtrees(leaves: &Leaves) -> impl Iterator<Item = Subtree> + use<> {
    let (start, count) = (leaves.start, leaves.end.saturating_sub(leaves.start));
    (0..u64::BITS).rev().filter(move |height| count >> height & 1 == 1).map(move |height| {
        // Everything above this height, and this subtree itself, are before its end.
        Subtree { last: start + (count >> height << height) - 1, height }
    })
}

/// What proves that leaf `index` is in the tree of `size` leaves: its siblings, lowest first. None when
/// it is not in it.
pub(super) fn inclusion(index: u64, size: u64) -> Option<Vec<Leaves>> {
    if index >= size {
        return None;
    }
    let mut siblings = Vec::new();
    let mut here = 0..size;
    while here.end - here.start > 1 {
        let middle = middle(&here);
        if index < middle {
            siblings.push(middle..here.end);
            here.end = middle;
        } else {
            siblings.push(here.start..middle);
            here.start = middle;
        }
    }
    siblings.reverse();
    Some(siblings)
}

/// What proves that the tree of `old` leaves is the beginning of that of `new`. None when it is larger.
/// Of no leaves, and of as many, there is nothing to prove.
pub(super) fn consistency(old: u64, new: u64) -> Option<Vec<Leaves>> {
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    if old > new {
        return None;
    }
    let mut ranges = Vec::new();
    let mut here = 0..new;
    while here.end != old {
        let middle = middle(&here);
        if old <= middle {
            ranges.push(middle..here.end);
            here.end = middle;
        } else {
            ranges.push(here.start..middle);
            here.start = middle;
        }
    }
    // An old tree that is a subtree of the new one is known already: it is the old root.
    if here.start > 0 {
        ranges.push(here);
    }
    ranges.reverse();
    Some(ranges)
}

/// Whether `hashes` prove that `leaf` is number `index` of the `size` leaves under `root`.
pub(super) fn includes(root: &Hash, size: u64, index: u64, leaf: &Hash, hashes: &[Hash]) -> bool {
    let Some(siblings) = inclusion(index, size) else { return false };
    let join = |node: Hash, (sibling, hash): (&Leaves, &Hash)| {
        if sibling.start > index { node_hash(&node, hash) } else { node_hash(hash, &node) }
    };
    siblings.len() == hashes.len() && siblings.iter().zip(hashes).fold(*leaf, join) == *root
}

/// A tree as it was: so many leaves, with this root.
pub(super) type Tree<'a> = (u64, &'a Hash);

/// Whether `hashes` prove that the `old` tree is the beginning of the `new` one.
pub(super) fn is_consistent((old, old_root): Tree, (new, new_root): Tree, hashes: &[Hash]) -> bool {
    let Some(ranges) = consistency(old, new) else { return false };
    if ranges.len() != hashes.len() {
        return false;
    }
    if old == 0 {
        return *old_root == sha256(&[]) && (new > 0 || old_root == new_root);
    }
    let mut pairs = ranges.iter().zip(hashes);
    let begins_within = ranges.first().is_some_and(|range| range.end <= old);
    let seed =
        if begins_within { pairs.next().map_or(old_root, |(_, hash)| hash) } else { old_root };
    let join = |(old_node, new_node): (Hash, Hash), (range, hash): (&Leaves, &Hash)| {
        if range.end <= old {
            (node_hash(hash, &old_node), node_hash(hash, &new_node))
        } else {
            (old_node, node_hash(&new_node, hash))
        }
    };
    pairs.fold((*seed, *seed), join) == (*old_root, *new_root)
}

/// Where RFC 6962 divides a tree: at the largest power of two that is smaller than the number of leaves.
fn middle(leaves: &Leaves) -> u64 {
    let count = leaves.end - leaves.start;
    leaves.start + (1 << (u64::BITS - 1 - (count - 1).leading_zeros()))
}

#[cfg(test)]
mod tests;
