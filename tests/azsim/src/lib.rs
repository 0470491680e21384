//! azsim: Azure on loopback, judged by Microsoft's own clients.
//!
//! `Azsim::start` brings up, on its own thread and runtime: Key Vaults and Entra ID behind a CONNECT proxy over TLS
//! with real host names, the App Service identity endpoint, and a control API. Every method here is synchronous and
//! cheap, so a test may call it anywhere. What it imitates, and how sure each fact is: `README.md`.

mod access_control;
mod azure;
mod control;
mod faults;
mod graph;
mod http;
mod identity;
mod key_vault;
mod machines;
mod management;
mod oidc;
mod proxy;
mod resource_manager;
mod server;
mod tls;
mod world;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;
use uuid::Uuid;

pub use crate::{
    azure::HostSeen,
    faults::{Effect, Fault, FaultGuard},
    key_vault::view::{RequestSeen, SecretView, VersionView},
    oidc::token::{KeyChoice, TokenKind, TokenSpec},
    resource_manager::ManagementRequest,
    server::Ports,
    world::{
        ADMINISTRATOR, Access, AccessPolicy, BROKER_DATA_ACTIONS, Container, DenyAssignment,
        DiagnosticSetting, Grant, Group, Identity, KeyVaultSpec, Machine, MachineKind,
        ManagementGroup, Network, Owner, Paging, Permission, RECOVERY_VAULT_PRINCIPAL,
        RecoveryServicesVault, ResourceGroup, RoleAssignment, RoleDefinition, SecretSpec, Settings,
        Subscription, VaultIdentity, World,
    },
};
use crate::{
    azure::{Azure, locked},
    server::{Addresses, Listeners},
    tls::Authority,
};

/// A running Azure. Stops when dropped.
pub struct Azsim {
    azure: Arc<Azure>,
    authority: Arc<Authority>,
    addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Azsim {
    /// Starts on loopback ports that the system chooses.
    pub fn start(world: World) -> anyhow::Result<Self> {
        Self::start_on(world, Ports::default())
    }

    pub fn start_on(world: World, ports: Ports) -> anyhow::Result<Self> {
        let azure = Arc::new(Azure::new(world)?);
        let authority = Authority::new()?;
        let listeners = Listeners::bind(ports)?;
        let addresses = listeners.addresses()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("azsim")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = listeners.serve(Arc::clone(&azure), authority.server_config()?);
        let thread = thread::Builder::new().name("azsim".to_owned()).spawn(move || {
            runtime.spawn(serving);
            // Nothing is ever sent: the sender's end is the sign.
            drop(runtime.block_on(stopped));
            runtime.shutdown_background();
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { azure, authority, addresses, stop, thread })
    }

    /// The certificate authority to trust.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// For a TLS server of a test's own, whose certificates are of the same authority.
    pub fn tls_config(&self) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        self.authority.server_config()
    }

    /// For `HTTPS_PROXY`.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.addresses.proxy)
    }

    /// The TLS listener itself, for clients that resolve Azure's names to it without a proxy.
    pub fn tls_address(&self) -> SocketAddr {
        self.addresses.tls
    }

    pub fn control_url(&self) -> String {
        format!("http://{}", self.addresses.control)
    }

    /// For `IDENTITY_ENDPOINT`.
    pub fn identity_endpoint(&self) -> String {
        format!("http://{}{}", self.addresses.identity, identity::PATH)
    }

    /// For `IDENTITY_HEADER`.
    pub fn identity_header(&self) -> &str {
        &self.azure.identity_header
    }

    /// The broker's identity.
    pub fn identity(&self) -> &Identity {
        &self.azure.world.identity
    }

    pub fn tenant_id(&self) -> &str {
        self.azure.default_tenant_id()
    }

    /// The v2 issuer of the default tenant.
    pub fn issuer(&self) -> String {
        self.issuer_of(self.tenant_id())
    }

    pub fn issuer_of(&self, tenant_id: &str) -> String {
        format!("https://{}/{tenant_id}/v2.0", azure::LOGIN_HOST)
    }

    /// A new tenant with its own key. Answers its id.
    pub fn add_tenant(&self) -> anyhow::Result<String> {
        let id = Uuid::new_v4().to_string();
        self.azure.add_tenant(&id)?;
        Ok(id)
    }

    pub fn mint(&self, spec: &TokenSpec) -> anyhow::Result<String> {
        let tenant = self.azure.tenant(spec.tenant.as_deref().unwrap_or_default())?;
        spec.mint(&tenant)
    }

    /// Signs `header.payload` as it stands: for tokens whose bytes no serializer would write.
    pub fn sign(&self, tenant_id: &str, text: &str) -> anyhow::Result<String> {
        self.azure.tenant(tenant_id)?.sign(text)
    }

