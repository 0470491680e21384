//! `retrieve_passphrase`: the help desk reads a passphrase, with a reason, and the log knows first.
//!
//! The passphrase in force is the one that a machine confirmed, never "the newest". With it come the
//! candidates: what was handed out later and never settled may be what the machine uses by now.

use futures_util::future::try_join_all;
use time::OffsetDateTime;

use super::{
    Broker, Error, Refused,
    versions::{VersionStatus, status_of},
};
use crate::{
    audit::Recorded,
    azure::{KeyVaultError, Opened, SealedPassphrases},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        key_vault_id::{SecretIdentifier, SecretVersion},
        machine::{Machine, MachineId},
        passphrase::Passphrase,
        reason::Purpose,
        rotation::Rotation,
    },
};

#[derive(Debug, Clone)]
pub enum WantedVersion {
    /// The passphrase in force, as this service knows it.
    Latest,
    Exactly(SecretVersion),
}

#[derive(Debug)]
pub struct Retrieved {
    pub machine: Machine,
    pub first: Candidate,
    /// In the order in which to try them when the first does not open the backup.
    pub others: Vec<Candidate>,
    /// What belongs here too, and Key Vault does not give.
    pub unreadable: Vec<Unreadable>,
    pub event: Recorded,
}

/// A version that may be the one that opens the backup, although nobody can read it now.
#[derive(Debug)]
pub struct Unreadable {
    pub identifier: SecretIdentifier,
    pub status: VersionStatus,
    pub collected_at: Option<OffsetDateTime>,
    pub why: WhyUnreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyUnreadable {
    Disabled,
    /// The whole secret is; it can be recovered.
    SoftDeleted,
    NotThere,
}

#[derive(Debug)]
pub struct Candidate {
    pub passphrase: Passphrase,
    pub identifier: SecretIdentifier,
    pub created_at: Option<OffsetDateTime>,
    pub status: VersionStatus,
    /// When it was handed out, for one that nobody confirmed; none for one that MARS or somebody else
    /// wrote meanwhile.
    pub collected_at: Option<OffsetDateTime>,
}

/// A version to read, and what is known of it.
struct Reading {
    identifier: SecretIdentifier,
    status: VersionStatus,
    collected_at: Option<OffsetDateTime>,
}

impl Broker {
    pub async fn retrieve_passphrase(
        &self,
        caller: &Caller,
        id: MachineId,
        purpose: &Purpose,
        wanted: WantedVersion,
    ) -> Result<Retrieved, Refused> {
        // In this order: when a confirmation comes in between, its passphrase is in force and not a
        // candidate. The other way round it would be neither, and the one in use would be missing.
        let mut unsettled = self.store.list_unsettled_rotations(id).await?;
        let machine = self.machine(caller, id).await?;
        let in_force = machine.in_force.as_ref().map_or(0, |in_force| in_force.rotation_sequence);
        unsettled.retain(|rotation| rotation.sequence > in_force);
        let named = matches!(wanted, WantedVersion::Exactly(_));
        let readings = match wanted {
            WantedVersion::Latest => in_force_and_candidates(&machine, &unsettled),
            WantedVersion::Exactly(version) => vec![exactly(&machine, &unsettled, version)],
        };
        if readings.is_empty() {
            return Err(Error::NoPassphraseStored.into());
        }
        let (readings, sealed, unreadable) = match self.read(caller, readings).await {
            Ok(read) => read,
            Err(Error::KeyVault(error @ KeyVaultError::Unavailable(_))) => {
                return Err(self.explain(caller, &machine, error).await.into());
            }
            Err(error) => return Err(of_version(error, named).into()),
        };
        let mut event = self.event(caller, Outcome::Released).on_machine(id).because(purpose);
        if !unreadable.is_empty() {
            let versions: Vec<&str> =
                unreadable.iter().map(|missing| missing.identifier.version.as_str()).collect();
            event = event.with("unreadable", versions.join(" "));
        }
        let receipt = self.audit.record_release(sealed.release(event)).await?;
        let recorded = receipt.event();
        let opened = sealed.open(receipt).map_err(Error::from)?;
        let mut candidates = readings
            .into_iter()
            .zip(opened)
            .map(|(reading, opened)| Candidate::of(&reading, opened));
        let first = candidates.next().ok_or(Error::Internal("nothing was read"))?;
        let others = candidates.collect();
        Ok(Retrieved { machine, first, others, unreadable, event: recorded })
    }

