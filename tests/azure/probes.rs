//! What Key Vault lets be found out without writing and without reading a passphrase: our rights, soft
//! delete, the address that it sees, and whether it is there.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use azsim::{Access, AccessPolicy, Effect, Fault, Network, SecretSpec};
use passphrase_broker::{
    azure::{Deadline, Evidence, KeyVaultError, KeyVaultFacts, Told},
    domain::secret_name::SecretName,
};

use crate::harness::{Azure, deadline, key_vault_uri};

/// What azsim says it sees.
const SEEN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fn evidence(facts: &KeyVaultFacts) -> &Evidence {
    facts.evidence.as_deref().unwrap()
}

fn name() -> SecretName {
    SecretName::parse("AzBackup-web01-rsv").unwrap()
}

fn put(azure: &Azure, enabled: bool, deleted: bool) {
    let spec = SecretSpec { enabled, deleted, ..SecretSpec::new("AzBackup-web01-rsv", "a-value") };
    azure.azsim.put_secret("kv-mars", spec).unwrap();
}

#[tokio::test]
async fn health_is_asked_without_a_token() {
    let azure = Azure::start();
    let _no_tokens = azure.azsim.inject(Fault::new("imds.token", Effect::HoldBefore));
    let facts = azure.key_vault.health("r-1", &key_vault_uri(), deadline()).await.unwrap();
    assert_eq!((facts.status, facts.action), (Some(200), None));
    let seen = evidence(&facts);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/healthstatus"));
    assert_eq!((seen.client_address, seen.connected), (Some(SEEN), Some(true)));
}

#[tokio::test]
async fn the_host_of_a_deleted_key_vault_does_not_connect() {
    let azure = Azure::start();
    azure.azsim.change_settings("kv-mars", |settings| settings.soft_deleted = true).unwrap();
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    for outcome in [
        kv.health("r-1", &uri, deadline()).await,
        kv.probe("r-1", &uri, deadline()).await.map(|told| told.facts),
        kv.deleted_secret("r-1", &uri, &name(), deadline()).await.map(|told| told.facts),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, KeyVaultError::Unavailable(_)), "{error}");
        assert_eq!(evidence(error.facts()).connected, Some(false));
        assert_eq!(error.facts().status, None);
    }
}

#[tokio::test]
async fn whoever_may_list_and_read_is_told_so() {
    let azure = Azure::start();
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    let facts = kv.probe("r-1", &uri, deadline()).await.unwrap().facts;
    let asked = evidence(&facts);
    assert_eq!(facts.status, Some(200));
    assert!(asked.answered_at.is_some());
    assert_eq!(asked.path, "/secrets?api-version=2025-07-01&maxresults=1");
    assert!(!asked.duration.is_zero());
    let Told { value, facts } = kv.may_get("r-1", &uri, deadline()).await.unwrap();
    assert_eq!((value, facts.status), (true, Some(404)));
    assert_eq!(facts.code.as_deref(), Some("SecretNotFound"));
    assert!(evidence(&facts).path.starts_with("/secrets/preflight-"));
    let seen = azure.azsim.requests("kv-mars").unwrap();
    let operations: Vec<&str> = seen.iter().map(|request| request.operation.as_str()).collect();
    assert_eq!(operations, ["key_vault.list_secrets", "key_vault.get_secret"]);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let azure = Azure::start();
    azure.azsim.revoke_all("kv-mars").unwrap();
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    let error = kv.probe("r-1", &uri, deadline()).await.unwrap_err();
    let KeyVaultError::PermissionMissing(listing) = error else { panic!("{error}") };
    let reading = kv.may_get("r-1", &uri, deadline()).await.unwrap();
    assert!(!reading.value);
    for (facts, action) in [(listing, "readMetadata/action"), (reading.facts, "getSecret/action")] {
        assert_eq!(facts.inner_code.as_deref(), Some("ForbiddenByRbac"));
        assert!(facts.action.unwrap().ends_with(action), "{:?}", facts.action);
        assert!(facts.request_id.is_some());
    }
}

#[tokio::test]
async fn access_policies_let_one_thing_be_done_and_not_another() {
    let azure = Azure::start();
    let object_id = azure.azsim.identity().principal_id.clone();
    let secrets = vec!["get".to_owned()];
    let policy = AccessPolicy { object_id, secrets, ..AccessPolicy::default() };
    let policies = Access::Policies(vec![policy]);
    azure.azsim.change_settings("kv-mars", |settings| settings.access = policies).unwrap();
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    assert!(kv.may_get("r-1", &uri, deadline()).await.unwrap().value);
    let error = kv.probe("r-1", &uri, deadline()).await.unwrap_err();
    assert_eq!(error.facts().inner_code.as_deref(), Some("AccessDenied"));
}

