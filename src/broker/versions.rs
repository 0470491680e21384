//! The versions of a machine's secret: what Key Vault holds, and what this service knows of each.
//! Reading about a passphrase is not reading it: no value is fetched here.

use super::{Broker, Error};
use crate::{
    azure::VersionProperties,
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{Machine, MachineId},
    },
};

/// How a version stands to the passphrase in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionStatus {
    Current,
    /// It was in force once, or somebody else wrote it.
    Superseded,
    /// Handed out, and never confirmed.
    Unconfirmed,
}

#[derive(Debug)]
pub struct MachineVersion {
    pub properties: VersionProperties,
    pub status: VersionStatus,
    /// Whether this service wrote it.
    pub written_here: bool,
}

impl Broker {
    /// Newest first. The order of creation is Key Vault's clock's, in whole seconds.
    pub async fn list_versions(
        &self,
        caller: &Caller,
        id: MachineId,
    ) -> Result<Vec<MachineVersion>, Error> {
        let machine = self.machine(caller, id).await?;
        let request_id = &caller.request().request_id;
        let found = self
            .key_vault
            .list_versions(request_id, &machine.key_vault_uri, &machine.secret_name)
            .await?;
        let mut versions: Vec<MachineVersion> =
            found.into_iter().map(|properties| MachineVersion::of(&machine, properties)).collect();
        versions.sort_by(|a, b| {
            let key = |version: &MachineVersion| {
                (version.properties.created_at, version.properties.identifier.version.clone())
            };
            key(b).cmp(&key(a))
        });
        Ok(versions)
    }
}

impl MachineVersion {
    fn of(machine: &Machine, properties: VersionProperties) -> Self {
        let status = status_of(machine, &properties.identifier.version);
        let written_here = properties.machine == Some(machine.id.0);
        Self { properties, status, written_here }
    }
}

/// How a version of the machine's own secret stands.
pub(super) fn status_of(machine: &Machine, version: &SecretVersion) -> VersionStatus {
    let current = machine.in_force.as_ref().is_some_and(|in_force| in_force.version == *version);
    if current { VersionStatus::Current } else { VersionStatus::Superseded }
}
