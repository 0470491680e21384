//! A Recovery Services vault as ARM shows it, in the provider's own order. What is not set does not appear.
//!
//! Member order was taken from recorded answers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{KIND, RecoveryVault};
use crate::{azure::Azure, resource_manager::estate::overlaid};

#[derive(Serialize)]
pub(super) struct Body {
    location: String,
    name: String,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    properties: Properties,
    id: String,
    r#type: &'static str,
    sku: Sku,
}

#[derive(Serialize)]
struct Sku {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    provisioning_state: &'static str,
    private_endpoint_state_for_backup: &'static str,
    private_endpoint_state_for_site_recovery: &'static str,
    #[serde(flatten)]
    others: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<String>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_assigned_identities: BTreeMap<String, UserAssigned>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserAssigned {
    client_id: String,
    principal_id: String,
}

impl Body {
    pub(super) fn of(azure: &Azure, vault: &RecoveryVault) -> Self {
        let spec = &vault.spec;
        Self {
            location: spec.location.clone(),
            name: spec.name.clone(),
            etag: vault.etag.clone(),
            identity: identity(azure, vault),
            tags: vault.tags.clone(),
            properties: Properties {
                provisioning_state: "Succeeded",
                private_endpoint_state_for_backup: "None",
                private_endpoint_state_for_site_recovery: "None",
                others: overlaid(json!({}), &spec.properties),
            },
            id: spec.resource_id(),
            r#type: KIND,
            sku: Sku { name: "Standard" },
        }
    }
}

/// The five forms: absent, `None`, system-assigned, user-assigned, both.
fn identity(azure: &Azure, vault: &RecoveryVault) -> Option<Identity> {
    let identity = vault.spec.identity.as_ref()?;
    let principal_id = identity.principal_id.clone();
    let subscription = azure.subscription(&vault.spec.subscription_id);
    let tenant_id = subscription.and_then(|subscription| subscription.tenant_id);
    let known = identity.user_assigned.iter().filter_map(|id| azure.user_assigned(id));
    let user_assigned_identities: BTreeMap<_, _> = known
        .map(|known| {
            let ids = UserAssigned { client_id: known.client_id, principal_id: known.principal_id };
            (known.resource_id, ids)
        })
        .collect();
    let r#type = match (principal_id.is_some(), user_assigned_identities.is_empty()) {
        (false, true) => "None",
        (true, true) => "SystemAssigned",
        (false, false) => "UserAssigned",
        (true, false) => "SystemAssigned, UserAssigned",
    };
    let tenant_id = tenant_id.filter(|_| r#type != "None");
    Some(Identity { tenant_id, principal_id, r#type, user_assigned_identities })
}
