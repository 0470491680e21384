//! Putting a confirmed passphrase in force: for whoever confirms, or for one who was interrupted.

use std::cmp::Reverse;

use super::{
    compare::{CLOCKS_APART, MOST_KEPT},
    tags,
};
use crate::{
    azure::{SecretTags, SetError, VersionProperties},
    broker::{Broker, Error, Refused, behalf::Behalf},
    domain::{
        audit_event::{AuditEvent, Outcome},
        key_vault_id::{SecretIdentifier, SecretVersion},
        machine::Machine,
        rotation::{Collected, Rotation},
    },
    store::rotations,
};

/// A passphrase that is in `AzBackup-...` now.
#[derive(Debug)]
pub(in crate::broker) struct Written {
    pub(in crate::broker) version: SecretIdentifier,
    /// What somebody else wrote meanwhile, newest first.
    pub(in crate::broker) others: Vec<SecretVersion>,
}

impl Written {
    /// As many as an event can name beside a machine's other candidates.
    pub(in crate::broker) fn kept(&self) -> Vec<SecretVersion> {
        self.others.iter().take(MOST_KEPT).cloned().collect()
    }
}

impl Broker {
    /// Copies the escrow to `AzBackup-...`, unless an earlier confirmation whose reply was lost did so.
    pub(in crate::broker) async fn write_in_force(
        &self,
        behalf: impl Into<Behalf<'_>>,
        machine: &Machine,
        rotation: &Rotation,
        collected: &Collected,
    ) -> Result<Written, Refused> {
        let behalf = behalf.into();
        let request_id = &behalf.request_id();
        let (uri, name) = (&machine.key_vault_uri, &machine.secret_name);
        let versions = self.key_vault.list_versions(request_id, uri, name).await?;
        let others = self.written_by_others(machine, rotation, &versions).await?;
        let earlier = versions.iter().find(|version| version.operation == Some(rotation.id.0));
        if let Some(version) = earlier {
            return Ok(Written { version: version.identifier.clone(), others });
        }
        let event = |outcome| {
            self.event_for(behalf, outcome).on_machine(machine.id).on_rotation(rotation.id)
        };
        let (intended, row) = (with_others(event(Outcome::Intended), &others), rotation.clone());
        self.audit
            .record_with(intended, move |connection| {
                Box::pin(async move { rotations::mark_confirming(connection, &row).await })
            })
            .await?;
        let escrow =
            machine.escrow(rotation.escrow_secret_name.clone(), collected.escrow_version.clone());
        let tags: SecretTags = tags(rotation);
        match self.key_vault.copy_version(request_id, &escrow, &machine.secret_name, &tags).await {
            Ok(stored) => Ok(Written { version: stored.identifier, others }),
            // Nothing is lost: the escrow holds it. The machine confirms again, or the reconciler for it.
            Err(SetError::Refused(error)) => {
                // What is not found is the escrow: writing creates what is missing.
                let escrow = &rotation.escrow_secret_name;
                let error = self.or_soft_deleted(request_id, uri, escrow, error).await;
                Err(self.refuse(event(Outcome::Failed), SetError::Refused(error)).await)
            }
            Err(unknown @ SetError::OutcomeUnknown(_)) => {
                Err(self.refuse(event(Outcome::Unknown), unknown).await)
            }
        }
    }

    /// The escrow versions up to this one are history now. If this fails they stay readable for those
    /// who may read Key Vault, which loses nothing.
    pub(in crate::broker) async fn disable_escrow(
        &self,
        behalf: impl Into<Behalf<'_>>,
        machine: &Machine,
        rotation: &Rotation,
    ) {
        let behalf = behalf.into();
        let request_id = &behalf.request_id();
        let (uri, name) = (&machine.key_vault_uri, &rotation.escrow_secret_name);
        let versions = match self.key_vault.list_versions(request_id, uri, name).await {
            Ok(versions) => versions,
            Err(error) => {
                return tracing::warn!(%error, rotation = %rotation.id, "escrow versions are not disabled");
            }
        };
        // Only what is known to be this rotation's or an earlier one's: disabling a later one would take
        // a candidate away from whoever needs it.
        let known = self.store.list_rotations(machine.id, Some(rotation.sequence + 1), 200).await;
        let history = match known {
            Ok(rotations) => rotations,
            Err(error) => {
                return tracing::warn!(%error, rotation = %rotation.id, "escrow versions are not disabled");
            }
        };
        let is_history = |operation| history.iter().any(|earlier| Some(earlier.id.0) == operation);
        for version in
            versions.iter().filter(|version| version.enabled && is_history(version.operation))
        {
            if let Err(error) =
                self.key_vault.disable_version(request_id, &version.identifier).await
            {
                tracing::warn!(%error, rotation = %rotation.id, "an escrow version is not disabled");
            }
        }
    }

    /// Versions that somebody else wrote since the passphrase in force, newest first. Key Vault has no
    /// compare-and-set, so they are noticed, not prevented; they are kept, and the machine may use one.
    async fn written_by_others(
        &self,
        machine: &Machine,
        rotation: &Rotation,
        versions: &[VersionProperties],
    ) -> Result<Vec<SecretVersion>, Error> {
        let Some(in_force) = &machine.in_force else { return Ok(Vec::new()) };
        let listed = versions.iter().find(|version| version.identifier.version == in_force.version);
        let written = listed.and_then(|version| version.created_at);
        let since = written.unwrap_or(in_force.since) - CLOCKS_APART;
        let mut others: Vec<&VersionProperties> = versions
            .iter()
            .filter(|version| version.machine != Some(machine.id.0))
            .filter(|version| version.created_at.is_some_and(|created_at| created_at > since))
            .collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.store.list_known_versions(machine.id, rotation.id).await?;
        others.retain(|version| !known.contains(&version.identifier.version));
        others.sort_by_key(|version| Reverse(version.created_at));
        tracing::warn!(machine = %machine.id, "somebody else wrote versions of this machine's secret");
        Ok(others.into_iter().map(|version| version.identifier.version.clone()).collect())
    }
}

/// Names what somebody else wrote, if there is something.
pub(in crate::broker) fn with_others(event: AuditEvent, others: &[SecretVersion]) -> AuditEvent {
    if others.is_empty() {
        return event;
    }
    let versions: Vec<&str> = others.iter().map(SecretVersion::as_str).collect();
    event.with("versionsOfOthers", versions.join(" "))
}
