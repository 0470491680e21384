//! Subscriptions as ARM lists them.

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::resource_id::SubscriptionId;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::azure::resource_manager) struct Subscription {
    subscription_id: Uuid,
    tenant_id: Option<Uuid>,
}

impl Subscription {
    #[expect(clippy::unnecessary_wraps, reason = "lists read items that may be none")]
    pub(in crate::azure::resource_manager) fn read(self) -> Option<SubscriptionId> {
        Some(SubscriptionId(self.subscription_id))
    }

    /// With the tenant that it belongs to.
    #[expect(clippy::unnecessary_wraps, reason = "lists read items that may be none")]
    pub(in crate::azure::resource_manager) fn read_with_tenant(
        self,
    ) -> Option<(SubscriptionId, Option<Uuid>)> {
        Some((SubscriptionId(self.subscription_id), self.tenant_id))
    }
}
