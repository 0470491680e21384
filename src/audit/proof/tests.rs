//! Against the proofs of two implementations that we did not write, each in both directions: every pair
//! of a small tree, and thousands of trees as large as a log may become.

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;
use sha2::Sha256;
use tlog_tiles::tlog::{self, HashReader, stored_hash_index};

use super::*;
use crate::audit::tree::{leaf_hash, root};

/// All pairs of an index and a size, and of two sizes, up to this.
const LARGEST: u64 = 80;

/// The same leaves for us and for both oracles.
#[derive(Default)]
struct Trees {
    leaves: Vec<Hash>,
    stored: Vec<tlog::Hash>,
    in_memory: MemoryBackedTree<Sha256, Vec<u8>>,
    roots: Vec<(Hash, RootHash<Sha256>)>,
}

impl Trees {
    fn push(&mut self) {
        let number = self.leaves.len() as u64;
        let body = number.to_be_bytes().to_vec();
        let stored = tlog::stored_hashes(number, &body, self).unwrap();
        self.stored.extend(stored);
        self.leaves.push(leaf_hash(&body));
        self.in_memory.push(body);
        let root = tlog::tree_hash(number + 1, self).unwrap().0;
        self.roots.push((root, self.in_memory.root()));
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn root(&self, size: u64) -> &Hash {
        &self.roots[usize::try_from(size).unwrap() - 1].0
    }

    fn hashes(&self, ranges: &[Leaves]) -> Vec<Hash> {
        hashes(self, ranges)
    }
}

impl HashReader for Trees {
    fn read_hashes(&self, indices: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indices.iter().map(|&index| self.stored[usize::try_from(index).unwrap()]).collect())
    }
}

/// What [`super::super::subtrees`] reads from the database, here from hashes as Go stores them.
fn hashes(reader: &impl HashReader, ranges: &[Leaves]) -> Vec<Hash> {
    let hash = |Subtree { last, height }| {
        let index = stored_hash_index(u8::try_from(height).unwrap(), last >> height);
        reader.read_hashes(&[index]).unwrap()[0].0
    };
    ranges.iter().map(|leaves| root(&subtrees(leaves).map(hash).collect::<Vec<_>>())).collect()
}

fn theirs(hashes: &[Hash]) -> Vec<tlog::Hash> {
    hashes.iter().copied().map(tlog::Hash).collect()
}

