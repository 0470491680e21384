//! Table `rotations`. Each change names the states that it may start from, so a late or repeated
//! message changes nothing (compare-and-set).

mod read;
mod row;
mod write;

pub use write::{
    check_confirming, insert_rotation, insert_unsettled, mark_abandoned, mark_collected,
    mark_confirmed, mark_confirming, mark_different, mark_failed, mark_overdue, mark_prepared,
    take_over,
};

use super::Error;

/// Why a rotation's row was not changed.
#[derive(Debug)]
pub enum Refusal {
    /// Another rotation of the machine is open.
    RotationInProgress,
    /// The machine's first passphrase is still being written.
    BeingRegistered,
    /// The rotation is not in a state in which this can happen, or somebody else took it over.
    WrongState,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.violated() {
            Some("rotations_one_open") => Self::RotationInProgress,
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}
