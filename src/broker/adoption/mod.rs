//! Adoption: what MARS saved before this service was there. [`scan`] lists a Key Vault and proposes machines,
//! [`judge`] says how sure each proposal is, [`accept`] registers what somebody chose. No value is read.

mod accept;
mod estate;
mod judge;
mod scan;
mod secret_state;

pub use accept::{Acceptance, Accepted};
pub use judge::{Candidate, Confidence, Proposal};
pub use scan::{Scan, ScanPosition, Scanned};
pub use secret_state::SecretState;

/// Of Key Vault, for a scan: a fifth of what Key Vault allows.
pub(super) const CALLS_PER_SECOND: u32 = 80;
