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
    Checkpoint::open(note, &VERIFIER.parse::<VerifierKeys>().unwrap())
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

/// Another key of the same log.
const OTHER: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+";

fn other_key() -> (String, String) {
    let (private, public) = generate(NAME).unwrap();
    assert!(private.starts_with(OTHER));
    (private.to_string(), public.to_string())
}

fn signed_by(keys: &str, size: u64, root: Hash) -> String {
    SigningKeys::parse(keys).unwrap().sign(&Checkpoint { size, root })
}

#[test]
fn a_signed_note_is_the_one_that_others_sign() {
    assert_eq!(signed_by(SIGNER, 4_711, [9; 32]), checkpoint(4_711, [9; 32], ""));
    let keys = SigningKeys::parse(SIGNER).unwrap().verifier_keys();
    assert_eq!(keys.iter().map(ToString::to_string).collect::<Vec<_>>(), [VERIFIER]);
}

#[test]
fn a_generated_key_is_one_that_others_sign_with() {
    let (private, public) = other_key();
    let ours = signed_by(&private, 1, [1; 32]);
    let text = &ours[..=ours.find("\n\n").unwrap()];
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&StandardSigner::new(&private).unwrap()]).unwrap();
    assert_eq!(String::from_utf8(note.to_bytes()).unwrap(), ours);
    assert_eq!(Checkpoint::open(&ours, &public.parse().unwrap()).unwrap().size, 1);
}

#[test]
fn while_keys_change_either_verifies_and_none_may_be_wrong() {
    let (private, public) = other_key();
    let note = signed_by(&format!("{private}\n{SIGNER}\n"), 7, [7; 32]);
    for keys in [&public, VERIFIER, &format!("# both\n{VERIFIER}\n\n{public}\n")] {
        assert_eq!(Checkpoint::open(&note, &keys.parse().unwrap()).unwrap().size, 7);
    }
    let (_, third) = other_key();
    assert_eq!(Checkpoint::open(&note, &third.parse().unwrap()), Err(NoteError::Unsigned));
    let signatures = |note: &str| note.split_once("\n\n").unwrap().1.to_owned();
    let eight = signed_by(SIGNER, 8, [7; 32]);
    let half = format!("{eight}{}\n", signatures(&note).lines().next().unwrap());
    let both: VerifierKeys = format!("{VERIFIER}\n{public}").parse().unwrap();
    assert_eq!(Checkpoint::open(&half, &both), Err(NoteError::Forged));
}

#[test]
fn what_is_wrong_with_a_signing_key_is_told_without_it() {
    let (other, _) = other_key();
    let elsewhere = generate("elsewhere.example").unwrap().0;
    for (text, wrong) in [
        (String::new(), InvalidSigningKey::None),
        (SIGNER.replace("0ad5dbde", "0ad5dbdf"), InvalidSigningKey::Malformed),
        (SIGNER.replace("PRIVATE", "PUBLIC"), InvalidSigningKey::Malformed),
        (SIGNER[..SIGNER.len() - 4].to_owned(), InvalidSigningKey::Malformed),
        (format!("{other}\n{}", *elsewhere), InvalidSigningKey::Names),
        (format!("{other}\n{other}"), InvalidSigningKey::Twice),
    ] {
        assert_eq!(SigningKeys::parse(&text).err(), Some(wrong), "{text}");
        assert!(!wrong.to_string().contains("ARLT"));
    }
    assert!(generate("two words").is_none() && generate("a+b").is_none());
}
