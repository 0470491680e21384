//! Every refusal of the secrets data plane, byte for byte where a real answer is known (wire contract, 1.3 and 1.6).

use azsim::{Access, Network, SecretSpec, Settings, TokenSpec};
use serde_json::json;

use crate::harness::{Room, azsim};

const FOREVER: u64 = 3_600_000;

async fn answered(room: &Room, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let answer = room.raw(method, path)?.body(r#"{"value":"v"}"#).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn error(code: &str, message: &str, inner: Option<&str>) -> String {
    let inner = inner.map(|inner| format!(r#","innererror":{{"code":"{inner}"}}"#));
    let inner = inner.unwrap_or_default();
    format!(r#"{{"error":{{"code":"{code}","message":"{message}"{inner}}}}}"#)
}

fn room(change: impl FnOnce(&mut Settings)) -> anyhow::Result<Room> {
    Room::open_with(|spec| {
        spec.secrets = vec![SecretSpec::new("Plop", "v")];
        change(&mut spec.settings);
    })
}

fn caller() -> String {
    let identity = azsim().identity();
    let (appid, oid) = (&identity.client_id, &identity.principal_id);
    format!("appid={appid};oid={oid};iss=https://sts.windows.net/{}/", azsim().tenant_id())
}

#[tokio::test]
async fn every_operation_knows_no_unknown_secret() -> anyhow::Result<()> {
    let room = room(|_| {})?;
    let not_found = |told: &str| {
        let message = format!(
            "A secret with (name/id) {told} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        (404, error("SecretNotFound", &message, None))
    };
    for (method, path, told) in [
        ("GET", "secrets/none/", "none"),
        ("GET", "secrets/Plop/0123", "Plop/0123"),
        ("PATCH", "secrets/none/", "none"),
        ("PATCH", "secrets/none/0123", "none/0123"),
        ("DELETE", "secrets/none", "none"),
        ("POST", "secrets/none/backup", "none"),
        ("POST", "deletedsecrets/none/recover", "none"),
    ] {
        assert_eq!(answered(&room, method, path).await?, not_found(told), "{method} {path}");
    }
    let deleted = error("SecretNotFound", "Deleted Secret not found: Plop", None);
    assert_eq!(answered(&room, "GET", "deletedsecrets/Plop").await?, (404, deleted));
    Ok(())
}

#[tokio::test]
async fn a_deleted_name_is_a_conflict_for_set_and_restore() -> anyhow::Result<()> {
    let room = room(|_| {})?;
    let backup = answered(&room, "POST", "secrets/Plop/backup").await?.1;
    answered(&room, "DELETE", "secrets/Plop").await?;
    let message = "Secret Plop is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.";
    let expected = (409, error("Conflict", message, Some("ObjectIsDeletedButRecoverable")));
    assert_eq!(answered(&room, "PUT", "secrets/Plop").await?, expected);
    let restore = room.raw("POST", "secrets/restore")?.body(backup).send().await?;
    assert_eq!((restore.status().as_u16(), restore.text().await?), expected);
    Ok(())
}

#[tokio::test]
async fn a_deletion_under_way_is_a_conflict() -> anyhow::Result<()> {
    let room = room(|settings| settings.lag_milliseconds = FOREVER)?;
    let backup = answered(&room, "POST", "secrets/Plop/backup").await?.1;
    answered(&room, "DELETE", "secrets/Plop").await?;
    let conflict = |message| (409, error("Conflict", message, Some("ObjectIsBeingDeleted")));
    let purge = answered(&room, "DELETE", "deletedsecrets/Plop").await?;
    assert_eq!(purge, conflict("Secret is currently being deleted."));
    let expected =
        conflict("Secret Plop is currently being deleted and cannot be re-created; retry later.");
    assert_eq!(answered(&room, "PUT", "secrets/Plop").await?, expected);
    let restore = room.raw("POST", "secrets/restore")?.body(backup).send().await?;
    assert_eq!((restore.status().as_u16(), restore.text().await?), expected);
    Ok(())
}

#[tokio::test]
async fn after_a_purge_a_restore_is_told_to_retry_later() -> anyhow::Result<()> {
    let room = room(|_| {})?;
    let backup = answered(&room, "POST", "secrets/Plop/backup").await?.1;
    answered(&room, "DELETE", "secrets/Plop").await?;
    azsim().change_settings(&room.name, |settings| settings.lag_milliseconds = FOREVER)?;
    assert_eq!(answered(&room, "DELETE", "deletedsecrets/Plop").await?, (204, String::new()));
    let restore = room.raw("POST", "secrets/restore")?.body(backup).send().await?;
    let message = "Secret Plop is currently being deleted and cannot be re-created; retry later.";
    let expected = error("Conflict", message, Some("ObjectIsBeingDeleted"));
    assert_eq!((restore.status().as_u16(), restore.text().await?), (409, expected));
    Ok(())
}

#[tokio::test]
async fn lines_of_a_message_end_with_carriage_return_and_line_feed() -> anyhow::Result<()> {
    let room = room(|settings| settings.purge_protection = true)?;
    answered(&room, "DELETE", "secrets/Plop").await?;
    let message = format!(
        r#"Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.\r\nVault: {};location=westeurope"#,
        room.name
    );
    let expected = (403, error("Forbidden", &message, None));
    assert_eq!(answered(&room, "DELETE", "deletedsecrets/Plop").await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_missing_is_told_for_every_operation() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.grants.clear())?;
    for (method, path, action, below) in [
        ("GET", "secrets/n/", "getSecret/action", "/secrets/n"),
        ("PUT", "secrets/n", "setSecret/action", "/secrets/n"),
        ("PATCH", "secrets/n/", "update/action", "/secrets/n"),
        ("GET", "secrets", "readMetadata/action", ""),
        ("GET", "secrets/n/versions", "readMetadata/action", "/secrets/n"),
        ("GET", "deletedsecrets", "readMetadata/action", ""),
        ("GET", "deletedsecrets/n", "readMetadata/action", "/secrets/n"),
        ("DELETE", "secrets/n", "delete", "/secrets/n"),
        ("POST", "deletedsecrets/n/recover", "recover/action", "/secrets/n"),
        ("DELETE", "deletedsecrets/n", "purge/action", "/secrets/n"),
        ("POST", "secrets/n/backup", "backup/action", "/secrets/n"),
        ("POST", "secrets/restore", "restore/action", ""),
    ] {
        let message = format!(
            r"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: {}\r\nAction: 'Microsoft.KeyVault/vaults/secrets/{action}'\r\nResource: '/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourcegroups/rg-mars/providers/microsoft.keyvault/vaults/{}{below}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: {};location=westeurope",
            caller(),
            room.name,
            room.name
        );
        let expected = (403, error("Forbidden", &message, Some("ForbiddenByRbac")));
        assert_eq!(answered(&room, method, path).await?, expected, "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_that_is_missing_is_told_for_every_operation() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.settings.access = Access::Policies(Vec::new()))?;
    for (method, path, word) in [
        ("GET", "secrets/n/", "get"),
        ("PUT", "secrets/n", "set"),
        ("PATCH", "secrets/n/", "set"),
        ("GET", "secrets", "list"),
        ("GET", "secrets/n/versions", "list"),
        ("GET", "deletedsecrets", "list"),
        ("GET", "deletedsecrets/n", "get"),
        ("DELETE", "secrets/n", "delete"),
        ("POST", "deletedsecrets/n/recover", "recover"),
        ("DELETE", "deletedsecrets/n", "purge"),
        ("POST", "secrets/n/backup", "backup"),
        ("POST", "secrets/restore", "restore"),
    ] {
        let message = format!(
            "The user, group or application '{}' does not have secrets {word} permission on key vault '{};location=westeurope'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            caller(),
            room.name
        );
        let expected = (403, error("Forbidden", &message, Some("AccessDenied")));
        assert_eq!(answered(&room, method, path).await?, expected, "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn both_network_refusals_name_caller_and_key_vault() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.settings.network = Network::FirewallDenies)?;
    let whence = format!(r"\r\nCaller: {}\r\nVault: {};location=westeurope", caller(), room.name);
    let message = format!(
        r"Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7{whence}"
    );
    let expected = (403, error("Forbidden", &message, Some("ForbiddenByFirewall")));
    assert_eq!(answered(&room, "GET", "secrets").await?, expected);
    azsim().change_settings(&room.name, |settings| {
        settings.network = Network::PublicAccessDisabled;
    })?;
    let message = format!(
        "Public network access is disabled and request is not from a trusted service nor via an approved private link.{whence}"
    );
    let expected = (403, error("Forbidden", &message, Some("ForbiddenByConnection")));
    assert_eq!(answered(&room, "GET", "secrets").await?, expected);
    Ok(())
}

#[tokio::test]
async fn every_401_has_the_challenge_and_no_role_assignment() -> anyhow::Result<()> {
    let room = Room::new()?;
    let tenant = azsim().tenant_id();
    let own = TokenSpec::key_vault(tenant, &azsim().identity().principal_id, "c");
    let stranger = azsim().add_tenant()?;
    let foreign = TokenSpec::key_vault(&stranger, "o", "c");
    let wrong_issuer = format!(
        "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{tenant}/, found https://sts.windows.net/{stranger}/."
    );
    let missing = "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.";
    let challenge = format!(
        r#"Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="https://vault.azure.net""#
    );
    for (authorization, message) in [
        ("Basic YTpi".to_owned(), missing),
        (
            format!(
                "Bearer {}",
                azsim().mint(&own.clone().claim("aud", "https://graph.microsoft.com"))?
            ),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://graph.microsoft.com.",
        ),
        (format!("Bearer {}", azsim().mint(&foreign)?), &wrong_issuer),
        (
            format!("bearer {}", azsim().mint(&own.claim("exp", 1))?),
            "[TokenExpired] Error validating token: 'S2S12086'.",
        ),
    ] {
        let request = room.bare("GET", "secrets?api-version=7.4")?;
        let answer = request.header("Authorization", authorization).send().await?;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], challenge.as_str());
        assert!(!answer.headers().contains_key("x-ms-keyvault-rbac-assignment-id"));
        assert_eq!(answer.text().await?, error("Unauthorized", message, None));
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_says_where_it_comes_from() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.location = "westus".to_owned())?;
    let challenged = room.bare("GET", "secrets?api-version=7.4")?.send().await?;
    let answered = room.raw("PUT", "secrets/n")?.json(&json!({"value": "v"})).send().await?;
    for answer in [&challenged, &answered] {
        let headers = answer.headers();
        assert_eq!(headers["x-ms-keyvault-region"], "westus");
        assert_eq!(
            headers["x-ms-keyvault-network-info"],
            "conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=InterNetwork;"
        );
        for name in ["x-ms-client-request-id", "x-ms-request-id"] {
            let id = headers[name].to_str()?;
            assert!(id.len() == 36 && id.split('-').count() == 5, "{name}: {id}");
        }
    }
    assert!(!challenged.headers().contains_key("x-ms-keyvault-rbac-assignment-id"));
    let assignment = answered.headers()["x-ms-keyvault-rbac-assignment-id"].to_str()?;
    assert!(assignment.len() == 32 && assignment.chars().all(|c| c.is_ascii_hexdigit()));
    Ok(())
}
