//! Conditions of role and deny assignments decide in the data plane.
//!
//! What they may hold is proved in `src/access_control/conditions.rs`; here they are asked over the wire.

use azsim::{AccessPolicy, DenyAssignment, Grant, Group, KeyVaultSpec, Permission, SecretSpec};
use serde_json::json;

use crate::{
    harness::{Room, azsim},
    resource_manager::{Arm, GROUP, uuid},
};

const SETTING: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";

/// Data actions on every secret, under a condition.
fn under(condition: &str) -> anyhow::Result<Room> {
    let condition = condition.to_owned();
    Room::open_with(|spec: &mut KeyVaultSpec| {
        spec.secrets = vec![SecretSpec::new("AzBackup-a", "v"), SecretSpec::new("other", "v")];
        spec.grants[0].condition = Some(condition);
    })
}

async fn setting(room: &Room, name: &str) -> anyhow::Result<u16> {
    let request = room.raw("PUT", &format!("secrets/{name}"))?.json(&json!({"value": "v"}));
    Ok(request.send().await?.status().as_u16())
}

async fn getting(room: &Room, path: &str) -> anyhow::Result<u16> {
    Ok(room.raw("GET", path)?.send().await?.status().as_u16())
}

#[tokio::test]
async fn a_role_may_hold_for_some_names_only() -> anyhow::Result<()> {
    let room = under(&format!(
        "((!(ActionMatches{{'{SETTING}'}})) OR (@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'AzBackup-'))"
    ))?;
    assert_eq!(setting(&room, "AzBackup-a").await?, 200);
    assert_eq!(setting(&room, "azbackup-a").await?, 403);
    assert_eq!(setting(&room, "other").await?, 403);
    assert_eq!(getting(&room, "secrets/other").await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_condition_on_names_closes_the_list() -> anyhow::Result<()> {
    let room = under("@Resource[Microsoft.KeyVault/vaults/secrets:name] StringLike 'AzBackup-*'")?;
    assert_eq!(getting(&room, "secrets").await?, 403);
    assert_eq!(getting(&room, "secrets/AzBackup-a").await?, 200);
    assert_eq!(getting(&room, "secrets/other").await?, 403);
    Ok(())
}

#[tokio::test]
async fn a_condition_that_cannot_be_evaluated_refuses() -> anyhow::Result<()> {
    for condition in ["@Principal[department] StringEquals 'IT'", "(", "a or b"] {
        let room = under(condition)?;
        assert_eq!(getting(&room, "secrets/other").await?, 403, "{condition}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deny_assignment_under_a_condition_spares_what_fails_it() -> anyhow::Result<()> {
    let room = under("ActionMatches{'*'}")?;
    let condition = "@Resource[Microsoft.KeyVault/vaults/secrets:name] StringEquals 'other'";
    azsim().deny(DenyAssignment {
        id: uuid(),
        name: "other".to_owned(),
        description: String::new(),
        scope: format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{}", room.name),
        permissions: vec![Permission {
            data_actions: vec!["*/getSecret/action".to_owned()],
            ..Permission::default()
        }],
        do_not_apply_to_child_scopes: false,
        principals: vec![azsim().identity().principal_id.clone()],
        exclude_principals: Vec::new(),
        condition: Some(condition.to_owned()),
    });
    assert_eq!(getting(&room, "secrets/AzBackup-a").await?, 200);
    assert_eq!(getting(&room, "secrets/other").await?, 403);
    let list = format!(
        "{GROUP}/providers/Microsoft.KeyVault/vaults/{}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01&$filter=atScope()",
        room.name
    );
    let (_, shown) = Arm::owner()?.get(&list).await?;
    assert_eq!(shown["value"][0]["properties"]["condition"], condition);
    assert_eq!(shown["value"][0]["properties"]["conditionVersion"], "2.0");
    Ok(())
}

#[tokio::test]
async fn an_access_policy_holds_for_a_group_and_not_for_a_compound_identity() -> anyhow::Result<()>
{
    let (group, own) = (uuid(), azsim().identity().principal_id.clone());
    azsim().put_group(&Group { id: group.clone(), members: vec![own.clone()] });
    let policy = |object_id: &str, words: &[&str]| AccessPolicy {
        object_id: object_id.to_owned(),
        secrets: words.iter().map(ToString::to_string).collect(),
        ..AccessPolicy::default()
    };
    let room = Room::with(|spec| {
        spec.secrets = vec![SecretSpec::new("n", "v")];
        spec.grants = vec![Grant::default()];
        spec.settings.access = azsim::Access::Policies(vec![
            policy(&group, &["get"]),
            AccessPolicy { application_id: Some(uuid()), ..policy(&own, &["list"]) },
            AccessPolicy { tenant_id: Some(uuid()), ..policy(&own, &["set"]) },
        ]);
    })?;
    assert_eq!(getting(&room, "secrets/n").await?, 200);
    assert_eq!(getting(&room, "secrets").await?, 403);
    assert_eq!(setting(&room, "n").await?, 403);
    Ok(())
}

#[tokio::test]
async fn all_words_do_not_include_purging() -> anyhow::Result<()> {
    let own = azsim().identity().principal_id.clone();
    let policy =
        AccessPolicy { object_id: own, secrets: vec!["all".to_owned()], ..AccessPolicy::default() };
    let room = Room::with(|spec| spec.settings.access = azsim::Access::Policies(vec![policy]))?;
    assert_eq!(setting(&room, "n").await?, 200);
    assert_eq!(room.raw("DELETE", "secrets/n")?.send().await?.status(), 200);
    assert_eq!(room.raw("DELETE", "deletedsecrets/n")?.send().await?.status(), 403);
    Ok(())
}
