//! Deny assignments: a list only, as clients cannot make them either.
//!
//! The world and the control API make them.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    access_control::EVERYONE,
    resource_manager::{Call, Outcome, paged},
    world::{DenyAssignment, Permission},
};

#[derive(Serialize)]
struct Body {
    properties: Properties,
    id: String,
    r#type: &'static str,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    deny_assignment_name: String,
    description: String,
    permissions: Vec<Permission>,
    scope: String,
    do_not_apply_to_child_scopes: bool,
    principals: Vec<Principal>,
    exclude_principals: Vec<Principal>,
    is_system_protected: bool,
    condition: Option<String>,
    condition_version: Option<&'static str>,
}

#[derive(Serialize)]
struct Principal {
    id: String,
    r#type: &'static str,
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let scope = call.path.scope();
    call.require("Microsoft.Authorization/denyAssignments/read", &scope)?;
    let (filter, roles) = (call.filter()?, call.azure.roles());
    let wanted = |denial: &&Arc<DenyAssignment>| {
        let above = roles.within(&scope, &denial.scope);
        above || (!filter.at_scope && roles.within(&denial.scope, &scope))
    };
    paged(call, roles.denials.iter().filter(wanted).map(|denial| body(call, denial)))
}

fn body(call: &Call<'_>, denial: &DenyAssignment) -> Body {
    let scope = call.azure.canonical(&denial.scope);
    let at = scope.trim_end_matches('/');
    Body {
        id: format!("{at}/providers/Microsoft.Authorization/denyAssignments/{}", denial.id),
        r#type: "Microsoft.Authorization/denyAssignments",
        name: denial.id.clone(),
        properties: Properties {
            deny_assignment_name: denial.name.clone(),
            description: denial.description.clone(),
            permissions: denial.permissions.clone(),
            scope,
            do_not_apply_to_child_scopes: denial.do_not_apply_to_child_scopes,
            principals: principals(call, &denial.principals),
            exclude_principals: principals(call, &denial.exclude_principals),
            is_system_protected: true,
            condition: denial.condition.clone(),
            condition_version: denial.condition.as_ref().map(|_| "2.0"),
        },
    }
}

fn principals(call: &Call<'_>, ids: &[String]) -> Vec<Principal> {
    let roles = call.azure.roles();
    let kind = |id: &str| match id {
        EVERYONE => "SystemDefined",
        id if roles.is_group(id) => "Group",
        _ => "ServicePrincipal",
    };
    ids.iter().map(|id| Principal { id: id.clone(), r#type: kind(id) }).collect()
}
