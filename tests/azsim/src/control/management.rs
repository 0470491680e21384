//! What ARM manages, the roles, and the machines that ask for tokens. Nothing here lags.
//!
//! The same as `management.rs` of the Rust API.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, App};
use crate::{
    access_control::{OWNER, Stamp},
    azure::{locked, read},
    resource_manager::RecoveryVault,
    world::{
        DenyAssignment, DiagnosticSetting, Group, Machine, ManagementGroup, Owner, Paging,
        RecoveryServicesVault, RoleAssignment, RoleDefinition,
    },
};

pub(super) async fn put_vault(
    State(azure): App,
    Path(name): Path<String>,
    Json(spec): Json<RecoveryServicesVault>,
) -> Answer {
    let spec = RecoveryServicesVault { name, ..spec };
    let id = spec.resource_id();
    locked(&azure.estate).put_vault(RecoveryVault::new(spec));
    Ok(Json(json!({ "resourceId": id })))
}

pub(super) async fn machines(State(azure): App) -> Answer {
    Ok(Json(json!(*read(&azure.machines))))
}

/// Creates it, or replaces the one of this kind and name.
pub(super) async fn put_machine(State(azure): App, Json(machine): Json<Machine>) -> Answer {
    azure.put_machine(machine);
    Ok(Json(json!({})))
}

pub(super) async fn make_owner(State(azure): App, Json(owner): Json<Owner>) -> Answer {
    let role = Some(OWNER.to_owned());
    let assignment = RoleAssignment { role, ..RoleAssignment::to(owner.principal_id, owner.scope) };
    Ok(Json(json!({ "id": azure.assign(&assignment) })))
}

pub(super) async fn define_role(State(azure): App, Json(role): Json<RoleDefinition>) -> Answer {
    azure.change_roles_at_once(|roles| roles.define(role.clone(), Stamp::by(None)));
    Ok(Json(json!({ "id": role.id })))
}

pub(super) async fn deny(State(azure): App, Json(denial): Json<DenyAssignment>) -> Answer {
    Ok(Json(json!({ "id": azure.deny(denial) })))
}

pub(super) async fn undeny(State(azure): App, Path(id): Path<String>) -> Answer {
    if azure.undeny(&id) {
        return Ok(Json(json!({})));
    }
    Err(anyhow::anyhow!("no deny assignment {id}").into())
}

pub(super) async fn put_group(State(azure): App, Json(group): Json<Group>) -> Answer {
    azure.put_group(&group);
    Ok(Json(json!({})))
}

pub(super) async fn put_management_group(
    State(azure): App,
    Json(group): Json<ManagementGroup>,
) -> Answer {
    azure.put_management_group(&group);
    Ok(Json(json!({ "resourceId": group.resource_id() })))
}

pub(super) async fn set_paging(State(azure): App, Json(paging): Json<Paging>) -> Answer {
    locked(&azure.estate).paging = paging;
    Ok(Json(json!({})))
}

pub(super) async fn add_diagnostic_setting(
    State(azure): App,
    Json(setting): Json<DiagnosticSetting>,
) -> Answer {
    locked(&azure.estate).add_diagnostic_setting(setting);
    Ok(Json(json!({})))
}

pub(super) async fn requests(State(azure): App) -> Answer {
    Ok(Json(json!(locked(&azure.estate).log.all())))
}

#[derive(Deserialize)]
pub(super) struct Propagation {
    milliseconds: u64,
}

pub(super) async fn set_propagation(State(azure): App, Json(lag): Json<Propagation>) -> Answer {
    azure.set_propagation(lag.milliseconds);
    Ok(Json(json!({})))
}
