//! What Azure Resource Manager says about resources and about rights to them. It is asked and never
//! told: this room can only GET.
//!
//! Only the public cloud's ARM is known, because MARS saves passphrases only there. Ids are typed, so no
//! caller leads a call, or our token, anywhere else. Each method says in its answer which action somebody
//! must be allowed for it.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    answer::Told,
    credential::{Credential, OwnIdentity},
    retry::Deadline,
};
use crate::domain::{
    clock::Clock,
    effective_permission::{DenyAssignment, RoleAssignment, RoleDefinition},
    key_vault_id::KeyVaultUri,
    key_vault_resource::{DeletedKeyVault, DiagnosticSetting, KeyVaultResource},
    recovery_services_resource::{
        MarsContainer, RecoveryServicesVaultConfig, RecoveryServicesVaultResource,
    },
    recovery_services_vault::RecoveryServicesVaultId,
    resource_id::{KeyVaultId, SecretScope, SubscriptionId},
    role_definition_id::RoleDefinitionId,
};

mod call;
mod error;
mod operation;
mod pages;
mod wire;

use call::Call;
pub use error::{CallFacts, ResourceManagerError};
use wire::{authorization, key_vault, recovery_services, resources};

const HOST: &str = "https://management.azure.com";

type Outcome<T> = Result<Told<T>, ResourceManagerError>;

/// A client for `management.azure.com`.
#[derive(Clone)]
pub struct ResourceManager {
    http: reqwest::Client,
    credential: Arc<Credential>,
    clock: Clock,
}

impl ResourceManager {
    pub fn new(http: reqwest::Client, credential: Arc<Credential>, clock: Clock) -> Self {
        Self { http, credential, clock }
    }

    /// Whose rights decide about what is asked here.
    pub async fn own_identity(&self, deadline: Deadline) -> Option<OwnIdentity> {
        tokio::time::timeout(deadline.left(), self.credential.own_identity(call::SCOPE))
            .await
            .ok()?
    }

    pub async fn key_vault(
        &self,
        request_id: &str,
        id: &KeyVaultId,
        deadline: Deadline,
    ) -> Outcome<KeyVaultResource> {
        let call = Call::new(&operation::KEY_VAULT_RESOURCE, request_id, deadline);
        self.resource(&call, id.as_str(), |told: key_vault::KeyVault| told.read(id)).await
    }

    /// Those in which our identity has any role.
    pub async fn subscriptions(
        &self,
        request_id: &str,
        deadline: Deadline,
    ) -> Outcome<Vec<SubscriptionId>> {
        let call = Call::new(&operation::SUBSCRIPTIONS, request_id, deadline);
        self.list(&call, "/subscriptions", "", |told: resources::Subscription| told.read()).await
    }

    /// Those that we may see and that belong to this tenant.
    pub async fn subscriptions_of(
        &self,
        request_id: &str,
        tenant_id: Uuid,
        deadline: Deadline,
    ) -> Outcome<Vec<SubscriptionId>> {
        let call = Call::new(&operation::SUBSCRIPTIONS, request_id, deadline);
        let read = |told: resources::Subscription| told.read_with_tenant();
        let Told { value, facts } = self.list(&call, "/subscriptions", "", read).await?;
        let own = value.into_iter().filter(|(_, owner)| *owner == Some(tenant_id));
        Ok(Told { value: own.map(|(id, _)| id).collect(), facts })
    }

    /// Those of the subscription that can still be recovered.
    pub async fn deleted_key_vaults(
        &self,
        request_id: &str,
        subscription: SubscriptionId,
        deadline: Deadline,
    ) -> Outcome<Vec<DeletedKeyVault>> {
        let call = Call::new(&operation::DELETED_KEY_VAULTS, request_id, deadline);
        let path =
            format!("/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedVaults");
        self.list(&call, &path, "", |told: key_vault::Deleted| told.read(subscription)).await
    }

    /// The id of the Key Vault with this URI's name, as far as it lies in this subscription and we may
    /// see it. ARM leaves out what one may not read, so none does not mean that there is none.
    pub async fn find_key_vault(
        &self,
        request_id: &str,
        subscription: SubscriptionId,
        uri: &KeyVaultUri,
        deadline: Deadline,
    ) -> Outcome<Option<KeyVaultId>> {
        let (call, name) =
            (Call::new(&operation::FIND_KEY_VAULT, request_id, deadline), uri.name());
        let path = format!("/subscriptions/{subscription}/resources");
        let filter = format!("resourceType eq 'Microsoft.KeyVault/vaults' and name eq '{name}'");
        let read = |told: key_vault::Listed| told.read(subscription, name);
        let Told { mut value, facts } = self.list(&call, &path, &filter, read).await?;
        if value.len() > 1 {
            // A name belongs to one Key Vault in the world.
            return Err(ResourceManagerError::InvalidAnswer(Box::new(facts)));
        }
        Ok(Told { value: value.pop(), facts })
    }

