//! What Azure says only to whoever asks in the right place, or keeps back without a word.

use std::time::{Duration, Instant};

use azsim::{DenyAssignment, Effect, Fault, RoleAssignment};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::estate::{Estate, FQDN, SET_SECRET};
use crate::harness::{Broker, Setup, azure};

/// Under which MARS may save it.
const SECRETS: [&str; 3] = [
    "AzBackup-srv-web01-corp-contoso-com-rsv-prod",
    "AzBackup-srv-web01corpcontosocom-rsv-prod",
    "AzBackup-srv-web01-rsv-prod",
];

fn at_secret(estate: &Estate, name: &str) -> String {
    format!("{}/secrets/{name}", estate.key_vault.resource_id())
}

#[tokio::test]
async fn a_role_for_the_secret_under_each_of_its_names_is_enough_for_it() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_broker_read();
    let role = |name| RoleAssignment {
        data_actions: vec![SET_SECRET.to_owned()],
        ..RoleAssignment::to(&estate.principal, at_secret(&estate, name))
    };
    azure().assign(&role("AzBackup-srv-other-rsv-prod"));
    assert_eq!(estate.report().await.statuses(&["PF-09"]), ["fail"]);
    for (name, status) in SECRETS.into_iter().zip(["unknown", "unknown", "pass"]) {
        azure().assign(&role(name));
        let report = estate.report().await;
        assert_eq!(report.statuses(&["PF-09"]), [status], "{name}: {}", report.text);
    }
}

#[tokio::test]
async fn a_deny_assignment_for_the_secret_under_each_of_its_names_forbids_it() {
    let estate = Estate::right().await;
    for (name, status) in SECRETS.into_iter().zip(["unknown", "unknown", "fail"]) {
        let denial = json!({
            "scope": at_secret(&estate, name),
            "principals": [estate.principal],
            "permissions": [{"dataActions": ["*"]}],
        });
        azure().deny(serde_json::from_value::<DenyAssignment>(denial).unwrap());
        let report = estate.report().await;
        assert_eq!(report.statuses(&["PF-09", "PF-21"]), [status; 2], "{name}: {}", report.text);
    }
}

#[tokio::test]
async fn a_key_vault_that_azure_does_not_list_is_unknown_with_the_missing_action() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_mars_write();
    estate.let_broker_read_all_but("Microsoft.KeyVault/vaults/read");
    let report = estate.report().await;
    let rest = ["PF-09", "PF-15", "PF-16"];
    assert_eq!(report.statuses(&rest), ["unknown"; 3], "{}", report.text);
    for id in rest {
        let check = report.check(id);
        let cause = check["cause"].as_str().unwrap();
        assert!(cause.contains("Microsoft.KeyVault/vaults/read"), "{check}");
    }
    let commands = report.check("PF-16")["remediation"][0]["commands"].to_string();
    assert!(commands.contains("az role assignment create"), "{commands}");
}

#[tokio::test]
async fn roles_that_cannot_be_read_are_unknown_and_mended() {
    let estate = Estate::without_rights(|_| {}, |_| {}).await;
    estate.let_mars_write();
    estate.let_broker_read_all_but("Microsoft.Authorization/roleDefinitions/read");
    let report = estate.report().await;
    assert_eq!(report.statuses(&["PF-09", "PF-16"]), ["unknown", "unknown"]);
    let check = report.check("PF-16");
    let cause = check["cause"].as_str().unwrap();
    assert!(cause.contains("Microsoft.Authorization/roleDefinitions/read"), "{check}");
    assert_eq!(check["remediation"][0]["client"], "az", "{check}");
}

/// The identity endpoint, as long as it is asked for tokens of Key Vault: for others it says nothing.
async fn half_an_identity_endpoint() -> String {
    let whole = azure().identity_endpoint();
    let rest = whole.strip_prefix("http://").unwrap().to_owned();
    let (host, path) = rest.split_once('/').unwrap();
    let (host, path) = (host.to_owned(), path.to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = client.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]);
            if head.contains("vault.azure.net") {
                // Each token on a connection of its own, so that none of the others gets through.
                let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                let mut server = TcpStream::connect(&host).await.unwrap();
                server.write_all(head.as_bytes()).await.unwrap();
                tokio::io::copy(&mut server, &mut client).await.unwrap();
            } else {
                silent.push(client);
            }
        }
    });
    format!("http://{address}/{path}")
}

#[tokio::test]
async fn a_report_comes_within_ten_seconds_when_tokens_and_key_vault_hang() {
    let environment = [("IDENTITY_ENDPOINT", half_an_identity_endpoint().await)].into();
    let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
    let hang = Fault::new("key_vault.", Effect::HoldBefore).key_vault(&broker.key_vault);
    let _guard = azure().inject(hang);
    let subject = json!({
        "keyVaultUri": format!("https://{}.vault.azure.net/", broker.key_vault),
        "recoveryServicesVaultId": "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv-prod",
        "fqdn": FQDN,
    });
    let started = Instant::now();
    let report = broker.portal().post("/v1/preflight", subject).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let overall = &report.body["overall"];
    assert_eq!((report.status, overall), (200, &json!("unknown")), "{}", report.text);
}
