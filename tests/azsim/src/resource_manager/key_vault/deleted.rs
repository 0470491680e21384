//! Deleted Key Vaults: listed, looked at, purged. Recovering is a PUT with `createMode` `recover`.
//!
//! While one is deleted its name does not resolve and cannot be taken.

use std::sync::Arc;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::Tags;
use crate::{
    access_control::new_guid,
    azure::Azure,
    http::Answer,
    key_vault::KeyVault,
    resource_manager::{
        Call, Outcome,
        error::Refused,
        estate::{same, seconds},
        paged,
    },
};

#[derive(Serialize)]
struct Body {
    id: String,
    name: String,
    r#type: &'static str,
    properties: Properties,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    vault_id: String,
    location: String,
    tags: Tags,
    deletion_date: String,
    scheduled_purge_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    purge_protection_enabled: Option<bool>,
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    call.require("Microsoft.KeyVault/deletedVaults/read", &call.path.scope())?;
    let subscription = call.path.subscription().unwrap_or_default();
    let mut found = call.azure.key_vaults();
    found
        .retain(|found| found.is_soft_deleted() && same(&found.spec.subscription_id, subscription));
    found.sort_by(|one, other| one.host().cmp(other.host()));
    paged(call, found.iter().map(|found| body(call.azure, found)))
}

pub(super) fn get(call: &Call<'_>, location: &str, name: &str) -> Outcome {
    call.require("Microsoft.KeyVault/locations/deletedVaults/read", &call.path.scope())?;
    Ok(Answer::json(200, &body(call.azure, &*find(call, location, name)?)))
}

pub(super) fn purge(call: &Call<'_>, location: &str, name: &str) -> Outcome {
    call.require("Microsoft.KeyVault/locations/deletedVaults/purge/action", &call.path.scope())?;
    let found = find(call, location, name)?;
    if found.settings().purge_protection {
        let message = "Operation 'DeletedVaultPurge' is not allowed.";
        return Err(Refused::new(405, "MethodNotAllowed", message));
    }
    call.azure.remove_key_vault(&found);
    let location = format!(
        "https://management.azure.com{}/providers/Microsoft.KeyVault/locations/{}/operationResults/{}?api-version={}",
        call.path.scope(),
        found.spec.location,
        new_guid(),
        call.api_version()
    );
    Ok(Answer::empty(202).with("Location", &location).with("Retry-After", "5"))
}

fn find(call: &Call<'_>, location: &str, name: &str) -> Result<Arc<KeyVault>, Refused> {
    let subscription = call.path.subscription().unwrap_or_default();
    let found = call.azure.key_vault(name).ok().filter(|found| {
        found.is_soft_deleted()
            && same(&found.spec.location, location)
            && same(&found.spec.subscription_id, subscription)
    });
    found.ok_or_else(|| {
        let message = format!("The specified deleted vault '{name}' does not exist.");
        Refused::new(404, "DeletedVaultNotFound", message)
    })
}

fn body(azure: &Azure, key_vault: &KeyVault) -> Body {
    let (spec, settings) = (&key_vault.spec, key_vault.settings());
    let facet = azure.facet(key_vault.host());
    let deleted = facet.deleted_at.unwrap_or_else(OffsetDateTime::now_utc);
    let retention = Duration::days(i64::from(settings.soft_delete_retention_days));
    Body {
        id: format!(
            "/subscriptions/{}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            spec.subscription_id, spec.location, spec.name
        ),
        name: spec.name.clone(),
        r#type: "Microsoft.KeyVault/deletedVaults",
        properties: Properties {
            vault_id: spec.resource_id(),
            location: spec.location.clone(),
            tags: facet.tags,
            deletion_date: seconds(deleted),
            scheduled_purge_date: seconds(deleted + retention),
            purge_protection_enabled: settings.purge_protection.then_some(true),
        },
    }
}
