//! Key Vaults made, changed, deleted and recovered through ARM, and what the data plane makes of it.
//!
//! Each test makes a Key Vault of its own.

use azsim::{KeyVaultSpec, SecretSpec, TokenSpec};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{azsim, http},
    resource_manager::{Arm, GROUP, SUBSCRIPTION, uuid},
};

const VERSION: &str = "api-version=2026-02-01";

fn path(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{name}?{VERSION}")
}

fn new_name() -> String {
    KeyVaultSpec::default().name
}

/// A Key Vault made through ARM with these properties.
async fn make(arm: &Arm, name: &str, properties: Value) -> anyhow::Result<(StatusCode, Value)> {
    let mut all = json!({
        "tenantId": azsim().tenant_id(), "sku": {"family": "A", "name": "standard"}, "accessPolicies": [],
    });
    for (member, value) in properties.as_object().into_iter().flatten() {
        all[member] = value.clone();
    }
    arm.send("PUT", &path(name), json!({"location": "westeurope", "properties": all})).await
}

/// What listing secrets answers to this principal; an error when the name does not resolve.
async fn listing(name: &str, oid: &str) -> anyhow::Result<StatusCode> {
    let token = azsim().mint(&TokenSpec::key_vault(azsim().tenant_id(), oid, "app"))?;
    let url = format!("https://{name}.vault.azure.net/secrets?api-version=2025-07-01");
    Ok(http()?.get(url).bearer_auth(token).send().await?.status())
}

fn policy(oid: &str, words: &[&str]) -> Value {
    json!({"tenantId": azsim().tenant_id(), "objectId": oid, "permissions": {"secrets": words}})
}

#[tokio::test]
async fn a_new_key_vault_shows_its_properties_in_order() -> anyhow::Result<()> {
    let (arm, name) = (Arm::owner()?, new_name());
    let properties = json!({"enableRbacAuthorization": false, "softDeleteRetentionInDays": 7, "enablePurgeProtection": true});
    let (status, made) = make(&arm, &name, properties).await?;
    assert_eq!(
        (status, &made["properties"]["provisioningState"]),
        (StatusCode::CREATED, &json!("RegisteringDns"))
    );
    assert_eq!(made["properties"]["vaultUri"], format!("https://{name}.vault.azure.net"));
    // Looked at once, it is ready.
    arm.get(&path(&name)).await?;
    let text = arm.ask("GET", &path(&name))?.send().await?.text().await?;
    let tail = format!(
        r#""properties":{{"sku":{{"family":"A","name":"standard"}},"tenantId":"{}","accessPolicies":[],"enabledForDeployment":false,"enableSoftDelete":true,"softDeleteRetentionInDays":7,"enableRbacAuthorization":false,"enablePurgeProtection":true,"vaultUri":"https://{name}.vault.azure.net/","provisioningState":"Succeeded","publicNetworkAccess":"Enabled"}}}}"#,
        azsim().tenant_id()
    );
    let id = path(&name);
    let head = format!(
        r#"{{"id":"{}","name":"{name}","type":"Microsoft.KeyVault/vaults","location":"westeurope","tags":{{}},"systemData":{{"#,
        id.split('?').next().unwrap_or_default()
    );
    assert!(text.starts_with(&head) && text.ends_with(&tail), "{text}");
    Ok(())
}

#[tokio::test]
async fn purge_protection_is_never_taken_back() -> anyhow::Result<()> {
    let (arm, name) = (Arm::owner()?, new_name());
    let (_, made) = make(&arm, &name, json!({})).await?;
    assert_eq!(made["properties"].get("enablePurgeProtection"), None);
    let set = |value: bool| json!({"properties": {"enablePurgeProtection": value}});
    let (status, changed) = arm.send("PATCH", &path(&name), set(true)).await?;
    assert_eq!(
        (status, &changed["properties"]["enablePurgeProtection"]),
        (StatusCode::OK, &json!(true))
    );
    let (status, body) = arm.send("PATCH", &path(&name), set(false)).await?;
    let expected = "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.";
    assert_eq!(status, 400);
    assert_eq!(body, json!({"error": {"code": "BadRequest", "message": expected}}));
    Ok(())
}

