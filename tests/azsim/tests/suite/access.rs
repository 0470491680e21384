//! Who may do what: role assignments, access policies, the firewall.

use azsim::{Access, AccessPolicy, Grant, Network, SecretSpec};
use serde_json::Value;

use crate::harness::{Room, azsim};

const GET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";

async fn refused(room: &Room, path: &str) -> anyhow::Result<(String, String)> {
    let answer = room.raw("GET", path)?.send().await?;
    assert_eq!(answer.status(), 403);
    let body: Value = answer.json().await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&body["error"]["innererror"]["code"]), text(&body["error"]["message"])))
}

fn caller() -> String {
    let identity = azsim().identity();
    let (appid, oid) = (&identity.client_id, &identity.principal_id);
    format!("appid={appid};oid={oid};iss=https://sts.windows.net/{}/", azsim().tenant_id())
}

#[tokio::test]
async fn a_missing_role_is_told_in_nine_lines() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.grants.clear())?;
    let (code, message) = refused(&room, "secrets/AzBackup-S/").await?;
    assert_eq!(code, "ForbiddenByRbac");
    let expected = format!(
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: {}\r\nAction: '{GET}'\r\nResource: '/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourcegroups/rg-mars/providers/microsoft.keyvault/vaults/{}/secrets/azbackup-s'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: {};location=westeurope",
        caller(),
        room.name,
        room.name
    );
    assert_eq!(message, expected);
    Ok(())
}

#[tokio::test]
async fn the_default_roles_do_not_delete_purge_backup_or_restore() -> anyhow::Result<()> {
    let room = Room::new()?;
    azsim().put_secret(&room.name, SecretSpec::new("n", "v"))?;
    for (method, path) in [
        ("DELETE", "secrets/n"),
        ("DELETE", "deletedsecrets/n"),
        ("POST", "secrets/n/backup"),
        ("POST", "secrets/restore"),
    ] {
        assert_eq!(room.raw(method, path)?.send().await?.status(), 403, "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_at_one_secret_says_nothing_about_another() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.grants.clear())?;
    for name in ["n", "n2"] {
        azsim().put_secret(&room.name, SecretSpec::new(name, "v"))?;
    }
    let grant = Grant {
        secret_name: Some("N".to_owned()),
        data_actions: vec!["microsoft.keyvault/vaults/*/getsecret/*".to_owned()],
        ..Grant::default()
    };
    let id = azsim().grant(&room.name, grant)?;
    assert_eq!(room.raw("GET", "secrets/n")?.send().await?.status(), 200);
    assert_eq!(room.raw("GET", "secrets/n2")?.send().await?.status(), 403);
    assert!(azsim().revoke(&id));
    assert_eq!(room.raw("GET", "secrets/n")?.send().await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn what_a_role_excepts_is_not_allowed() -> anyhow::Result<()> {
    let room = Room::with(|spec| {
        spec.secrets = vec![SecretSpec::new("n", "v")];
        spec.grants = vec![Grant { not_data_actions: vec![GET.to_owned()], ..Grant::default() }];
    })?;
    assert_eq!(room.raw("GET", "secrets/n")?.send().await?.status(), 403);
    assert_eq!(room.raw("GET", "secrets")?.send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn access_policies_decide_instead_of_roles() -> anyhow::Result<()> {
    let policy = AccessPolicy {
        object_id: azsim().identity().principal_id.clone(),
        secrets: vec!["List".to_owned()],
        ..AccessPolicy::default()
    };
    let room = Room::with(|spec| spec.settings.access = Access::Policies(vec![policy]))?;
    let answer = room.raw("GET", "secrets")?.send().await?;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-ms-keyvault-rbac-assignment-id"));
    let (code, message) = refused(&room, "secrets/n/").await?;
    let expected = format!(
        "The user, group or application '{}' does not have secrets get permission on key vault '{};location=westeurope'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
        caller(),
        room.name
    );
    assert_eq!((code.as_str(), message), ("AccessDenied", expected));
    Ok(())
}

#[tokio::test]
async fn the_firewall_refuses_whoever_asks() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.settings.network = Network::FirewallDenies)?;
    let (code, message) = refused(&room, "secrets/n/").await?;
    let expected = format!(
        "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\nCaller: {}\r\nVault: {};location=westeurope",
        caller(),
        room.name
    );
    assert_eq!((code.as_str(), message), ("ForbiddenByFirewall", expected));
    azsim().change_settings(&room.name, |settings| {
        settings.network = Network::PublicAccessDisabled;
    })?;
    assert_eq!(refused(&room, "secrets/n/").await?.0, "ForbiddenByConnection");
    Ok(())
}
