//! Cursors: where the next page begins, opaque to callers, and worthless when altered or used elsewhere.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::problem::Problem;
use crate::domain::{caller::Caller, operation::Operation};

const TAG_LENGTH: usize = 16;
/// A position may be a link of Key Vault's.
const LONGEST: usize = 2_048;

/// The key of cursors, the same on all replicas: a page may come from another one than the first.
pub struct CursorKey(hmac::Key);

impl CursorKey {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A cursor for the caller's present operation.
    pub(super) fn seal(&self, caller: &Caller, position: &str) -> String {
        let tag = hmac::sign(&self.0, &bound(caller, position));
        let mut bytes = tag.as_ref().get(..TAG_LENGTH).unwrap_or_default().to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a cursor of ours, made for this operation and tenant.
    pub(super) fn open(&self, caller: &Caller, cursor: &str) -> Result<String, Problem> {
        self.verified(caller, cursor).ok_or_else(|| {
            Problem::at(
                "cursor",
                "this cursor was not made here, or not for this list; begin at the first page",
            )
        })
    }

    fn verified(&self, caller: &Caller, cursor: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|bytes| bytes.len() <= LONGEST)?;
        let (tag, position) = bytes.split_at_checked(TAG_LENGTH)?;
        let position = std::str::from_utf8(position).ok()?;
        let expected = hmac::sign(&self.0, &bound(caller, position));
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            expected.as_ref().get(..TAG_LENGTH)?,
            tag,
        );
        same.ok().map(|()| position.to_owned())
    }
}

fn bound(caller: &Caller, position: &str) -> Vec<u8> {
    let (operation, tenant): (Operation, Uuid) = (caller.operation(), caller.tenant_id());
    format!("{}\n{tenant}\n{position}", operation.id()).into_bytes()
}
