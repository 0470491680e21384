//! Role assignments, role definitions and deny assignments. Their words stay as Azure spelt them.
//!
//! Only what holds at the scope that was asked about is believed: a right to something else, taken for
//! one to this, would be a pass that nobody has.

use serde::Deserialize;
use uuid::Uuid;

use super::{condition, is_within, moment, shown, words};
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
            condition: condition(properties.condition),
            condition_version: condition(properties.condition_version),
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
    fn read(self) -> Option<Permission> {
        Some(Permission {
            actions: words(self.actions)?,
            not_actions: words(self.not_actions)?,
            data_actions: words(self.data_actions)?,
            not_data_actions: words(self.not_data_actions)?,
            condition: condition(self.condition),
        })
    }
}

fn permissions(blocks: Vec<Block>) -> Option<Vec<Permission>> {
    blocks.into_iter().map(Block::read).collect()
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
            permissions: permissions(self.properties.permissions)?,
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
            permissions: permissions(properties.permissions)?,
            scope: holding_at(properties.scope, asked)?,
            do_not_apply_to_child_scopes: properties
                .do_not_apply_to_child_scopes
                .unwrap_or_default(),
            principals: properties
                .principals
                .into_iter()
                .map(Principal::read)
                .collect::<Option<_>>()?,
            exclude_principals: excluded.into_iter().map(Principal::read).collect::<Option<_>>()?,
            condition: condition(properties.condition),
        })
    }
}

impl Principal {
    fn read(self) -> Option<PrincipalRef> {
        Some(PrincipalRef { id: shown(Some(self.id))?, principal_type: shown(self.r#type) })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY_VAULT: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";
    const GUID: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";

    fn assignment(scope: &str) -> Option<RoleAssignment> {
        let told = json!({"id": "/x", "name": "n", "properties": {"roleDefinitionId": "/r", "principalId": "p",
            "scope": scope, "condition": null, "createdOn": "2025-04-14T08:54:26.7153899Z"}});
        Assignment::deserialize(told).ok()?.read(KEY_VAULT)
    }

    #[test]
    fn only_what_holds_at_the_scope_is_believed() {
        for above in [
            "/",
            "/providers/Microsoft.Management/managementGroups/mg",
            "/subscriptions/s",
            "/SUBSCRIPTIONS/S/",
            "/subscriptions/s/resourcegroups/RG",
            KEY_VAULT,
        ] {
            assert!(assignment(above).is_some(), "{above}");
        }
        for elsewhere in [
            "",
            "/subscriptions/t",
            "/subscriptions/s/resourceGroups/r",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/k",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv/secrets/x",
            "/providers/Microsoft.Management",
        ] {
            assert_eq!(assignment(elsewhere), None, "{elsewhere}");
        }
    }

    fn definition(name: &str, block: &Value) -> Option<RoleDefinition> {
        let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}");
        let told = json!({"name": name, "properties": {"roleName": "R", "permissions": [block]}});
        Definition::deserialize(told).ok()?.read(&RoleDefinitionId::parse(&id).unwrap())
    }

    #[test]
    fn a_role_is_the_one_that_was_asked_for_with_its_conditions() {
        let block = json!({"dataActions": ["a"], "notDataActions": null});
        let role = definition(&GUID.to_uppercase(), &block).unwrap();
        assert_eq!(role.permissions[0].data_actions, ["a"]);
        assert_eq!(role.permissions[0].not_data_actions, [""; 0]);
        assert_eq!(definition("00000000-0000-0000-0000-000000000000", &block), None);
        assert_eq!(definition("Owner", &block), None);
        let conditional = |text: &str| {
            let role = definition(GUID, &json!({"dataActions": ["a"], "condition": text}));
            role.map(|role| role.permissions[0].condition.clone())
        };
        assert_eq!(conditional("(a\r\n OR b)"), Some(Some("(a\r\n OR b)".to_owned())));
        assert_eq!(conditional(""), Some(None));
        for hidden in ["a\u{1b}b", "a\u{202e}b", "a\u{0}b"] {
            assert_eq!(conditional(hidden), Some(Some("a\u{fffd}b".to_owned())), "{hidden:?}");
        }
        assert_eq!(definition(GUID, &json!({"dataActions": "a"})), None);
    }

    #[test]
    fn a_denial_without_principals_or_permissions_is_not_read() {
        let whole = json!({"id": "/d", "properties": {"scope": "/", "permissions": [{"dataActions": ["*"]}],
            "principals": [{"id": "p", "type": "User"}]}});
        let read = |told: &Value| Denial::deserialize(told).ok().and_then(|it| it.read(KEY_VAULT));
        assert_eq!(read(&whole).unwrap().principals[0].id, "p");
        for member in ["scope", "permissions", "principals"] {
            let mut told = whole.clone();
            told["properties"][member] = Value::Null;
            assert_eq!(read(&told), None, "{member}");
        }
    }
}
