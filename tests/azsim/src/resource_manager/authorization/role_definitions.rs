//! Role definitions: built-in ones, which nobody changes, and custom ones.
//!
//! The data plane decides by them too: a changed role changes what its holders may do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    access_control::{Definition, Stamp, is_built_in},
    http::Answer,
    resource_manager::{Call, Outcome, error::Refused, estate::same, paged},
    world::{Permission, RoleDefinition},
};

const READ: &str = "Microsoft.Authorization/roleDefinitions/read";
const WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
const DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";

#[derive(Serialize)]
struct Body<'a> {
    properties: Properties<'a>,
    id: String,
    r#type: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    role_name: &'a str,
    r#type: &'static str,
    description: &'a str,
    assignable_scopes: &'a [String],
    permissions: &'a [Permission],
    created_on: &'a str,
    updated_on: &'a str,
    created_by: Option<&'a str>,
    updated_by: Option<&'a str>,
}

#[derive(Deserialize)]
struct Request {
    properties: Requested,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    role_name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    permissions: Vec<Permission>,
    #[serde(default)]
    assignable_scopes: Vec<String>,
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let scope = call.path.scope();
    call.require(READ, &scope)?;
    let (filter, roles) = (call.filter()?, call.azure.roles());
    let wanted = |found: &&Arc<Definition>| {
        let given = &found.given;
        filter.admits("roleName", &given.role_name)
            && filter.admits("type", kind(&given.id))
            && (scope == "/" || given.assignable_scopes.iter().any(|own| roles.within(&scope, own)))
    };
    paged(call, roles.definitions.values().filter(wanted).map(|found| body(call, found)))
}

pub(super) fn get(call: &Call<'_>, id: &str) -> Outcome {
    call.require(READ, &call.path.scope())?;
    let roles = call.azure.roles();
    let found = roles.definitions.get(&id.to_ascii_lowercase());
    let found = found.ok_or_else(|| not_found(id))?;
    Ok(Answer::json(200, &body(call, found)))
}

pub(super) fn put(call: &Call<'_>, id: &str) -> Outcome {
    call.require(WRITE, &call.path.scope())?;
    if Uuid::parse_str(id).is_err() {
        let message = format!(
            "The role definition ID '{id}' is not valid. The role definition ID must be a GUID."
        );
        return Err(Refused::new(400, "InvalidRoleDefinitionId", message));
    }
    if is_built_in(id) {
        let message = "A built-in role definition cannot be changed or deleted.";
        return Err(Refused::new(403, "RoleDefinitionIsBuiltIn", message));
    }
    let Request { properties } = call.json()?;
    check(call, id, &properties)?;
    let given = RoleDefinition {
        id: id.to_owned(),
        role_name: properties.role_name,
        description: properties.description.unwrap_or_default(),
        assignable_scopes: properties.assignable_scopes,
        permissions: properties.permissions,
    };
    let mut stamp = Stamp::by(Some(&call.caller.oid));
    if let Some(former) = call.azure.roles().definitions.get(&id.to_ascii_lowercase()) {
        stamp.created_on.clone_from(&former.stamp.created_on);
        stamp.created_by.clone_from(&former.stamp.created_by);
    }
    call.azure.change_roles(|roles| roles.define(given, stamp));
    let roles = call.azure.roles();
    let made = roles.definitions.get(&id.to_ascii_lowercase()).ok_or_else(|| not_found(id))?;
    Ok(Answer::json(201, &body(call, made)))
}

fn check(call: &Call<'_>, id: &str, asked: &Requested) -> Result<(), Refused> {
    if asked.role_name.is_empty() {
        let message = "The role definition name cannot be empty.";
        return Err(Refused::new(400, "RoleDefinitionNameNullOrEmpty", message));
    }
    if asked.permissions.is_empty() {
        let message = "The role definition permissions cannot be empty.";
        return Err(Refused::new(400, "RoleDefinitionPermissionsNullOrEmpty", message));
    }
    if asked.assignable_scopes.is_empty()
        || asked.assignable_scopes.iter().any(|scope| scope == "/")
    {
        let message = "Please specify valid assignable scopes: a custom role cannot be assignable at the root.";
        return Err(Refused::new(400, "InvalidAssignableScopes", message));
    }
    let roles = call.azure.roles();
    let same_name = roles
        .definitions
        .values()
        .any(|known| same(&known.given.role_name, &asked.role_name) && !same(&known.given.id, id));
    if same_name {
        let message = "A custom role with the same name already exists in this directory. Use a different name";
        return Err(Refused::new(409, "RoleDefinitionWithSameNameExists", message));
    }
    Ok(())
}

/// 200 with what was there, 204 without; 400 while somebody holds it.
pub(super) fn delete(call: &Call<'_>, id: &str) -> Outcome {
    call.require(DELETE, &call.path.scope())?;
    let key = id.to_ascii_lowercase();
    let roles = call.azure.roles();
    let Some(found) = roles.definitions.get(&key).filter(|_| !is_built_in(id)) else {
        return Ok(Answer::empty(204));
    };
    if roles.assignments.iter().any(|assignment| assignment.definition == key) {
        let message = "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments)";
        return Err(Refused::new(400, "RoleDefinitionHasAssignments", message));
    }
    call.azure.change_roles(|roles| {
        roles.definitions.remove(&key);
    });
    Ok(Answer::json(200, &body(call, found)))
}

fn kind(id: &str) -> &'static str {
    if is_built_in(id) { "BuiltInRole" } else { "CustomRole" }
}

fn not_found(id: &str) -> Refused {
    let message = format!("The specified role definition with ID '{id}' does not exist.");
    Refused::new(404, "RoleDefinitionDoesNotExist", message)
}

fn body<'a>(call: &Call<'_>, found: &'a Definition) -> Body<'a> {
    let Definition { given, stamp } = found;
    let subscription = call.path.subscription().map(|id| format!("/subscriptions/{id}"));
    let subscription = subscription.unwrap_or_default();
    Body {
        id: format!(
            "{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}",
            given.id
        ),
        r#type: "Microsoft.Authorization/roleDefinitions",
        name: &given.id,
        properties: Properties {
            role_name: &given.role_name,
            r#type: kind(&given.id),
            description: &given.description,
            assignable_scopes: &given.assignable_scopes,
            permissions: &given.permissions,
            created_on: &stamp.created_on,
            updated_on: &stamp.updated_on,
            created_by: stamp.created_by.as_deref(),
            updated_by: stamp.updated_by.as_deref(),
        },
    }
}
