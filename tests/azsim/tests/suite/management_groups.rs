//! Management groups: what is assigned there holds in their subscriptions, and ARM lists it there.
//!
//! Each test has a management group and a principal of its own.

use azsim::{DenyAssignment, Group, ManagementGroup, Permission, SecretSpec, TokenSpec};
use serde_json::{Value, json};

use crate::{
    harness::{Room, azsim, http},
    resource_manager::{Arm, GROUP, SUBSCRIPTION, uuid},
};

const VERSION: &str = "api-version=2022-04-01";
const USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";

fn management_group(subscriptions: &[&str]) -> String {
    let subscriptions = subscriptions.iter().map(ToString::to_string).collect();
    let group = ManagementGroup { name: uuid(), subscriptions };
    azsim().put_management_group(&group);
    group.resource_id()
}

/// One that holds the suite's subscription.
fn around() -> String {
    management_group(&[SUBSCRIPTION.rsplit('/').next().unwrap_or_default()])
}

fn room() -> anyhow::Result<(Room, String)> {
    let room = Room::with(|spec| {
        spec.grants.clear();
        spec.secrets = vec![SecretSpec::new("n", "v")];
    })?;
    let id = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{}", room.name);
    Ok((room, id))
}

async fn reading(room: &Room, oid: &str) -> anyhow::Result<u16> {
    let token = azsim().mint(&TokenSpec::key_vault(azsim().tenant_id(), oid, "app"))?;
    let url = format!("{}secrets/n?api-version=2025-07-01", room.uri);
    Ok(http()?.get(url).bearer_auth(token).send().await?.status().as_u16())
}

/// Assigned through ARM, as `az role assignment create --scope` does it.
async fn assigned(arm: &Arm, scope: &str, principal: &str) -> anyhow::Result<Value> {
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{USER}");
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
    let path =
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}?{VERSION}", uuid());
    let (status, made) = arm.send("PUT", &path, body).await?;
    anyhow::ensure!(status == 201, "{status} {made}");
    Ok(made)
}

async fn listed(arm: &Arm, scope: &str, kind: &str, filter: &str) -> anyhow::Result<Vec<Value>> {
    let path =
        format!("{scope}/providers/Microsoft.Authorization/{kind}?{VERSION}&$filter={filter}");
    let (_, body) = arm.get(&path).await?;
    Ok(body["value"].as_array().cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_role_given_there_holds_in_its_subscriptions() -> anyhow::Result<()> {
    let (arm, (room, id), oid, scope) = (Arm::owner()?, room()?, uuid(), around());
    let made = assigned(&arm, &scope, &oid).await?;
    assert_eq!(made["properties"]["scope"], scope);
    assert_eq!(
        made["properties"]["roleDefinitionId"],
        format!("/providers/Microsoft.Authorization/roleDefinitions/{USER}")
    );
    assert_eq!(reading(&room, &oid).await?, 200);
    let mine = format!("atScope() and assignedTo('{oid}')");
    let found = listed(&arm, &id, "roleAssignments", &mine).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["id"], made["id"]);
    assert_eq!(listed(&arm, &scope, "roleAssignments", &mine).await?.len(), 1);
    assert_eq!(listed(&arm, &id, "roleAssignments", "principalId eq 'x'").await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_role_given_there_holds_nowhere_else() -> anyhow::Result<()> {
    let (arm, (room, id), oid) = (Arm::owner()?, room()?, uuid());
    assigned(&arm, &management_group(&[&uuid()]), &oid).await?;
    assert_eq!(reading(&room, &oid).await?, 403);
    let mine = format!("atScope() and assignedTo('{oid}')");
    assert_eq!(listed(&arm, &id, "roleAssignments", &mine).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_denial_there_is_listed_below_and_decides() -> anyhow::Result<()> {
    let (arm, (room, id), oid, scope) = (Arm::owner()?, room()?, uuid(), around());
    assigned(&arm, &id, &oid).await?;
    let group = uuid();
    azsim().put_group(&Group { id: group.clone(), members: vec![oid.clone()] });
    let denial = azsim().deny(DenyAssignment {
        id: uuid(),
        name: "locked".to_owned(),
        description: String::new(),
        scope: scope.clone(),
        permissions: vec![Permission {
            data_actions: vec!["*".to_owned()],
            ..Permission::default()
        }],
        do_not_apply_to_child_scopes: false,
        principals: vec![group],
        exclude_principals: Vec::new(),
        condition: None,
    });
    assert_eq!(reading(&room, &oid).await?, 403);
    let found = listed(&arm, &id, "denyAssignments", "atScope()").await?;
    let found = found.iter().find(|found| found["name"] == denial.as_str());
    let properties = found.map(|found| found["properties"].clone()).unwrap_or_default();
    assert_eq!(properties["scope"], scope);
    assert_eq!(properties["principals"][0]["type"], "Group");
    assert!(azsim().allow_again(&denial));
    assert_eq!(reading(&room, &oid).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_group_s_assignment_says_that_it_is_a_group() -> anyhow::Result<()> {
    let (arm, (_room, id), group) = (Arm::owner()?, room()?, uuid());
    azsim().put_group(&Group { id: group.clone(), members: Vec::new() });
    let made = assigned(&arm, &id, &group).await?;
    assert_eq!(made["properties"]["principalType"], "Group");
    let made = assigned(&arm, &id, &uuid()).await?;
    assert_eq!(made["properties"]["principalType"], "ServicePrincipal");
    Ok(())
}
