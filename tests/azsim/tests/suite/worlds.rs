//! Worlds: as a file, as `World::dev()`, and changed by the control API while they run.
//!
//! Each test starts an azsim of its own.

use azsim::{ADMINISTRATOR, RECOVERY_VAULT_PRINCIPAL, TokenSpec, World};
use serde_json::{Value, json};

use crate::{harness::Own, resource_manager::GROUP};

const RSV: &str = "providers/Microsoft.RecoveryServices/vaults/rsv-mars?api-version=2026-07-01";

#[tokio::test]
async fn the_dev_world_has_a_vault_that_may_write_secrets() -> anyhow::Result<()> {
    let own = Own::start(World::dev())?;
    let (status, vault) = own.get(ADMINISTRATOR, &format!("{GROUP}/{RSV}")).await?;
    assert_eq!(status, 200);
    assert_eq!(vault["identity"]["principalId"], RECOVERY_VAULT_PRINCIPAL);
    let token = TokenSpec::key_vault(own.azsim.tenant_id(), RECOVERY_VAULT_PRINCIPAL, "a");
    let url = "https://kv-mars.vault.azure.net/secrets/AzBackup-n?api-version=2025-07-01";
    let put = own.http.put(url).bearer_auth(own.azsim.mint(&token)?).json(&json!({"value": "v"}));
    assert_eq!(put.send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_world_file_may_set_up_everything_that_arm_shows() -> anyhow::Result<()> {
    let world = json!({
        "owners": [{"principalId": "admin"}],
        "subscriptions": [{"displayName": "Production"}],
        "recoveryServicesVaults": [{"name": "rsv-mars", "identity": {"principalId": "p"}, "containers": ["srv01"]}],
        "roleDefinitions": [{"roleName": "Mine", "permissions": [{"dataActions": ["*"]}]}],
        "roleAssignments": [{"principalId": "p", "role": "Mine", "scope": GROUP}],
        "denyAssignments": [{"scope": GROUP, "principals": ["q"], "permissions": [{"dataActions": ["*"]}]}],
        "diagnosticSettings": [{
            "resourceId": format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars"), "name": "audit",
            "properties": {"logs": [{"category": "AuditEvent", "enabled": true}]},
        }],
    });
    let own = Own::start(serde_json::from_value(world)?)?;
    let kv = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars/providers");
    for (path, count) in [
        (
            "Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId eq 'p'",
            1,
        ),
        ("Microsoft.Authorization/denyAssignments?api-version=2022-04-01&$filter=atScope()", 1),
        ("Microsoft.Insights/diagnosticSettings?api-version=2021-05-01-preview", 1),
    ] {
        let (status, body) = own.get("admin", &format!("{kv}/{path}")).await?;
        assert_eq!((status, body["value"].as_array().map(Vec::len)), (200, Some(count)), "{path}");
    }
    let (_, subscriptions) = own.get("admin", "/subscriptions?api-version=2022-12-01").await?;
    assert_eq!(subscriptions["value"][0]["displayName"], "Production");
    Ok(())
}

#[tokio::test]
async fn the_control_api_changes_what_arm_shows() -> anyhow::Result<()> {
    let own = Own::start(World::default())?;
    own.control("POST", "owners", json!({"principalId": "admin", "scope": GROUP})).await?;
    own.control("PUT", "recovery-services-vaults/rsv-mars", json!({"identity": {}})).await?;
    let (_, vault) = own.get("admin", &format!("{GROUP}/{RSV}")).await?;
    assert_eq!(vault["identity"], json!({"type": "None"}));
    own.control("PUT", "propagation", json!({"milliseconds": 5})).await?;
    own.control("PUT", "groups", json!({"id": "g", "members": ["m"]})).await?;
    own.control(
        "POST",
        "role-definitions",
        json!({"roleName": "R", "permissions": [{"actions": ["*/read"]}]}),
    )
    .await?;
    own.control("POST", "role-assignments", json!({"principalId": "g", "role": "R", "scope": "/"}))
        .await?;
    assert_eq!(own.get("m", &format!("{GROUP}/{RSV}")).await?.0, 200);
    let denial = json!({"scope": "/", "principals": ["m"], "permissions": [{"actions": ["*"]}]});
    let id = own.control("POST", "deny-assignments", denial).await?["id"].clone();
    assert_eq!(own.get("m", &format!("{GROUP}/{RSV}")).await?.0, 403);
    own.control(
        "DELETE",
        &format!("deny-assignments/{}", id.as_str().unwrap_or_default()),
        json!({}),
    )
    .await?;
    own.control("PUT", "machines", json!({"name": "n", "kind": "arc"})).await?;
    assert_eq!(own.control("GET", "machines", json!({})).await?[0]["name"], "n");
    assert_eq!(own.get("m", &format!("{GROUP}/{RSV}")).await?.0, 200);
    let seen = own.azsim.management_requests();
    let last = seen.last().map(|request| (request.status, request.caller_oid.as_deref()));
    assert_eq!(last, Some((200, Some("m"))));
    let listed = own.control("GET", "management-requests", json!({})).await?;
    assert_eq!(listed.as_array().map_or(0, Vec::len), seen.len());
    own.control("POST", "reset", json!({})).await?;
    assert_eq!(own.get("admin", &format!("{GROUP}/{RSV}")).await?.0, 403);
    Ok(())
}

#[tokio::test]
async fn a_world_file_may_throttle_and_hold_expired_secrets() -> anyhow::Result<()> {
    let world = json!({
        "keyVaults": [{"name": "kv-worn", "grants": [{"dataActions": ["*"]}], "secrets": [
            {"name": "old", "value": "v", "expires": 1_754_006_400, "notBefore": 1_422_864_000}]}],
        "faults": [{"operation": "key_vault.get_secret", "times": 1,
            "effect": {"kind": "throttle", "retryAfter": "5"}}],
    });
    let own = Own::start(serde_json::from_value(world)?)?;
    let identity = own.azsim.identity();
    let token = TokenSpec::key_vault(own.azsim.tenant_id(), &identity.principal_id, "a");
    let token = own.azsim.mint(&token)?;
    let url = "https://kv-worn.vault.azure.net/secrets/old/?api-version=2025-07-01";
    let throttled = own.http.get(url).bearer_auth(&token).send().await?;
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["retry-after"]),
        (429, &"5".parse()?)
    );
    let read: Value = own.http.get(url).bearer_auth(&token).send().await?.json().await?;
    assert_eq!(read["attributes"]["exp"], 1_754_006_400);
    assert_eq!(read["attributes"]["nbf"], 1_422_864_000);
    Ok(())
}