#[tokio::test]
async fn a_firewall_that_refuses_tells_the_address_that_it_saw() {
    let azure = Azure::start();
    azure
        .azsim
        .change_settings("kv-mars", |settings| settings.network = Network::FirewallDenies)
        .unwrap();
    let error = azure.key_vault.may_get("r-1", &key_vault_uri(), deadline()).await.unwrap_err();
    let KeyVaultError::Firewall(facts) = error else { panic!("{error}") };
    assert_eq!(facts.inner_code.as_deref(), Some("ForbiddenByFirewall"));
    assert_eq!(evidence(&facts).client_address, Some(SEEN));
}

#[tokio::test]
async fn a_deleted_secret_is_told_with_its_recovery_level() {
    let azure = Azure::start();
    put(&azure, true, true);
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    let told = kv.deleted_secret("r-1", &uri, &name(), deadline()).await.unwrap();
    let deleted = told.value.unwrap();
    assert!(deleted.enabled && deleted.recovery_level.as_deref() == Some("Recoverable"));
    assert_eq!((deleted.purged_at.unwrap() - deleted.deleted_at.unwrap()).whole_days(), 90);
    assert_eq!(told.facts.status, Some(200));
    let path = "/deletedsecrets/AzBackup-web01-rsv?api-version=2025-07-01";
    assert_eq!(evidence(&told.facts).path, path);
}

#[tokio::test]
async fn a_disabled_secret_that_was_deleted_is_deleted() {
    let azure = Azure::start();
    put(&azure, false, true);
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    let told = kv.deleted_secret("r-1", &uri, &name(), deadline()).await.unwrap();
    assert!(!told.value.unwrap().enabled);
    assert_eq!(told.facts.status, Some(403));
    assert_eq!(told.facts.inner_code.as_deref(), Some("SecretDisabled"));
}

#[tokio::test]
async fn a_secret_that_was_not_deleted_is_not_among_the_deleted() {
    let azure = Azure::start();
    put(&azure, true, false);
    let (kv, uri) = (&azure.key_vault, key_vault_uri());
    let told = kv.deleted_secret("r-1", &uri, &name(), deadline()).await.unwrap();
    assert_eq!((told.value, told.facts.status), (None, Some(404)));
    let told = kv.told_versions("r-1", &uri, &name(), deadline()).await.unwrap();
    let [version] = told.value.as_slice() else { panic!("{:?}", told.value) };
    assert_eq!(version.recovery_level.as_deref(), Some("Recoverable"));
    assert_eq!(told.facts.status, Some(200));
    assert!(evidence(&told.facts).path.starts_with("/secrets/AzBackup-web01-rsv/versions?"));
}

#[tokio::test]
async fn an_answer_about_another_secret_says_nothing() {
    let azure = Azure::start();
    let other = r#"{"id":"https://kv-mars.vault.azure.net/secrets/other/0d33f3ea76c04441b77aa9113da02333",
        "attributes":{"enabled":true},"deletedDate":1}"#;
    for body in [other, "{}", "", "null", &other.replace("other", "AzBackup-web01-rsv/x")] {
        let effect = Effect::refuse(200, body);
        let _fault = azure.azsim.inject(Fault::new("key_vault.get_deleted_secret", effect));
        let (kv, uri) = (&azure.key_vault, key_vault_uri());
        let error = kv.deleted_secret("r-1", &uri, &name(), deadline()).await.unwrap_err();
        assert!(matches!(error, KeyVaultError::InvalidAnswer(_)), "{body}");
    }
}

#[tokio::test]
async fn what_hangs_ends_at_the_deadline_and_is_no_sign_of_a_deleted_key_vault() {
    let azure = Azure::awake().await;
    let _hold = azure.azsim.inject(Fault::new("key_vault.", Effect::HoldBefore));
    let (kv, uri, started) = (&azure.key_vault, key_vault_uri(), Instant::now());
    let by = || Deadline::after(Duration::from_secs(1));
    let name = name();
    let (one, two, three) = tokio::join!(
        kv.probe("r-1", &uri, by()),
        kv.may_get("r-1", &uri, by()),
        kv.deleted_secret("r-1", &uri, &name, by()),
    );
    for error in [one.unwrap_err(), two.unwrap_err(), three.unwrap_err()] {
        assert!(matches!(error, KeyVaultError::Unavailable(_)), "{error}");
        assert_eq!(evidence(error.facts()).connected, None);
    }
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
}
