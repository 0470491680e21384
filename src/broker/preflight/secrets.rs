//! What the Key Vault itself is asked, if it is one of ours: only those of the configuration are ever connected to,
//! whatever a caller names. And what the registry knows.

use std::time::Duration;

use futures_util::future::join_all;

use super::seen::present;
use crate::{
    azure::{Deadline, DeletedSecret, KeyVaultError, KeyVaultFacts, VersionProperties},
    broker::Broker,
    domain::{
        caller::Caller,
        key_vault_id::KeyVaultUri,
        preflight::facts::{
            DeletedSecretFacts, Door, SecretFacts, Seen, Source, Subject, VersionFacts,
        },
        secret_name::SecretName,
    },
};

const BUDGET: Duration = Duration::from_secs(6);
const NOT_OURS: &str =
    "This service is not configured for this Key Vault (KEY_VAULT_URIS), so it did not ask it.";
const NO_URI: &str = "Without a Key Vault URI there is nothing to ask; see PF-01.";
const NO_REGISTRY: &str = "The registry could not be read.";

pub(super) struct OfDataPlane {
    pub(super) allowed: bool,
    pub(super) door: Door,
    pub(super) may_get: Seen<bool>,
    pub(super) secrets: Vec<SecretFacts>,
    pub(super) recovery_level: Option<(String, Source)>,
}

pub(super) struct OfRegistry {
    pub(super) shared_with: Result<Vec<String>, &'static str>,
    pub(super) key_vaults_in_use: Result<Vec<String>, &'static str>,
}

/// The machine's own secret, or every name under which MARS may save it.
pub(super) fn names(subject: &Subject) -> Vec<SecretName> {
    match (&subject.secret_name, &subject.fqdn, &subject.recovery_services_vault_id) {
        (Some(name), _, _) => vec![name.clone()],
        (None, Some(fqdn), Some(rsv)) => SecretName::candidates(fqdn, rsv),
        _ => Vec::new(),
    }
}

impl Broker {
    pub(super) async fn ask_data_plane(
        &self,
        request_id: &str,
        subject: &Subject,
        uri: Option<&KeyVaultUri>,
    ) -> OfDataPlane {
        let names = names(subject);
        let Some(uri) = uri else { return OfDataPlane::closed(names, false, NO_URI) };
        if !self.rules.key_vaults.iter().any(|configured| configured == uri) {
            return OfDataPlane::closed(names, false, NOT_OURS);
        }
        let by = Deadline::after(BUDGET);
        let (door, may_get, secrets) = tokio::join!(
            self.knock(request_id, uri, by),
            self.ask_whether_readable(request_id, uri, by),
            join_all(names.iter().map(|name| self.ask_of_secret(request_id, uri, name, by))),
        );
        let (door, level) = door;
        let of_versions = || secrets.iter().find_map(recovery_level_of);
        let recovery_level = level.or_else(of_versions);
        OfDataPlane { allowed: true, door, may_get, secrets, recovery_level }
    }

    /// Reading the list of secrets: whether we are let in, and how well secrets are kept here.
    async fn knock(
        &self,
        request_id: &str,
        uri: &KeyVaultUri,
        by: Deadline,
    ) -> (Door, Option<(String, Source)>) {
        let error = match self.key_vault.probe(request_id, uri, by).await {
            Ok(told) => {
                let source = source(uri, &told.facts);
                let level = told.value.recovery_level.map(|level| (level, source.clone()));
                return (Door::Open(source), level);
            }
            Err(error) => error,
        };
        let source = source(uri, error.facts());
        let door = match &error {
            KeyVaultError::Firewall(facts) => {
                let evidence = facts.evidence.as_ref();
                let client_address = evidence.and_then(|evidence| evidence.client_address);
                Door::Firewall { client_address, source }
            }
            KeyVaultError::PermissionMissing(_) => Door::Forbidden(source),
            error => Door::Unreadable { why: why(error), source },
        };
        (door, None)
    }

    /// Reading a secret that cannot be there. "Not found" is said only to those who may read.
    async fn ask_whether_readable(
        &self,
        request_id: &str,
        uri: &KeyVaultUri,
        by: Deadline,
    ) -> Seen<bool> {
        match self.key_vault.may_get(request_id, uri, by).await {
            Ok(told) => Seen::Found(told.value, source(uri, &told.facts)),
            Err(error) => Seen::Unreadable { why: why(&error), source: source(uri, error.facts()) },
        }
    }

    async fn ask_of_secret(
        &self,
        request_id: &str,
        uri: &KeyVaultUri,
        name: &SecretName,
        by: Deadline,
    ) -> SecretFacts {
        let (listed, looked) = tokio::join!(
            self.key_vault.told_versions(request_id, uri, name, by),
            self.key_vault.deleted_secret(request_id, uri, name, by),
        );
        let versions = match listed {
            Ok(told) => {
                let versions = told.value.into_iter().map(VersionFacts::from).collect();
                Seen::Found(versions, source(uri, &told.facts))
            }
            Err(error) => unreadable(uri, &error.proved()),
        };
        let deleted = match looked {
            Ok(told) => {
                let source = source(uri, &told.facts);
                let facts = |found: DeletedSecret| DeletedSecretFacts {
                    disabled: !found.enabled,
                    scheduled_purge_at: found.purged_at,
                };
                present(Seen::Found(told.value.map(facts), source))
            }
            Err(error) => unreadable(uri, &error.proved()),
        };
        SecretFacts { name: name.clone(), versions, deleted }
    }

