//! Access policies of groups: Azure Resource Manager does not tell who is in one, so nothing is concluded from them.

use azsim::{Access, AccessPolicy, Group, RoleAssignment};
use serde_json::{Value, json};
use uuid::Uuid;

use super::estate::{Estate, FQDN, brokers_policy};
use crate::harness::azure;

/// Where only the broker and this group may set secrets; the identity is in the group, or not.
async fn set_by_a_group(is_member: bool) -> (Estate, String) {
    let group = Uuid::new_v4().to_string();
    let policy = AccessPolicy {
        object_id: group.clone(),
        secrets: vec!["set".to_owned()],
        ..AccessPolicy::default()
    };
    let access = Access::Policies(vec![brokers_policy(), policy]);
    let estate = Estate::without_rights(|spec| spec.settings.access = access, |_| {}).await;
    estate.let_broker_read();
    let members = if is_member { vec![estate.principal.clone()] } else { Vec::new() };
    azure().put_group(&Group { id: group.clone(), members });
    (estate, group)
}

#[tokio::test]
async fn an_access_policy_that_may_be_a_groups_leaves_it_open() {
    for is_member in [true, false] {
        let (estate, group) = set_by_a_group(is_member).await;
        let report = estate.report().await;
        let found = report.check("PF-09");
        assert_eq!(
            (&found["status"], &found["marsErrorCode"]),
            (&json!("unknown"), &json!("391225")),
            "{found}"
        );
        assert!(found["cause"].as_str().unwrap().contains("is a group"), "{found}");
        assert!(found["evidence"].to_string().contains(&group), "{found}");
        let commands = found["remediation"].to_string();
        assert!(commands.contains(&format!("--object-id {}", estate.principal)), "{commands}");
    }
}

/// The usual Key Vault: whoever made it may do everything, and owns something above it as well.
#[tokio::test]
async fn an_administrators_policy_leaves_no_doubt_where_a_role_tells_what_that_is() {
    let administrator = Uuid::new_v4().to_string();
    let policy = |object_id: &str, words: &[&str]| AccessPolicy {
        object_id: object_id.to_owned(),
        secrets: words.iter().map(ToString::to_string).collect(),
        ..AccessPolicy::default()
    };
    let access = Access::Policies(vec![brokers_policy(), policy(&administrator, &["all"])]);
    let estate = Estate::without_rights(|spec| spec.settings.access = access, |_| {}).await;
    estate.let_broker_read();
    let role = Some("Reader".to_owned());
    let at = estate.key_vault.resource_id();
    azure().assign(&RoleAssignment { role, ..RoleAssignment::to(&administrator, at) });
    let report = estate.report().await;
    let found = report.check("PF-09");
    assert_eq!((&found["status"], &found["marsErrorCode"]), (&json!("fail"), &json!("391225")));
}

#[tokio::test]
async fn a_registration_is_not_refused_where_a_group_may_hold_the_identity() {
    let (estate, _) = set_by_a_group(true).await;
    let body = json!({"fqdn": FQDN, "recoveryServicesVaultId": estate.rsv_id(),
        "keyVaultUri": estate.key_vault_uri(), "passphrase": {"source": "none"}});
    let machine = estate.broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.status, 201, "{}", machine.text);
}

#[tokio::test]
async fn a_role_of_the_group_proves_who_is_in_it() {
    let (estate, group) = set_by_a_group(true).await;
    let role = Some("Reader".to_owned());
    azure().assign(&RoleAssignment {
        role,
        ..RoleAssignment::to(&group, estate.key_vault.resource_id())
    });
    let report = estate.report().await;
    let found: &Value = report.check("PF-09");
    assert_eq!(found["status"], "pass", "{found}");
    assert!(found["cause"].as_str().unwrap().contains("through a group"), "{found}");
}
