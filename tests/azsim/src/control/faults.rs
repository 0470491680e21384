//! Faults: put in place, read, clear.

use anyhow::anyhow;
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, App};
use crate::faults::{Active, Fault};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    key_vault: Option<String>,
}

pub(super) async fn inject(State(azure): App, Json(fault): Json<Fault>) -> Answer {
    Ok(Json(json!({ "id": azure.faults.inject(fault).id })))
}

pub(super) async fn list(State(azure): App) -> Answer {
    let described =
        |active: &Active| json!({ "id": active.id, "hits": active.hits(), "fault": active.fault });
    let faults: Value = azure.faults.list().iter().map(|active| described(active)).collect();
    Ok(Json(faults))
}

/// All of them, or those of one Key Vault.
pub(super) async fn clear(State(azure): App, Query(which): Query<Which>) -> Answer {
    let cleared = azure.faults.clear(|active| match &which.key_vault {
        None => true,
        wanted => active.fault.key_vault == *wanted,
    });
    Ok(Json(json!({ "cleared": cleared })))
}

pub(super) async fn clear_one(State(azure): App, Path(id): Path<String>) -> Answer {
    match azure.faults.clear(|active| active.id == id) {
        0 => Err(anyhow!("no fault {id}").into()),
        cleared => Ok(Json(json!({ "cleared": cleared }))),
    }
}
