//! Role assignments made through ARM decide what the data plane allows.
//!
//! Each test has a Key Vault and a principal of its own.

use azsim::{DenyAssignment, Group, KeyVaultSpec, Permission, SecretSpec, TokenSpec};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Room, azsim, http},
    resource_manager::{Arm, GROUP, SUBSCRIPTION, uuid},
};

const USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const VERSION: &str = "api-version=2022-04-01";

/// A Key Vault with a secret `n` and nobody's rights, and its resource id.
fn room() -> anyhow::Result<(Room, String)> {
    room_with(|_| {})
}

fn room_with(change: impl FnOnce(&mut KeyVaultSpec)) -> anyhow::Result<(Room, String)> {
    let room = Room::with(|spec| {
        spec.grants.clear();
        spec.secrets = vec![SecretSpec::new("n", "v")];
        change(spec);
    })?;
    let id = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{}", room.name);
    Ok((room, id))
}

/// What reading the secret answers to this principal.
async fn reading(room: &Room, oid: &str) -> anyhow::Result<StatusCode> {
    let token = azsim().mint(&TokenSpec::key_vault(azsim().tenant_id(), oid, "app"))?;
    let url = format!("{}secrets/n?api-version=2025-07-01", room.uri);
    Ok(http()?.get(url).bearer_auth(token).send().await?.status())
}

fn assignment(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}?{VERSION}", uuid())
}

fn user_role(principal: &str) -> Value {
    let role = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{USER}");
    json!({"properties": {
        "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal",
    }})
}

#[tokio::test]
async fn a_role_given_and_taken_through_arm_decides() -> anyhow::Result<()> {
    let (arm, (room, id), oid) = (Arm::owner()?, room()?, uuid());
    assert_eq!(reading(&room, &oid).await?, 403);
    let path = assignment(&id.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"));
    let (status, made) = arm.send("PUT", &path, user_role(&oid)).await?;
    assert_eq!(status, 201);
    assert_eq!(made["properties"]["scope"], id);
    assert_eq!(made["properties"]["createdBy"], Value::Null);
    assert_eq!(made["properties"]["condition"], Value::Null);
    assert_eq!(reading(&room, &oid).await?, 200);
    assert_eq!(arm.send("DELETE", &path, Value::Null).await?.0, 200);
    assert_eq!(arm.send("DELETE", &path, Value::Null).await?.0, 204);
    assert_eq!(reading(&room, &oid).await?, 403);
    Ok(())
}

#[tokio::test]
async fn the_same_role_under_another_name_is_a_conflict() -> anyhow::Result<()> {
    let (arm, (_room, id), oid) = (Arm::owner()?, room()?, uuid());
    let first = assignment(&id);
    assert_eq!(arm.send("PUT", &first, user_role(&oid)).await?.0, 201);
    assert_eq!(arm.send("PUT", &first, user_role(&oid)).await?.0, 200);
    let (status, body) = arm.send("PUT", &assignment(&id), user_role(&oid)).await?;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::CONFLICT, &json!("RoleAssignmentExists"))
    );
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The role assignment already exists."), "{message}");
    Ok(())
}

