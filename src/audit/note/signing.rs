//! Keys that sign checkpoints, in the note format: `PRIVATE+KEY+<name>+<hash>+<base64 of 0x01 and the seed>`.
//!
//! A key is held by the library that signs, which wipes it; nothing here can print it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Checkpoint, ED25519_TYPE, SIGNATURE_MARK, VerifierKey, VerifierKeys};

const MARK: &str = "PRIVATE+KEY+";

/// What is wrong, without what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSigningKey {
    #[error("is not PRIVATE+KEY+name+hash+base64, as the note format has it, for Ed25519")]
    Malformed,
    #[error("holds keys of different names, though a log has one")]
    Names,
    #[error("holds a key twice")]
    Twice,
    #[error("holds no key")]
    None,
}

/// One key. Neither printed nor copied.
struct SigningKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    fn parse(text: &str) -> Result<Self, InvalidSigningKey> {
        let malformed = InvalidSigningKey::Malformed;
        let mut parts = text.strip_prefix(MARK).ok_or(malformed)?.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let key = STANDARD.decode(key).map(Zeroizing::new).map_err(|_not_base64| malformed)?;
        let Some((&ED25519_TYPE, seed)) = key.split_first() else { return Err(malformed) };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_wrong_size| malformed)?;
        let verifier = verifier(name, &pair).ok_or(malformed)?;
        if verifier.has_hash(hash) { Ok(Self { verifier, pair }) } else { Err(malformed) }
    }

    /// A signature's line.
    fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signature = [self.verifier.id.as_slice(), signature.as_ref()].concat();
        format!("{SIGNATURE_MARK}{} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

fn verifier(name: &str, pair: &Ed25519KeyPair) -> Option<VerifierKey> {
    VerifierKey::new(name, pair.public_key().as_ref().try_into().ok()?)
}

/// The keys of one log, one a line. Each signs every checkpoint: while keys change, the new and the old.
pub struct SigningKeys(Vec<SigningKey>);

impl SigningKeys {
    /// Empty lines and those that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, InvalidSigningKey> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(SigningKey::parse).collect::<Result<Vec<_>, _>>()?;
        let first = keys.first().ok_or(InvalidSigningKey::None)?;
        if keys.iter().any(|key| key.verifier.name != first.verifier.name) {
            return Err(InvalidSigningKey::Names);
        }
        let twice = |at: usize| keys[..at].iter().any(|key| key.verifier == keys[at].verifier);
        if (1..keys.len()).any(twice) {
            return Err(InvalidSigningKey::Twice);
        }
        Ok(Self(keys))
    }

    pub fn verifier_keys(&self) -> VerifierKeys {
        self.0.iter().map(|key| key.verifier.clone()).collect()
    }

    /// The note that says of the log what `checkpoint` says.
    pub(in crate::audit) fn sign(&self, checkpoint: &Checkpoint) -> String {
        let origin = self.0.first().map_or("", |key| key.verifier.name.as_str());
        let text = checkpoint.text(origin);
        let signatures: String = self.0.iter().map(|key| key.sign(&text)).collect();
        format!("{text}\n{signatures}")
    }
}

/// A new key for the log of this name: the line to keep secret, and the one to give away.
pub fn generate(name: &str) -> Option<(Zeroizing<String>, VerifierKey)> {
    let mut key = Zeroizing::new([ED25519_TYPE; 33]);
    aws_lc_rs::rand::fill(&mut key[1..]).ok()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&key[1..]).ok()?;
    let verifier = verifier(name, &pair)?;
    let key = Zeroizing::new(STANDARD.encode(&key[..]));
    let hash = u32::from_be_bytes(verifier.id);
    Some((Zeroizing::new(format!("{MARK}{name}+{hash:08x}+{}", *key)), verifier))
}
