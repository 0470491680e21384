//! Reads the log out of an export, line by line: with the same verdicts as from the database, except for
//! the columns to search by, which an export does not have.

use std::{borrow::Cow, io, io::BufRead};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Evidence, Report,
    row::{ANOTHER_BODY, ANOTHER_PLACE, fingerprint},
    verifier::{Head, Leaf, Verifier},
};
use crate::audit::{
    export::format::{Beginning, Ending, EventLine, FORMAT, moment, read},
    note::{Checkpoint, NoteError, VerifierKeys},
    tree::{Frontier, leaf_hash},
};

/// The largest event, each of its bytes escaped in six, and all that stands around it.
const LONGEST_LINE: u64 = 512 * 1024;

/// PostgreSQL's.
const LARGEST_SEQUENCE: u64 = i64::MAX.cast_unsigned();

#[derive(Debug, Error)]
pub enum UnreadableExport {
    #[error("the export cannot be read")]
    Io(#[from] io::Error),
    #[error("this does not begin like an export of the audit log")]
    NoExport,
}

/// Verifies an export. `keys` are for the checkpoint that came with it. `progress` hears how many of how
/// many events are done.
pub fn export(
    mut input: impl BufRead,
    evidence: Evidence,
    keys: Option<&VerifierKeys>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, UnreadableExport> {
    let mut line = Vec::new();
    next_line(&mut input, &mut line)?;
    let beginning: Beginning<'_> =
        serde_json::from_slice(&line).map_err(|_unknown| UnreadableExport::NoExport)?;
    let (start, end) = (beginning.start, beginning.end);
    let frontier = read(&beginning.frontier).and_then(|before| Frontier::resumed(start, before));
    let possible = start <= end && end <= LARGEST_SEQUENCE;
    let frontier = frontier.filter(|_| beginning.format == FORMAT && possible);
    let mut verifier = Verifier::new(evidence, frontier.ok_or(UnreadableExport::NoExport)?);
    let mut withheld = 0_u64;
    let mut ending = None;
    while next_line(&mut input, &mut line)? {
        if ending.is_some() {
            verifier.altered(None, "something stands behind the last line".to_owned());
            break;
        }
        let event = serde_json::from_slice::<EventLine<'_>>(&line).ok();
        if let Some(event) = event.filter(|event| event.sequence <= LARGEST_SEQUENCE) {
            withheld += u64::from(is_withheld(&event));
            take(&mut verifier, &event);
            progress(verifier.events(), end - start);
        } else if let Ok(last) = serde_json::from_slice::<Ending>(&line) {
            ending = Some(last);
        } else {
            let next = verifier.next();
            verifier.missing(next, "a line is not one of an export".to_owned());
        }
    }
    if withheld > 0 {
        let only = format!("{withheld} events of other tenants are here by their hashes only");
        verifier.note(only);
    }
    Ok(finish(verifier, ending, end, keys))
}

/// Without what ends it: no more than a line can have is kept.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = io::Read::take(&mut *input, LONGEST_LINE).read_until(b'\n', line)?;
    // One that was cut is no line, even if it looks like one.
    if line.pop_if(|last| *last == b'\n').is_none() {
        line.clear();
    }
    Ok(read > 0)
}

/// Another tenant's: the tree over all events vouches for the hash, which is all that there is.
fn is_withheld(event: &EventLine<'_>) -> bool {
    event.body.is_none()
        && event.body_base64.is_none()
        && event.recorded_at.is_none()
        && event.fingerprint.is_none()
}

fn take(verifier: &mut Verifier, event: &EventLine<'_>) {
    let bytes = |text: &str| STANDARD.decode(text).unwrap_or_default();
    let (leaf, nodes) = (bytes(&event.leaf), bytes(&event.nodes));
    let body = match (&event.body, &event.body_base64) {
        (Some(text), _) => Cow::Borrowed(text.as_bytes()),
        (None, base64) => Cow::Owned(bytes(base64.as_deref().unwrap_or_default())),
    };
    let mut problems = Vec::new();
    let mut hash = leaf.as_slice().try_into().unwrap_or_default();
    if !is_withheld(event) {
        hash = leaf_hash(&body);
        if leaf != hash {
            problems.push(ANOTHER_BODY.to_owned());
        }
        let written = event.recorded_at.as_deref().unwrap_or_default();
        let time = OffsetDateTime::parse(written, &Rfc3339).ok();
        let time = time.filter(|time| moment(*time) == written);
        let expected = time.map(|time| fingerprint(event.sequence, time.into(), &leaf));
        let stored = event.fingerprint.as_deref().map(bytes);
        if expected.is_none() || expected.as_ref().map(<[u8; 32]>::as_slice) != stored.as_deref() {
            problems.push(ANOTHER_PLACE.to_owned());
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            problems.push("its body is not an event".to_owned());
        }
    }
    verifier.take(Leaf { sequence: event.sequence, hash, nodes: &nodes, problems });
}

fn finish(
    mut verifier: Verifier,
    ending: Option<Ending>,
    end: u64,
    keys: Option<&VerifierKeys>,
) -> Report {
    let Some(ending) = ending else {
        let next = verifier.next();
        verifier.missing(next, "the export ends before its last line".to_owned());
        return verifier.finish(&Head { size: end, frontier: None });
    };
    if ending.events != verifier.events() || ending.size != end {
        let next = verifier.next();
        verifier.missing(next, "the last line counts other events than there are".to_owned());
    }
    if let (Some(note), Some(keys)) = (&ending.checkpoint, keys) {
        match (Checkpoint::open(note, keys), read(&ending.consistency)) {
            (Ok(checkpoint), Some(consistency)) => verifier.vouch(&checkpoint, &consistency),
            // Signed by a key that whoever verifies does not know: that proves nothing either way.
            (Err(NoteError::Unsigned), _) => {}
            _ => verifier.altered(None, "its checkpoint is not as it was signed".to_owned()),
        }
    }
    let frontier = ending.frontier.as_deref().and_then(read).map(|hashes| hashes.concat());
    verifier.finish(&Head { size: end, frontier })
}

#[cfg(test)]
mod tests;