    pub async fn recovery_services_vault(
        &self,
        request_id: &str,
        id: &RecoveryServicesVaultId,
        deadline: Deadline,
    ) -> Outcome<RecoveryServicesVaultResource> {
        let call = Call::new(&operation::RECOVERY_SERVICES_VAULT, request_id, deadline);
        let read = |told: recovery_services::RecoveryServicesVault| told.read(id);
        self.resource(&call, id.as_str(), read).await
    }

    /// Those of the subscription that we may see.
    pub async fn recovery_services_vaults(
        &self,
        request_id: &str,
        subscription: SubscriptionId,
        deadline: Deadline,
    ) -> Outcome<Vec<RecoveryServicesVaultResource>> {
        let call = Call::new(&operation::RECOVERY_SERVICES_VAULTS, request_id, deadline);
        let path =
            format!("/subscriptions/{subscription}/providers/Microsoft.RecoveryServices/vaults");
        let read = |told: recovery_services::RecoveryServicesVault| told.read_within(subscription);
        self.list(&call, &path, "", read).await
    }

    /// The machines that are registered there.
    pub async fn mars_containers(
        &self,
        request_id: &str,
        id: &RecoveryServicesVaultId,
        deadline: Deadline,
    ) -> Outcome<Vec<MarsContainer>> {
        let call = Call::new(&operation::MARS_CONTAINERS, request_id, deadline);
        let path = format!("{id}/backupProtectionContainers");
        let read = |told: recovery_services::Container| told.read(id);
        self.list(&call, &path, "backupManagementType eq 'MAB'", read).await
    }

    pub async fn recovery_services_vault_config(
        &self,
        request_id: &str,
        id: &RecoveryServicesVaultId,
        deadline: Deadline,
    ) -> Outcome<RecoveryServicesVaultConfig> {
        let call = Call::new(&operation::RECOVERY_SERVICES_VAULT_CONFIG, request_id, deadline);
        let path = format!("{id}/backupconfig/vaultconfig");
        self.resource(&call, &path, |told: recovery_services::Config| told.read(id)).await
    }

    /// The principal's own and its groups', or everybody's, at the scope and above it.
    pub async fn role_assignments(
        &self,
        request_id: &str,
        scope: &SecretScope,
        principal_id: Option<Uuid>,
        deadline: Deadline,
    ) -> Outcome<Vec<RoleAssignment>> {
        let call = Call::new(&operation::ROLE_ASSIGNMENTS, request_id, deadline);
        let scope = scope.to_string();
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
        let filter = match principal_id {
            Some(id) => format!("atScope() and assignedTo('{id}')"),
            None => "atScope()".to_owned(),
        };
        let read = |told: authorization::Assignment| told.read(&scope);
        self.list(&call, &path, &filter, read).await
    }

    /// What a role holds that is assigned at this Key Vault or above it. It is asked for at the Key Vault,
    /// wherever it is kept: whoever may read roles there need not be allowed to at its subscription.
    pub async fn role_definition(
        &self,
        request_id: &str,
        at: &KeyVaultId,
        id: &RoleDefinitionId,
        deadline: Deadline,
    ) -> Outcome<RoleDefinition> {
        let call = Call::new(&operation::ROLE_DEFINITION, request_id, deadline);
        let path = format!("{at}/providers/Microsoft.Authorization/roleDefinitions/{}", id.guid());
        self.resource(&call, &path, |told: authorization::Definition| told.read(id)).await
    }

    /// Everybody's, at the scope and above it.
    pub async fn deny_assignments(
        &self,
        request_id: &str,
        scope: &SecretScope,
        deadline: Deadline,
    ) -> Outcome<Vec<DenyAssignment>> {
        let call = Call::new(&operation::DENY_ASSIGNMENTS, request_id, deadline);
        let scope = scope.to_string();
        let path = format!("{scope}/providers/Microsoft.Authorization/denyAssignments");
        self.list(&call, &path, "atScope()", |told: authorization::Denial| told.read(&scope)).await
    }

    pub async fn diagnostic_settings(
        &self,
        request_id: &str,
        id: &KeyVaultId,
        deadline: Deadline,
    ) -> Outcome<Vec<DiagnosticSetting>> {
        let call = Call::new(&operation::DIAGNOSTIC_SETTINGS, request_id, deadline);
        let path = format!("{id}/providers/Microsoft.Insights/diagnosticSettings");
        self.list(&call, &path, "", |told: key_vault::Setting| told.read()).await
    }
}
