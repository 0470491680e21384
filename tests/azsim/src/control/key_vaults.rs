//! Key Vaults, what is in them, who may do what there, and what they saw.

use anyhow::anyhow;
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, App, Refusal};
use crate::{
    key_vault::KeyVault,
    world::{Grant, KeyVaultSpec, RoleAssignment, SecretSpec, Settings},
};

pub(super) fn described(key_vault: &KeyVault) -> Value {
    json!({
        "name": key_vault.spec.name,
        "uri": format!("https://{}/", key_vault.host()),
        "resourceId": key_vault.spec.resource_id(),
        "location": key_vault.spec.location,
        "settings": key_vault.settings(),
        "secrets": key_vault.secret_names(),
    })
}

pub(super) async fn put(
    State(azure): App,
    Path(name): Path<String>,
    Json(spec): Json<KeyVaultSpec>,
) -> Answer {
    let key_vault = azure.put_key_vault(KeyVaultSpec { name, ..spec })?;
    Ok(Json(described(&key_vault)))
}

pub(super) async fn get(State(azure): App, Path(name): Path<String>) -> Answer {
    Ok(Json(described(&*azure.key_vault(&name)?)))
}

/// Members that are given replace the old ones; the others stay.
pub(super) async fn change_settings(
    State(azure): App,
    Path(name): Path<String>,
    Json(changes): Json<serde_json::Map<String, Value>>,
) -> Answer {
    let key_vault = azure.key_vault(&name)?;
    let mut merged = serde_json::to_value(key_vault.settings())?;
    for (member, value) in changes {
        merged[member] = value;
    }
    let settings: Settings = serde_json::from_value(merged)?;
    key_vault.change(|old| *old = settings);
    Ok(Json(described(&key_vault)))
}

pub(super) async fn grant(
    State(azure): App,
    Path(name): Path<String>,
    Json(grant): Json<Grant>,
) -> Answer {
    let key_vault = azure.key_vault(&name)?;
    Ok(Json(json!({ "id": azure.grant(&key_vault, grant) })))
}

pub(super) async fn assignments(State(azure): App) -> Answer {
    Ok(Json(json!(azure.role_assignments())))
}

pub(super) async fn assign(State(azure): App, Json(assignment): Json<RoleAssignment>) -> Answer {
    Ok(Json(json!({ "id": azure.assign(&assignment) })))
}

pub(super) async fn unassign(State(azure): App, Path(id): Path<String>) -> Answer {
    match azure.unassign(|assignment| assignment.id == id) {
        0 => Err(anyhow!("no role assignment {id}").into()),
        _ => Ok(Json(json!({}))),
    }
}

pub(super) async fn requests(State(azure): App, Path(name): Path<String>) -> Answer {
    Ok(Json(json!(azure.key_vault(&name)?.requests())))
}

pub(super) async fn put_secret(
    State(azure): App,
    Path(name): Path<String>,
    Json(secret): Json<SecretSpec>,
) -> Answer {
    Ok(Json(json!({ "version": azure.key_vault(&name)?.put_secret(secret)? })))
}

pub(super) async fn secret(
    State(azure): App,
    Path((name, secret)): Path<(String, String)>,
) -> Answer {
    let missing = || Refusal::from(anyhow!("no secret {secret}"));
    let found = azure.key_vault(&name)?.secret(&secret).ok_or_else(missing)?;
    Ok(Json(json!(found)))
}

#[derive(Deserialize)]
pub(super) struct VersionChange {
    enabled: bool,
}

pub(super) async fn change_version(
    State(azure): App,
    Path((name, secret, version)): Path<(String, String, String)>,
    Json(change): Json<VersionChange>,
) -> Answer {
    azure.key_vault(&name)?.set_enabled(&secret, &version, change.enabled)?;
    Ok(Json(json!({})))
}
