//! Makes the process a bad place to look for passphrases: nothing can dump its memory or attach to
//! it, and a panic does not print what it panicked about.
//!
//! The zeroing allocator in `main.rs` is the other half: it wipes the copies that libraries leave
//! behind. Neither helps against root on the same host; the README says so.

use std::{fmt, io, panic::PanicHookInfo};

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{
        DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
        setrlimit,
    },
};
use thiserror::Error;

/// What could not be hardened. `serve` stops on it.
#[derive(Debug, Error)]
pub enum HardeningError {
    #[error("the process could not be made undumpable")]
    Dumpable(#[source] io::Error),
    #[error("core files could not be switched off")]
    CoreFiles(#[source] io::Error),
}

/// What was hardened. Both of the things that are not named here succeeded, or there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    pub memory: MemoryLock,
}

/// Whether pages can be swapped out. Locking guards against swap only, so it is no error when the
/// limits of the process do not allow it: hosts of this service have no swap (README).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLock {
    Locked,
    /// `RLIMIT_MEMLOCK` is finite. A lock that covers future pages would then make an allocation
    /// fail some day, which ends the process.
    NotAttempted,
    Refused(rustix::io::Errno),
}

impl fmt::Display for Hardening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not dumpable, no core files, panics without payloads, ")?;
        match self.memory {
            MemoryLock::Locked => formatter.write_str("memory locked"),
            MemoryLock::NotAttempted => {
                formatter.write_str("memory not locked (RLIMIT_MEMLOCK is not unlimited)")
            }
            MemoryLock::Refused(errno) => write!(formatter, "memory not locked ({errno})"),
        }
    }
}

/// Hardens this process and installs the panic hook: before any secret is read. Again does no harm.
pub fn harden() -> Result<Hardening, HardeningError> {
    std::panic::set_hook(Box::new(report_panic));
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core).map_err(|errno| HardeningError::CoreFiles(errno.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| HardeningError::Dumpable(errno.into()))?;
    // Asked again because a system-call filter may answer "done" without doing it.
    match dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) => {}
        Ok(_) => return Err(HardeningError::Dumpable(io::ErrorKind::Unsupported.into())),
        Err(errno) => return Err(HardeningError::Dumpable(errno.into())),
    }
    if getrlimit(Resource::Core).maximum != Some(0) {
        return Err(HardeningError::CoreFiles(io::ErrorKind::Unsupported.into()));
    }
    Ok(Hardening { memory: lock_memory() })
}

fn lock_memory() -> MemoryLock {
    if getrlimit(Resource::Memlock).current.is_some() {
        return MemoryLock::NotAttempted;
    }
    // Only pages in use: otherwise the stack of every thread would be filled in and counted.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    match mlockall(flags) {
        Ok(()) => MemoryLock::Locked,
        Err(errno) => MemoryLock::Refused(errno),
    }
}

/// The payload may be a formatted value of anything, a passphrase included: only the place is told.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let location =
        panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    tracing::error!(location, "panicked");
}
