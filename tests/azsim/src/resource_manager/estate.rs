//! What ARM manages besides Key Vaults and roles: subscriptions, groups, Recovery Services vaults, running operations,
//! and those properties of Key Vaults that the data plane never asks for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::Value;
use time::OffsetDateTime;

use super::{key_vault::Facet, log::Log, recovery_services::RecoveryVault};
use crate::{
    azure::{Azure, locked},
    world::{DiagnosticSetting, Paging, ResourceGroup, Subscription, World},
};

#[derive(Default)]
pub(crate) struct Estate {
    subscriptions: Vec<Subscription>,
    groups: Vec<ResourceGroup>,
    pub(super) vaults: Vec<RecoveryVault>,
    /// By host name.
    pub(crate) facets: HashMap<String, Facet>,
    pub(super) diagnostic_settings: Vec<DiagnosticSetting>,
    /// When each one is done, by id.
    pub(super) operations: HashMap<String, Instant>,
    pub(crate) log: Log,
    pub(crate) paging: Paging,
}

/// One line of `GET /subscriptions/{id}/resources`.
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) location: String,
    pub(super) tags: BTreeMap<String, String>,
}

impl Estate {
    pub(crate) fn of(world: &World) -> Self {
        let mut estate = Self {
            subscriptions: world.subscriptions.clone(),
            diagnostic_settings: world.diagnostic_settings.clone(),
            paging: world.paging,
            ..Self::default()
        };
        for group in &world.resource_groups {
            estate.learn(&group.subscription_id, &group.name, &group.location);
        }
        for vault in &world.recovery_services_vaults {
            estate.learn(&vault.subscription_id, &vault.resource_group, &vault.location);
            estate.vaults.push(RecoveryVault::new(vault.clone()));
        }
        estate
    }

    /// A resource lies there, so there is a subscription and a group.
    pub(crate) fn learn(&mut self, subscription_id: &str, group: &str, location: &str) {
        let known = |found: &Subscription| same(&found.subscription_id, subscription_id);
        if !self.subscriptions.iter().any(known) {
            let subscription_id = subscription_id.to_owned();
            self.subscriptions.push(Subscription { subscription_id, ..Subscription::default() });
        }
        if self.group(subscription_id, group).is_none() {
            self.groups.push(ResourceGroup {
                subscription_id: subscription_id.to_owned(),
                name: group.to_owned(),
                location: location.to_owned(),
            });
        }
    }

    fn group(&self, subscription_id: &str, name: &str) -> Option<&ResourceGroup> {
        let named = |group: &&ResourceGroup| {
            same(&group.subscription_id, subscription_id) && same(&group.name, name)
        };
        self.groups.iter().find(named)
    }

    pub(crate) fn add_diagnostic_setting(&mut self, setting: DiagnosticSetting) {
        self.diagnostic_settings.push(setting);
    }

    pub(crate) fn put_vault(&mut self, vault: RecoveryVault) {
        let spec = &vault.spec;
        self.learn(&spec.subscription_id, &spec.resource_group, &spec.location);
        let id = spec.resource_id();
        self.vaults.retain(|known| !same(&known.spec.resource_id(), &id));
        self.vaults.push(vault);
    }
}

impl Azure {
    pub(super) fn subscriptions(&self) -> Vec<Subscription> {
        let estate = locked(&self.estate);
        let with_tenant = |subscription: &Subscription| {
            let mut subscription = subscription.clone();
            let tenant_id = subscription.tenant_id.take();
            subscription.tenant_id =
                tenant_id.or_else(|| Some(self.default_tenant_id().to_owned()));
            subscription
        };
        estate.subscriptions.iter().map(with_tenant).collect()
    }

    pub(super) fn subscription(&self, id: &str) -> Option<Subscription> {
        self.subscriptions().into_iter().find(|found| same(&found.subscription_id, id))
    }

    pub(super) fn resource_groups(&self, subscription_id: &str) -> Vec<ResourceGroup> {
        let estate = locked(&self.estate);
        let within =
            estate.groups.iter().filter(|group| same(&group.subscription_id, subscription_id));
        within.cloned().collect()
    }

    pub(super) fn resource_group(
        &self,
        subscription_id: &str,
        name: &str,
    ) -> Option<ResourceGroup> {
        locked(&self.estate).group(subscription_id, name).cloned()
    }

    /// Every resource that is not deleted, by id.
    pub(super) fn resources(&self) -> Vec<Resource> {
        let living = self.key_vaults().into_iter().filter(|found| !found.is_soft_deleted());
        let mut resources: Vec<Resource> = living
            .map(|found| Resource {
                id: found.spec.resource_id(),
                name: found.spec.name.clone(),
                kind: "Microsoft.KeyVault/vaults",
                location: found.spec.location.clone(),
                tags: self.facet(found.host()).tags,
            })
            .collect();
        resources.extend(locked(&self.estate).vaults.iter().map(|vault| Resource {
            id: vault.spec.resource_id(),
            name: vault.spec.name.clone(),
            kind: "Microsoft.RecoveryServices/vaults",
            location: vault.spec.location.clone(),
            tags: vault.tags.clone(),
        }));
        resources.sort_by(|one, other| one.id.cmp(&other.id));
        resources
    }

    /// A scope in ARM's own case, as far as its parts are known.
    pub(super) fn canonical(&self, scope: &str) -> String {
        let known = self.resources();
        let below = |id: &str| crate::azure::within(scope, id);
        let resource = known.iter().find(|resource| below(&resource.id));
        let known =
            resource.map(|resource| resource.id.clone()).or_else(|| self.known_group(scope));
        let head = known.unwrap_or_default();
        let tail = scope.get(head.len()..).unwrap_or_default();
        let parts = tail.split('/').map(|part| {
            let lower = part.to_ascii_lowercase();
            KEYWORDS
                .iter()
                .find(|word| word.eq_ignore_ascii_case(&lower))
                .map_or(part, |word| *word)
        });
        head + &parts.collect::<Vec<_>>().join("/")
    }

    fn known_group(&self, scope: &str) -> Option<String> {
        let estate = locked(&self.estate);
        let ids = estate.groups.iter().map(group_id);
        let mut ids: Vec<String> = ids.filter(|id| crate::azure::within(scope, id)).collect();
        ids.pop()
    }
}

const KEYWORDS: [&str; 10] = [
    "subscriptions",
    "resourceGroups",
    "providers",
    "Microsoft.KeyVault",
    "Microsoft.RecoveryServices",
    "Microsoft.Management",
    "managementGroups",
    "vaults",
    "secrets",
    "deletedVaults",
];

pub(super) fn group_id(group: &ResourceGroup) -> String {
    format!("/subscriptions/{}/resourceGroups/{}", group.subscription_id, group.name)
}

pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// `2024-07-22T06:24:25Z`.
pub(super) fn seconds(at: OffsetDateTime) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at.format(format).unwrap_or_default()
}

/// Lays the members of one object over those of another.
pub(super) fn overlaid(base: Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            base.extend(over.clone());
            Value::Object(base)
        }
        (base, _) => base,
    }
}
