//! A machine: a Windows server with the MARS agent, and where its passphrase lies.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    drift::Drift,
    key_vault_id::{KeyVaultUri, SecretIdentifier, SecretVersion},
    passphrase::Passphrase,
    recovery_services_vault::RecoveryServicesVaultId,
    secret_name::SecretName,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct MachineId(pub Uuid);

impl fmt::Display for MachineId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The machine's fully qualified name as MARS registers it, or its host name in a workgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Fqdn(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a machine name has at most 253 characters, in labels of 1 to 63 letters, digits, hyphens and underscores"
)]
pub struct InvalidFqdn;

impl Fqdn {
    pub fn parse(text: &str) -> Result<Self, InvalidFqdn> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let label_fits = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
                && !Passphrase::looks_generated(label)
        };
        let fits = text.len() <= 253 && text.split('.').all(label_fits);
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidFqdn) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first label.
    pub fn host(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The version of the MARS agent, such as `2.0.9262.0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AgentVersion(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an agent version is two to four numbers with dots, such as 2.0.9262.0")]
pub struct InvalidAgentVersion;

impl AgentVersion {
    pub fn parse(text: &str) -> Result<Self, InvalidAgentVersion> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_number = |part: &&str| {
            (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let fits = (2..=4).contains(&parts.len()) && parts.iter().all(is_number);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidAgentVersion) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Free labels for search and reports. They are stored here only, never in Key Vault, whose tags
/// "may be copied globally".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "at most 15 tags; a name has 1 to 64 characters, a value at most 256, and neither has control characters"
)]
pub struct InvalidTags;

impl Tags {
    pub fn parse(tags: BTreeMap<String, String>) -> Result<Self, InvalidTags> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        let fits = |(name, value): (&String, &String)| {
            (1..=64).contains(&name.chars().count())
                && value.chars().count() <= 256
                && plain(name)
                && plain(value)
        };
        if tags.len() <= 15 && tags.iter().all(fits) { Ok(Self(tags)) } else { Err(InvalidTags) }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}

/// The identity that may act as this machine. Bound by an operator, never on first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentBinding {
    pub tenant_id: Uuid,
    pub object_id: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineState {
    /// Registered; no passphrase is in force yet.
    AwaitingPassphrase,
    Active,
    /// A rotation is open.
    Rotating,
    /// A passphrase was handed out and nobody said whether it was applied.
    Indeterminate,
    /// The secret lies in Key Vault's soft delete.
    SoftDeleted,
    /// A check found something else that this service did not do: see [`Drift`].
    Drifted,
    Retired,
}

impl MachineState {
    pub const ALL: [Self; 7] = [
        Self::AwaitingPassphrase,
        Self::Active,
        Self::Rotating,
        Self::Indeterminate,
        Self::SoftDeleted,
        Self::Drifted,
        Self::Retired,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AwaitingPassphrase => "awaitingPassphrase",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Indeterminate => "indeterminate",
            Self::SoftDeleted => "softDeleted",
            Self::Drifted => "drifted",
            Self::Retired => "retired",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The passphrase in force: the version that the machine is known to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub version: SecretVersion,
    pub since: OffsetDateTime,
    /// The sequence of the rotation that brought it; 0 for a registration. It only ever grows, so a
    /// late confirmation of an older rotation cannot put an older passphrase back in force.
    pub rotation_sequence: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub id: MachineId,
    pub tenant_id: Uuid,
    pub fqdn: Fqdn,
    pub recovery_services_vault_id: RecoveryServicesVaultId,
    pub key_vault_uri: KeyVaultUri,
    pub secret_name: SecretName,
    pub agent: Option<AgentBinding>,
    pub agent_version: Option<AgentVersion>,
    pub tags: Tags,
    pub state: MachineState,
    pub in_force: Option<InForce>,
    /// What the last check found.
    pub drift: Drift,
    /// Grows with each change; the `ETag`.
    pub revision: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl Machine {
    /// A version of this machine's own secret.
    pub fn secret(&self, version: SecretVersion) -> SecretIdentifier {
        SecretIdentifier {
            key_vault: self.key_vault_uri.clone(),
            name: self.secret_name.clone(),
            version,
        }
    }

    /// A version of a secret beside it, in the same Key Vault.
    pub fn escrow(&self, name: SecretName, version: SecretVersion) -> SecretIdentifier {
        SecretIdentifier { key_vault: self.key_vault_uri.clone(), name, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_name_is_folded_to_lower_case() {
        assert_eq!(
            Fqdn::parse("SRV-Web01.Corp.Contoso.com").unwrap().as_str(),
            "srv-web01.corp.contoso.com"
        );
        assert_eq!(Fqdn::parse("SRV_1").unwrap().host(), "srv_1");
    }

    #[test]
    fn awkward_machine_names_are_refused() {
        for wrong in [
            "",
            ".",
            "a..b",
            "a.",
            "-a",
            "a-",
            "a/b",
            "../a",
            "a\0b",
            "a b",
            "\u{e4}",
            "6mw4t-h47ky-txh2h-427yr-hmhfw-77fkm-h622y-t2rx7-7h6wt",
            &"a.".repeat(150),
        ] {
            assert_eq!(Fqdn::parse(wrong), Err(InvalidFqdn), "{wrong:?}");
        }
    }

    #[test]
    fn an_agent_version_is_numbers_with_dots() {
        assert!(AgentVersion::parse("2.0.9262.0").is_ok());
        for wrong in ["", "2", "2.0.x", "2..0", "1.2.3.4.5", "-1.0"] {
            assert_eq!(AgentVersion::parse(wrong), Err(InvalidAgentVersion), "{wrong:?}");
        }
    }
}
