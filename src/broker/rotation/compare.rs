//! Writer `agent`: MARS saves the passphrase in `AzBackup-...` by itself. What it wrote is found by listing,
//! read by its version and compared with the escrow while both are sealed: nothing is released here.

use futures_util::future::{try_join, try_join_all};
use time::Duration;

use super::in_force::Written;
use crate::{
    azure::{KeyVaultError, SealedPassphrases, VersionProperties},
    broker::{Broker, Error, Refused},
    domain::{
        audit_event::Outcome,
        caller::Caller,
        key_vault_id::{SecretIdentifier, SecretReference, SecretVersion},
        machine::Machine,
        rotation::{Collected, Rotation},
    },
    store::rotations,
};

/// Key Vault dates a version by its own clock, in whole seconds.
pub(super) const CLOCKS_APART: Duration = Duration::seconds(10);

/// The newest ones. Nobody changes a passphrase so often while a rotation is open.
const MOST_COMPARED: usize = 25;

/// What are kept as candidates of one rotation, so that an event can name all of a machine's.
pub(super) const MOST_KEPT: usize = 3;

/// How a new version stands to the passphrase that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Same,
    Different,
    Disabled,
    /// It was listed, and is not there: Key Vault is not done with it.
    Missing,
}

impl Broker {
    /// The newest version that MARS wrote with this rotation's passphrase; none when it has written nothing
    /// yet. When it wrote another passphrase, that becomes a candidate, too, and the rotation
    /// `indeterminate`.
    pub(super) async fn find_what_mars_wrote(
        &self,
        caller: &Caller,
        machine: &Machine,
        rotation: &Rotation,
        collected: &Collected,
        said: Option<&SecretReference>,
    ) -> Result<Option<Written>, Refused> {
        if let Some(said) = said {
            is_own_secret(machine, said)?;
        }
        let said = said.and_then(|said| said.version.as_ref());
        let new = self.new_versions(caller, machine, rotation, said).await?;
        let compared = self.compare(caller, machine, rotation, collected, new).await?;
        let alike = |wanted| {
            let fits = compared.iter().filter(move |(_, comparison)| *comparison == wanted);
            fits.map(|(identifier, _)| identifier).collect::<Vec<_>>()
        };
        let (different, disabled) = (alike(Comparison::Different), alike(Comparison::Disabled));
        if let Some(same) = alike(Comparison::Same).first() {
            let others = different.iter().map(|other| other.version.clone()).collect();
            return Ok(Some(Written { version: (*same).clone(), others }));
        }
        let event =
            |outcome| self.event(caller, outcome).on_machine(machine.id).on_rotation(rotation.id);
        if !different.is_empty() {
            let others = [different, disabled].concat();
            return Err(self.keep_both(caller, rotation, &others).await);
        }
        if !disabled.is_empty() {
            let event = event(Outcome::Failed).naming(disabled.iter().copied());
            let recorded = self.audit.record(event.with("keyVault", "disabled")).await?;
            let error = Error::NewVersionDisabled { versions: names(&disabled) };
            return Err(Refused { error, on_record: Some(recorded) });
        }
        self.audit.record(event(Outcome::Intended).with("waitsFor", "MARS")).await?;
        Ok(None)
    }

    /// Versions that somebody other than this service wrote since the rotation was requested, newest
    /// first, and in any case the one that the agent names.
    async fn new_versions(
        &self,
        caller: &Caller,
        machine: &Machine,
        rotation: &Rotation,
        said: Option<&SecretVersion>,
    ) -> Result<Vec<VersionProperties>, Error> {
        let known: Vec<SecretVersion> =
            self.store.list_known_versions(machine.id, rotation.id).await?;
        let request_id = &caller.request().request_id;
        let (uri, name) = (&machine.key_vault_uri, &machine.secret_name);
        let mut versions = self.key_vault.list_versions(request_id, uri, name).await?;
        let since = rotation.requested_at - CLOCKS_APART;
        versions.retain(|version| {
            let id = &version.identifier.version;
            let is_new = version.created_at.is_none_or(|created_at| created_at >= since);
            let of_others = version.machine != Some(machine.id.0) && !known.contains(id);
            of_others && (is_new || said == Some(id))
        });
        versions.sort_by_key(|version| {
            std::cmp::Reverse((said == Some(&version.identifier.version), version.created_at))
        });
        versions.truncate(MOST_COMPARED);
        versions.sort_by_key(|version| std::cmp::Reverse(version.created_at));
        Ok(versions)
    }