    /// Reads all of them side by side. One that is gone from Key Vault must not keep a person in need
    /// from the others, but they are told of it.
    async fn read(
        &self,
        caller: &Caller,
        readings: Vec<Reading>,
    ) -> Result<(Vec<Reading>, SealedPassphrases, Vec<Unreadable>), Error> {
        let request_id = &caller.request().request_id;
        let reads = readings.into_iter().map(|reading| async move {
            let secret = std::slice::from_ref(&reading.identifier);
            match self.key_vault.get_versions(request_id, secret).await {
                Ok(sealed) => Ok((reading, Ok(sealed))),
                Err(gone @ KeyVaultError::Disabled(_)) => Ok((reading, Err(gone))),
                Err(gone @ KeyVaultError::NotFound(_)) => {
                    let (key_vault, name) =
                        (&reading.identifier.key_vault, &reading.identifier.name);
                    let gone = self.or_soft_deleted(request_id, key_vault, name, gone).await;
                    Ok((reading, Err(gone)))
                }
                Err(error) => Err(error),
            }
        });
        let (mut there, mut sealed, mut unreadable, mut refusal) =
            (Vec::new(), Vec::new(), Vec::new(), None);
        for (reading, read) in try_join_all(reads).await? {
            match read {
                Ok(passphrase) => {
                    there.push(reading);
                    sealed.push(passphrase);
                }
                Err(gone) => {
                    unreadable.push(Unreadable::of(reading, &gone));
                    refusal.get_or_insert(gone);
                }
            }
        }
        let nothing = || refusal.map_or(Error::NoPassphraseStored, Error::from);
        let sealed = SealedPassphrases::join(sealed).ok_or_else(nothing)?;
        Ok((there, sealed, unreadable))
    }
}

/// A version that the caller named and that does not exist is their mistake; other refusals are Key Vault's.
fn of_version(error: Error, named: bool) -> Error {
    match error {
        Error::KeyVault(KeyVaultError::NotFound(_)) if named => Error::NotFound("version"),
        other => other,
    }
}

fn in_force_and_candidates(machine: &Machine, unsettled: &[Rotation]) -> Vec<Reading> {
    let in_force = machine.in_force.as_ref().map(|in_force| Reading {
        identifier: machine.secret(in_force.version.clone()),
        status: VersionStatus::Current,
        collected_at: None,
    });
    // What somebody else wrote later comes first: MARS saves a passphrase when it has applied it. Then the
    // newest: an agent that lost its memory goes on with the last one it was given.
    let handed_out = unsettled.iter().rev().flat_map(|rotation| candidates(machine, rotation));
    let mut readings: Vec<Reading> = in_force.into_iter().collect();
    for reading in foreign(machine).chain(handed_out) {
        if readings.iter().all(|earlier| earlier.identifier != reading.identifier) {
            readings.push(reading);
        }
    }
    readings
}

/// Versions that somebody else wrote after the one in force, as the last check found them: no listing is
/// waited for here.
fn foreign(machine: &Machine) -> impl Iterator<Item = Reading> {
    machine.drift.foreign_versions.iter().map(|version| Reading {
        identifier: machine.secret(version.clone()),
        status: VersionStatus::Unconfirmed,
        collected_at: None,
    })
}

/// What was handed out, then what MARS or somebody else wrote instead.
fn candidates(machine: &Machine, rotation: &Rotation) -> Vec<Reading> {
    let Some(collected) = rotation.state.unsettled() else { return Vec::new() };
    let handed_out = Reading {
        identifier: machine
            .escrow(rotation.escrow_secret_name.clone(), collected.escrow_version.clone()),
        status: VersionStatus::Unconfirmed,
        collected_at: Some(collected.at),
    };
    let written = rotation.other_versions.iter().map(|version| Reading {
        identifier: machine.secret(version.clone()),
        status: VersionStatus::Unconfirmed,
        collected_at: None,
    });
    std::iter::once(handed_out).chain(written).collect()
}

fn exactly(machine: &Machine, unsettled: &[Rotation], version: SecretVersion) -> Reading {
    let of_rotation = unsettled
        .iter()
        .flat_map(|rotation| candidates(machine, rotation))
        .chain(foreign(machine))
        .find(|reading| reading.identifier.version == version);
    of_rotation.unwrap_or_else(|| Reading {
        status: status_of(machine, &version),
        identifier: machine.secret(version),
        collected_at: None,
    })
}

impl Unreadable {
    fn of(reading: Reading, error: &KeyVaultError) -> Self {
        let Reading { identifier, status, collected_at } = reading;
        let why = match error {
            KeyVaultError::Disabled(_) => WhyUnreadable::Disabled,
            KeyVaultError::SoftDeleted(_) => WhyUnreadable::SoftDeleted,
            _ => WhyUnreadable::NotThere,
        };
        Self { identifier, status, collected_at, why }
    }
}

impl Candidate {
    fn of(reading: &Reading, opened: Opened) -> Self {
        Self {
            passphrase: opened.passphrase,
            identifier: opened.identifier,
            created_at: opened.created_at,
            status: reading.status,
            collected_at: reading.collected_at,
        }
    }
}
