//! `/v1/me`: who the service thinks you are. Answers "why am I refused".

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{App, problem::Problem};
use crate::domain::{
    caller::Caller,
    operation::{Operation, Scope},
    principal::PrincipalKind,
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeResponse {
    tenant_id: Uuid,
    object_id: Uuid,
    /// `user` or `application`.
    #[schema(value_type = String)]
    kind: PrincipalKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    guest: bool,
    roles: Vec<&'static str>,
    /// The machine that this identity is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<BoundMachine>,
    operations: Vec<PermittedOperation>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BoundMachine {
    id: Uuid,
    fqdn: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermittedOperation {
    operation: &'static str,
    /// `any`: for every machine. `own`: for the bound machine. `no`: see `missingRoles`.
    permitted: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_roles: Vec<&'static str>,
}

/// Shows the caller's identity and what it may do.
#[utoipa::path(
    get, path = "/v1/me", operation_id = "show_caller", tag = "callers",
    responses((status = 200, description = "The caller.", body = MeResponse))
)]
pub(super) async fn show_caller(
    caller: Caller,
    State(app): State<Arc<App>>,
) -> Result<axum::Json<MeResponse>, Problem> {
    let principal = caller.principal();
    let machine = app.broker.machine_of_agent(&caller).await?;
    let operations = Operation::ALL.into_iter().map(|operation| {
        let (permitted, missing) = match operation.permit(principal) {
            Ok(Scope::Tenant) => ("any", Vec::new()),
            Ok(Scope::OwnMachine) => ("own", Vec::new()),
            Err(refusal) => ("no", refusal.missing),
        };
        let missing_roles = missing.into_iter().map(crate::domain::principal::Role::name).collect();
        PermittedOperation { operation: operation.id(), permitted, missing_roles }
    });
    Ok(axum::Json(MeResponse {
        tenant_id: principal.tenant_id,
        object_id: principal.object_id,
        kind: principal.kind,
        client_id: principal.client_id.clone(),
        guest: principal.guest,
        roles: principal.roles.names(),
        machine: machine
            .map(|machine| BoundMachine { id: machine.id.0, fqdn: machine.fqdn.to_string() }),
        operations: operations.collect(),
    }))
}
