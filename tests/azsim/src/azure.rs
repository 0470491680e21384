//! All that is mutable in azsim, shared by its listeners and by the Rust API.
//!
//! One lock per thing that changes: tenants, Key Vaults (the map; each has its own mutex), role assignments, hosts.
//! No lock is held across an await.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::AtomicU64,
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    access_control::{Roles, lagging::Lagging},
    faults::Faults,
    key_vault::KeyVault,
    machines::KeyFiles,
    oidc::Tenant,
    resource_manager::estate::Estate,
    world::{Identity, KeyVaultSpec, Machine, World},
};

pub(crate) const KEY_VAULT_SUFFIX: &str = ".vault.azure.net";
pub(crate) const LOGIN_HOST: &str = "login.microsoftonline.com";
pub(crate) const GRAPH_HOST: &str = "graph.microsoft.com";
pub(crate) const MANAGEMENT_HOST: &str = "management.azure.com";

pub(crate) struct Azure {
    pub(crate) world: World,
    pub(crate) identity_header: String,
    pub(crate) faults: Faults,
    pub(crate) hosts: Mutex<BTreeMap<String, HostSeen>>,
    tenants: RwLock<HashMap<String, Arc<Tenant>>>,
    key_vaults: RwLock<HashMap<String, Arc<KeyVault>>>,
    pub(crate) roles: RwLock<Lagging<Roles>>,
    pub(crate) propagation: AtomicU64,
    pub(crate) estate: Mutex<Estate>,
    pub(crate) machines: RwLock<Vec<Machine>>,
    pub(crate) key_files: KeyFiles,
}

/// How often a client asked the proxy for a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostSeen {
    pub accepted: u64,
    pub refused: u64,
}

impl Azure {
    pub(crate) fn new(world: World) -> anyhow::Result<Self> {
        ensure!(!world.tenants.is_empty(), "a world needs a tenant");
        let azure = Self {
            identity_header: Uuid::new_v4().to_string(),
            faults: Faults::default(),
            hosts: Mutex::default(),
            tenants: RwLock::default(),
            key_vaults: RwLock::default(),
            roles: RwLock::default(),
            estate: Mutex::default(),
            machines: RwLock::default(),
            key_files: KeyFiles::new(world.arc_key_directory.as_deref()),
            propagation: AtomicU64::new(world.propagation_milliseconds),
            world,
        };
        for tenant in &azure.world.tenants {
            azure.add_tenant(tenant)?;
        }
        azure.populate()?;
        Ok(azure)
    }

    /// Back to the first world: Key Vaults, roles, faults, hosts. Tenants and their keys stay.
    pub(crate) fn reset(&self) -> anyhow::Result<()> {
        write(&self.key_vaults).clear();
        locked(&self.hosts).clear();
        self.faults.clear(|_| true);
        self.populate()
    }

    fn populate(&self) -> anyhow::Result<()> {
        *write(&self.roles) = Lagging::of(Roles::of(&self.world));
        self.set_propagation(self.world.propagation_milliseconds);
        *locked(&self.estate) = Estate::of(&self.world);
        write(&self.machines).clone_from(&self.world.machines);
        for key_vault in &self.world.key_vaults {
            self.put_key_vault(key_vault.clone())?;
        }
        self.age_assignments();
        for fault in &self.world.faults {
            self.faults.inject(fault.clone());
        }
        Ok(())
    }

    pub(crate) fn add_tenant(&self, id: &str) -> anyhow::Result<()> {
        let tenant = Arc::new(Tenant::new(id)?);
        write(&self.tenants).insert(id.to_ascii_lowercase(), tenant);
        Ok(())
    }

    pub(crate) fn default_tenant_id(&self) -> &str {
        self.world.tenants.first().map_or("", String::as_str)
    }

    pub(crate) fn tenant(&self, id: &str) -> anyhow::Result<Arc<Tenant>> {
        let id = match id {
            "" | "common" | "organizations" => self.default_tenant_id(),
            id => id,
        };
        let found = read(&self.tenants).get(&id.to_ascii_lowercase()).cloned();
        found.with_context(|| format!("no tenant {id}"))
    }

    pub(crate) fn tenant_ids(&self) -> Vec<String> {
        read(&self.tenants).values().map(|tenant| tenant.id.clone()).collect()
    }

