//! Checks the log without the service, event by event in constant memory, and gives two verdicts:
//! *integrity* (no event was altered, moved or put in) and *completeness* (none is missing, up to a
//! checkpoint that was kept elsewhere). What could not be checked is `unknown`, never `ok`.
//!
//! The tree decides. What else is stored of an event only helps to name the one where it went wrong.

mod archive;
mod database;
mod evidence;
mod export;
mod receipt;
mod recorded_at;
mod report;
mod row;
mod verifier;

pub use database::{VerifyError, database};
pub use evidence::Evidence;
pub use export::{UnreadableExport, export};
pub use receipt::receipt;
pub use report::{Archived, Finding, Report, Verdict};
