//! What ARM was asked, by whom, and what it answered: the second witness next to a client's own records.
//!
//! The last 20,000 requests are kept.

use std::collections::VecDeque;

use serde::Serialize;

use crate::azure::epoch_seconds;

const LONGEST: usize = 20_000;

/// One request to `management.azure.com`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagementRequest {
    pub method: String,
    /// With its query, as sent.
    pub target: String,
    /// Absent when the token did not hold.
    pub caller_oid: Option<String>,
    pub status: u16,
    pub at: i64,
}

#[derive(Default)]
pub(crate) struct Log(VecDeque<ManagementRequest>);

impl Log {
    pub(super) fn add(
        &mut self,
        method: &str,
        target: &str,
        caller_oid: Option<String>,
        status: u16,
    ) {
        if self.0.len() >= LONGEST {
            self.0.pop_front();
        }
        self.0.push_back(ManagementRequest {
            method: method.to_owned(),
            target: target.to_owned(),
            caller_oid,
            status,
            at: epoch_seconds(),
        });
    }

    pub(crate) fn all(&self) -> Vec<ManagementRequest> {
        self.0.iter().cloned().collect()
    }
}
