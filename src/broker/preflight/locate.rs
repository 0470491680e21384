//! Where a Key Vault lies when only its URI was given: a name belongs to one Key Vault in the world, so the
//! subscriptions that this service may read are searched for it, among the living and the deleted.

use futures_util::{StreamExt, stream};

use super::seen::{present, seen};
use crate::{
    azure::Deadline,
    broker::Broker,
    domain::{
        key_vault_id::KeyVaultUri,
        key_vault_resource::DeletedKeyVault,
        preflight::facts::{Seen, Subject},
        recovery_services_vault::RecoveryServicesVaultId,
        resource_id::{KeyVaultId, SubscriptionId},
    },
};

const NOWHERE: &str = "Give keyVaultId or recoveryServicesVaultId: this service may read no subscription in which it could look for it.";
/// More would make one report a burden for everybody.
const MOST_SUBSCRIPTIONS: usize = 500;
/// Subscriptions that are searched at the same time.
const AT_ONCE: usize = 20;

pub(super) struct Located {
    pub(super) id: Seen<KeyVaultId>,
    pub(super) deleted: Seen<DeletedKeyVault>,
}

impl Broker {
    pub(super) async fn locate(
        &self,
        request_id: &str,
        subject: &Subject,
        uri: &KeyVaultUri,
        deadline: Deadline,
    ) -> Located {
        if let Some(id) = &subject.key_vault_id {
            let deleted = self.deleted(request_id, id.subscription_id(), uri, deadline).await;
            return Located { id: Seen::NotAsked("It was given."), deleted };
        }
        let known = subject
            .recovery_services_vault_id
            .as_ref()
            .map(RecoveryServicesVaultId::subscription_id);
        let mut subscriptions: Vec<SubscriptionId> = known.into_iter().collect();
        if let Ok(told) = self.resource_manager.subscriptions(request_id, deadline).await {
            subscriptions.extend(told.value.into_iter().filter(|found| Some(*found) != known));
        }
        subscriptions.truncate(MOST_SUBSCRIPTIONS);
        let searches = subscriptions.into_iter().map(|subscription| async move {
            tokio::join!(
                async {
                    let found = self.resource_manager.find_key_vault(
                        request_id,
                        subscription,
                        uri,
                        deadline,
                    );
                    present(seen(found.await))
                },
                self.deleted(request_id, subscription, uri, deadline)
            )
        });
        let mut searches = stream::iter(searches).buffer_unordered(AT_ONCE);
        let (mut ids, mut graves) = (Vec::new(), Vec::new());
        while let Some((id, deleted)) = searches.next().await {
            // A name is in one place: once it is found, nobody need look in the other subscriptions.
            if id.found().is_some() || deleted.found().is_some() {
                return Located { id, deleted };
            }
            ids.push(id);
            graves.push(deleted);
        }
        Located { id: best(ids), deleted: best(graves) }
    }

    async fn deleted(
        &self,
        request_id: &str,
        subscription: SubscriptionId,
        uri: &KeyVaultUri,
        deadline: Deadline,
    ) -> Seen<DeletedKeyVault> {
        let listed =
            self.resource_manager.deleted_key_vaults(request_id, subscription, deadline).await;
        let one = listed.map(|told| {
            told.map(|all| all.into_iter().find(|found| found.id.is_named(uri.name())))
        });
        present(seen(one))
    }
}

/// Of several subscriptions' answers: where it is; else that one could not be read; else that none has it.
fn best<T>(answers: Vec<Seen<T>>) -> Seen<T> {
    let rank = |answer: &Seen<T>| match answer {
        Seen::Found(..) => 0,
        Seen::Unreadable { .. } => 1,
        Seen::Forbidden { .. } => 2,
        Seen::Absent(_) => 3,
        Seen::NotAsked(_) | Seen::Closed(_) => 4,
    };
    answers.into_iter().min_by_key(rank).unwrap_or(Seen::Closed(NOWHERE))
}
