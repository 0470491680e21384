//! What Key Vault itself knows of a machine that no database knows any more: our tags on each version, and which
//! escrow versions are still enabled. A pure function: with it a lost PostgreSQL is rebuilt by adopting.
//!
//! It may find more candidates than there were, never fewer: an escrow version that was never handed out looks
//! like one that was.

use std::cmp::Reverse;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    azure::VersionProperties,
    domain::{key_vault_id::SecretVersion, machine::MachineId},
};

/// As many as a rotation's row keeps.
pub(super) const MOST_OTHERS: usize = 3;
/// As many as an event can name.
const MOST_UNSETTLED: usize = 50;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// The id that the machine had.
    pub(super) machine: Option<MachineId>,
    /// What the last confirmation put in force. None: there was none, so what MARS saved last is.
    pub(super) in_force: Option<(SecretVersion, OffsetDateTime)>,
    /// Versions of the machine's secret that are later, newest first.
    pub(super) others: Vec<SecretVersion>,
    /// What may have been handed out after that, oldest first.
    pub(super) unsettled: Vec<Unsettled>,
}

/// A passphrase in escrow that no confirmation settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// The rotation that wrote it: its agent may still confirm.
    pub(super) rotation: Option<Uuid>,
    pub(super) version: SecretVersion,
    pub(super) written_at: OffsetDateTime,
}

/// `own` and `escrow` are the versions of the machine's two secrets.
pub(super) fn traces(own: &[VersionProperties], escrow: &[VersionProperties]) -> Traces {
    // Our operations have ids that grow with time, which Key Vault's whole seconds do not tell apart. A
    // confirmation disables the escrow up to its own.
    let settled = own.iter().chain(escrow.iter().filter(|version| !version.enabled));
    let last = settled.filter_map(|version| version.operation).max();
    let in_force = last.and_then(|last| in_force(own, last));
    let begins = escrow.iter().filter(|version| last.is_some() && version.operation == last);
    let begins = begins.filter_map(|version| version.created_at).min();
    let mut unsettled: Vec<Unsettled> = escrow
        .iter()
        .filter(|version| version.enabled && (last.is_none() || version.operation != last))
        .filter_map(|version| {
            let written_at = version.created_at?;
            let version_id = version.identifier.version.clone();
            let found =
                || Unsettled { rotation: version.operation, version: version_id, written_at };
            begins.is_none_or(|begins| written_at >= begins).then(found)
        })
        .collect();
    unsettled.sort_by_key(|found| (found.rotation, found.written_at));
    unsettled.drain(..unsettled.len().saturating_sub(MOST_UNSETTLED));
    Traces {
        machine: machine(own, escrow),
        others: in_force.map(|in_force| later(own, in_force)).unwrap_or_default(),
        in_force: in_force
            .and_then(|version| Some((version.identifier.version.clone(), version.created_at?))),
        unsettled,
    }
}

/// The version that this operation put in force: with its tag, or MARS wrote it by itself.
fn in_force(own: &[VersionProperties], last: Uuid) -> Option<&VersionProperties> {
    let readable_and_newest = |version: &&VersionProperties| (version.enabled, version.created_at);
    let ours = own.iter().filter(|version| version.operation == Some(last));
    let of_mars = own.iter().filter(|version| version.operation.is_none() && version.enabled);
    ours.max_by_key(readable_and_newest).or_else(|| of_mars.max_by_key(readable_and_newest))
}

fn later(own: &[VersionProperties], in_force: &VersionProperties) -> Vec<SecretVersion> {
    let mut later: Vec<&VersionProperties> = own
        .iter()
        .filter(|version| version.enabled && version.identifier != in_force.identifier)
        .filter(|version| {
            let may_be_later = version.operation.is_none_or(|one| Some(one) > in_force.operation);
            version.created_at > in_force.created_at
                || (version.created_at == in_force.created_at && may_be_later)
        })
        .collect();
    later.sort_by_key(|version| Reverse(version.created_at));
    later.truncate(MOST_OTHERS);
    later.into_iter().map(|version| version.identifier.version.clone()).collect()
}

