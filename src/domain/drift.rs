//! What a check of Key Vault found that this service did not do: a machine's drift. It is kept beside the
//! machine's lifecycle, so that a rotation that is open stays open whatever was found; the state that is
//! shown is derived from both, in one place (`state_of_machine` of the migrations).

use time::OffsetDateTime;

use super::key_vault_id::SecretVersion;

/// What the last check saw of the machine's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretCondition {
    #[default]
    Unchecked,
    Present,
    /// The whole secret lies in soft delete (391282).
    SoftDeleted,
    Missing,
    /// The secret is there, and its version in force is disabled.
    VersionDisabled,
    /// The secret is there, and its version in force is not.
    VersionMissing,
}

impl SecretCondition {
    pub const ALL: [Self; 6] = [
        Self::Unchecked,
        Self::Present,
        Self::SoftDeleted,
        Self::Missing,
        Self::VersionDisabled,
        Self::VersionMissing,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Present => "present",
            Self::SoftDeleted => "softDeleted",
            Self::Missing => "missing",
            Self::VersionDisabled => "versionDisabled",
            Self::VersionMissing => "versionMissing",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

/// All that the checks know of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    pub checked_at: Option<OffsetDateTime>,
    pub secret: SecretCondition,
    /// What somebody else wrote after the one in force, newest first, disabled or not: the machine may use
    /// any of them. Few, so that an event can name them.
    pub foreign_versions: Vec<SecretVersion>,
    /// The Recovery Services vault had a system-assigned identity and has none any more: MARS cannot save
    /// the next passphrase. It "must not be disabled even temporarily", says Microsoft.
    pub identity_vanished: bool,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    SecretSoftDeleted,
    SecretMissing,
    VersionDisabled,
    VersionMissing,
    ForeignVersion,
    IdentityVanished,
}

impl Finding {
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretSoftDeleted => "secretSoftDeleted",
            Self::SecretMissing => "secretMissing",
            Self::VersionDisabled => "versionDisabled",
            Self::VersionMissing => "versionMissing",
            Self::ForeignVersion => "foreignVersion",
            Self::IdentityVanished => "identityVanished",
        }
    }
}

impl Drift {
    /// None: as far as the last check knows, all is well.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let secret = match self.secret {
            SecretCondition::Unchecked | SecretCondition::Present => None,
            SecretCondition::SoftDeleted => Some(Finding::SecretSoftDeleted),
            SecretCondition::Missing => Some(Finding::SecretMissing),
            SecretCondition::VersionDisabled => Some(Finding::VersionDisabled),
            SecretCondition::VersionMissing => Some(Finding::VersionMissing),
        };
        let foreign = (!self.foreign_versions.is_empty()).then_some(Finding::ForeignVersion);
        let identity = self.identity_vanished.then_some(Finding::IdentityVanished);
        secret.into_iter().chain(foreign).chain(identity)
    }

    /// Whether the version in force can be read, as far as the last check knows.
    pub fn is_readable(&self) -> bool {
        matches!(self.secret, SecretCondition::Unchecked | SecretCondition::Present)
    }
}
