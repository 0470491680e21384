//! What Azure Resource Manager is asked, and in which order: first what needs nothing, then the rights of the
//! identity that was found.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{FIRST, SECOND, locate::Located, secrets::names, seen::seen};
use crate::{
    azure::Deadline,
    broker::Broker,
    domain::{
        caller::Caller,
        effective_permission::{DenyAssignment, RoleAssignment},
        key_vault_id::KeyVaultUri,
        key_vault_resource::{DiagnosticSetting, KeyVaultResource},
        machine::Machine,
        preflight::{
            self,
            facts::{Facts, Identity, Seen, Source, Subject},
        },
        recovery_services_resource::{
            MarsContainer, RecoveryServicesVaultConfig, RecoveryServicesVaultResource,
        },
        resource_id::KeyVaultId,
    },
};

const READ_KEY_VAULT: &str = "Microsoft.KeyVault/vaults/read";
const DELETED: &str = "The Key Vault is soft-deleted; see PF-05.";
const NO_RSV: &str = "No recoveryServicesVaultId was given.";
const NO_URI: &str = "Without a Key Vault URI there is nothing to ask about; see PF-01.";
const NO_KEY_VAULT: &str = "The Key Vault's resource is not known; see PF-04 and PF-05.";
const NO_IDENTITY: &str = "There is no identity whose permissions could be read; see PF-07.";

struct OfKeyVault {
    located: Located,
    id: Option<KeyVaultId>,
    resource: Seen<KeyVaultResource>,
    deny_assignments: Seen<Vec<DenyAssignment>>,
    diagnostic_settings: Seen<Vec<DiagnosticSetting>>,
    brokers_assignments: Seen<Vec<RoleAssignment>>,
}

struct OfRecoveryServicesVault {
    resource: Seen<RecoveryServicesVaultResource>,
    config: Seen<RecoveryServicesVaultConfig>,
    containers: Seen<Vec<MarsContainer>>,
}

impl Broker {
    pub(super) async fn look(
        &self,
        caller: &Caller,
        subject: Subject,
        machine: Option<&Machine>,
    ) -> Facts {
        let request_id = caller.request().request_id.as_str();
        let uri = preflight::key_vault_uri(&subject.key_vault_uri);
        let first = Deadline::after(FIRST);
        let ((broker, of_key_vault), of_rsv, of_data_plane, of_registry) = tokio::join!(
            self.ask_of_key_vault(request_id, &subject, uri.as_ref(), first),
            self.ask_of_recovery_services_vault(request_id, &subject, first),
            self.ask_data_plane(request_id, &subject, uri.as_ref()),
            self.ask_registry(caller, &subject, uri.as_ref()),
        );
        let (of_key_vault, of_data_plane) = match &of_key_vault.located.deleted {
            Seen::Found(..) => (of_key_vault.deleted(), of_data_plane.deleted(DELETED)),
            _ if of_data_plane.is_there() => (of_key_vault.hidden(), of_data_plane),
            _ => (of_key_vault, of_data_plane),
        };
        let clock_ahead = clock_ahead(
            [of_key_vault.resource.source(), of_rsv.resource.source()],
            self.clock.now(),
        );
        let second = Deadline::after(SECOND);
        let secrets = names(&subject);
        let principal = of_rsv.resource.found().and_then(|found| found.identity.system_assigned());
        let assignments = async {
            match (&of_key_vault.id, principal) {
                (Some(id), Some(principal)) => {
                    let at = (id, secrets.as_slice());
                    self.assignments(request_id, at, principal.principal_id, second).await
                }
                (None, _) if of_key_vault.located.deleted.found().is_some() => {
                    Seen::NotAsked(DELETED)
                }
                (None, _) => unreached(&of_key_vault.located.id),
                (_, None) => Seen::NotAsked(NO_IDENTITY),
            }
        };
        let at = of_key_vault.id.as_ref();
        let (rights_of_rsv, rights_of_broker, role_holders) = tokio::join!(
            async { self.with_definitions(request_id, at, assignments.await, second).await },
            self.with_definitions(request_id, at, of_key_vault.brokers_assignments, second),
            self.role_holders(request_id, &of_key_vault.resource, second),
        );
        Facts {
            key_vault_allowed: of_data_plane.allowed,
            key_vault: of_key_vault.resource,
            deleted_key_vault: of_key_vault.located.deleted,
            recovery_services_vault: of_rsv.resource,
            rsv_config: of_rsv.config,
            containers: of_rsv.containers,
            rights_of_recovery_services_vault: rights_of_rsv,
            rights_of_broker,
            role_holders,
            deny_assignments: of_key_vault.deny_assignments,
            diagnostic_settings: of_key_vault.diagnostic_settings,
            broker,
            door: of_data_plane.door,
            may_get: of_data_plane.may_get,
            secrets: of_data_plane.secrets,
            recovery_level: of_data_plane.recovery_level,
            shared_with: of_registry.shared_with,
            key_vaults_in_use: of_registry.key_vaults_in_use,
            clock_ahead,
            machine_id: machine.map(|machine| machine.id.0),
            key_vault_uri: uri,
            subject,
        }
    }