/// As the newest tag says.
fn machine(own: &[VersionProperties], escrow: &[VersionProperties]) -> Option<MachineId> {
    let tagged = own.iter().chain(escrow).filter(|version| version.operation.is_some());
    tagged.max_by_key(|version| version.operation)?.machine.map(MachineId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_vault_id::{SecretIdentifier, SecretReference};

    const MACHINE: Uuid = Uuid::from_u128(7);

    /// A version of this number, written in that second by this operation.
    fn version(
        number: u8,
        second: i64,
        operation: Option<u128>,
        enabled: bool,
    ) -> VersionProperties {
        let uri = format!("https://kv-mars.vault.azure.net/secrets/AzBackup-a/{number:032x}");
        let SecretReference { key_vault, name, version } = SecretReference::parse(&uri).unwrap();
        VersionProperties {
            identifier: SecretIdentifier { key_vault, name, version: version.unwrap() },
            enabled,
            created_at: OffsetDateTime::from_unix_timestamp(1_000 + second).ok(),
            updated_at: None,
            not_before: None,
            expires_at: None,
            operation: operation.map(Uuid::from_u128),
            machine: operation.map(|_| MACHINE),
            recovery_level: None,
        }
    }

    fn numbers(versions: impl IntoIterator<Item = SecretVersion>) -> Vec<u128> {
        let number = |id: SecretVersion| u128::from_str_radix(id.as_str(), 16).unwrap();
        versions.into_iter().map(number).collect()
    }

    /// In force, later ones, and what is not settled.
    fn told(own: &[VersionProperties], escrow: &[VersionProperties]) -> [Vec<u128>; 3] {
        let traces = traces(own, escrow);
        [
            numbers(traces.in_force.map(|(version, _)| version)),
            numbers(traces.others),
            numbers(traces.unsettled.into_iter().map(|found| found.version)),
        ]
    }

    #[test]
    fn the_last_operation_put_its_version_in_force_also_within_one_second() {
        let own = [version(2, 0, Some(9), true), version(1, 0, Some(7), true)];
        let escrow = [version(3, 0, Some(9), false)];
        assert_eq!(told(&own, &escrow), [vec![2], vec![], vec![]]);
        assert_eq!(traces(&own, &escrow).machine, Some(MachineId(MACHINE)));
    }

    #[test]
    fn what_is_in_escrow_after_that_may_be_in_use() {
        let own = [version(1, 0, Some(7), true), version(2, 5, Some(9), true)];
        let escrow = [
            version(3, 3, Some(8), false),
            version(4, 4, Some(9), false),
            version(5, 6, Some(10), true),
            version(6, 7, Some(11), true),
        ];
        assert_eq!(told(&own, &escrow), [vec![2], vec![], vec![5, 6]]);
        // One that could not be disabled is history all the same.
        let left = [version(3, 3, Some(8), true), version(4, 4, Some(9), true)];
        assert_eq!(told(&own, &left), [vec![2], vec![], vec![]]);
    }

    #[test]
    fn what_mars_wrote_by_itself_is_in_force_when_the_escrow_says_so() {
        let own = [version(1, 0, Some(7), true), version(2, 5, None, true)];
        assert_eq!(told(&own, &[version(3, 4, Some(9), false)]), [vec![2], vec![], vec![]]);
        assert_eq!(told(&own, &[version(3, 4, Some(9), true)]), [vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn without_our_tags_nothing_is_said() {
        assert_eq!(traces(&[version(1, 0, None, true)], &[]), Traces::default());
    }

    #[test]
    fn a_version_in_force_that_somebody_disabled_is_still_in_force() {
        let own = [version(1, 0, Some(7), true), version(2, 5, Some(9), false)];
        assert_eq!(told(&own, &[]), [vec![2], vec![], vec![]]);
    }
}
