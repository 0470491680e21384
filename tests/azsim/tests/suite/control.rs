//! The control API does what the Rust API does.

use azsim::{Azsim, KeyVaultSpec, World};
use serde_json::{Value, json};

use crate::harness::{Room, azsim};

async fn call(method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
    let url = format!("{}/{path}", azsim().control_url());
    let request = reqwest::Client::new().request(method.parse()?, url).json(&body);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

#[tokio::test]
async fn it_mints_tokens_of_both_forms() -> anyhow::Result<()> {
    let user = json!({"kind": "user", "oid": "u1", "roles": ["r"], "audience": "a", "lifetimeSeconds": 60});
    let raw = json!({"claims": {"iss": "x"}, "header": {"jku": "y"}, "key": "foreign"});
    for body in [user, raw] {
        let token = call("POST", "tokens", body).await?["token"].clone();
        assert_eq!(token.as_str().unwrap_or_default().split('.').count(), 3);
    }
    assert!(call("POST", "tokens", json!({"algorithm": "ES256"})).await.is_err());
    Ok(())
}

#[tokio::test]
async fn it_makes_and_changes_a_key_vault() -> anyhow::Result<()> {
    let name = KeyVaultSpec::default().name;
    let path = format!("key-vaults/{name}");
    let made = call("PUT", &path, json!({"location": "eastus"})).await?;
    assert_eq!(made["uri"], format!("https://{name}.vault.azure.net/"));
    let settings = json!({"lagMilliseconds": 5, "network": "firewallDenies"});
    call("PATCH", &format!("{path}/settings"), settings).await?;
    let found = call("GET", &path, json!({})).await?;
    assert_eq!(found["settings"]["lagMilliseconds"], 5);
    assert_eq!(found["settings"]["purgeProtection"], true);
    assert!(call("PUT", "key-vaults/x", json!({})).await.is_err());
    Ok(())
}

#[tokio::test]
async fn it_puts_reads_and_disables_secrets() -> anyhow::Result<()> {
    let room = Room::new()?;
    let path = format!("key-vaults/{}/secrets", room.name);
    let put = call("POST", &path, json!({"name": "n", "value": "v", "tags": {"a": "b"}})).await?;
    let version = put["version"].as_str().unwrap_or_default();
    let change = json!({"enabled": false});
    call("PATCH", &format!("{path}/n/versions/{version}"), change).await?;
    let found = call("GET", &format!("{path}/N"), json!({})).await?;
    assert_eq!(found["versions"][0]["value"], "v");
    assert_eq!(found["versions"][0]["enabled"], false);
    Ok(())
}

#[tokio::test]
async fn it_grants_and_revokes() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.grants.clear())?;
    let grants = format!("key-vaults/{}/grants", room.name);
    let id = call("POST", &grants, json!({"dataActions": ["*"]})).await?["id"].clone();
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 200);
    let path = format!("role-assignments/{}", id.as_str().unwrap_or_default());
    call("DELETE", &path, json!({})).await?;
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn it_puts_faults_in_place_and_shows_what_was_seen() -> anyhow::Result<()> {
    let room = Room::new()?;
    let fault = json!({
        "operation": "key_vault.list_secrets", "keyVault": room.name, "times": 1,
        "effect": {"kind": "refuse", "status": 500}
    });
    let id = call("POST", "faults", fault).await?["id"].clone();
    let request = room.raw("GET", "secrets")?.header("x-ms-client-request-id", "c1");
    assert_eq!(request.send().await?.status(), 500);
    let seen = call("GET", &format!("key-vaults/{}/requests", room.name), json!({})).await?;
    assert_eq!(seen[0]["operation"], "key_vault.list_secrets");
    assert_eq!((&seen[0]["clientRequestId"], &seen[0]["fault"]), (&json!("c1"), &id));
    let listed = call("GET", "faults", json!({})).await?;
    let listed = listed.as_array().into_iter().flatten().find(|fault| fault["id"] == id);
    assert_eq!(listed.map(|fault| fault["hits"].clone()), Some(json!(1)));
    let cleared = call("DELETE", &format!("faults?keyVault={}", room.name), json!({})).await?;
    assert_eq!(cleared["cleared"], 1);
    Ok(())
}

#[tokio::test]
async fn it_makes_tenants_and_rotates_their_keys() -> anyhow::Result<()> {
    let tenant = call("POST", "tenants", json!({})).await?;
    let id = tenant["id"].as_str().unwrap_or_default();
    let kid = call("POST", &format!("tenants/{id}/keys"), json!({})).await?["kid"].clone();
    assert_eq!(json!(azsim().kids(id)?.last()), kid);
    let path = format!("tenants/{id}/keys/{}", kid.as_str().unwrap_or_default());
    call("DELETE", &path, json!({})).await?;
    assert_eq!(json!(azsim().kids(id)?), tenant["kids"]);
    Ok(())
}

#[tokio::test]
async fn a_reset_brings_the_first_world_back() -> anyhow::Result<()> {
    let own = Azsim::start(World::default())?;
    own.add_key_vault(KeyVaultSpec::named("kv-other"))?;
    let control = |path: &str| format!("{}/{path}", own.control_url());
    let client = reqwest::Client::new();
    client.post(control("reset")).send().await?.error_for_status()?;
    let world: Value = client.get(control("world")).send().await?.json().await?;
    assert_eq!(world["keyVaults"].as_array().map(Vec::len), Some(1));
    assert_eq!(world["keyVaults"][0]["name"], "kv-mars");
    assert_eq!(world["roleAssignments"].as_array().map(Vec::len), Some(1));
    Ok(())
}
