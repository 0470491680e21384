//! Tokens of machines: IMDS and Azure Arc, byte for byte where they were seen.
//!
//! Each test adds a machine of its own and asks under `/machines/<name>`.

use anyhow::Context;
use azsim::{Machine, MachineKind};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{harness::azsim, resource_manager::uuid};

const RESOURCE: (&str, &str) = ("resource", "https://vault.azure.net");

/// A machine of the test's own, and its token endpoint.
fn machine(kind: MachineKind) -> (Machine, String) {
    let machine = Machine {
        user_assigned: vec![azsim::Identity {
            principal_id: uuid(),
            client_id: uuid(),
            resource_id: format!(
                "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
                uuid()
            ),
            ..azsim::Identity::default()
        }],
        ..Machine::new(uuid(), kind)
    };
    azsim().add_machine(machine.clone());
    let base = match kind {
        MachineKind::VirtualMachine => azsim().imds_url(),
        MachineKind::Arc => azsim().arc_endpoint().replace("/metadata/identity/oauth2/token", ""),
    };
    let endpoint = format!("{base}/machines/{}/metadata/identity/oauth2/token", machine.name);
    (machine, endpoint)
}

fn ask(endpoint: &str, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
    reqwest::Client::new().get(endpoint).query(query).header("Metadata", "true")
}

#[tokio::test]
async fn imds_answers_nothing_but_strings() -> anyhow::Result<()> {
    let (machine, endpoint) = machine(MachineKind::VirtualMachine);
    let version = ("api-version", "2018-02-01");
    let answer: Value = ask(&endpoint, &[version, RESOURCE]).send().await?.json().await?;
    let members: Vec<_> = answer.as_object().context("object")?.iter().collect();
    assert_eq!(members.len(), 9);
    assert!(members.iter().all(|(_, value)| value.is_string()), "{answer}");
    assert_eq!(answer["client_id"], machine.system_assigned.context("identity")?.client_id);
    let user = machine.user_assigned.first().context("identity")?;
    for named in [
        ("client_id", &user.client_id),
        ("object_id", &user.principal_id),
        ("msi_res_id", &user.resource_id),
    ] {
        let answer: Value =
            ask(&endpoint, &[version, RESOURCE, (named.0, named.1)]).send().await?.json().await?;
        assert_eq!(answer["client_id"], user.client_id, "{}", named.0);
    }
    Ok(())
}

#[tokio::test]
async fn imds_wants_its_header_and_knows_its_identities() -> anyhow::Result<()> {
    let (_, endpoint) = machine(MachineKind::VirtualMachine);
    let version = ("api-version", "2018-02-01");
    let bare = reqwest::Client::new().get(&endpoint).query(&[version, RESOURCE]).send().await?;
    assert_eq!(bare.status(), 400);
    let expected = json!({"error": "invalid_request", "error_description": "Required metadata header not specified"});
    assert_eq!(bare.json::<Value>().await?, expected);
    let unknown = ask(&endpoint, &[version, RESOURCE, ("client_id", "x")]).send().await?;
    assert_eq!(unknown.status(), 400);
    let expected = json!({"error": "invalid_request", "error_description": "Identity not found"});
    assert_eq!(unknown.json::<Value>().await?, expected);
    let forwarded = ask(&endpoint, &[version, RESOURCE]).header("X-Forwarded-For", "10.0.0.1");
    assert_eq!(forwarded.send().await?.status(), 400);
    Ok(())
}

/// The key that a challenge leaves behind.
async fn key(endpoint: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
    let challenge = ask(endpoint, query).send().await?;
    assert_eq!(challenge.status(), 401);
    let realm = challenge.headers()["www-authenticate"].to_str()?.to_owned();
    let file = realm.strip_prefix("Basic realm=").context("realm")?;
    assert!(std::path::Path::new(file).starts_with(azsim().arc_key_directory()));
    Ok(std::fs::read_to_string(file)?)
}

#[tokio::test]
async fn arc_wants_the_contents_of_a_file_and_takes_them_once() -> anyhow::Result<()> {
    let (machine, endpoint) = machine(MachineKind::Arc);
    let query = [("api-version", "2020-06-01"), RESOURCE];
    let basic = format!("Basic {}", key(&endpoint, &query).await?);
    let with_key = || ask(&endpoint, &query).header("Authorization", &basic).send();
    let answer: Value = with_key().await?.json().await?;
    assert_eq!(answer["client_id"], machine.system_assigned.context("identity")?.client_id);
    assert_eq!(answer.get("msi_res_id"), None);
    assert_eq!(with_key().await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn an_application_that_wants_version_2_tokens_gets_them_with_the_roles() -> anyhow::Result<()>
{
    let audience = uuid();
    let (mut machine, endpoint) = machine(MachineKind::Arc);
    let identity = machine.system_assigned.as_mut().context("identity")?;
    identity.app_roles.insert(audience.clone(), vec!["Agent".to_owned()]);
    let (oid, client_id) = (identity.principal_id.clone(), identity.client_id.clone());
    azsim().add_machine(machine);
    for resource in [audience.clone(), format!("api://{audience}")] {
        let query = [("api-version", "2020-06-01"), ("resource", resource.as_str())];
        let basic = format!("Basic {}", key(&endpoint, &query).await?);
        let answer: Value =
            ask(&endpoint, &query).header("Authorization", basic).send().await?.json().await?;
        let token = answer["access_token"].as_str().context("token")?;
        let payload = token.split('.').nth(1).context("payload")?;
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload)?)?;
        let said =
            [&claims["ver"], &claims["aud"], &claims["oid"], &claims["azp"], &claims["roles"]];
        let roles = json!(["Agent"]);
        assert_eq!(said, [&json!("2.0"), &json!(audience), &json!(oid), &json!(client_id), &roles]);
    }
    Ok(())
}

#[tokio::test]
async fn arc_names_a_user_assigned_identity_by_one_parameter_only() -> anyhow::Result<()> {
    let (machine, endpoint) = machine(MachineKind::Arc);
    let user = machine.user_assigned.first().context("identity")?;
    let system = machine.system_assigned.as_ref().context("identity")?;
    for (name, expected) in [("msi_res_id", user), ("mi_res_id", system)] {
        let query = [("api-version", "2021-02-01"), RESOURCE, (name, user.resource_id.as_str())];
        let basic = format!("Basic {}", key(&endpoint, &query).await?);
        let answer = ask(&endpoint, &query).header("Authorization", basic).send().await?;
        assert_eq!(answer.json::<Value>().await?["client_id"], expected.client_id, "{name}");
    }
    Ok(())
}
