//! The Recovery Services vaults that a secret's name may end with: those of registered machines, those that
//! the caller names, and those that ARM shows in the subscriptions that this service may read.

use std::{collections::HashMap, time::Duration};

use crate::{
    azure::Deadline,
    broker::{Broker, Error},
    domain::{
        caller::Caller, recovery_services_vault::RecoveryServicesVaultId,
        resource_id::SubscriptionId,
    },
    store::recovery_services_vaults::KnownRecoveryServicesVault,
};
const MOST_KNOWN: i64 = 5_000;
const MOST_SUBSCRIPTIONS: usize = 20;
/// What ARM is asked before the first page: the rest is left to the periodic check.
const MOST_ASKED: i64 = 60;
const BUDGET: Duration = Duration::from_secs(5);

/// Recovery Services vaults by the lower case of their names, which several may share.
pub(super) struct Estate(HashMap<String, Vec<KnownRecoveryServicesVault>>);

impl Estate {
    pub(super) fn new(known: Vec<KnownRecoveryServicesVault>) -> Self {
        let mut by_name: HashMap<String, Vec<KnownRecoveryServicesVault>> = HashMap::new();
        for one in known {
            by_name.entry(one.id.name().to_ascii_lowercase()).or_default().push(one);
        }
        Self(by_name)
    }

    /// Every way to read what stands behind the prefix: what may be a machine, and those whose name is the
    /// rest, the longest rest first. A hyphen is never taken for the border unless a known name follows.
    pub(super) fn readings<'a>(
        &'a self,
        behind_prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a [KnownRecoveryServicesVault])> {
        behind_prefix.match_indices('-').filter_map(|(at, _)| {
            let (machine, rest) = behind_prefix.split_at_checked(at)?;
            let known = self.0.get(&rest.get(1..)?.to_ascii_lowercase())?;
            (!machine.is_empty()).then_some((machine, known.as_slice()))
        })
    }
}

impl Broker {
    /// What is known now, with those that the caller names. `first`: ARM is asked before.
    pub(super) async fn estate(
        &self,
        caller: &Caller,
        named: &[RecoveryServicesVaultId],
        first: bool,
    ) -> Result<Estate, Error> {
        let tenant_id = caller.tenant_id();
        if first {
            let learned = self.learn_estate(caller, named);
            // Whatever was learned by then is kept.
            if tokio::time::timeout(BUDGET, learned).await.is_err() {
                tracing::info!("ARM was not asked about everything before a scan");
            }
        }
        let mut known =
            self.store.list_known_recovery_services_vaults(tenant_id, MOST_KNOWN).await?;
        for id in named {
            if known.iter().all(|one| one.id != *id) {
                known.push(KnownRecoveryServicesVault {
                    id: id.clone(),
                    containers_read: false,
                    unreadable: None,
                });
            }
        }
        Ok(Estate::new(known))
    }

    async fn learn_estate(&self, caller: &Caller, named: &[RecoveryServicesVaultId]) {
        let (tenant_id, request_id) = (caller.tenant_id(), &caller.request().request_id);
        for subscription in self.subscriptions(caller, named).await {
            let deadline = Deadline::after(BUDGET);
            let listed = self
                .resource_manager
                .recovery_services_vaults(request_id, subscription, deadline)
                .await;
            let Ok(listed) = listed else { continue };
            let ids: Vec<_> = listed.value.into_iter().map(|found| found.id).collect();
            let kept = self.store.remember_recovery_services_vaults(tenant_id, &ids).await;
            if let Err(error) = kept {
                tracing::warn!(%error, "Recovery Services vaults were not kept");
            }
        }
        self.ask_about_stale(tenant_id, MOST_ASKED).await;
    }

    /// Of the tenant itself, of its machines, and of what the caller names.
    async fn subscriptions(
        &self,
        caller: &Caller,
        named: &[RecoveryServicesVaultId],
    ) -> Vec<SubscriptionId> {
        let (tenant_id, request_id) = (caller.tenant_id(), &caller.request().request_id);
        let deadline = Deadline::after(BUDGET);
        let told = self.resource_manager.subscriptions_of(request_id, tenant_id, deadline).await;
        let mut subscriptions = told.map(|told| told.value).unwrap_or_default();
        // Naming another tenant's does not make it one's own.
        if self.rules.several_tenants {
            return subscriptions;
        }
        let known = self.store.list_known_recovery_services_vaults(tenant_id, MOST_KNOWN).await;
        let known = known.unwrap_or_default();
        let ids = known.iter().map(|one| &one.id).chain(named);
        for subscription in ids.map(RecoveryServicesVaultId::subscription_id) {
            if !subscriptions.contains(&subscription) {
                subscriptions.push(subscription);
            }
        }
        subscriptions.truncate(MOST_SUBSCRIPTIONS);
        subscriptions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str) -> KnownRecoveryServicesVault {
        let id = RecoveryServicesVaultId::parse(id).unwrap();
        KnownRecoveryServicesVault { id, containers_read: true, unreadable: None }
    }

    fn id(name: &str) -> String {
        let subscription = uuid::Uuid::nil();
        format!(
            "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/{name}"
        )
    }

    #[test]
    fn a_name_is_read_with_known_names_only_the_longest_first() {
        let estate = Estate::new(vec![known(&id("prod")), known(&id("RSV-Prod"))]);
        let read = |text: &str| -> Vec<(String, String)> {
            let readings = estate.readings(text);
            readings.map(|(machine, of)| (machine.to_owned(), of[0].id.name().to_owned())).collect()
        };
        let pair = |machine: &str, of: &str| (machine.to_owned(), of.to_owned());
        assert_eq!(
            read("web01-a-rsv-PROD"),
            [pair("web01-a", "RSV-Prod"), pair("web01-a-rsv", "prod")]
        );
        assert_eq!(read("web01-preprod"), []);
        assert_eq!(read("-prod"), []);
        assert_eq!(read("prod"), []);
        assert_eq!(read(""), []);
    }
}
