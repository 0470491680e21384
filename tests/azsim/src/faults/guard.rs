//! A fault that lives as long as its guard.
//!
//! A test cannot forget to clear it, and may wait until it has struck.

use std::sync::Arc;

use super::{Active, Fault};
use crate::azure::Azure;

/// A fault in place.
#[must_use = "the fault is cleared when this is dropped"]
pub struct FaultGuard {
    active: Arc<Active>,
    azure: Arc<Azure>,
}

impl FaultGuard {
    pub(crate) fn new(azure: &Arc<Azure>, fault: Fault) -> Self {
        Self { active: azure.faults.inject(fault), azure: Arc::clone(azure) }
    }

    pub fn id(&self) -> &str {
        &self.active.id
    }

    /// How many requests it struck.
    pub fn hits(&self) -> u32 {
        self.active.hits()
    }

    /// Waits until it has struck this many requests.
    pub async fn reached(&self, hits: u32) {
        self.active.reached(hits).await;
    }

    /// Clears it and lets held requests go on: the same as dropping it, said aloud.
    pub fn release(self) {}
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.azure.faults.clear(|active| active.id == self.active.id);
    }
}
