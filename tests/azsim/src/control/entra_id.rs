//! Tokens, tenants and their signing keys.

use anyhow::Context;
use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, App};
use crate::oidc::token::TokenSpec;

pub(super) async fn mint(State(azure): App, Json(spec): Json<TokenSpec>) -> Answer {
    let tenant = azure.tenant(spec.tenant.as_deref().unwrap_or_default())?;
    Ok(Json(json!({ "token": spec.mint(&tenant)? })))
}

pub(super) async fn tenants(State(azure): App) -> Answer {
    let found = azure.tenant_ids();
    let tenants = found.iter().map(|id| {
        let tenant = azure.tenant(id)?;
        Ok(json!({ "id": id, "issuer": tenant.v2_issuer(), "kids": tenant.kids() }))
    });
    Ok(Json(tenants.collect::<anyhow::Result<Value>>()?))
}

pub(super) async fn add_tenant(State(azure): App) -> Answer {
    let id = Uuid::new_v4().to_string();
    azure.add_tenant(&id)?;
    let tenant = azure.tenant(&id).context("the new tenant")?;
    Ok(Json(json!({ "id": id, "issuer": tenant.v2_issuer(), "kids": tenant.kids() })))
}

pub(super) async fn rotate(State(azure): App, Path(tenant): Path<String>) -> Answer {
    Ok(Json(json!({ "kid": azure.tenant(&tenant)?.rotate()? })))
}

pub(super) async fn withdraw(
    State(azure): App,
    Path((tenant, kid)): Path<(String, String)>,
) -> Answer {
    let withdrawn = azure.tenant(&tenant)?.withdraw(&kid);
    if !withdrawn {
        return Err(anyhow::anyhow!("no key {kid}").into());
    }
    Ok(Json(json!({})))
}
