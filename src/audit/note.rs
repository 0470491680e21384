//! Checkpoints as C2SP has them: a tlog-checkpoint (origin, size, root) in a signed note, with Ed25519.
//! A checkpoint that is kept elsewhere is what tells a shortened or rewritten log from the true one.

mod signing;

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::tree::{Hash, sha256};
pub use signing::{InvalidSigningKey, SigningKeys, generate};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let key = Self::new(name, public).ok_or(NoteError::Key)?;
        if key.has_hash(hash) { Ok(key) } else { Err(NoteError::Key) }
    }
}

impl VerifierKey {
    /// None for what cannot be a name.
    fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        if name.is_empty() || name.contains('+') || name.contains(char::is_whitespace) {
            return None;
        }
        let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], &public]);
        Some(Self { name: name.to_owned(), id: [a, b, c, d], public })
    }

    /// As keys are written, eight hexadecimal digits.
    fn has_hash(&self, hash: &str) -> bool {
        let number = u32::from_str_radix(hash, 16);
        hash.len() == 8 && number == Ok(u32::from_be_bytes(self.id))
    }

    /// What the log is called: the origin of its checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_TYPE], self.public.as_slice()].concat());
        write!(formatter, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.id))
    }
}

/// Any of which may have signed: a log's keys, one a line, the present and former ones. Empty lines and
/// those that begin with `#` say nothing.
#[derive(Debug, Clone)]
pub struct VerifierKeys(Vec<VerifierKey>);

impl VerifierKeys {
    pub fn iter(&self) -> impl Iterator<Item = &VerifierKey> {
        self.0.iter()
    }
}

impl FromStr for VerifierKeys {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = keys.map(str::parse).collect::<Result<Vec<VerifierKey>, NoteError>>()?;
        if keys.is_empty() { Err(NoteError::Key) } else { Ok(Self(keys)) }
    }
}

impl From<VerifierKey> for VerifierKeys {
    fn from(key: VerifierKey) -> Self {
        Self(vec![key])
    }
}

impl FromIterator<VerifierKey> for VerifierKeys {
    fn from_iter<I: IntoIterator<Item = VerifierKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// What a log's signer said it was: so many events, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a note that one of `keys` has signed. Signatures of others are not looked at; of ours, none
    /// may be wrong.
    pub fn open(note: &str, keys: &VerifierKeys) -> Result<Self, NoteError> {
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = (&note[..=split], &note[split + 2..]);
        if !signatures.ends_with('\n') || note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed);
        }
        let mut signer = None;
        for line in signatures.lines() {
            let (name, id, signature) = signature(line).ok_or(NoteError::Malformed)?;
            for key in keys.iter().filter(|key| name == key.name && id == key.id) {
                UnparsedPublicKey::new(&ED25519, key.public)
                    .verify(text.as_bytes(), &signature)
                    .map_err(|_unspecified| NoteError::Forged)?;
                signer = Some(key);
            }
        }
        let signer = signer.ok_or(NoteError::Unsigned)?;
        Self::parse(text, &signer.name).ok_or(NoteError::NotACheckpoint)
    }

    /// What is signed, without extension lines.
    fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root))
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
