//! What a world may begin with besides what is well: machines in any state, deleted secrets and Key Vaults, and rights
//! that are older than the world.

use azsim::{Container, KeyVaultSpec, Machine, MachineKind, RecoveryServicesVault, SecretSpec};
use serde_json::{Value, json};

use crate::{
    harness::{Room, azsim},
    resource_manager::{Arm, GROUP, SUBSCRIPTION, uuid},
};

#[tokio::test]
async fn a_machine_shows_the_state_that_it_was_given() -> anyhow::Result<()> {
    let machine = json!({
        "name": "srv02", "agentVersion": "2.0.9100.0", "protectedItemCount": 0, "registrationStatus": "NotRegistered",
        "properties": {"containerHealthState": "Unhealthy"},
    });
    let machine: Container = serde_json::from_value(machine)?;
    let spec = RecoveryServicesVault {
        containers: vec![machine, "srv01".into()],
        ..RecoveryServicesVault::default()
    };
    let id = azsim().add_recovery_services_vault(spec);
    let path = format!("{id}/backupProtectionContainers?api-version=2025-02-01");
    let (_, body) = Arm::owner()?.get(&path).await?;
    let shown = |at: usize| {
        let properties = &body["value"][at]["properties"];
        [
            "friendlyName",
            "agentVersion",
            "protectedItemCount",
            "registrationStatus",
            "containerHealthState",
        ]
        .map(|name| properties[name].clone())
    };
    assert_eq!(
        shown(0).to_vec(),
        ["srv02".into(), "2.0.9100.0".into(), json!(0), "NotRegistered".into(), "Unhealthy".into()]
    );
    assert_eq!(
        shown(1).to_vec(),
        ["srv01".into(), "2.0.9270.0".into(), json!(1), "Registered".into(), "Healthy".into()]
    );
    Ok(())
}

#[tokio::test]
async fn a_world_may_hold_a_deleted_secret() -> anyhow::Result<()> {
    let room = Room::open_with(|spec| {
        let gone = SecretSpec { deleted: true, ..SecretSpec::new("gone", "v") };
        spec.secrets = vec![SecretSpec::new("gone", "u"), gone];
    })?;
    assert_eq!(room.raw("GET", "secrets/gone/")?.send().await?.status(), 404);
    assert_eq!(room.raw("POST", "deletedsecrets/gone/recover")?.send().await?.status(), 200);
    let read: Value = room.raw("GET", "secrets/gone/")?.send().await?.json().await?;
    assert_eq!(read["value"], "v");
    Ok(())
}

#[tokio::test]
async fn a_key_vault_deleted_by_its_world_comes_back_without_its_roles() -> anyhow::Result<()> {
    let room = Room::open_with(|spec| spec.settings.soft_deleted = true)?;
    let path =
        format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{}?api-version=2026-02-01", room.name);
    let arm = Arm::owner()?;
    assert_eq!(arm.get(&path).await?.0, 404);
    let recover = json!({"location": "westeurope", "properties": {"createMode": "recover"}});
    assert_eq!(arm.send("PUT", &path, recover).await?.0, 201);
    let refused = room.raw("GET", "secrets")?.send().await?;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.json::<Value>().await?["error"]["innererror"]["code"], "ForbiddenByRbac");
    Ok(())
}

#[tokio::test]
async fn what_a_world_begins_with_is_older_than_what_is_granted_later() -> anyhow::Result<()> {
    let arm = Arm::owner()?;
    let later = KeyVaultSpec::default();
    azsim().add_key_vault(later.clone())?;
    let made = async |id: &str| {
        let path = format!(
            "{id}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
        );
        let filter = format!("&$filter=principalId eq '{}'", azsim().identity().principal_id);
        let (_, body) = arm.get(&(path + &filter)).await?;
        anyhow::Ok(
            body["value"][0]["properties"]["createdOn"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let first = made(&KeyVaultSpec::named("kv-mars").resource_id()).await?;
    let second = made(&later.resource_id()).await?;
    assert!(first.get(..10) < second.get(..10), "{first} {second}");
    Ok(())
}

#[tokio::test]
async fn the_identity_endpoint_speaks_for_a_machine_that_is_named() -> anyhow::Result<()> {
    let machine = Machine::new(uuid(), MachineKind::VirtualMachine);
    azsim().add_machine(machine.clone());
    let endpoint = azsim().identity_endpoint();
    let ask = async |path: &str| {
        let url = endpoint.replace("/msi/token", path);
        let query = [("api-version", "2019-08-01"), ("resource", "https://vault.azure.net")];
        let request = reqwest::Client::new().get(url).query(&query);
        request.header("X-IDENTITY-HEADER", azsim().identity_header()).send().await
    };
    let answer: Value = ask(&format!("/machines/{}/msi/token", machine.name)).await?.json().await?;
    assert_eq!(answer["client_id"], machine.system_assigned.unwrap_or_default().client_id);
    assert_eq!(ask("/machines/none/msi/token").await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn a_provider_tells_its_types_and_their_api_versions() -> anyhow::Result<()> {
    let arm = Arm::owner()?;
    let path = format!("{SUBSCRIPTION}/providers/microsoft.keyvault?api-version=2024-11-01");
    let (status, body) = arm.get(&path).await?;
    assert_eq!((status.as_u16(), &body["namespace"]), (200, &json!("Microsoft.KeyVault")));
    assert_eq!(body["resourceTypes"][0]["resourceType"], "vaults");
    assert!(body["resourceTypes"][0]["apiVersions"].to_string().contains("\"2026-02-01\""));
    let unknown = format!("{SUBSCRIPTION}/providers/Microsoft.Unknown?api-version=2024-11-01");
    assert_eq!(arm.get(&unknown).await?.1["error"]["code"], "InvalidResourceNamespace");
    assert_eq!(Arm::new()?.get(&path).await?.0, 403);
    Ok(())
}
