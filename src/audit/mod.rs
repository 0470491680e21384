//! The audit log.

mod receipt;

pub use receipt::{ReadId, Recorded, Release, ReleaseReceipt};
