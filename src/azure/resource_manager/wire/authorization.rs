//! Role assignments, role definitions and deny assignments. Their words stay as Azure spelt them.
//!
//! Only what holds at the scope that was asked about is believed: a right to something else, taken for
//! one to this, would be a pass that nobody has.

use serde::Deserialize;
use uuid::Uuid;

use super::{is_within, moment, shown};
use crate::domain::{
    effective_permission::{
        DenyAssignment, Permission, PrincipalRef, RoleAssignment, RoleDefinition,
    },
    role_definition_id::RoleDefinitionId,
};

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Assignment {
    id: String,
    properties: AssignmentProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignmentProperties {
    role_definition_id: String,
    principal_id: String,
    principal_type: Option<String>,
    scope: String,
    condition: Option<String>,
    condition_version: Option<String>,
    created_on: Option<String>,
    updated_on: Option<String>,
}

impl Assignment {
    pub(in crate::azure::resource_manager) fn read(self, asked: &str) -> Option<RoleAssignment> {
        let properties = self.properties;
        Some(RoleAssignment {
            id: shown(Some(self.id))?,
            role_definition_id: shown(Some(properties.role_definition_id))?,
            principal_id: shown(Some(properties.principal_id))?,
            principal_type: shown(properties.principal_type),
            scope: holding_at(properties.scope, asked)?,
            condition: properties.condition.filter(|condition| !condition.is_empty()),
            condition_version: shown(properties.condition_version),
            created_on: moment(properties.created_on),
            updated_on: moment(properties.updated_on),
        })
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Definition {
    name: Option<Uuid>,
    properties: DefinitionProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionProperties {
    role_name: Option<String>,
    permissions: Vec<Block>,
}

/// Absent lists are empty; a block with a member of a wrong type is not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    actions: Option<Vec<String>>,
    not_actions: Option<Vec<String>>,
    data_actions: Option<Vec<String>>,
    not_data_actions: Option<Vec<String>>,
    condition: Option<String>,
}

impl Block {
    fn read(self) -> Permission {
        Permission {
            actions: self.actions.unwrap_or_default(),
            not_actions: self.not_actions.unwrap_or_default(),
            data_actions: self.data_actions.unwrap_or_default(),
            not_data_actions: self.not_data_actions.unwrap_or_default(),
            condition: self.condition,
        }
    }
}

impl Definition {
    /// Its id is the one that was asked for, so that its assignments find it.
    pub(in crate::azure::resource_manager) fn read(
        self,
        asked: &RoleDefinitionId,
    ) -> Option<RoleDefinition> {
        (self.name == Some(asked.guid())).then_some(())?;
        let name = shown(self.properties.role_name);
        Some(RoleDefinition {
            id: asked.as_str().to_owned(),
            name: name.unwrap_or_else(|| asked.guid().to_string()),
            permissions: self.properties.permissions.into_iter().map(Block::read).collect(),
        })
    }
}

#[derive(Deserialize)]
pub(in crate::azure::resource_manager) struct Denial {
    id: String,
    properties: DenialProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DenialProperties {
    deny_assignment_name: Option<String>,
    permissions: Vec<Block>,
    scope: String,
    do_not_apply_to_child_scopes: Option<bool>,
    principals: Vec<Principal>,
    exclude_principals: Option<Vec<Principal>>,
    condition: Option<String>,
}

#[derive(Deserialize)]
struct Principal {
    id: String,
    r#type: Option<String>,
}

impl Denial {
    pub(in crate::azure::resource_manager) fn read(self, asked: &str) -> Option<DenyAssignment> {
        let Self { id, properties } = self;
        let id = shown(Some(id))?;
        let excluded = properties.exclude_principals.unwrap_or_default();
        Some(DenyAssignment {
            name: shown(properties.deny_assignment_name).unwrap_or_else(|| id.clone()),
            id,
            permissions: properties.permissions.into_iter().map(Block::read).collect(),
            scope: holding_at(properties.scope, asked)?,
            do_not_apply_to_child_scopes: properties
                .do_not_apply_to_child_scopes
                .unwrap_or_default(),
            principals: properties.principals.into_iter().map(Principal::read).collect(),
            exclude_principals: excluded.into_iter().map(Principal::read).collect(),
            condition: properties.condition.filter(|text| !text.is_empty()),
        })
    }
}

impl Principal {
    fn read(self) -> PrincipalRef {
        PrincipalRef { id: self.id, principal_type: shown(self.r#type) }
    }
}

/// A scope at or above the one that was asked about. Which management groups lie above, only ARM
/// knows.
fn holding_at(scope: String, asked: &str) -> Option<String> {
    let scope = shown(Some(scope))?;
    let above = scope == "/"
        || is_within(asked, scope.trim_end_matches('/'))
        || is_within(&scope, "/providers/Microsoft.Management/managementGroups");
    above.then_some(scope)
}
