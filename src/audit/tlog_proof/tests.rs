//! Receipts as they are kept, read back, and tampered with.

use proptest::prelude::*;

use super::*;
use crate::audit::{
    note::{SigningKeys, generate},
    tree::{node_hash, root},
};

const BODY: &[u8] = br#"{"action":"retrieve_passphrase","outcome":"released"}"#;

/// Of the second of three events.
fn receipt() -> (TlogProof, VerifierKeys) {
    let (private, public) = generate("audit.test.example").unwrap();
    let (first, second, third) = (leaf_hash(b"a"), leaf_hash(BODY), leaf_hash(b"c"));
    let tree = Checkpoint { size: 3, root: root(&[node_hash(&first, &second), third]) };
    let checkpoint = SigningKeys::parse(&private).unwrap().sign(&tree);
    let proof = InclusionProof { index: 1, leaf: second, tree, hashes: vec![first, third] };
    (TlogProof::of(proof, Some(BODY.to_vec()), checkpoint), public.into())
}

#[test]
fn what_was_written_is_read() {
    let (written, keys) = receipt();
    let text = written.to_string();
    assert_eq!(text.parse(), Ok(written.clone()));
    let opened = Receipt::open(&text, &keys).unwrap();
    assert_eq!((opened.index, opened.body.as_slice(), opened.tree.size), (1, BODY, 3));
    let first: Vec<&str> = text.lines().take(3).collect();
    let extra = format!("extra {}", STANDARD.encode(BODY));
    assert_eq!(first, ["c2sp.org/tlog-proof@v1", &extra, "index 1"]);
    let without = TlogProof { body: None, ..written };
    assert_eq!(without.to_string().parse(), Ok(without.clone()));
    assert_eq!(Receipt::open(&without.to_string(), &keys), Err(ReceiptError::NoEvent));
}

#[test]
fn another_event_index_or_path_is_not_in_the_log() {
    let (good, keys) = receipt();
    let mut swapped = good.clone();
    swapped.hashes.swap(0, 1);
    let mut longer = good.clone();
    longer.hashes.push([0; 32]);
    for wrong in [
        TlogProof { body: Some(b"other".to_vec()), ..good.clone() },
        TlogProof { index: 0, ..good.clone() },
        TlogProof { index: u64::MAX, ..good.clone() },
        TlogProof { hashes: Vec::new(), ..good.clone() },
        swapped,
        longer,
    ] {
        let opened = Receipt::open(&wrong.to_string(), &keys);
        assert_eq!(opened, Err(ReceiptError::NotInTheLog(wrong.index)));
    }
}

#[test]
fn what_is_not_spelled_as_c2sp_spells_it_is_refused() {
    let (good, keys) = receipt();
    let text = good.to_string();
    for (from, to) in [
        ("@v1", "@v2"),
        ("index 1", "index 01"),
        ("index 1", "index +1"),
        ("index 1", "index 1 "),
        ("index", "Index"),
        ("extra ", "extra  "),
        ("\n\n", "\n"),
    ] {
        let wrong = text.replacen(from, to, 1);
        assert_eq!(Receipt::open(&wrong, &keys), Err(ReceiptError::Malformed), "{to}");
    }
}

proptest! {
    #[test]
    fn one_other_character_anywhere_is_refused(at: prop::sample::Index, other in "[ -~]") {
        let (good, keys) = receipt();
        let text = good.to_string();
        let at = at.index(text.len());
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(at + 1) && text[at..=at] != other);
        let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assert!(Receipt::open(&altered, &keys).is_err(), "{}", altered);
    }

    #[test]
    fn no_text_makes_it_stumble(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]{0,8}\n)?(index [0-9]{0,22}\n)?\\PC{0,40}\n\n?\\PC*") {
        let (_, keys) = receipt();
        prop_assert!(Receipt::open(&text, &keys).is_err());
    }
}