/// As many alterations as there are ways: one bit, one hash less, one more, two that changed places.
fn altered(hashes: &[Hash], salt: u64) -> Vec<Vec<Hash>> {
    let mut all = vec![[hashes, &[[7; 32]]].concat()];
    if let Some(last) = hashes.len().checked_sub(1) {
        let at = usize::try_from(salt).unwrap() % hashes.len();
        let mut one = hashes.to_vec();
        one[at][usize::try_from(salt % 32).unwrap()] ^= 1 << (salt % 8);
        all.extend([one, hashes[..last].to_vec()]);
        if last > 0 {
            let mut swapped = hashes.to_vec();
            swapped.swap(0, last);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn every_inclusion_in_small_trees_agrees_with_both_oracles() {
    let mut trees = Trees::default();
    for size in 1..=LARGEST {
        trees.push();
        for index in 0..size {
            let hashes = trees.hashes(&inclusion(index, size).unwrap());
            assert_eq!(theirs(&hashes), tlog::prove_record(size, index, &trees).unwrap());
            let at = usize::try_from(index).unwrap();
            assert_eq!(hashes.concat(), trees.in_memory.prove_inclusion(at).as_bytes());
            let leaf = &trees.leaves[at];
            assert!(includes(trees.root(size), size, index, leaf, &hashes), "{index} in {size}");
            for wrong in altered(&hashes, 31 * size + index) {
                no_inclusion(&trees, index, leaf, &wrong);
            }
            if size > 1 {
                no_inclusion(&trees, index, &[3; 32], &hashes);
                assert!(!includes(trees.root(size), size, (index + 1) % size, leaf, &hashes));
                assert!(!includes(trees.root(size - 1), size, index, leaf, &hashes));
            }
        }
        assert!(inclusion(size, size).is_none());
    }
}

/// Nobody accepts this.
fn no_inclusion(trees: &Trees, index: u64, leaf: &Hash, hashes: &[Hash]) {
    let (size, root) = (trees.size(), trees.root(trees.size()));
    assert!(!includes(root, size, index, leaf, hashes), "{index} in {size}");
    let go = tlog::check_record(&theirs(hashes), size, tlog::Hash(*root), index, tlog::Hash(*leaf));
    assert!(go.is_err(), "tlog: {index} in {size}");
    let at = usize::try_from(index).unwrap();
    if trees.leaves[at] == *leaf {
        let proof = InclusionProof::try_from_bytes(hashes.concat()).unwrap();
        let body = &trees.in_memory.items()[at];
        let verified = trees.in_memory.root().verify_inclusion(body, index, &proof);
        assert!(verified.is_err(), "ct-merkle: {index} in {size}");
    }
}

#[test]
fn every_consistency_of_small_trees_agrees_with_both_oracles() {
    let mut trees = Trees::default();
    for new in 1..=LARGEST {
        trees.push();
        for old in 1..=new {
            let hashes = trees.hashes(&consistency(old, new).unwrap());
            assert_eq!(theirs(&hashes), tlog::prove_tree(new, old, &trees).unwrap());
            let additions = usize::try_from(new - old).unwrap();
            assert_eq!(hashes.concat(), trees.in_memory.prove_consistency(additions).as_bytes());
            let (before, after) = ((old, trees.root(old)), (new, trees.root(new)));
            assert!(is_consistent(before, after, &hashes), "{old} {new}");
            for wrong in altered(&hashes, 31 * new + old) {
                not_consistent(&trees, old, trees.root(old), &wrong);
            }
            not_consistent(&trees, old, &[3; 32], &hashes);
            assert!(!is_consistent(before, (new, &[3; 32]), &hashes), "{old} {new}");
        }
        assert!(consistency(new + 1, new).is_none());
    }
}

/// Nobody accepts this.
fn not_consistent(trees: &Trees, old: u64, old_root: &Hash, hashes: &[Hash]) {
    let (new, root) = (trees.size(), trees.root(trees.size()));
    assert!(!is_consistent((old, old_root), (new, root), hashes), "{old} {new}");
    let roots = (tlog::Hash(*root), tlog::Hash(*old_root));
    let go = tlog::check_tree(&theirs(hashes), new, roots.0, old, roots.1);
    assert!(go.is_err(), "tlog: {old} {new}");
    let before = RootHash::new((*old_root).into(), old);
    let proof = ConsistencyProof::try_from_bytes(hashes.concat()).unwrap();
    let verified = trees.in_memory.root().verify_consistency(&before, &proof);
    assert!(verified.is_err(), "ct-merkle: {old} {new}");
}

#[test]
fn of_nothing_there_is_nothing_to_prove() {
    let (nothing, something) = (sha256(&[]), leaf_hash(b"x"));
    assert!(is_consistent((0, &nothing), (1, &something), &[]));
    assert!(is_consistent((0, &nothing), (0, &nothing), &[]));
    assert!(!is_consistent((0, &something), (1, &something), &[]));
    assert!(!is_consistent((0, &nothing), (0, &something), &[]));
    assert!(!is_consistent((0, &nothing), (1, &something), &[something]));
    assert_eq!((subtrees(&(0..0)).count(), root(&[])), (0, nothing));
}

/// A tree that is too large to make: its subtrees have made-up hashes.
struct MadeUp;

impl HashReader for MadeUp {
    fn read_hashes(&self, indices: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indices.iter().map(|index| tlog::Hash(leaf_hash(&index.to_be_bytes()))).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn proofs_in_large_trees_agree_with_tlog(bits in 1..60_u32, size: u64, smaller: prop::sample::Index) {
        let size = (size & ((1 << bits) - 1)).max(2);
        let smaller = u64::try_from(smaller.index(usize::try_from(size).unwrap())).unwrap();
        let included = hashes(&MadeUp, &inclusion(smaller, size).unwrap());
        prop_assert_eq!(theirs(&included), tlog::prove_record(size, smaller, &MadeUp).unwrap());
        let old = smaller.max(1);
        let consistent = hashes(&MadeUp, &consistency(old, size).unwrap());
        prop_assert_eq!(theirs(&consistent), tlog::prove_tree(size, old, &MadeUp).unwrap());
    }
}