    /// Creates a Key Vault, or replaces one with all its secrets and role assignments.
    pub(crate) fn put_key_vault(&self, spec: KeyVaultSpec) -> anyhow::Result<Arc<KeyVault>> {
        ensure!(is_key_vault_name(&spec.name), "not a legal Key Vault name: {}", spec.name);
        let tenant = self.tenant(spec.tenant_id.as_deref().unwrap_or_default())?;
        let scope = spec.resource_id();
        let key_vault = Arc::new(KeyVault::new(spec, tenant));
        let spec = &key_vault.spec;
        locked(&self.estate).learn(&spec.subscription_id, &spec.resource_group, &spec.location);
        locked(&self.estate).facets.remove(key_vault.host());
        let host = key_vault.host().to_owned();
        let former = write(&self.key_vaults).insert(host, Arc::clone(&key_vault));
        if former.is_some() {
            self.unassign(|assignment| within(&assignment.scope, &scope));
        }
        for grant in &key_vault.spec.grants {
            self.grant(&key_vault, grant.clone());
        }
        Ok(key_vault)
    }

    /// By name or by host name, soft-deleted or not.
    pub(crate) fn key_vault(&self, name: &str) -> anyhow::Result<Arc<KeyVault>> {
        let mut host = name.to_ascii_lowercase();
        if !host.ends_with(KEY_VAULT_SUFFIX) {
            host.push_str(KEY_VAULT_SUFFIX);
        }
        self.resolve(&host).with_context(|| format!("no Key Vault {name}"))
    }

    pub(crate) fn resolve(&self, host: &str) -> Option<Arc<KeyVault>> {
        read(&self.key_vaults).get(host).cloned()
    }

    /// Purged: its name is free again.
    pub(crate) fn remove_key_vault(&self, key_vault: &KeyVault) {
        write(&self.key_vaults).remove(key_vault.host());
        locked(&self.estate).facets.remove(key_vault.host());
    }

    /// Among the world's user-assigned identities, and those of its machines.
    pub(crate) fn user_assigned(&self, resource_id: &str) -> Option<Identity> {
        let machines = read(&self.machines);
        let pool = self.world.user_assigned_identities.iter();
        let mut all = pool.chain(machines.iter().flat_map(|machine| &machine.user_assigned));
        all.find(|found| found.resource_id.eq_ignore_ascii_case(resource_id)).cloned()
    }

    pub(crate) fn key_vaults(&self) -> Vec<Arc<KeyVault>> {
        read(&self.key_vaults).values().cloned().collect()
    }
}

/// 3-24 characters, letters, digits and single hyphens, first a letter, last no hyphen.
pub(crate) fn is_key_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Is `resource` the scope itself or below it?
pub(crate) fn within(resource: &str, scope: &str) -> bool {
    let scope = scope.trim_end_matches('/');
    let Some(head) = resource.get(..scope.len()) else {
        return false;
    };
    let tail = &resource[scope.len()..];
    head.eq_ignore_ascii_case(scope) && (tail.is_empty() || tail.starts_with('/'))
}

/// Azure's wildcard: `*` stands for any run of characters, slashes too; case does not count.
pub(crate) fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

pub(crate) fn epoch_seconds() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

// A panic while a lock was held is a failed test already; the others may go on.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_any_run_of_characters() {
        let action = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
        for pattern in ["*", "microsoft.keyvault/VAULTS/*", "*/action", "*secrets/*/action", action]
        {
            assert!(covers(pattern, action), "{pattern}");
        }
        for pattern in
            ["", "Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/getSecret"]
        {
            assert!(!covers(pattern, action), "{pattern}");
        }
    }

    #[test]
    fn a_scope_holds_what_is_below_it_and_not_its_namesakes() {
        assert!(within(
            "/subscriptions/s/resourceGroups/RG/x",
            "/subscriptions/S/resourcegroups/rg/"
        ));
        assert!(within("/a/kv", "/a/kv"));
        assert!(!within("/a/kv2", "/a/kv"));
        assert!(!within("/a", "/a/kv"));
    }

    #[test]
    fn a_key_vault_name_obeys_the_portal() {
        assert!(is_key_vault_name(&KeyVaultSpec::default().name));
        for name in ["kv", "1kv", "kv-", "k--v", "k_v", "abcdefghijklmnopqrstuvwxy"] {
            assert!(!is_key_vault_name(name), "{name}");
        }
    }
}
