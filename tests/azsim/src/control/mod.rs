//! The control API: everything the Rust API can do, over plain HTTP on loopback. Examples: `README.md`.
//!
//! It asks nobody who they are: whoever reaches loopback may change the world.

mod entra_id;
mod faults;
mod key_vaults;
mod management;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post, put},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::azure::{Azure, locked};

type App = State<Arc<Azure>>;
type Answer = Result<Json<Value>, Refusal>;

/// 400 with a sentence: the caller asked for something that is not there or makes no sense.
struct Refusal(anyhow::Error);

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": format!("{:#}", self.0) }))).into_response()
    }
}

pub(crate) fn router(azure: Arc<Azure>) -> Router {
    let key_vault = Router::new()
        .route("/", put(key_vaults::put).get(key_vaults::get))
        .route("/settings", patch(key_vaults::change_settings))
        .route("/grants", post(key_vaults::grant))
        .route("/requests", get(key_vaults::requests))
        .route("/secrets", post(key_vaults::put_secret))
        .route("/secrets/{secret}", get(key_vaults::secret))
        .route("/secrets/{secret}/versions/{version}", patch(key_vaults::change_version));
    Router::new()
        .route("/world", get(world))
        .route("/reset", post(reset))
        .route("/hosts", get(hosts))
        .route("/tokens", post(entra_id::mint))
        .route("/tenants", get(entra_id::tenants).post(entra_id::add_tenant))
        .route("/tenants/{tenant}/keys", post(entra_id::rotate))
        .route("/tenants/{tenant}/keys/{kid}", delete(entra_id::withdraw))
        .nest("/key-vaults/{key_vault}", key_vault)
        .route("/role-assignments", get(key_vaults::assignments).post(key_vaults::assign))
        .route("/role-assignments/{id}", delete(key_vaults::unassign))
        .route("/faults", get(faults::list).post(faults::inject).delete(faults::clear))
        .route("/faults/{id}", delete(faults::clear_one))
        .merge(management())
        .with_state(azure)
}

fn management() -> Router<Arc<Azure>> {
    Router::new()
        .route("/recovery-services-vaults/{name}", put(management::put_vault))
        .route("/machines", get(management::machines).put(management::put_machine))
        .route("/owners", post(management::make_owner))
        .route("/role-definitions", post(management::define_role))
        .route("/deny-assignments", post(management::deny))
        .route("/deny-assignments/{id}", delete(management::undeny))
        .route("/groups", put(management::put_group))
        .route("/management-groups", put(management::put_management_group))
        .route("/paging", put(management::set_paging))
        .route("/diagnostic-settings", post(management::add_diagnostic_setting))
        .route("/management-requests", get(management::requests))
        .route("/propagation", put(management::set_propagation))
}

pub(crate) async fn serve(stream: TcpStream, router: Router) {
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(router);
    // A client that goes away is not news.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

async fn world(State(azure): App) -> Answer {
    let key_vaults: Vec<Value> =
        azure.key_vaults().iter().map(|found| key_vaults::described(found)).collect();
    Ok(Json(json!({
        "tenants": azure.tenant_ids(),
        "identity": azure.world.identity,
        "keyVaults": key_vaults,
        "roleAssignments": azure.role_assignments(),
    })))
}

async fn reset(State(azure): App) -> Answer {
    azure.reset()?;
    Ok(Json(json!({})))
}

async fn hosts(State(azure): App) -> Answer {
    Ok(Json(json!(*locked(&azure.hosts))))
}
