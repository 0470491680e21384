//! The Recovery Services vaults of the machines, by ARM where it may be read: their identity, by which MARS
//! saves passphrases, and the machines that are registered there.
//!
//! What ARM does not tell changes nothing and is kept as unknown, with the reason.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, future::join, stream};

use crate::{
    azure::{Deadline, ResourceManagerError},
    broker::{Broker, Error},
    domain::{
        audit_event::{AuditEvent, Outcome},
        recovery_services_resource::RecoveryServicesVaultResource,
        recovery_services_vault::RecoveryServicesVaultId,
        resource_id::SubscriptionId,
    },
    store::{
        self,
        recovery_services_vaults::{self, DueRecoveryServicesVault, KnownIdentity},
    },
};

const BATCH: i64 = 20;
/// For somebody who waits.
const AT_ONCE: usize = 8;
/// For all calls about one of them.
const BUDGET: Duration = Duration::from_secs(20);

impl Broker {
    pub(super) async fn check_recovery_services_vaults(
        &self,
        every: Duration,
    ) -> Result<(), Error> {
        loop {
            let due = self.store.claim_recovery_services_vaults(every, BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            self.find_more(&due).await;
            for recovery_services_vault in due {
                let id = recovery_services_vault.id.clone();
                if let Err(error) =
                    self.check_recovery_services_vault(recovery_services_vault).await
                {
                    tracing::warn!(%error, %id, "a Recovery Services vault was not checked");
                }
            }
        }
    }

    /// Others of the same subscriptions, whose machines nobody has registered yet.
    async fn find_more(&self, due: &[DueRecoveryServicesVault]) {
        let subscriptions: BTreeSet<_> =
            due.iter().map(|one| (one.tenant_id, one.id.subscription_id().0)).collect();
        for (tenant_id, subscription) in subscriptions {
            if self.rules.several_tenants {
                continue;
            }
            let request_id = uuid::Uuid::now_v7().to_string();
            let subscription = SubscriptionId(subscription);
            let deadline = Deadline::after(BUDGET);
            let listed = self
                .resource_manager
                .recovery_services_vaults(&request_id, subscription, deadline)
                .await;
            let Ok(listed) = listed else { continue };
            let ids: Vec<_> = listed.value.into_iter().map(|found| found.id).collect();
            let kept = self.store.remember_recovery_services_vaults(tenant_id, &ids).await;
            if let Err(error) = kept {
                tracing::warn!(%error, "Recovery Services vaults were not kept");
            }
        }
    }

    /// For somebody who waits: those of which nothing, or nothing new, is known, side by side.
    pub(in crate::broker) async fn ask_about_stale(&self, tenant_id: uuid::Uuid, most: i64) {
        let due = self.store.list_stale_recovery_services_vaults(tenant_id, most).await;
        let asks = due.unwrap_or_default().into_iter().map(|due| async move {
            let id = due.id.clone();
            if let Err(error) = self.check_recovery_services_vault(due).await {
                tracing::warn!(%error, %id, "a Recovery Services vault was not checked");
            }
        });
        stream::iter(asks).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn check_recovery_services_vault(
        &self,
        due: DueRecoveryServicesVault,
    ) -> Result<(), Error> {
        let request_id = uuid::Uuid::now_v7().to_string();
        if !self.may_ask_for(due.tenant_id, &due.id, &request_id).await {
            return Ok(self.store.note_unreadable(&due, "not_of_this_tenant").await?);
        }
        let (arm, deadline) = (&self.resource_manager, Deadline::after(BUDGET));
        let (resource, containers) = join(
            arm.recovery_services_vault(&request_id, &due.id, deadline),
            arm.mars_containers(&request_id, &due.id, deadline),
        )
        .await;
        match resource {
            Ok(told) => self.note_identity(&due, identity_of(due.identity, &told.value)).await?,
            // Gone with its identity. ARM says so only to those who may read it.
            Err(ResourceManagerError::NotFound(_)) => {
                self.note_identity(&due, without(due.identity)).await?;
            }
            Err(error) => tracing::debug!(%error, id = %due.id, "the identity is unknown"),
        }
        match containers {
            Ok(told) => Ok(self.store.keep_containers(&due, &told.value).await?),
            Err(error) => Ok(self.store.note_unreadable(&due, &reason(&error)).await?),
        }
    }

    /// A tenant is a wall: where several use this service, naming another one's resource must not show it.
    async fn may_ask_for(
        &self,
        tenant_id: uuid::Uuid,
        id: &RecoveryServicesVaultId,
        request_id: &str,
    ) -> bool {
        if !self.rules.several_tenants {
            return true;
        }
        let deadline = Deadline::after(BUDGET);
        let own = self.resource_manager.subscriptions_of(request_id, tenant_id, deadline).await;
        own.is_ok_and(|own| own.value.contains(&id.subscription_id()))
    }

    async fn note_identity(
        &self,
        due: &DueRecoveryServicesVault,
        identity: KnownIdentity,
    ) -> Result<(), Error> {
        let known = identity == due.identity;
        // A machine may have been registered there since.
        if known && !(vanished(identity) && self.store.lacks_mark_of_identity(due).await?) {
            return Ok(());
        }
        // What is learned for the first time is no change.
        if due.identity == KnownIdentity::Unknown {
            return Ok(self.store.keep_identity(due, identity).await?);
        }
        // Of nobody's machine, every tenant would see it.
        let Some(machine) = self.store.find_any_machine_in(due).await? else {
            return Ok(self.store.keep_identity(due, identity).await?);
        };
        let event = AuditEvent::by_system("check_drift", Outcome::Succeeded, self.clock.now())
            .on_machine(machine)
            .with("recoveryServicesVaultId", due.id.as_str())
            .with("identityWas", described(due.identity))
            .with("identityIs", described(identity));
        let row = due.clone();
        self.audit
            .record_with(event, move |connection| {
                Box::pin(async move {
                    let recorded =
                        recovery_services_vaults::record_identity(connection, &row, identity).await;
                    recorded.map_err(store::Error::from)
                })
            })
            .await?;
        Ok(())
    }
}

/// Why ARM did not tell, as it is kept and shown: a short name and, when a permission is missing, which.
fn reason(error: &ResourceManagerError) -> String {
    match error {
        ResourceManagerError::Forbidden { .. } => format!("forbidden: {}", error.action()),
        other => other.code().to_owned(),
    }
}

fn identity_of(known: KnownIdentity, told: &RecoveryServicesVaultResource) -> KnownIdentity {
    told.identity
        .system_assigned()
        .map_or_else(|| without(known), |identity| KnownIdentity::Present(identity.principal_id))
}

/// One that never had an identity lacks it; one that had it lost it, and keeps having lost it.
fn without(known: KnownIdentity) -> KnownIdentity {
    match known {
        KnownIdentity::Present(_) | KnownIdentity::Vanished => KnownIdentity::Vanished,
        KnownIdentity::Unknown | KnownIdentity::Absent => KnownIdentity::Absent,
    }
}

fn vanished(identity: KnownIdentity) -> bool {
    identity == KnownIdentity::Vanished
}

fn described(identity: KnownIdentity) -> String {
    match identity {
        KnownIdentity::Present(principal_id) => format!("present {principal_id}"),
        other => other.name().to_owned(),
    }
}