    /// Reads them and the escrow side by side.
    async fn compare(
        &self,
        caller: &Caller,
        machine: &Machine,
        rotation: &Rotation,
        collected: &Collected,
        new: Vec<VersionProperties>,
    ) -> Result<Vec<(SecretIdentifier, Comparison)>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let request_id = &caller.request().request_id;
        let reads = new.into_iter().map(|version| async move {
            let identifier = version.identifier;
            let secret = std::slice::from_ref(&identifier);
            match self.key_vault.get_versions(request_id, secret).await {
                Ok(sealed) => Ok((identifier, Ok(sealed))),
                Err(KeyVaultError::Disabled(_)) => Ok((identifier, Err(Comparison::Disabled))),
                Err(KeyVaultError::NotFound(_)) => Ok((identifier, Err(Comparison::Missing))),
                Err(error) => Err(Error::from(error)),
            }
        });
        let escrow = self.read_escrow(caller, machine, rotation, &collected.escrow_version);
        let (escrow, read) = try_join(escrow, try_join_all(reads)).await?;
        let comparison = |sealed: SealedPassphrases| {
            if sealed.same_as(&escrow) { Comparison::Same } else { Comparison::Different }
        };
        let compared = read.into_iter().map(|(identifier, read)| {
            (identifier, read.map_or_else(std::convert::identity, comparison))
        });
        Ok(compared.collect())
    }

    /// The machine may use what was handed out or what was written: both are candidates from now on, until
    /// a confirmation settles it.
    async fn keep_both(
        &self,
        caller: &Caller,
        rotation: &Rotation,
        others: &[&SecretIdentifier],
    ) -> Refused {
        tracing::warn!(rotation = %rotation.id, "MARS saved another passphrase than was handed out");
        let event = self
            .event(caller, Outcome::Failed)
            .on_machine(rotation.machine_id)
            .on_rotation(rotation.id)
            .naming(others.iter().copied())
            .with("comparison", "different");
        let kept: Vec<SecretVersion> =
            others.iter().take(MOST_KEPT).map(|other| other.version.clone()).collect();
        let (row, now) = (rotation.clone(), self.clock.now());
        let recorded = self
            .audit
            .record_with(event, move |connection| {
                Box::pin(
                    async move { rotations::mark_different(connection, &row, &kept, now).await },
                )
            })
            .await;
        match recorded {
            Ok((recorded, ())) => {
                let error = Error::PassphraseDiffers { versions: names(others) };
                Refused { error, on_record: Some(recorded) }
            }
            Err(not_recorded) => not_recorded.into(),
        }
    }
}

/// An agent speaks of its own machine's secret, or of nothing.
fn is_own_secret(machine: &Machine, said: &SecretReference) -> Result<(), Error> {
    if (&said.key_vault, &said.name) == (&machine.key_vault_uri, &machine.secret_name) {
        return Ok(());
    }
    let detail = format!(
        "this machine's secret is {}secrets/{}; an operator registers another one",
        machine.key_vault_uri, machine.secret_name
    );
    Err(Error::InvalidRequest { pointer: "/secretIdentifier", detail })
}

fn names(versions: &[&SecretIdentifier]) -> String {
    let ids: Vec<&str> = versions.iter().map(|version| version.version.as_str()).collect();
    ids.join(" ")
}
