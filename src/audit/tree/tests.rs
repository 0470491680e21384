//! Against roots that RFC 6962's own recursive definition gives, and two implementations that we did
//! not write.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use tlog_tiles::tlog;

use super::*;

fn frontier(bodies: &[Vec<u8>]) -> Frontier {
    let mut frontier = Frontier::default();
    for body in bodies {
        frontier.append(leaf_hash(body));
    }
    frontier
}

/// RFC 6962's MTH: split at the largest power of two that is smaller than the number of leaves.
fn by_definition(bodies: &[Vec<u8>]) -> Hash {
    match bodies {
        [] => sha256(&[]),
        [body] => leaf_hash(body),
        _ => {
            let (left, right) = bodies.split_at(bodies.len().next_power_of_two() / 2);
            node_hash(&by_definition(left), &by_definition(right))
        }
    }
}

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..130)
}

/// The leaves and roots that implementations of Certificate Transparency test themselves with.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::default();
    for (leaf, root) in leaves.iter().zip(roots) {
        frontier.append(leaf_hash(leaf));
        let byte = |at: usize| u8::from_str_radix(&root[2 * at..2 * at + 2], 16).unwrap();
        let expected: Hash = std::array::from_fn(byte);
        assert_eq!(frontier.root(), expected, "of {} leaves", frontier.size());
    }
}

#[test]
fn the_first_difference_is_where_the_differing_subtree_begins() {
    let bodies: Vec<Vec<u8>> = (0..22_u8).map(|byte| vec![byte]).collect();
    let ours = frontier(&bodies);
    let mut theirs = ours.subtrees().concat();
    assert_eq!(ours.first_difference(&theirs), None);
    theirs[40] ^= 1; // 22 = 16 + 4 + 2: in the second subtree
    assert_eq!(ours.first_difference(&theirs), Some(16));
}

proptest! {
    #[test]
    fn roots_agree_with_the_definition_and_with_ct_merkle(bodies in bodies()) {
        let root = frontier(&bodies).root();
        prop_assert_eq!(root, by_definition(&bodies));
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for body in &bodies {
            theirs.push(body.clone());
        }
        let theirs = theirs.root();
        prop_assert_eq!(&root[..], theirs.as_bytes().as_slice());
    }

    /// Go's way to store a tree keeps, for each record, its hash and then the nodes that it completes.
    #[test]
    fn completed_nodes_agree_with_tlog(bodies in bodies()) {
        let (mut ours, mut stored) = (Frontier::default(), Stored::default());
        for (number, body) in (0..).zip(&bodies) {
            let theirs = tlog::stored_hashes(number, body, &stored).unwrap();
            let leaf = leaf_hash(body);
            let nodes = [&[leaf], ours.append(leaf)].concat();
            prop_assert_eq!(nodes, theirs.iter().map(|hash| hash.0).collect::<Vec<_>>());
            prop_assert_eq!(ours.subtrees().len(), ours.size().count_ones() as usize);
            stored.0.extend(theirs);
        }
        let root = tlog::tree_hash(ours.size(), &stored).unwrap();
        prop_assert_eq!(ours.root(), root.0);
    }
}

#[derive(Default)]
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indices: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indices.iter().map(|&index| self.0[usize::try_from(index).unwrap()]).collect())
    }
}

/// What a receipt vouches for besides its event is compared while the events are read.
#[test]
fn the_root_over_what_a_proof_names_is_known_when_its_last_leaf_is_there() {
    let bodies: Vec<Vec<u8>> = (0..70_u8).map(|byte| vec![byte]).collect();
    let mut named = std::collections::BTreeSet::new();
    for size in 1..=70 {
        let ranges = (0..size).filter_map(|index| crate::audit::proof::inclusion(index, size));
        named.extend(ranges.flatten().map(|range| (range.end, range.start)));
        named.extend((0..size).map(|index| (index + 1, index)));
    }
    let mut tree = Frontier::default();
    for (end, start) in named {
        while tree.size() < end {
            tree.append(leaf_hash(&bodies[usize::try_from(tree.size()).unwrap()]));
        }
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        assert_eq!(tree.root_from(start), Some(by_definition(&bodies[range])), "{start}..{end}");
        let resumed = Frontier::resumed(end, tree.subtrees().to_vec()).unwrap();
        assert_eq!(resumed.root(), tree.root());
    }
    assert_eq!((tree.root_from(71), tree.root_from(1)), (None, None));
}