    async fn ask_of_key_vault(
        &self,
        request_id: &str,
        subject: &Subject,
        uri: Option<&KeyVaultUri>,
        deadline: Deadline,
    ) -> (Option<Identity>, OfKeyVault) {
        // It takes the token that the calls need, too.
        let broker = self.resource_manager.own_identity(deadline).await.map(|own| Identity {
            object_id: own.object_id.to_string(),
            tenant_id: own.tenant_id.to_string(),
        });
        let of_key_vault =
            self.ask_resource(request_id, subject, uri, broker.as_ref(), deadline).await;
        (broker, of_key_vault)
    }

    async fn ask_resource(
        &self,
        request_id: &str,
        subject: &Subject,
        uri: Option<&KeyVaultUri>,
        broker: Option<&Identity>,
        deadline: Deadline,
    ) -> OfKeyVault {
        let Some(uri) = uri else { return OfKeyVault::not_asked(NO_URI) };
        let located = self.locate(request_id, subject, uri, deadline).await;
        let Some(id) = subject.key_vault_id.clone().or_else(|| located.id.found().cloned()) else {
            return OfKeyVault {
                resource: unreached(&located.id),
                located,
                ..OfKeyVault::not_asked(NO_KEY_VAULT)
            };
        };
        let secrets = names(subject);
        let arm = &self.resource_manager;
        let (resource, deny_assignments, diagnostic_settings, brokers_assignments) = tokio::join!(
            async { seen(arm.key_vault(request_id, &id, deadline).await) },
            self.denials(request_id, (&id, &secrets), deadline),
            async { seen(arm.diagnostic_settings(request_id, &id, deadline).await) },
            async {
                match broker.and_then(|identity| Uuid::try_parse(&identity.object_id).ok()) {
                    Some(broker) => {
                        self.assignments(request_id, (&id, &secrets), broker, deadline).await
                    }
                    None => Seen::Closed("This service does not know its own identity."),
                }
            },
        );
        OfKeyVault {
            located,
            id: Some(id),
            resource,
            deny_assignments,
            diagnostic_settings,
            brokers_assignments,
        }
    }

    async fn ask_of_recovery_services_vault(
        &self,
        request_id: &str,
        subject: &Subject,
        deadline: Deadline,
    ) -> OfRecoveryServicesVault {
        let Some(id) = &subject.recovery_services_vault_id else {
            return OfRecoveryServicesVault {
                resource: Seen::NotAsked(NO_RSV),
                config: Seen::NotAsked(NO_RSV),
                containers: Seen::NotAsked(NO_RSV),
            };
        };
        let arm = &self.resource_manager;
        let (resource, config, containers) = tokio::join!(
            async { seen(arm.recovery_services_vault(request_id, id, deadline).await) },
            async { seen(arm.recovery_services_vault_config(request_id, id, deadline).await) },
            async { seen(arm.mars_containers(request_id, id, deadline).await) },
        );
        OfRecoveryServicesVault { resource, config, containers }
    }
}

impl OfKeyVault {
    /// Nothing about it can be read until it is recovered.
    fn deleted(self) -> Self {
        Self { located: self.located, ..Self::not_asked(DELETED) }
    }

    /// It answers, and Azure lists it nowhere: Azure leaves out what one may not read.
    fn hidden(mut self) -> Self {
        if let Seen::Absent(source) = &self.located.id {
            let (action, source) = (READ_KEY_VAULT.to_owned(), source.clone());
            self.located.id = Seen::Forbidden { action, source };
            self.resource = unreached(&self.located.id);
        }
        self
    }

    fn not_asked(reason: &'static str) -> Self {
        Self {
            located: Located { id: Seen::NotAsked(reason), deleted: Seen::NotAsked(reason) },
            id: None,
            resource: Seen::NotAsked(reason),
            deny_assignments: Seen::NotAsked(reason),
            diagnostic_settings: Seen::NotAsked(reason),
            brokers_assignments: Seen::NotAsked(reason),
        }
    }
}

/// By the first answer that tells the time. The whole second of the header is what it can be off by.
fn clock_ahead(sources: [Option<&Source>; 2], now: OffsetDateTime) -> Option<(i64, Source)> {
    let source = sources.into_iter().flatten().find(|source| source.answered_at.is_some())?;
    Some(((now - source.answered_at?).whole_seconds(), source.clone()))
}

/// Why a resource was not asked about, when not even its id was found.
fn unreached<T>(id: &Seen<KeyVaultId>) -> Seen<T> {
    match id {
        Seen::Absent(source) | Seen::Found(_, source) => Seen::Absent(source.clone()),
        Seen::Forbidden { action, source } => {
            Seen::Forbidden { action: action.clone(), source: source.clone() }
        }
        Seen::Unreadable { why, source } => {
            Seen::Unreadable { why: why.clone(), source: source.clone() }
        }
        Seen::NotAsked(reason) => Seen::NotAsked(reason),
        Seen::Closed(reason) => Seen::Closed(reason),
    }
}