#[tokio::test]
async fn at_scope_looks_up_and_not_down() -> anyhow::Result<()> {
    let (arm, (_room, id), oid) = (Arm::owner()?, room()?, uuid());
    arm.send("PUT", &assignment(&id), user_role(&oid)).await?;
    let count = async |scope: &str, filter: &str| -> anyhow::Result<usize> {
        let list = "providers/Microsoft.Authorization/roleAssignments";
        let (_, body) = arm.get(&format!("{scope}/{list}?{VERSION}&$filter={filter}")).await?;
        Ok(body["value"].as_array().map_or(0, Vec::len))
    };
    let mine = format!("principalId eq '{oid}'");
    assert_eq!(count(GROUP, &mine).await?, 1);
    assert_eq!(count(GROUP, &format!("atScope() and {mine}")).await?, 0);
    assert_eq!(count(&format!("{id}/secrets/n"), &format!("atScope() and {mine}")).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_group_s_role_is_listed_for_its_members_by_assigned_to() -> anyhow::Result<()> {
    let (arm, (room, id), oid, group) = (Arm::owner()?, room()?, uuid(), uuid());
    azsim().put_group(&Group { id: group.clone(), members: vec![oid.clone()] });
    arm.send("PUT", &assignment(&id), user_role(&group)).await?;
    assert_eq!(reading(&room, &oid).await?, 200);
    let list = format!("{id}/providers/Microsoft.Authorization/roleAssignments?{VERSION}");
    for (filter, found) in [("assignedTo", 1), ("principalId eq ", 0)] {
        let filter = match filter {
            "assignedTo" => format!("atScope() and assignedTo('{oid}')"),
            other => format!("atScope() and {other}'{oid}'"),
        };
        let (_, body) = arm.get(&format!("{list}&$filter={filter}")).await?;
        assert_eq!(body["value"].as_array().map_or(9, Vec::len), found, "{filter}");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_access_may_take_its_time() -> anyhow::Result<()> {
    // A world of its own: the time is everybody's.
    let world = azsim::World { propagation_milliseconds: 3_600_000, ..azsim::World::default() };
    let own = azsim::Azsim::start(world)?;
    own.make_owner("admin", "/");
    let ca = reqwest::Certificate::from_pem(own.ca_pem().as_bytes())?;
    let proxy = reqwest::Proxy::https(own.proxy_url())?;
    let http = reqwest::Client::builder().tls_certs_only([ca]).proxy(proxy).build()?;
    let arm = own.mint(&TokenSpec::resource_manager(own.tenant_id(), "admin", "a"))?;
    let url = format!(
        "https://management.azure.com{}",
        assignment(&format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars"))
    );
    let put = http.put(&url).bearer_auth(&arm).json(&user_role("somebody")).send().await?;
    assert_eq!(put.status(), 201);
    assert_eq!(http.get(&url).bearer_auth(&arm).send().await?.status(), 200);
    let token = own.mint(&TokenSpec::key_vault(own.tenant_id(), "somebody", "a"))?;
    let secrets = "https://kv-mars.vault.azure.net/secrets?api-version=2025-07-01";
    assert_eq!(http.get(secrets).bearer_auth(token).send().await?.status(), 403);
    let broker = &own.identity().principal_id;
    let broker = own.mint(&TokenSpec::key_vault(own.tenant_id(), broker, "a"))?;
    let kv =
        format!("https://management.azure.com{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars");
    let closed = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    let patch = http.patch(format!("{kv}?api-version=2026-02-01")).bearer_auth(&arm).json(&closed);
    let shown: Value = patch.send().await?.json().await?;
    assert_eq!(shown["properties"]["publicNetworkAccess"], "Disabled");
    assert_eq!(http.get(secrets).bearer_auth(broker).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_role_definition_is_found_by_its_name() -> anyhow::Result<()> {
    let list =
        format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions?{VERSION}");
    let filter = "roleName%20eq%20%27Key%20Vault%20Secrets%20Officer%27";
    let (_, body) = Arm::owner()?.get(&format!("{list}&$filter={filter}")).await?;
    let found = &body["value"][0];
    assert_eq!(found["name"], "b86a8fe4-44ce-4948-aee5-eccb2c155cd7");
    assert_eq!(found["properties"]["type"], "BuiltInRole");
    let permission = &found["properties"]["permissions"][0];
    assert_eq!(permission["dataActions"], json!(["Microsoft.KeyVault/vaults/secrets/*"]));
    assert_eq!(permission["notDataActions"], json!([]));
    assert_eq!(found["properties"]["createdBy"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_custom_role_is_made_once_by_name() -> anyhow::Result<()> {
    let (arm, name) = (Arm::owner()?, uuid());
    let role = |name: &str| {
        json!({"properties": {
            "roleName": name, "assignableScopes": [SUBSCRIPTION],
            "permissions": [{"actions": [], "dataActions": ["Microsoft.KeyVault/vaults/secrets/readMetadata/action"]}],
        }})
    };
    let path = |id: &str| {
        format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{id}?{VERSION}")
    };
    let id = uuid();
    let (status, made) = arm.send("PUT", &path(&id), role(&name)).await?;
    assert_eq!((status, &made["properties"]["type"]), (StatusCode::CREATED, &json!("CustomRole")));
    let (status, body) = arm.send("PUT", &path(&uuid()), role(&name)).await?;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::CONFLICT, &json!("RoleDefinitionWithSameNameExists"))
    );
    let mut empty = role(&uuid());
    empty["properties"]["permissions"] = json!([]);
    assert_eq!(arm.send("PUT", &path(&uuid()), empty).await?.0, 400);
    assert_eq!(arm.send("DELETE", &path(&id), Value::Null).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_deny_assignment_outweighs_a_role_and_is_named() -> anyhow::Result<()> {
    let (arm, (room, id), oid) = (Arm::owner()?, room()?, uuid());
    arm.send("PUT", &assignment(&id), user_role(&oid)).await?;
    let denial = azsim().deny(DenyAssignment {
        id: uuid(),
        name: "locked".to_owned(),
        description: String::new(),
        scope: id.clone(),
        permissions: vec![Permission {
            data_actions: vec!["*".to_owned()],
            ..Permission::default()
        }],
        do_not_apply_to_child_scopes: false,
        principals: vec!["00000000-0000-0000-0000-000000000000".to_owned()],
        exclude_principals: Vec::new(),
        condition: None,
    });
    assert_eq!(reading(&room, &oid).await?, 403);
    let list = format!(
        "{id}/providers/Microsoft.Authorization/denyAssignments?{VERSION}&$filter=atScope()"
    );
    let (_, body) = arm.get(&list).await?;
    assert_eq!(body["value"][0]["name"], denial);
    let principals = &body["value"][0]["properties"]["principals"];
    assert_eq!(principals[0]["type"], "SystemDefined");
    assert!(azsim().allow_again(&denial));
    assert_eq!(reading(&room, &oid).await?, 200);
    Ok(())
}

#[tokio::test]
async fn who_may_not_assign_is_told_the_action() -> anyhow::Result<()> {
    let (_room, id) = room()?;
    let (status, body) = Arm::new()?.send("PUT", &assignment(&id), user_role("p")).await?;
    assert_eq!(status, 403);
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("'Microsoft.Authorization/roleAssignments/write'"), "{message}");
    Ok(())
}
