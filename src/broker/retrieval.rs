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
    pub event: Recorded,
}

#[derive(Debug)]
pub struct Candidate {
    pub passphrase: Passphrase,
    pub identifier: SecretIdentifier,
    pub created_at: Option<OffsetDateTime>,
    pub status: VersionStatus,
    /// When it was handed out, for one that nobody confirmed.
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
        let machine = self.machine(caller, id).await?;
        let unsettled = self.store.list_unsettled_rotations(&machine).await?;
        let mut readings = match wanted {
            WantedVersion::Latest => in_force_and_candidates(&machine, &unsettled),
            WantedVersion::Exactly(version) => vec![exactly(&machine, &unsettled, version)],
        };
        if readings.is_empty() {
            return Err(Error::NoPassphraseStored.into());
        }
        let sealed = self.read(caller, &mut readings).await?;
        let event = self.event(caller, Outcome::Released).on_machine(id).because(purpose);
        let receipt = self.audit.record_release(sealed.release(event)).await?;
        let recorded = receipt.event();
        let opened = sealed.open(receipt).map_err(Error::from)?;
        let mut candidates = readings
            .into_iter()
            .zip(opened)
            .map(|(reading, opened)| Candidate::of(&reading, opened));
        let first = candidates.next().ok_or(Error::Internal("nothing was read"))?;
        Ok(Retrieved { machine, first, others: candidates.collect(), event: recorded })
    }

    /// Reads all of them side by side. A candidate that is gone from Key Vault must not keep a person
    /// in need from the others; `readings` then no longer names it.
    async fn read(
        &self,
        caller: &Caller,
        readings: &mut Vec<Reading>,
    ) -> Result<SealedPassphrases, Error> {
        let request_id = &caller.request().request_id;
        let several = readings.len() > 1;
        let read_one = |reading: &Reading| {
            let identifier = reading.identifier.clone();
            async move {
                match self.key_vault.get_versions(request_id, &[identifier]).await {
                    Ok(sealed) => Ok(Some(sealed)),
                    Err(KeyVaultError::NotFound(_) | KeyVaultError::Disabled(_)) if several => {
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
        };
        let read = try_join_all(readings.iter().map(read_one)).await.map_err(of_version)?;
        let mut there = read.iter().map(Option::is_some).collect::<Vec<_>>().into_iter();
        readings.retain(|_| there.next().unwrap_or(false));
        SealedPassphrases::join(read.into_iter().flatten()).ok_or(Error::NoPassphraseStored)
    }
}

/// A version that does not exist is the caller's mistake; other refusals are Key Vault's.
fn of_version(error: KeyVaultError) -> Error {
    match error {
        KeyVaultError::NotFound(_) => Error::NotFound("version"),
        other => other.into(),
    }
}

fn in_force_and_candidates(machine: &Machine, unsettled: &[Rotation]) -> Vec<Reading> {
    let in_force = machine.in_force.as_ref().map(|in_force| Reading {
        identifier: machine.secret(in_force.version.clone()),
        status: VersionStatus::Current,
        collected_at: None,
    });
    // The newest first: an agent that lost its memory goes on with the last one it was given.
    let candidates = unsettled.iter().rev().filter_map(|rotation| candidate(machine, rotation));
    in_force.into_iter().chain(candidates).collect()
}

fn candidate(machine: &Machine, rotation: &Rotation) -> Option<Reading> {
    let collected = rotation.state.unsettled()?;
    Some(Reading {
        identifier: machine
            .escrow(rotation.escrow_secret_name.clone(), collected.escrow_version.clone()),
        status: VersionStatus::Unconfirmed,
        collected_at: Some(collected.at),
    })
}

fn exactly(machine: &Machine, unsettled: &[Rotation], version: SecretVersion) -> Reading {
    let of_rotation = unsettled
        .iter()
        .filter_map(|rotation| candidate(machine, rotation))
        .find(|reading| reading.identifier.version == version);
    of_rotation.unwrap_or_else(|| Reading {
        status: status_of(machine, &version),
        identifier: machine.secret(version),
        collected_at: None,
    })
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
