//! A rotation: replacing a machine's passphrase in two phases, so that no crash loses the one that
//! the machine uses.
//!
//! `requested -> prepared -> collected -> confirmed`, else `failed | abandoned | expired |
//! indeterminate`. Once collected, a passphrase may have been applied whatever anybody says later, so
//! it stays a candidate until a later rotation is confirmed.

use std::{fmt, time::Duration};

use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{key_vault_id::SecretVersion, machine::MachineId, secret_name::SecretName};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RotationId(pub Uuid);

impl fmt::Display for RotationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Who writes the new passphrase to `AzBackup-...` when it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Broker,
    /// MARS itself, through the Recovery Services vault's identity.
    Agent,
}

impl Writer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Agent => "agent",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Broker, Self::Agent].into_iter().find(|writer| writer.name() == name)
    }
}

/// How long a rotation may stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a rotation expires in 60 to 604800 seconds")]
pub struct InvalidLifetime;

impl Lifetime {
    pub fn from_seconds(seconds: u64) -> Result<Self, InvalidLifetime> {
        if (60..=604_800).contains(&seconds) {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err(InvalidLifetime)
        }
    }

    pub fn after(self, now: OffsetDateTime) -> OffsetDateTime {
        now + self.0
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self(Duration::from_hours(1))
    }
}

/// A version of the escrow secret that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    pub escrow_version: SecretVersion,
    pub at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotationState {
    /// The intent is on record; nothing is known of Key Vault yet.
    Requested,
    /// The new passphrase is in escrow; nobody has seen it.
    Prepared {
        escrow_version: SecretVersion,
    },
    Collected(Collected),
    /// Applied by the machine, and written to `AzBackup-...` as `version`.
    Confirmed {
        collected: Collected,
        version: SecretVersion,
        at: OffsetDateTime,
    },
    /// Given up with the old passphrase in force. When it had been collected, it stays a candidate:
    /// a machine that reports a failure may have applied it all the same.
    Failed {
        collected: Option<Collected>,
        mars_error_code: Option<String>,
        message: Option<String>,
    },
    /// Withdrawn before anybody saw it.
    Abandoned,
    /// The deadline passed before anybody saw it.
    Expired,
    /// The deadline passed after somebody saw it, or MARS saved another passphrase than this. A late
    /// confirmation settles it.
    Indeterminate(Collected),
}

impl RotationState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Prepared { .. } => "prepared",
            Self::Collected(_) => "collected",
            Self::Confirmed { .. } => "confirmed",
            Self::Failed { .. } => "failed",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
            Self::Indeterminate(_) => "indeterminate",
        }
    }

    /// A machine has at most one open rotation; PostgreSQL sees to it (partial unique index).
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Requested | Self::Prepared { .. } | Self::Collected(_))
    }

    /// The version that may be in use on the machine although no confirmation said so.
    pub fn unsettled(&self) -> Option<&Collected> {
        match self {
            Self::Collected(collected) | Self::Indeterminate(collected) => Some(collected),
            Self::Failed { collected, .. } => collected.as_ref(),
            Self::Requested
            | Self::Prepared { .. }
            | Self::Confirmed { .. }
            | Self::Abandoned
            | Self::Expired => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub id: RotationId,
    pub machine_id: MachineId,
    /// The order in which the rotations of a machine were requested.
    pub sequence: i64,
    pub writer: Writer,
    pub state: RotationState,
    pub escrow_secret_name: SecretName,
    /// Versions of the machine's secret that MARS or somebody else wrote meanwhile, and that do not hold
    /// this rotation's passphrase: the machine may use one of them. Newest first.
    pub other_versions: Vec<SecretVersion>,
    /// Fencing: whoever takes a rotation over raises it, and the one who was slow finds it changed.
    pub epoch: i32,
    /// The machine said that it uses the passphrase; writing it to `AzBackup-...` has not ended.
    pub confirming: bool,
    pub requested_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    /// Open, and its deadline has passed, which the next reconciliation will put on record. By PostgreSQL's
    /// clock, as of when it was read: no replica's clock ends a rotation that another one began.
    pub overdue: bool,
}
