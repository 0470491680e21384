//! Which version an adoption puts in force when this service's own tags do not say it: a pure function.
//! A disabled version that is newer may be the one that the machine uses; it is shown, and nobody guesses
//! past it.

use std::cmp::Reverse;

use time::OffsetDateTime;

use crate::{
    azure::VersionProperties,
    broker::Error,
    domain::{
        key_vault_id::SecretVersion,
        machine::{InForce, MachineId},
    },
};

/// As many as an error names; the first check of drift finds the others.
pub(super) const MOST_FOREIGN: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptedVersion {
    /// What MARS saved last, which has to be enabled.
    Newest,
    /// Somebody has looked: the newest one that is enabled, although a newer one is not.
    NewestEnabled,
    Exactly(SecretVersion),
}

impl AdoptedVersion {
    pub fn of(version: Option<SecretVersion>, chosen: bool) -> Self {
        match version {
            Some(version) => Self::Exactly(version),
            None if chosen => Self::NewestEnabled,
            None => Self::Newest,
        }
    }

    fn may_be(&self, version: &VersionProperties) -> bool {
        match self {
            Self::Newest | Self::NewestEnabled => true,
            Self::Exactly(id) => version.identifier.version == *id,
        }
    }
}

pub(super) fn choose(
    found: &[VersionProperties],
    wanted: &AdoptedVersion,
    otherwise: OffsetDateTime,
) -> Result<InForce, Error> {
    let (enabled, disabled): (Vec<_>, Vec<_>) =
        found.iter().filter(|version| wanted.may_be(version)).partition(|version| version.enabled);
    let newest = enabled.iter().max_by_key(|version| version.created_at);
    let newest = newest.ok_or_else(|| nothing_enabled(wanted, disabled.is_empty()))?;
    if *wanted == AdoptedVersion::Newest {
        refuse_newer(disabled, newest.created_at)?;
    }
    // Key Vault's clock has whole seconds: of two versions in one second nobody can tell the later.
    if enabled.iter().filter(|version| version.created_at == newest.created_at).count() > 1 {
        let detail = "two versions were created in the same second; name the one in force as passphrase.version";
        return Err(Error::InvalidRequest {
            pointer: "/passphrase/version",
            detail: detail.to_owned(),
        });
    }
    let version = newest.identifier.version.clone();
    let since = newest.created_at.unwrap_or(otherwise);
    Ok(InForce { version, since, rotation_sequence: 0 })
}

/// Disabled versions that are not older than the one in force, newest first, and that are not this machine's
/// own: it may use them.
pub(super) fn disabled_later(
    found: &[VersionProperties],
    in_force: &SecretVersion,
    machine: MachineId,
) -> Vec<SecretVersion> {
    let in_force = found.iter().find(|version| version.identifier.version == *in_force);
    let Some(in_force) = in_force else { return Vec::new() };
    let foreign = found.iter().filter(|version| {
        let other = version.identifier != in_force.identifier;
        other && !version.enabled && version.machine != Some(machine.0)
    });
    newest_first(foreign.filter(|version| version.created_at >= in_force.created_at).collect())
}

fn newest_first(mut versions: Vec<&VersionProperties>) -> Vec<SecretVersion> {
    versions.sort_by_key(|version| Reverse(version.created_at));
    versions.into_iter().map(|version| version.identifier.version.clone()).collect()
}

fn nothing_enabled(wanted: &AdoptedVersion, nothing_there: bool) -> Error {
    if nothing_there {
        return Error::NoPassphraseStored;
    }
    let detail = match wanted {
        AdoptedVersion::Exactly(_) => {
            "this version is disabled in Key Vault; enable it there, or name another one"
        }
        AdoptedVersion::Newest | AdoptedVersion::NewestEnabled => {
            "every version of this secret is disabled in Key Vault; enable the one that the machine uses"
        }
    };
    Error::VersionDisabled(detail.to_owned())
}