#[tokio::test]
async fn access_policies_set_through_arm_decide() -> anyhow::Result<()> {
    let (arm, name, oid) = (Arm::owner()?, new_name(), uuid());
    make(&arm, &name, json!({"enableRbacAuthorization": false})).await?;
    let change = async |kind: &str, words: &[&str]| {
        let path = path(&name).replace('?', &format!("/accessPolicies/{kind}?"));
        arm.send("PUT", &path, json!({"properties": {"accessPolicies": [policy(&oid, words)]}}))
            .await
    };
    assert_eq!(listing(&name, &oid).await?, 403);
    change("add", &["List"]).await?;
    assert_eq!(listing(&name, &oid).await?, 200);
    let (_, added) = change("add", &["get"]).await?;
    let words = &added["properties"]["accessPolicies"][0]["permissions"]["secrets"];
    assert_eq!(*words, json!(["List", "get"]));
    change("replace", &["get"]).await?;
    assert_eq!(listing(&name, &oid).await?, 403);
    let (_, gone) = change("remove", &["GET"]).await?;
    assert_eq!(gone["properties"]["accessPolicies"], json!([]));
    Ok(())
}

#[tokio::test]
async fn policies_count_only_while_roles_do_not() -> anyhow::Result<()> {
    let (arm, name, oid) = (Arm::owner()?, new_name(), uuid());
    let policies =
        json!({"enableRbacAuthorization": false, "accessPolicies": [policy(&oid, &["all"])]});
    make(&arm, &name, policies).await?;
    assert_eq!(listing(&name, &oid).await?, 200);
    for (rbac, expected) in [(true, 403), (false, 200)] {
        let body = json!({"properties": {"enableRbacAuthorization": rbac}});
        arm.send("PATCH", &path(&name), body).await?;
        assert_eq!(listing(&name, &oid).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_firewall_lets_in_whom_its_rules_name() -> anyhow::Result<()> {
    let (arm, name, oid) = (Arm::owner()?, new_name(), uuid());
    let policies =
        json!({"enableRbacAuthorization": false, "accessPolicies": [policy(&oid, &["list"])]});
    make(&arm, &name, policies).await?;
    for (rules, expected) in [(json!([]), 403), (json!([{"value": "203.0.113.0/24"}]), 200)] {
        let acls = json!({"defaultAction": "Deny", "ipRules": rules});
        arm.send("PATCH", &path(&name), json!({"properties": {"networkAcls": acls}})).await?;
        assert_eq!(listing(&name, &oid).await?, expected);
    }
    let closed = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    arm.send("PATCH", &path(&name), closed).await?;
    assert_eq!(listing(&name, &oid).await?, 403);
    Ok(())
}

#[tokio::test]
async fn a_deleted_key_vault_comes_back_without_its_roles() -> anyhow::Result<()> {
    let (arm, oid) = (Arm::owner()?, uuid());
    let grant = azsim::Grant::to(&oid, &["Microsoft.KeyVault/vaults/secrets/*"]);
    let spec = KeyVaultSpec {
        grants: vec![grant],
        secrets: vec![SecretSpec::new("n", "v")],
        ..KeyVaultSpec::default()
    };
    let name = spec.name.clone();
    azsim().add_key_vault(spec)?;
    assert_eq!(listing(&name, &oid).await?, 200);
    assert_eq!(arm.send("DELETE", &path(&name), Value::Null).await?.0, 200);
    assert!(listing(&name, &oid).await.is_err());
    assert_eq!(arm.get(&path(&name)).await?.1["error"]["code"], "ResourceNotFound");
    let (status, body) = make(&arm, &name, json!({})).await?;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::CONFLICT, &json!("ConflictError")));
    let recover = json!({"location": "westeurope", "properties": {"createMode": "recover"}});
    assert_eq!(arm.send("PUT", &path(&name), recover).await?.0, 201);
    assert_eq!(listing(&name, &oid).await?, 403);
    Ok(())
}

#[tokio::test]
async fn a_deleted_key_vault_is_listed_until_it_is_purged() -> anyhow::Result<()> {
    let (arm, name) = (Arm::owner()?, new_name());
    make(&arm, &name, json!({})).await?;
    arm.send("DELETE", &path(&name), Value::Null).await?;
    let deleted = format!(
        "{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{name}"
    );
    let (status, body) = arm.get(&format!("{deleted}?{VERSION}")).await?;
    assert_eq!((status, &body["id"]), (StatusCode::OK, &json!(deleted)));
    assert_eq!(body["properties"]["vaultId"], path(&name).split('?').next().unwrap_or_default());
    assert_eq!(body["properties"].get("purgeProtectionEnabled"), None);
    let answer = arm.ask("POST", &format!("{deleted}/purge?{VERSION}"))?.send().await?;
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (StatusCode::ACCEPTED, &"5".parse()?)
    );
    assert_eq!(arm.get(&format!("{deleted}?{VERSION}")).await?.0, 404);
    let free =
        format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/checkNameAvailability?{VERSION}");
    let body = json!({"name": name, "type": "Microsoft.KeyVault/vaults"});
    assert_eq!(arm.send("POST", &free, body).await?.1, json!({"nameAvailable": true}));
    Ok(())
}
