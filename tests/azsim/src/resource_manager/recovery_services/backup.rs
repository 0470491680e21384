//! What Azure Backup says of a vault: its configuration and the MARS machines registered with it.
//!
//! The machines are the world's `containers`; nothing registers here.

use serde_json::{Value, json};

use super::{READ, RecoveryVault, find, json, vault_id};
use crate::{
    resource_manager::{Call, Outcome, estate::overlaid, page},
    world::Container,
};

pub(super) fn answer(call: &Call<'_>, name: &str, tail: &[&str]) -> Outcome {
    let lower: Vec<String> = tail.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let body: fn(&RecoveryVault) -> Value = match *lower.as_slice() {
        ["backupconfig", "vaultconfig"] => config,
        ["backupstorageconfig", "vaultstorageconfig"] => storage,
        ["backupprotectioncontainers"] => return containers(call, name),
        _ => return call.unknown(),
    };
    let kind = tail.first().copied().unwrap_or_default();
    call.require(&READ.replace("/read", &format!("/{kind}/read")), &vault_id(call, name))?;
    Ok(json(200, &body(&find(call, name)?)))
}

fn config(vault: &RecoveryVault) -> Value {
    let usual = json!({
        "enhancedSecurityState": "Enabled", "isSoftDeleteFeatureStateEditable": true,
        "softDeleteFeatureState": "Enabled", "softDeleteRetentionPeriodInDays": 14,
        "storageModelType": "GeoRedundant", "storageType": "GeoRedundant", "storageTypeState": "Locked",
    });
    json!({
        "id": format!("{}/backupconfig/vaultconfig", vault.spec.resource_id()),
        "name": "vaultconfig",
        "type": "Microsoft.RecoveryServices/vaults/backupconfig",
        "properties": overlaid(usual, &vault.spec.backup_config),
    })
}

fn storage(vault: &RecoveryVault) -> Value {
    json!({
        "id": format!("{}/backupstorageconfig/vaultstorageconfig", vault.spec.resource_id()),
        "name": "vaultstorageconfig",
        "type": "Microsoft.RecoveryServices/vaults/backupstorageconfig",
        "properties": {
            "crossRegionRestoreFlag": false, "dedupState": "Disabled", "storageModelType": "GeoRedundant",
            "storageType": "GeoRedundant", "storageTypeState": "Locked", "xcoolState": "Disabled",
        },
    })
}

/// The MARS agent's machines are containers of the management type `MAB`; no others are played.
fn containers(call: &Call<'_>, name: &str) -> Outcome {
    let action = READ.replace("/read", "/backupProtectionContainers/read");
    call.require(&action, &vault_id(call, name))?;
    let (vault, filter) = (find(call, name)?, call.filter()?);
    let machines = vault.spec.containers.iter();
    let machines = machines.filter(|_| filter.admits("backupManagementType", "MAB"));
    let machines = machines.filter(|machine| filter.admits("friendlyName", &machine.name));
    let machines = machines.map(|machine| container(&vault, machine));
    Ok(json(200, &page(call, machines)?))
}

fn container(vault: &RecoveryVault, machine: &Container) -> Value {
    let name = format!("Windows;{}", machine.name);
    let usual = json!({
        "agentVersion": machine.agent_version, "backupManagementType": "MAB", "canReRegister": true,
        "containerHealthState": "Healthy", "containerType": "Windows", "friendlyName": machine.name,
        "healthStatus": "Healthy", "protectedItemCount": machine.protected_item_count,
        "registrationStatus": machine.registration_status,
    });
    json!({
        "id": format!("{}/backupFabrics/Azure/protectionContainers/{name}", vault.spec.resource_id()),
        "name": name,
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers",
        "properties": overlaid(usual, &machine.properties),
    })
}