    /// A new signing key for the default tenant; old ones stay published. Answers its kid.
    pub fn rotate_keys(&self) -> anyhow::Result<String> {
        self.rotate_keys_of(self.tenant_id())
    }

    pub fn rotate_keys_of(&self, tenant_id: &str) -> anyhow::Result<String> {
        self.azure.tenant(tenant_id)?.rotate()
    }

    /// Published kids, oldest first; the last one signs.
    pub fn kids(&self, tenant_id: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.azure.tenant(tenant_id)?.kids())
    }

    /// Stops publishing a key. False if there was none.
    pub fn withdraw_key(&self, tenant_id: &str, kid: &str) -> anyhow::Result<bool> {
        Ok(self.azure.tenant(tenant_id)?.withdraw(kid))
    }

    /// Creates or replaces a Key Vault. `KeyVaultSpec::default()` has a random name. Answers its URI, `https://...net/`.
    pub fn add_key_vault(&self, spec: KeyVaultSpec) -> anyhow::Result<String> {
        let key_vault = self.azure.put_key_vault(spec)?;
        Ok(format!("https://{}/", key_vault.host()))
    }

    /// Changes a Key Vault's settings: lag, network, purge protection, access, soft-deleted.
    pub fn change_settings(
        &self,
        key_vault: &str,
        change: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<()> {
        self.azure.key_vault(key_vault)?.change(change);
        Ok(())
    }

    pub fn settings(&self, key_vault: &str) -> anyhow::Result<Settings> {
        Ok(self.azure.key_vault(key_vault)?.settings())
    }

    /// A secret with all its versions and values, deleted or not.
    pub fn secret(&self, key_vault: &str, name: &str) -> anyhow::Result<Option<SecretView>> {
        Ok(self.azure.key_vault(key_vault)?.secret(name))
    }

    /// Names of all secrets, soft-deleted ones too.
    pub fn secret_names(&self, key_vault: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.azure.key_vault(key_vault)?.secret_names())
    }

    /// Adds a version past tokens and permissions, as somebody else would. Answers its id.
    pub fn put_secret(&self, key_vault: &str, secret: SecretSpec) -> anyhow::Result<String> {
        self.azure.key_vault(key_vault)?.put_secret(secret)
    }

    /// Enables or disables a version; an empty version means the latest.
    pub fn set_enabled(
        &self,
        key_vault: &str,
        name: &str,
        version: &str,
        enabled: bool,
    ) -> anyhow::Result<()> {
        self.azure.key_vault(key_vault)?.set_enabled(name, version, enabled)
    }

    /// The last 20,000 requests this Key Vault saw, oldest first.
    pub fn requests(&self, key_vault: &str) -> anyhow::Result<Vec<RequestSeen>> {
        Ok(self.azure.key_vault(key_vault)?.requests())
    }

    /// Makes a role assignment at a Key Vault. Answers its id.
    pub fn grant(&self, key_vault: &str, grant: Grant) -> anyhow::Result<String> {
        let key_vault = self.azure.key_vault(key_vault)?;
        Ok(self.azure.grant(&key_vault, grant))
    }

    /// Takes a role assignment away by id. False if there was none.
    pub fn revoke(&self, role_assignment_id: &str) -> bool {
        self.azure.unassign(|assignment| assignment.id == role_assignment_id) > 0
    }

    /// Takes away every role assignment at a Key Vault and below it.
    pub fn revoke_all(&self, key_vault: &str) -> anyhow::Result<usize> {
        let scope = self.azure.key_vault(key_vault)?.spec.resource_id();
        Ok(self.azure.unassign(|assignment| azure::within(&assignment.scope, &scope)))
    }

    /// The fault is cleared when the guard is dropped.
    pub fn inject(&self, fault: Fault) -> FaultGuard {
        FaultGuard::new(&self.azure, fault)
    }

    /// Clears the faults of one Key Vault. Answers how many there were.
    pub fn clear_faults(&self, key_vault: &str) -> usize {
        let named = |name: &String| name.eq_ignore_ascii_case(key_vault);
        self.azure.faults.clear(|active| active.fault.key_vault.as_ref().is_some_and(named))
    }

    /// Every host name the proxy was asked for.
    pub fn hosts_seen(&self) -> BTreeMap<String, HostSeen> {
        locked(&self.azure.hosts).clone()
    }

    /// Back to the first world; tenants and their keys stay.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.azure.reset()
    }
}

impl Drop for Azsim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; drop must not panic here.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_and_stops_without_a_runtime_around() -> anyhow::Result<()> {
        let azsim = Azsim::start(World::default())?;
        assert!(azsim.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
        Ok(())
    }
}
