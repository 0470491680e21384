//! What Azure Resource Manager refuses, and what is known then: which action is missing, what is not
//! there, whose token is no good, how long to wait.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use azsim::{Effect, Fault, TokenSpec};
use passphrase_broker::{
    azure::{CredentialError, Deadline, ResourceManagerError},
    domain::resource_id::KeyVaultId,
};

use crate::harness::{Azure, deadline, key_vault_id};

#[tokio::test]
async fn a_refusal_names_the_action_that_is_missing() {
    let azure = Azure::start();
    azure.forbid();
    for (number, (action, ended)) in azure.ask_everything(deadline()).await.into_iter().enumerate()
    {
        if number == 2 {
            // ARM leaves out of a list what one may not read.
            assert_eq!(ended.unwrap().status, Some(200));
            continue;
        }
        let error = ended.unwrap_err();
        let ResourceManagerError::Forbidden { told, facts } = &error else { panic!("{error}") };
        assert_eq!((error.action(), facts.status), (action, Some(403)));
        assert!(told.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(action)), "{told:?}");
        assert_eq!(facts.code.as_deref(), Some("AuthorizationFailed"));
        assert!(facts.request_id.is_some());
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let azure = Azure::start();
    for (from, to, code) in [
        ("kv-mars", "kv-none", "ResourceNotFound"),
        ("rg-mars", "rg-none", "ResourceGroupNotFound"),
        ("0b1f6471", "00000000", "SubscriptionNotFound"),
    ] {
        let id = KeyVaultId::parse(&key_vault_id().as_str().replace(from, to)).unwrap();
        let error = azure.resource_manager.key_vault("r-1", &id, deadline()).await.unwrap_err();
        assert!(matches!(error, ResourceManagerError::NotFound(_)), "{error}");
        assert_eq!(error.facts().code.as_deref(), Some(code));
    }
}

fn wrong_audience(azure: &Azure) -> Effect {
    let identity = azure.azsim.identity();
    let spec =
        TokenSpec::key_vault(azure.azsim.tenant_id(), &identity.principal_id, &identity.client_id);
    let token = azure.azsim.mint(&spec).unwrap();
    let body = serde_json::json!({"access_token": token, "token_type": "Bearer", "resource": "r",
        "expires_in": "3600", "expires_on": "4102444800", "not_before": "0", "client_id": "c"});
    Effect::refuse(200, body.to_string())
}

#[tokio::test]
async fn a_token_for_something_else_is_replaced_once() {
    let azure = Azure::start();
    let _once = azure.azsim.inject(Fault::new("imds.token", wrong_audience(&azure)).times(1));
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await;
    assert_eq!(told.unwrap().value.id, key_vault_id());
    let statuses: Vec<u16> =
        azure.azsim.management_requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [401, 200]);
}

#[tokio::test]
async fn tokens_that_are_always_for_something_else_are_a_matter_of_the_credential() {
    let azure = Azure::start();
    let _always = azure.azsim.inject(Fault::new("imds.token", wrong_audience(&azure)));
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await;
    let error = told.unwrap_err();
    let rejected = CredentialError::Rejected;
    assert!(
        matches!(&error, ResourceManagerError::Credential { source, .. } if *source == rejected)
    );
    assert_eq!(error.facts().status, Some(401));
    assert_eq!(error.facts().code.as_deref(), Some("InvalidAuthenticationTokenAudience"));
    assert_eq!(azure.azsim.management_requests().len(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let azure = Azure::start();
    let _mute = azure.azsim.inject(Fault::new("imds.token", Effect::HoldBefore));
    let (started, by) = (Instant::now(), Deadline::after(Duration::from_secs(1)));
    for (action, ended) in azure.ask_everything(by).await {
        let error = ended.unwrap_err();
        assert!(matches!(error, ResourceManagerError::Credential { .. }), "{error}");
        assert_eq!((error.action(), error.facts().status), (action, None));
    }
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    assert_eq!(azure.azsim.management_requests(), []);
}

#[tokio::test]
async fn a_short_wait_is_waited_and_a_long_one_is_told() {
    let azure = Azure::start();
    let throttle = |seconds: &str| Effect::Throttle { retry_after: Some(seconds.to_owned()) };
    let arm = &azure.resource_manager;
    let once = azure.azsim.inject(Fault::new("resource_manager.get", throttle("1")).times(1));
    let started = Instant::now();
    let told = arm.key_vault("r-1", &key_vault_id(), deadline()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1) && told.facts.duration.as_secs() >= 1);
    assert_eq!(once.hits(), 1);
    let long = azure.fault(throttle("17"));
    let error = arm.key_vault("r-1", &key_vault_id(), deadline()).await.unwrap_err();
    let ResourceManagerError::Throttled { retry_after, facts } = error else { panic!("{error}") };
    assert_eq!((retry_after, facts.status), (Some(Duration::from_secs(17)), Some(429)));
    assert_eq!(facts.code.as_deref(), Some("TooManyRequests"));
    assert_eq!(long.hits(), 1);
}

#[tokio::test]
async fn a_request_that_is_refused_is_not_repeated() {
    let azure = Azure::start();
    let body = r#"{"error":{"code":"InvalidApiVersionParameter","message":"m"}}"#;
    let refuse = azure.fault(Effect::refuse(400, body));
    let told = azure.resource_manager.key_vault("r-1", &key_vault_id(), deadline()).await;
    let error = told.unwrap_err();
    assert!(matches!(error, ResourceManagerError::Refused(_)), "{error}");
    assert_eq!(error.facts().code.as_deref(), Some("InvalidApiVersionParameter"));
    assert_eq!(refuse.hits(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let azure = Azure::start();
    let location = ("Location".to_owned(), "https://evil.vault.azure.net/".to_owned());
    let headers = BTreeMap::from([location]);
    let _away = azure.fault(Effect::Refuse { status: 307, body: String::new(), headers });
    for (_, ended) in azure.ask_everything(deadline()).await {
        let error = ended.unwrap_err();
        assert!(matches!(error, ResourceManagerError::InvalidAnswer(_)), "{error}");
    }
    let hosts: Vec<String> = azure.azsim.hosts_seen().into_keys().collect();
    assert_eq!(hosts, ["management.azure.com"]);
}
