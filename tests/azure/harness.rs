//! An Azure of the test's own, and our clients in it.
//!
//! Their identity is that of a virtual machine, whose tokens come from IMDS: its fixed address is led to
//! azsim by a proxy, so that no environment variable has to be set for a whole process.

use std::{sync::Arc, time::Duration};

use azsim::{
    Azsim, Effect, Fault, FaultGuard, Machine, MachineKind, RECOVERY_VAULT_PRINCIPAL,
    RoleAssignment, World,
};
use passphrase_broker::{
    azure::{
        CallFacts, Credential, CredentialKind, Deadline, HttpSettings, KeyVault, ResourceManager,
        ResourceManagerError, Told, http_client,
    },
    domain::{
        clock::Clock,
        key_vault_id::KeyVaultUri,
        recovery_services_vault::RecoveryServicesVaultId,
        resource_id::{KeyVaultId, SecretScope, SubscriptionId},
        role_definition_id::RoleDefinitionId,
    },
};
use reqwest::Proxy;
use uuid::Uuid;

pub const SUBSCRIPTION: SubscriptionId =
    SubscriptionId(Uuid::from_u128(0x0b1f_6471_1bf0_4dda_aec3_cb92_72f0_9591));

/// `World::dev()`, in which we may read everything in ARM until a test takes that away.
pub struct Azure {
    pub azsim: Azsim,
    pub resource_manager: ResourceManager,
    pub key_vault: KeyVault,
    reader: String,
}

impl Azure {
    pub fn start() -> Self {
        Self::of(World::dev())
    }

    pub fn of(mut world: World) -> Self {
        let ours = world.identity.clone();
        let machine = Machine {
            system_assigned: Some(ours.clone()),
            ..Machine::new("broker", MachineKind::VirtualMachine)
        };
        world.machines.insert(0, machine);
        let azsim = Azsim::start(world).unwrap();
        let reader = azsim.assign(&RoleAssignment {
            role: Some("Reader".to_owned()),
            ..RoleAssignment::to(&ours.principal_id, "/")
        });
        let imds = reqwest::Client::builder().proxy(Proxy::http(azsim.imds_url()).unwrap());
        let kind = CredentialKind::ManagedIdentity { client_id: None };
        let credential = Credential::new(kind, imds.build().unwrap(), Clock::system()).unwrap();
        let credential = Arc::new(credential);
        let http = http_client(&HttpSettings {
            extra_ca_pem: Some(azsim.ca_pem().into_bytes()),
            outbound_proxy: Some(azsim.proxy_url().parse().unwrap()),
        });
        let (http, clock) = (http.unwrap(), Clock::system());
        let key_vault = KeyVault::new(http.clone(), Arc::clone(&credential), clock.clone());
        let resource_manager = ResourceManager::new(http, credential, clock);
        Self { azsim, resource_manager, key_vault, reader }
    }

    /// Started, with tokens fetched and connections open: what is timed next is what a test is about.
    pub async fn awake() -> Self {
        let azure = Self::start();
        let (id, uri) = (key_vault_id(), key_vault_uri());
        azure.resource_manager.key_vault("r-0", &id, deadline()).await.unwrap();
        azure.key_vault.probe("r-0", &uri, deadline()).await.unwrap();
        azure
    }

    /// We may read nothing in ARM any more.
    pub fn forbid(&self) {
        assert!(self.azsim.revoke(&self.reader));
    }

    /// This happens to every GET at ARM while the guard lives.
    pub fn fault(&self, effect: Effect) -> FaultGuard {
        self.azsim.inject(Fault::new("resource_manager.get", effect))
    }

    /// Every question that there is, side by side: its action and how it ended.
    pub async fn ask_everything(&self, by: Deadline) -> Vec<(&'static str, Ended)> {
        let (arm, r, subscription) = (&self.resource_manager, "r-1", SUBSCRIPTION);
        let (kv, uri, rsv) = (key_vault_id(), key_vault_uri(), recovery_services_vault_id());
        let (scope, role) = (scope(), secrets_officer());
        let told = tokio::join!(
            arm.key_vault(r, &kv, by),
            arm.deleted_key_vaults(r, subscription, by),
            arm.find_key_vault(r, subscription, &uri, by),
            arm.recovery_services_vault(r, &rsv, by),
            arm.mars_containers(r, &rsv, by),
            arm.recovery_services_vault_config(r, &rsv, by),
            arm.role_assignments(r, &scope, Some(principal()), by),
            arm.role_definition(r, &kv, &role, by),
            arm.deny_assignments(r, &scope, by),
            arm.diagnostic_settings(r, &kv, by),
        );
        vec![
            ("Microsoft.KeyVault/vaults/read", ended(told.0)),
            ("Microsoft.KeyVault/deletedVaults/read", ended(told.1)),
            ("Microsoft.KeyVault/vaults/read", ended(told.2)),
            ("Microsoft.RecoveryServices/Vaults/read", ended(told.3)),
            ("Microsoft.RecoveryServices/Vaults/backupProtectionContainers/read", ended(told.4)),
            ("Microsoft.RecoveryServices/Vaults/backupconfig/read", ended(told.5)),
            ("Microsoft.Authorization/roleAssignments/read", ended(told.6)),
            ("Microsoft.Authorization/roleDefinitions/read", ended(told.7)),
            ("Microsoft.Authorization/denyAssignments/read", ended(told.8)),
            ("Microsoft.Insights/diagnosticSettings/read", ended(told.9)),
        ]
    }

    /// The next GETs at ARM are answered with these bodies, in order.
    pub fn script(&self, bodies: &[String]) -> Vec<FaultGuard> {
        let once = |body: &String| {
            let effect = Effect::refuse(200, body);
            self.azsim.inject(Fault::new("resource_manager.get", effect).times(1))
        };
        bodies.iter().map(once).collect()
    }
}

pub type Ended = Result<CallFacts, ResourceManagerError>;

fn ended<T>(told: Result<Told<T>, ResourceManagerError>) -> Ended {
    told.map(|told| told.facts)
}

pub fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(8))
}

pub fn key_vault_id() -> KeyVaultId {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars/providers/Microsoft.KeyVault/vaults/kv-mars"
    );
    KeyVaultId::parse(&id).unwrap()
}

pub fn key_vault_uri() -> KeyVaultUri {
    KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap()
}

pub fn recovery_services_vault_id() -> RecoveryServicesVaultId {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars/providers/Microsoft.RecoveryServices/vaults/rsv-mars"
    );
    RecoveryServicesVaultId::parse(&id).unwrap()
}

pub fn scope() -> SecretScope {
    SecretScope { key_vault: key_vault_id(), secret: None }
}

/// The identity that writes MARS's passphrases.
pub fn principal() -> Uuid {
    RECOVERY_VAULT_PRINCIPAL.parse().unwrap()
}

/// The built-in role Key Vault Secrets Officer, as assignments in our subscription name it.
pub fn secrets_officer() -> RoleDefinitionId {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
    );
    RoleDefinitionId::parse(&id).unwrap()
}