fn refuse_newer(
    disabled: Vec<&VersionProperties>,
    newest_enabled: Option<OffsetDateTime>,
) -> Result<(), Error> {
    let newer = disabled.into_iter().filter(|version| version.created_at >= newest_enabled);
    let newer = newest_first(newer.collect());
    if newer.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = newer.iter().take(MOST_FOREIGN).map(SecretVersion::as_str).collect();
    Err(Error::VersionDisabled(format!(
        "version {} is newer than the newest enabled one, and disabled: the machine may use it. Enable it in Key Vault, or name the version in force as version; an item of an adoption may also say \"chosen\": true to take the newest enabled one",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_vault_id::{SecretIdentifier, SecretReference};

    fn version(number: u8, second: i64, enabled: bool) -> VersionProperties {
        let uri = format!("https://kv-mars.vault.azure.net/secrets/AzBackup-a/{number:032x}");
        let SecretReference { key_vault, name, version } = SecretReference::parse(&uri).unwrap();
        VersionProperties {
            identifier: SecretIdentifier { key_vault, name, version: version.unwrap() },
            enabled,
            created_at: OffsetDateTime::from_unix_timestamp(1_000 + second).ok(),
            updated_at: None,
            not_before: None,
            expires_at: None,
            operation: None,
            machine: None,
            recovery_level: None,
        }
    }

    fn id(number: u8) -> SecretVersion {
        version(number, 0, true).identifier.version
    }

    fn chosen(
        found: &[VersionProperties],
        wanted: &AdoptedVersion,
    ) -> Result<SecretVersion, Error> {
        choose(found, wanted, OffsetDateTime::UNIX_EPOCH).map(|in_force| in_force.version)
    }

    #[test]
    fn a_newer_disabled_version_is_not_passed_over_unless_somebody_chose() {
        let found = [version(1, 0, true), version(2, 1, true), version(3, 2, false)];
        let refused = chosen(&found, &AdoptedVersion::Newest);
        assert!(
            matches!(refused, Err(Error::VersionDisabled(why)) if why.contains(id(3).as_str()))
        );
        assert_eq!(chosen(&found, &AdoptedVersion::NewestEnabled).unwrap(), id(2));
        assert_eq!(chosen(&found, &AdoptedVersion::Exactly(id(1))).unwrap(), id(1));
        let older = [version(1, 0, false), version(2, 1, true)];
        assert_eq!(chosen(&older, &AdoptedVersion::Newest).unwrap(), id(2));
        let same_second = [version(1, 1, false), version(2, 1, true)];
        assert!(chosen(&same_second, &AdoptedVersion::Newest).is_err());
    }

    #[test]
    fn disabled_is_not_missing() {
        let found = [version(1, 0, false), version(2, 1, true)];
        for (found, wanted) in [
            (&found[..1], AdoptedVersion::Newest),
            (&found[..1], AdoptedVersion::NewestEnabled),
            (&found[..], AdoptedVersion::Exactly(id(1))),
        ] {
            assert!(matches!(chosen(found, &wanted), Err(Error::VersionDisabled(_))), "{wanted:?}");
        }
        for (found, wanted) in
            [(&found[..0], AdoptedVersion::Newest), (&found[..], AdoptedVersion::Exactly(id(9)))]
        {
            assert!(matches!(chosen(found, &wanted), Err(Error::NoPassphraseStored)), "{wanted:?}");
        }
    }

    #[test]
    fn what_is_disabled_and_not_older_is_foreign_unless_it_is_the_machines_own() {
        let machine = MachineId(uuid::Uuid::max());
        let own = VersionProperties { machine: Some(machine.0), ..version(5, 9, false) };
        let found = [
            version(1, 0, false),
            version(2, 1, true),
            version(3, 1, false),
            version(4, 5, false),
            own,
        ];
        assert_eq!(disabled_later(&found, &id(2), machine), [id(4), id(3)]);
        assert_eq!(disabled_later(&found, &id(9), machine), []);
    }
}
