//! The lines of an export, NDJSON: one that begins it, one for each event, one that ends it. Whoever does
//! not find the last one has not got all of it. The README has them to the byte.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use crate::audit::tree::Hash;

pub(in crate::audit) const FORMAT: &str = "passphrase-broker-audit-export/1";

/// Which events follow, and the tree of those before.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::audit) struct Beginning<'a> {
    #[serde(borrow)]
    pub(in crate::audit) format: Cow<'a, str>,
    /// The first sequence.
    pub(in crate::audit) start: u64,
    /// The one behind the last.
    pub(in crate::audit) end: u64,
    pub(in crate::audit) frontier: Vec<String>,
}

/// Bytes are base64. The body is the exact bytes as a string, so that a reader sees an event and a
/// verifier needs no canonical JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::audit) struct EventLine<'a> {
    pub(in crate::audit) sequence: u64,
    #[serde(borrow)]
    pub(in crate::audit) leaf: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::audit) nodes: Cow<'a, str>,
    /// Absent, like what follows, when the event is another tenant's: then its place in the tree is all.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) fingerprint: Option<Cow<'a, str>>,
    /// UTC, to the microsecond.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) recorded_at: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) body: Option<Cow<'a, str>>,
    /// Instead of `body`, when that is not UTF-8: no event is, unless somebody altered it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) body_base64: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::audit) struct Ending {
    /// How many lines of events there were.
    pub(in crate::audit) events: u64,
    /// Of the tree behind the last of them: what the first line called `end`.
    pub(in crate::audit) size: u64,
    /// Of that tree. Null when it could not be read.
    pub(in crate::audit) frontier: Option<Vec<String>>,
    /// A signed checkpoint of this size or a larger one. Null when nobody signs.
    pub(in crate::audit) checkpoint: Option<String>,
    /// That the tree of `size` is the beginning of the checkpoint's.
    pub(in crate::audit) consistency: Vec<String>,
}

pub(in crate::audit) fn written(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

pub(in crate::audit) fn read(hashes: &[String]) -> Option<Vec<Hash>> {
    hashes.iter().map(|hash| STANDARD.decode(hash).ok()?.try_into().ok()).collect()
}

/// PostgreSQL knows microseconds; all six digits are always there.
pub(in crate::audit) fn moment(at: OffsetDateTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(UtcOffset::UTC).format(format).unwrap_or_default()
}
