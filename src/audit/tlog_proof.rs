//! A proof of one event as a text to keep: C2SP's [tlog-proof](https://c2sp.org/tlog-proof), with the event
//! itself as its extra data. It verifies offline, against the log's public key and nothing else, and holds
//! no passphrase, because no event does.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::{
    note::{Checkpoint, NoteError, VerifierKeys},
    proof,
    prove::InclusionProof,
    tree::{Hash, leaf_hash},
};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A path in a tree of 2^64 leaves is not longer.
const MOST_HASHES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// The event, byte for byte as the log has it.
    pub body: Option<Vec<u8>>,
    pub index: u64,
    pub hashes: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiptError {
    #[error("this is not a C2SP tlog-proof")]
    Malformed,
    #[error("the proof comes without the event that it is of, so it is no receipt")]
    NoEvent,
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    #[error("the event of this receipt is not event {0} of the log that its checkpoint is of")]
    NotInTheLog(u64),
}

impl TlogProof {
    pub fn of(proof: InclusionProof, body: Option<Vec<u8>>, checkpoint: String) -> Self {
        Self { body, index: proof.index, hashes: proof.hashes, checkpoint }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{FIRST_LINE}")?;
        if let Some(body) = &self.body {
            writeln!(formatter, "extra {}", STANDARD.encode(body))?;
        }
        writeln!(formatter, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(formatter, "{}", STANDARD.encode(hash))?;
        }
        write!(formatter, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        parse(text).ok_or(ReceiptError::Malformed)
    }
}

fn parse(text: &str) -> Option<TlogProof> {
    let (head, checkpoint) = text.split_once("\n\n")?;
    let mut lines = head.split('\n').peekable();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let extra = lines.next_if(|line| line.starts_with("extra "));
    let body = extra.map(|line| STANDARD.decode(&line["extra ".len()..])).transpose().ok()?;
    let number = lines.next()?.strip_prefix("index ")?;
    let index: u64 = number.parse().ok()?;
    let hashes = lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok());
    let hashes: Vec<Hash> = hashes.take(MOST_HASHES + 1).collect::<Option<_>>()?;
    // A number has one spelling.
    (index.to_string() == number && hashes.len() <= MOST_HASHES).then(|| TlogProof {
        body,
        index,
        hashes,
        checkpoint: checkpoint.to_owned(),
    })
}

/// A proof that was checked: its event is in the log that the key's owner signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub index: u64,
    pub body: Vec<u8>,
    pub tree: Checkpoint,
    pub(super) hashes: Vec<Hash>,
}

impl Receipt {
    pub fn open(text: &str, keys: &VerifierKeys) -> Result<Self, ReceiptError> {
        let TlogProof { body, index, hashes, checkpoint } = text.parse()?;
        let body = body.ok_or(ReceiptError::NoEvent)?;
        let tree = Checkpoint::open(&checkpoint, keys)?;
        if !proof::includes(&tree.root, tree.size, index, &leaf_hash(&body), &hashes) {
            return Err(ReceiptError::NotInTheLog(index));
        }
        Ok(Self { index, body, tree, hashes })
    }
}

#[cfg(test)]
mod tests;
