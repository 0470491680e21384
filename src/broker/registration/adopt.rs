//! What MARS saved already: found under the names that it may have, never overwritten, never read.

use crate::{
    azure::{KeyVaultError, KeyVaultFacts, VersionProperties},
    broker::{Broker, Error, error::ANOTHER_MACHINE},
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{InForce, Machine, MachineState},
        secret_name::SecretName,
    },
};

impl Broker {
    /// Finds the secret that MARS saved, and which of its versions is in force. When the caller
    /// chose the name, it is that one and no other.
    pub(super) async fn adopt_version(
        &self,
        caller: &Caller,
        mut machine: Machine,
        wanted: Option<SecretVersion>,
        chosen: bool,
    ) -> Result<Machine, Error> {
        let names = if chosen {
            vec![machine.secret_name.clone()]
        } else {
            SecretName::candidates(&machine.fqdn, &machine.recovery_services_vault_id)
        };
        let mut found: Vec<VersionProperties> = Vec::new();
        let request_id = &caller.request().request_id;
        for name in &names {
            let versions =
                self.key_vault.list_versions(request_id, &machine.key_vault_uri, name).await?;
            if !versions.is_empty() && !found.is_empty() {
                let detail =
                    "more than one secret may be this machine's; name it as secretName".to_owned();
                return Err(Error::InvalidRequest { pointer: "/secretName", detail });
            }
            found.extend(versions);
        }
        if found.is_empty() {
            return Err(self.nothing_to_adopt(caller, &machine, &names).await);
        }
        found.retain(|version| {
            version.enabled
                && wanted.as_ref().is_none_or(|wanted| version.identifier.version == *wanted)
        });
        let newest = found
            .iter()
            .max_by_key(|version| version.created_at)
            .ok_or(Error::NoPassphraseStored)?;
        // Key Vault's clock has whole seconds: of two versions in one second nobody can tell the later.
        if found.iter().filter(|version| version.created_at == newest.created_at).count() > 1 {
            let detail = "two versions were created in the same second; name the one in force as passphrase.version";
            return Err(Error::InvalidRequest {
                pointer: "/passphrase/version",
                detail: detail.to_owned(),
            });
        }
        machine.secret_name = newest.identifier.name.clone();
        machine.in_force = Some(InForce {
            version: newest.identifier.version.clone(),
            since: newest.created_at.unwrap_or(machine.created_at),
            rotation_sequence: 0,
        });
        machine.state = MachineState::Active;
        Ok(machine)
    }

    /// One that is soft-deleted can be had: MARS would say 391282.
    async fn nothing_to_adopt(
        &self,
        caller: &Caller,
        machine: &Machine,
        names: &[SecretName],
    ) -> Error {
        let request_id = &caller.request().request_id;
        for name in names {
            let absent = KeyVaultError::NotFound(KeyVaultFacts::default());
            let why = self.or_soft_deleted(request_id, &machine.key_vault_uri, name, absent).await;
            if let deleted @ KeyVaultError::SoftDeleted(_) = why {
                return deleted.into();
            }
        }
        Error::NoPassphraseStored
    }

    /// A secret that exists already holds what MARS uses now. A new version of it would make everybody
    /// who looks at the newest one lose the passphrase in force.
    pub(super) async fn refuse_known_secret(
        &self,
        caller: &Caller,
        machine: &Machine,
    ) -> Result<(), Error> {
        let request_id = &caller.request().request_id;
        let versions = self
            .key_vault
            .list_versions(request_id, &machine.key_vault_uri, &machine.secret_name)
            .await?;
        if versions.is_empty() {
            return Ok(());
        }
        // A registration of the same machine may have written it since this one began.
        let (fqdn, rsv) = (&machine.fqdn, &machine.recovery_services_vault_id);
        if self.store.find_registered_machine(machine.tenant_id, fqdn, rsv).await?.is_some() {
            return Err(Error::MachineExists);
        }
        if self.store.is_secret_taken(&machine.key_vault_uri, &machine.secret_name).await? {
            return Err(Error::SecretNameTaken(ANOTHER_MACHINE));
        }
        Err(Error::SecretNameTaken(
            "Key Vault holds a secret of this name already; register with the source \"adopted\" to take it over",
        ))
    }
}
