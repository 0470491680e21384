//! Notes that another implementation of the formats wrote and signed.

use proptest::prelude::*;
use signed_note::{Note, StandardSigner};
use tlog_tiles::{checkpoint, tlog};

use super::*;

const NAME: &str = "audit.test.example/passphrase-broker";
/// Made up for the tests.
const SIGNER: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";
const VERIFIER: &str =
    "audit.test.example/passphrase-broker+0ad5dbde+AcBRghVS87D9jhB2fVDD2w9OzAReSJtBNZW1ucyf1If9";

fn sign(text: &[u8]) -> String {
    let mut note = Note::new(text, &[]).unwrap();
    note.add_sigs(&[&StandardSigner::new(SIGNER).unwrap()]).unwrap();
    String::from_utf8(note.to_bytes()).unwrap()
}

fn checkpoint(size: u64, root: Hash, extension: &str) -> String {
    let checkpoint = checkpoint::Checkpoint::new(NAME, size, tlog::Hash(root), extension).unwrap();
    sign(&checkpoint.to_bytes())
}

fn open(note: &str) -> Result<Checkpoint, NoteError> {
    Checkpoint::open(note, &VERIFIER.parse().unwrap())
}

#[test]
fn a_key_whose_hash_is_of_another_name_or_key_is_refused() {
    for (from, to) in
        [("audit.", "budit."), ("0ad5dbde", "0ad5dbdf"), ("+AcBR", "+AcBS"), ("+AcBR", "+AsBR")]
    {
        let wrong = VERIFIER.replacen(from, to, 1).parse::<VerifierKey>();
        assert_eq!(wrong.err(), Some(NoteError::Key), "{from} {to}");
    }
}

#[test]
fn signatures_of_others_are_not_looked_at() {
    let note = checkpoint(7, [7; 32], "") + "\u{2014} witness.example AAAAAAAA\n";
    assert_eq!(open(&note).unwrap().size, 7);
    let unsigned = note.replace("\u{2014} audit.test", "\u{2014} other.test");
    assert_eq!(open(&unsigned), Err(NoteError::Unsigned));
}

#[test]
fn a_signed_text_that_is_no_checkpoint_of_this_log_is_refused() {
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for text in [
        format!("other.example\n7\n{root}\n"),
        format!("{NAME}\n07\n{root}\n"),
        format!("{NAME}\n-7\n{root}\n"),
        format!("{NAME}\n7\nAAAA\n"),
        format!("{NAME}\n7\n"),
    ] {
        assert_eq!(open(&sign(text.as_bytes())), Err(NoteError::NotACheckpoint), "{text}");
    }
}

proptest! {
    #[test]
    fn what_others_sign_is_read(size: u64, root: [u8; 32], extended: bool) {
        let note = checkpoint(size, root, if extended { "more\n" } else { "" });
        prop_assert_eq!(open(&note), Ok(Checkpoint { size, root }));
    }

    /// The last characters of base64 may carry unused bits; `base64` refuses those that are set.
    #[test]
    fn one_other_character_anywhere_is_refused(at: prop::sample::Index, other in "[ -~]") {
        let note = checkpoint(4_711, [9; 32], "");
        let at = at.index(note.len());
        prop_assume!(note.is_char_boundary(at) && note.is_char_boundary(at + 1) && note[at..=at] != other);
        let altered = format!("{}{other}{}", &note[..at], &note[at + 1..]);
        prop_assert!(open(&altered).is_err(), "{}", altered);
    }
}