    pub(super) async fn ask_registry(
        &self,
        caller: &Caller,
        subject: &Subject,
        uri: Option<&KeyVaultUri>,
    ) -> OfRegistry {
        let (tenant, names) = (caller.tenant_id(), names(subject));
        let shared = async {
            match (uri, &subject.fqdn, &subject.recovery_services_vault_id) {
                (Some(uri), Some(fqdn), Some(rsv)) => {
                    self.store.list_machines_by_secret(tenant, uri, &names, (fqdn, rsv)).await
                }
                _ => Ok(Vec::new()),
            }
        };
        let (shared, used) = tokio::join!(shared, self.store.list_key_vaults(tenant));
        OfRegistry {
            shared_with: shared.map_err(|_unreadable| NO_REGISTRY),
            key_vaults_in_use: used.map_err(|_unreadable| NO_REGISTRY),
        }
    }
}

impl OfDataPlane {
    /// Whatever it says, it answers.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.door, Door::Open(_) | Door::Forbidden(_) | Door::Firewall { .. })
    }

    /// The host of a deleted Key Vault does not resolve: what came of asking it says nothing.
    pub(super) fn deleted(self, reason: &'static str) -> Self {
        let secrets = self.secrets.into_iter().map(|secret| SecretFacts {
            versions: Seen::NotAsked(reason),
            deleted: Seen::NotAsked(reason),
            ..secret
        });
        Self {
            secrets: secrets.collect(),
            door: Door::NotAsked(reason),
            may_get: Seen::NotAsked(reason),
            ..self
        }
    }

    fn closed(names: Vec<SecretName>, allowed: bool, reason: &'static str) -> Self {
        let secrets = names.into_iter().map(|name| SecretFacts {
            name,
            versions: Seen::Closed(reason),
            deleted: Seen::Closed(reason),
        });
        Self {
            allowed,
            door: Door::NotAsked(reason),
            may_get: Seen::Closed(reason),
            secrets: secrets.collect(),
            recovery_level: None,
        }
    }
}

/// A call to this Key Vault, as evidence.
fn source(uri: &KeyVaultUri, facts: &KeyVaultFacts) -> Source {
    let evidence = facts.evidence.as_deref().cloned().unwrap_or_default();
    let host = uri.as_str().trim_end_matches('/');
    Source {
        call: format!("{} {host}{}", evidence.method, evidence.path),
        status: facts.status,
        code: facts.inner_code.clone().or_else(|| facts.code.clone()),
        request_id: facts.request_id.as_deref().map(str::to_owned),
        milliseconds: u64::try_from(evidence.duration.as_millis()).unwrap_or(u64::MAX),
        answered_at: evidence.answered_at,
    }
}

fn unreadable<T>(uri: &KeyVaultUri, error: &KeyVaultError) -> Seen<T> {
    let source = source(uri, error.facts());
    match error {
        KeyVaultError::PermissionMissing(_) => Seen::Forbidden {
            action: "Microsoft.KeyVault/vaults/secrets/readMetadata/action".to_owned(),
            source,
        },
        error => Seen::Unreadable { why: why(error), source },
    }
}

/// Not even a connection is a hint, and no proof, that the Key Vault was deleted.
fn why(error: &KeyVaultError) -> String {
    let evidence = error.facts().evidence.as_deref();
    match evidence.and_then(|evidence| evidence.connected) {
        Some(false) => {
            format!("{error}: no connection (a deleted Key Vault's host name does not resolve)")
        }
        _ => error.to_string(),
    }
}

fn recovery_level_of(secret: &SecretFacts) -> Option<(String, Source)> {
    let Seen::Found(versions, source) = &secret.versions else { return None };
    let level = versions.iter().find_map(|version| version.recovery_level.clone())?;
    Some((level, source.clone()))
}

impl From<VersionProperties> for VersionFacts {
    fn from(version: VersionProperties) -> Self {
        Self {
            version: version.identifier.version.to_string(),
            enabled: version.enabled,
            created_at: version.created_at,
            not_before: version.not_before,
            expires_at: version.expires_at,
            recovery_level: version.recovery_level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::Evidence;

    fn unavailable(connected: Option<bool>) -> KeyVaultError {
        let evidence = Evidence {
            method: "GET".to_owned(),
            path: "/secrets?api-version=2025-07-01".to_owned(),
            connected,
            ..Evidence::default()
        };
        let evidence = Some(Box::new(evidence));
        KeyVaultError::Unavailable(KeyVaultFacts { evidence, ..KeyVaultFacts::default() })
    }

    #[test]
    fn a_key_vault_without_a_connection_may_have_been_deleted() {
        assert!(why(&unavailable(Some(false))).contains("deleted"));
        for connected in [None, Some(true)] {
            assert!(!why(&unavailable(connected)).contains("deleted"));
        }
    }

    #[test]
    fn a_call_is_told_with_its_host_and_path() {
        let uri = KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap();
        let source = source(&uri, unavailable(None).facts());
        let call = "GET https://kv-mars.vault.azure.net/secrets?api-version=2025-07-01";
        assert_eq!((source.call.as_str(), source.status), (call, None));
    }
}
