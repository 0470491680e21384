//! Role assignments: at a scope, above it, below it; made and taken away.
//!
//! Two of the same principal, role and scope are a conflict, whatever their names.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    access_control::{Assignment, Stamp},
    http::Answer,
    resource_manager::{Call, Outcome, error::Refused, estate::same, paged},
    world::RoleAssignment,
};

const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// Members that are null here are null on the wire: Microsoft.Authorization writes them out.
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
    role_definition_id: String,
    principal_id: String,
    principal_type: String,
    scope: String,
    condition: Option<String>,
    condition_version: Option<&'static str>,
    created_on: String,
    updated_on: String,
    created_by: Option<String>,
    updated_by: Option<String>,
    delegated_managed_identity_resource_id: (),
    description: Option<String>,
}

#[derive(Deserialize)]
struct Request {
    properties: Requested,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    role_definition_id: String,
    principal_id: String,
    #[serde(default)]
    principal_type: Option<String>,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let scope = call.path.scope();
    call.require(READ, &scope)?;
    let (filter, roles) = (call.filter()?, call.azure.roles());
    let identities = filter.assigned_to.as_deref().map(|principal| roles.identities(principal));
    let wanted = |assignment: &&std::sync::Arc<Assignment>| {
        let given = &assignment.given;
        let above = roles.within(&scope, &given.scope);
        let below = !filter.at_scope && roles.within(&given.scope, &scope);
        (above || below)
            && filter.admits("principalId", &given.principal_id)
            && identities
                .as_ref()
                .is_none_or(|who| who.contains(&given.principal_id.to_ascii_lowercase()))
    };
    let found = roles.assignments.iter().filter(wanted);
    paged(call, found.map(|assignment| body(call, assignment)))
}

pub(super) fn get(call: &Call<'_>, name: &str) -> Outcome {
    call.require(READ, &call.path.scope())?;
    match find(call, name) {
        Some(found) => Ok(Answer::json(200, &body(call, &found))),
        None => Err(Refused::new(
            404,
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )),
    }
}

/// 201; 200 when the same one is put again; 409 when another name holds the same three.
pub(super) fn create(call: &Call<'_>, name: &str) -> Outcome {
    let scope = call.path.scope();
    call.require(WRITE, &scope)?;
    if Uuid::parse_str(name).is_err() {
        let message = format!(
            "The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        );
        return Err(Refused::new(400, "InvalidRoleAssignmentId", message));
    }
    let Request { properties } = call.json()?;
    let roles = call.azure.roles();
    let definition_id = properties.role_definition_id.rsplit('/').next().unwrap_or_default();
    let Some(definition) = roles.definitions.get(&definition_id.to_ascii_lowercase()) else {
        let message =
            format!("The specified role definition with ID '{definition_id}' does not exist.");
        return Err(Refused::new(404, "RoleDefinitionDoesNotExist", message));
    };
    let new = RoleAssignment {
        id: name.to_owned(),
        role: Some(definition.given.id.clone()),
        principal_type: properties.principal_type.unwrap_or_else(|| "ServicePrincipal".to_owned()),
        condition: properties.condition,
        description: properties.description,
        ..RoleAssignment::to(properties.principal_id, call.azure.canonical(&scope))
    };
    let twin = |known: &RoleAssignment, role: &str| {
        same(&known.principal_id, &new.principal_id)
            && same(&known.scope, &new.scope)
            && same(role, &definition.given.id)
    };
    let former = roles.assignments.iter().find(|known| same(&known.given.id, name));
    let mut assignments = roles.assignments.iter();
    if let Some(known) = assignments.find(|known| twin(&known.given, &known.definition))
        && !same(&known.given.id, name)
    {
        return Err(exists(&known.given.id));
    }
    if former.is_some_and(|known| !twin(&known.given, &known.definition)) {
        let message =
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
        return Err(Refused::new(400, "RoleAssignmentUpdateNotPermitted", message));
    }
    let mut stamp = Stamp::by(Some(&call.caller.oid));
    let status = if let Some(known) = former {
        stamp.created_on.clone_from(&known.stamp.created_on);
        stamp.created_by.clone_from(&known.stamp.created_by);
        200
    } else {
        201
    };
    call.azure.change_roles(|roles| {
        roles.assignments.retain(|known| !same(&known.given.id, name));
        roles.assign(new, stamp);
    });
    let made = find(call, name).ok_or_else(Refused::unreadable)?;
    let mut made = body(call, &made);
    if status == 201 {
        // The real answer to the creation has no creator yet.
        made.properties.created_by = None;
    }
    Ok(Answer::json(status, &made))
}

/// 200 with what was there, 204 without.
pub(super) fn delete(call: &Call<'_>, name: &str) -> Outcome {
    call.require(DELETE, &call.path.scope())?;
    let Some(found) = find(call, name) else {
        return Ok(Answer::empty(204));
    };
    call.azure.change_roles(|roles| {
        roles.assignments.retain(|known| !same(&known.given.id, name));
    });
    Ok(Answer::json(200, &body(call, &found)))
}

fn find(call: &Call<'_>, name: &str) -> Option<std::sync::Arc<Assignment>> {
    let scope = call.path.scope();
    let here = |known: &&std::sync::Arc<Assignment>| {
        same(&known.given.id, name)
            && same(known.given.scope.trim_end_matches('/'), scope.trim_end_matches('/'))
    };
    call.azure.roles().assignments.iter().find(here).cloned()
}

fn exists(id: &str) -> Refused {
    let message = format!(
        "The role assignment already exists. The ID of the existing role assignment is {}.",
        id.replace('-', "")
    );
    Refused::new(409, "RoleAssignmentExists", message)
}

fn body(call: &Call<'_>, assignment: &Assignment) -> Body {
    let Assignment { given, definition, stamp } = assignment;
    let scope = call.azure.canonical(&given.scope);
    let own = scope.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next());
    let subscription = own.or_else(|| call.path.subscription());
    let subscription = subscription.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    let at = scope.trim_end_matches('/');
    // Clients that leave the type out mean whatever the principal is.
    let is_group = call.azure.roles().is_group(&given.principal_id);
    let principal_type = if is_group { "Group".to_owned() } else { given.principal_type.clone() };
    Body {
        id: format!("{at}/providers/Microsoft.Authorization/roleAssignments/{}", given.id),
        r#type: "Microsoft.Authorization/roleAssignments",
        name: given.id.clone(),
        properties: Properties {
            role_definition_id: format!(
                "{subscription}/providers/Microsoft.Authorization/roleDefinitions/{definition}"
            ),
            principal_id: given.principal_id.clone(),
            principal_type,
            scope,
            condition: given.condition.clone(),
            condition_version: given.condition.as_ref().map(|_| "2.0"),
            created_on: stamp.created_on.clone(),
            updated_on: stamp.updated_on.clone(),
            created_by: stamp.created_by.clone(),
            updated_by: stamp.updated_by.clone(),
            delegated_managed_identity_resource_id: (),
            description: given.description.clone(),
        },
    }
}
