//! Subscriptions as ARM lists them.

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::resource_id::SubscriptionId;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::azure::resource_manager) struct Subscription {
    subscription_id: Uuid,
}

impl Subscription {
    #[expect(clippy::unnecessary_wraps, reason = "lists read items that may be none")]
    pub(in crate::azure::resource_manager) fn read(self) -> Option<SubscriptionId> {
        Some(SubscriptionId(self.subscription_id))
    }
}
