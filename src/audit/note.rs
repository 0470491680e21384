//! Checkpoints as C2SP has them: a tlog-checkpoint (origin, size, root) in a signed note, with Ed25519.
//! A checkpoint that is kept elsewhere is what tells a shortened or rewritten log from the true one.

use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::tree::{Hash, sha256};

/// The type byte of Ed25519, in keys and in their ids.
const ED25519_TYPE: u8 = 1;

/// Begins each signature's line: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    #[error("this is not a verifier key: name+hash+key, as the note format has it, for Ed25519")]
    Key,
    #[error("this is not a signed note")]
    Malformed,
    #[error("the note is not signed by this key")]
    Unsigned,
    #[error("the note's signature does not fit its text")]
    Forged,
    #[error("the note is not a checkpoint of this log")]
    NotACheckpoint,
}

/// Who may sign for a log: `<name>+<hash>+<base64 of 0x01 and the public key>`.
#[derive(Debug, Clone)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = STANDARD.decode(key).map_err(|_not_base64| NoteError::Key)?;
        let (Some(&ED25519_TYPE), Ok(public)) =
            (key.first(), <[u8; 32]>::try_from(key.get(1..).unwrap_or_default()))
        else {
            return Err(NoteError::Key);
        };
        let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &key]);
        let id = [a, b, c, d];
        let named = hash.len() == 8 && u32::from_str_radix(hash, 16) == Ok(u32::from_be_bytes(id));
        if !named || name.is_empty() || name.contains(char::is_whitespace) {
            return Err(NoteError::Key);
        }
        Ok(Self { name: name.to_owned(), id, public })
    }
}

/// What a log's signer said it was: so many events, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a note that `key` has signed. Signatures of others are not looked at.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = (&note[..=split], &note[split + 2..]);
        if !signatures.ends_with('\n') || note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed);
        }
        let mut signed = false;
        for line in signatures.lines() {
            let (name, id, signature) = signature(line).ok_or(NoteError::Malformed)?;
            if name == key.name && id == key.id {
                UnparsedPublicKey::new(&ED25519, key.public)
                    .verify(text.as_bytes(), &signature)
                    .map_err(|_unspecified| NoteError::Forged)?;
                signed = true;
            }
        }
        if !signed {
            return Err(NoteError::Unsigned);
        }
        Self::parse(text, &key.name).ok_or(NoteError::NotACheckpoint)
    }

    fn parse(text: &str, origin: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != origin {
            return None;
        }
        let number = lines.next()?;
        let size: u64 = number.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        // Extension lines may follow; an empty one would be the end of another format.
        (size.to_string() == number && lines.all(|line| !line.is_empty()))
            .then_some(Self { size, root })
    }
}

fn signature(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let mut id = STANDARD.decode(base64).ok()?;
    let signature = (id.len() > 4).then(|| id.split_off(4))?;
    Some((name, id.try_into().ok()?, signature))
}

#[cfg(test)]
mod tests;
