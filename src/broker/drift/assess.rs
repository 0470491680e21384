//! What the versions of a secret say, compared with what this service knows: a pure function.

use time::{Duration, OffsetDateTime};

use super::is_rotating;
use crate::{
    azure::VersionProperties,
    domain::{
        drift::{Drift, SecretCondition},
        key_vault_id::SecretVersion,
        machine::Machine,
    },
};

/// A listing may be a little older than a write.
const LISTED_AFTER: Duration = Duration::minutes(5);
/// As many as an event and a release may name besides all else; the table keeps no more.
const MOST_FOREIGN: usize = 10;

/// `versions` is not empty.
pub(super) fn assess(
    machine: &Machine,
    versions: &[VersionProperties],
    now: OffsetDateTime,
) -> Drift {
    let secret = condition(machine, versions, now);
    // What MARS writes during a rotation is compared when the machine confirms.
    let foreign_versions = if is_rotating(machine) {
        machine.drift.foreign_versions.clone()
    } else {
        foreign(machine, versions)
    };
    Drift { secret, foreign_versions, ..machine.drift.clone() }
}

fn condition(
    machine: &Machine,
    versions: &[VersionProperties],
    now: OffsetDateTime,
) -> SecretCondition {
    let Some(in_force) = &machine.in_force else { return SecretCondition::Present };
    let listed = versions.iter().find(|version| version.identifier.version == in_force.version);
    match listed {
        Some(version) if version.enabled => SecretCondition::Present,
        Some(_) => SecretCondition::VersionDisabled,
        None if now - in_force.since < LISTED_AFTER => machine.drift.secret,
        None => SecretCondition::VersionMissing,
    }
}

/// The newest versions that somebody else wrote and that are not older than the one in force; what is older is
/// history. All of them: MARS may have saved any, and that a newer one was written, or that this one was
/// disabled since, does not tell that the machine uses another.
fn foreign(machine: &Machine, versions: &[VersionProperties]) -> Vec<SecretVersion> {
    let in_force = machine.in_force.as_ref();
    let is_in_force = |version: &VersionProperties| {
        in_force.is_some_and(|in_force| in_force.version == version.identifier.version)
    };
    let listed = versions.iter().find(|version| is_in_force(version));
    let since = listed.and_then(|version| version.created_at);
    let since = since.or(in_force.map(|in_force| in_force.since.truncate_to_second()));
    let later =
        |created_at: Option<OffsetDateTime>| since.is_none_or(|since| created_at >= Some(since));
    let mut foreign: Vec<&VersionProperties> = versions
        .iter()
        .filter(|version| version.machine != Some(machine.id.0))
        .filter(|version| !is_in_force(version) && later(version.created_at))
        .collect();
    // In one second Key Vault's clock does not tell them apart: an order that stays the same will do.
    foreign.sort_by(|one, other| {
        let id = |version: &VersionProperties| version.identifier.version.clone();
        other.created_at.cmp(&one.created_at).then_with(|| id(one).cmp(&id(other)))
    });
    foreign.truncate(MOST_FOREIGN);
    foreign.into_iter().map(|version| version.identifier.version.clone()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        key_vault_id::KeyVaultUri,
        machine::{Fqdn, InForce, MachineId, MachineState, Tags},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    };

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).unwrap()
    }

    fn id(number: u128) -> SecretVersion {
        SecretVersion::parse(&format!("{number:032x}")).unwrap()
    }

    /// Version 1 is in force since second 100.
    fn machine() -> Machine {
        let rsv = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv";
        Machine {
            id: MachineId(Uuid::max()),
            tenant_id: Uuid::nil(),
            fqdn: Fqdn::parse("web01").unwrap(),
            recovery_services_vault_id: RecoveryServicesVaultId::parse(rsv).unwrap(),
            key_vault_uri: KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap(),
            secret_name: SecretName::parse("AzBackup-web01-rsv").unwrap(),
            agent: None,
            agent_version: None,
            tags: Tags::default(),
            state: MachineState::Active,
            in_force: Some(InForce { version: id(1), since: at(101), rotation_sequence: 0 }),
            drift: Drift::default(),
            revision: 1,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn version(number: u128, created: i64, ours: bool) -> VersionProperties {
        VersionProperties {
            identifier: machine().secret(id(number)),
            enabled: true,
            created_at: Some(at(created)),
            updated_at: None,
            not_before: None,
            expires_at: None,
            operation: None,
            machine: ours.then(Uuid::max),
            recovery_level: None,
        }
    }

    fn foreign_of(versions: &[VersionProperties]) -> Vec<SecretVersion> {
        assess(&machine(), versions, at(1_000)).foreign_versions
    }

    #[test]
    fn what_others_wrote_later_is_foreign_and_what_is_older_is_history() {
        let ours = version(1, 100, true);
        assert_eq!(foreign_of(&[ours.clone(), version(2, 90, false)]), []);
        assert_eq!(foreign_of(&[ours.clone(), version(3, 200, true)]), []);
        let (older, newer) = (version(4, 150, false), version(5, 200, false));
        assert_eq!(foreign_of(&[ours.clone(), older, newer.clone()]), [id(5), id(4)]);
        let disabled = VersionProperties { enabled: false, ..newer };
        assert_eq!(foreign_of(&[ours, disabled]), [id(5)]);
    }

    #[test]
    fn of_many_the_newest_ten_are_named() {
        let others =
            (2..=20).map(|number| version(number, 100 + i64::try_from(number).unwrap(), false));
        let versions: Vec<_> = std::iter::once(version(1, 100, true)).chain(others).collect();
        let newest: Vec<_> = (11..=20).rev().map(id).collect();
        assert_eq!(foreign_of(&versions), newest);
    }

    #[test]
    fn of_one_second_nobody_knows_the_later() {
        let ours = version(1, 100, false);
        assert_eq!(foreign_of(&[version(2, 100, false), ours.clone()]), [id(2)]);
        let pair = [version(3, 200, false), version(2, 200, false), ours];
        assert_eq!(foreign_of(&pair), [id(2), id(3)]);
    }

    #[test]
    fn a_rotation_that_is_open_is_not_drift() {
        let rotating = Machine { state: MachineState::Rotating, ..machine() };
        let versions = [version(1, 100, true), version(2, 200, false)];
        assert_eq!(assess(&rotating, &versions, at(300)).foreign_versions, []);
        let late = [version(1, 100, true), version(2, 200, false)];
        assert_eq!(foreign_of(&late), [id(2)]);
    }

    #[test]
    fn a_version_that_is_not_listed_yet_is_not_missing() {
        let (others, now) = ([version(9, 10, false)], at(1_000));
        assert_eq!(assess(&machine(), &others, now).secret, SecretCondition::VersionMissing);
        assert_eq!(assess(&machine(), &others, at(200)).secret, SecretCondition::Unchecked);
        let disabled = VersionProperties { enabled: false, ..version(1, 100, true) };
        let found = assess(&machine(), &[disabled], now);
        assert_eq!(found.secret, SecretCondition::VersionDisabled);
    }

    #[test]
    fn a_machine_without_a_passphrase_may_have_one_that_mars_saved() {
        let empty = Machine { in_force: None, ..machine() };
        let found = assess(&empty, &[version(7, 10, false)], at(20));
        assert_eq!(found.foreign_versions, [id(7)]);
        assert_eq!(found.secret, SecretCondition::Present);
    }
}
