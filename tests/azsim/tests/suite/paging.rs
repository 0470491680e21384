//! ARM's lists cut into pages, empty ones among them. A world of its own: the setting is everybody's.

use azsim::World;
use serde_json::{Value, json};

use crate::{harness::Own, resource_manager::GROUP};

const SUBSCRIPTION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591";

/// Three of everything that is listed.
fn world(paging: &Value) -> anyhow::Result<World> {
    let denial = |id: &str| json!({"id": id, "scope": GROUP, "principals": ["q"], "permissions": [{"dataActions": ["*"]}]});
    let deleted = |name: &str| json!({"name": name, "settings": {"softDeleted": true}});
    let assignment =
        |id: &str| json!({"id": id, "principalId": "p", "role": "Reader", "scope": GROUP});
    Ok(serde_json::from_value(json!({
        "owners": [{"principalId": "admin", "scope": "/"}],
        "keyVaults": [deleted("kv-one"), deleted("kv-two"), deleted("kv-three")],
        "recoveryServicesVaults": [{"name": "rsv-mars", "containers": ["a", "b", "c"]}],
        "roleAssignments": [assignment("1"), assignment("2"), assignment("3")],
        "denyAssignments": [denial("1"), denial("2"), denial("3")],
        "paging": paging,
    }))?)
}

fn lists() -> [String; 4] {
    let authorization = format!("{GROUP}/providers/Microsoft.Authorization");
    [
        format!(
            "{authorization}/roleAssignments?api-version=2022-04-01&$filter=principalId%20eq%20'p'"
        ),
        format!("{authorization}/denyAssignments?api-version=2022-04-01&$filter=atScope()"),
        format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/deletedVaults?api-version=2026-02-01"),
        format!(
            "{GROUP}/providers/Microsoft.RecoveryServices/vaults/rsv-mars/backupProtectionContainers?api-version=2025-02-01&$filter=backupManagementType eq 'MAB'"
        ),
    ]
}

/// The length of every page up to the last, and the ids on them.
async fn pages(own: &Own, list: &str) -> anyhow::Result<(Vec<usize>, Vec<String>)> {
    let (mut lengths, mut ids, mut next) = (Vec::new(), Vec::new(), Some(list.to_owned()));
    while let Some(path) = next {
        anyhow::ensure!(lengths.len() < 20, "no end of {list}");
        let (status, body) = own.get("admin", &path).await?;
        anyhow::ensure!(status == 200, "{path}: {status} {body}");
        let items = body["value"].as_array().cloned().unwrap_or_default();
        lengths.push(items.len());
        ids.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
        let host = "https://management.azure.com";
        next =
            body["nextLink"].as_str().and_then(|link| link.strip_prefix(host)).map(str::to_owned);
    }
    Ok((lengths, ids))
}

#[tokio::test]
async fn a_list_is_one_page_unless_the_world_says_otherwise() -> anyhow::Result<()> {
    let own = Own::start(world(&json!({}))?)?;
    for list in lists() {
        assert_eq!(pages(&own, &list).await?.0, [3], "{list}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_are_full_and_the_last_one_has_no_link() -> anyhow::Result<()> {
    let own = Own::start(world(&json!({"pageSize": 2}))?)?;
    for list in lists() {
        let (lengths, mut ids) = pages(&own, &list).await?;
        ids.dedup();
        assert_eq!((lengths, ids.len()), (vec![2, 1], 3), "{list}");
    }
    own.control("PUT", "paging", json!({"pageSize": 3})).await?;
    assert_eq!(pages(&own, &lists()[0]).await?.0, [3]);
    Ok(())
}

#[tokio::test]
async fn an_empty_page_may_stand_before_every_page() -> anyhow::Result<()> {
    let own = Own::start(world(&json!({"pageSize": 1, "emptyPages": true}))?)?;
    for list in lists() {
        assert_eq!(pages(&own, &list).await?.0, [0, 1, 0, 1, 0, 1], "{list}");
    }
    Ok(())
}

#[tokio::test]
async fn the_link_asks_the_same_question_again() -> anyhow::Result<()> {
    let own = Own::start(world(&json!({"pageSize": 1}))?)?;
    for (list, key) in
        lists().iter().zip(["$skiptoken", "$skiptoken", "%24skiptoken", "$skiptoken"])
    {
        let (_, body) = own.get("admin", list).await?;
        let link = body["nextLink"].as_str().unwrap_or_default();
        let asked = list.replace(' ', "%20").replace('\'', "%27");
        let (before, token) = link.rsplit_once(&format!("&{key}=")).unwrap_or_default();
        assert_eq!(before.replace('\'', "%27"), format!("https://management.azure.com{asked}"));
        assert!(!token.is_empty());
        let (status, _) = own.get("admin", &format!("{list}&$skiptoken=nonsense")).await?;
        assert_eq!(status, 400);
    }
    Ok(())
}
