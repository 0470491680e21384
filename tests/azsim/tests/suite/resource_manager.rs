//! ARM on the wire: its headers, its refusals, its bodies where real ones were seen.
//!
//! `Arm` is a principal of its own in each test, so roles do not run into each other.

use azsim::{Effect, Fault, RecoveryServicesVault, TokenSpec, VaultIdentity};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{azsim, http};

pub(crate) const SUBSCRIPTION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591";
pub(crate) const GROUP: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-mars";

/// A principal with ARM's token; `owner()` may do everything.
pub(crate) struct Arm {
    pub(crate) oid: String,
    http: reqwest::Client,
}

impl Arm {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { oid: uuid(), http: http()? })
    }

    pub(crate) fn owner() -> anyhow::Result<Self> {
        let arm = Self::new()?;
        azsim().make_owner(&arm.oid, "/");
        Ok(arm)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let token = TokenSpec::resource_manager(azsim().tenant_id(), &self.oid, "app");
        Ok(bare(&self.http, method, path)?.bearer_auth(azsim().mint(&token)?))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Value)> {
        read(self.ask("GET", path)?.send().await?).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        read(self.ask(method, path)?.json(&body).send().await?).await
    }
}

fn bare(
    http: &reqwest::Client,
    method: &str,
    path: &str,
) -> anyhow::Result<reqwest::RequestBuilder> {
    let url = format!("https://management.azure.com{path}");
    Ok(http.request(method.parse()?, url))
}

async fn read(answer: Response) -> anyhow::Result<(StatusCode, Value)> {
    let (status, bytes) = (answer.status(), answer.bytes().await?);
    Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}

/// Random, in the form of a GUID.
pub(crate) fn uuid() -> String {
    azsim::Machine::new("m", azsim::MachineKind::Arc)
        .system_assigned
        .map_or_else(String::new, |identity| identity.principal_id)
}

fn error(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

#[tokio::test]
async fn a_missing_token_is_told_with_the_authority() -> anyhow::Result<()> {
    let answer = bare(&http()?, "GET", &format!("{GROUP}?api-version=2021-04-01"))?.send().await?;
    assert_eq!(answer.status(), 401);
    let challenge = format!(
        "Bearer authorization_uri=\"https://login.windows.net/{}\", error=\"invalid_token\", error_description=\"The authentication failed because of missing 'Authorization' header.\"",
        azsim().tenant_id()
    );
    assert_eq!(answer.headers()["www-authenticate"], challenge.as_str());
    assert_eq!(answer.headers()["x-ms-failure-cause"], "gateway");
    let expected = "Authentication failed. The 'Authorization' header is missing.";
    assert_eq!(answer.json::<Value>().await?, error("AuthenticationFailed", expected));
    Ok(())
}

#[tokio::test]
async fn a_token_for_key_vault_is_refused_by_its_audience() -> anyhow::Result<()> {
    let token = azsim().mint(&TokenSpec::key_vault(azsim().tenant_id(), "o", "a"))?;
    let request = bare(&http()?, "GET", "/subscriptions?api-version=2022-12-01")?;
    let answer = request.bearer_auth(token).send().await?;
    assert_eq!(answer.status(), 401);
    let expected = "The access token has been obtained for wrong audience or resource 'https://vault.azure.net'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'.";
    let body: Value = answer.json().await?;
    assert_eq!(body, error("InvalidAuthenticationTokenAudience", expected));
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_the_headers_of_arm() -> anyhow::Result<()> {
    let answer = Arm::owner()?.ask("GET", "/subscriptions?api-version=2022-12-01")?.send().await?;
    let header = |name: &str| answer.headers()[name].to_str().unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/json; charset=utf-8");
    assert_eq!(header("strict-transport-security"), "max-age=31536000; includeSubDomains");
    assert_eq!((header("cache-control"), header("pragma")), ("no-cache".into(), "no-cache".into()));
    assert_eq!(
        (header("expires"), header("x-content-type-options")),
        ("-1".into(), "nosniff".into())
    );
    assert_eq!(header("x-ms-ratelimit-remaining-subscription-reads"), "11999");
    assert_eq!(header("x-ms-correlation-request-id"), header("x-ms-request-id"));
    assert!(header("x-ms-routing-request-id").starts_with("WESTEUROPE:20"));
    Ok(())
}

#[tokio::test]
async fn the_api_version_is_required_and_looked_at() -> anyhow::Result<()> {
    let arm = Arm::owner()?;
    let (status, body) = arm.get(GROUP).await?;
    let expected = "The api-version query parameter (?api-version=) is required for all requests.";
    assert_eq!(
        (status, body),
        (StatusCode::BAD_REQUEST, error("MissingApiVersionParameter", expected))
    );
    let (status, body) = arm.get(&format!("{GROUP}?api-version=1999-01-01")).await?;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["code"], "InvalidApiVersionParameter");
    let kv = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars?api-version=1999-01-01");
    assert_eq!(arm.get(&kv).await?.1["error"]["code"], "NoRegisteredProviderFound");
    Ok(())
}

#[tokio::test]
async fn arm_throttles_in_its_own_words() -> anyhow::Result<()> {
    // Narrowed down to a Key Vault that nobody else asks for.
    let fault =
        Fault::new("resource_manager.get", Effect::Throttle { retry_after: Some("7".into()) });
    let guard = azsim().inject(fault.key_vault("kv-throttled"));
    let path =
        format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-throttled?api-version=2026-02-01");
    let answer = Arm::owner()?.ask("GET", &path)?.send().await?;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse()?));
    assert_eq!(answer.headers()["x-ms-failure-cause"], "gateway");
    assert_eq!(answer.json::<Value>().await?["error"]["code"], "TooManyRequests");
    assert_eq!(guard.hits(), 1);
    Ok(())
}

#[tokio::test]
async fn without_a_right_a_missing_vault_is_403_as_well() -> anyhow::Result<()> {
    let arm = Arm::new()?;
    for name in ["kv-mars", "kv-missing"] {
        let path = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{name}");
        let (status, body) = arm.get(&format!("{path}?api-version=2026-02-01")).await?;
        let expected = format!(
            "The client 'app' with object id '{}' does not have authorization to perform action 'Microsoft.KeyVault/vaults/read' over scope '{path}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            arm.oid
        );
        assert_eq!(
            (status, body),
            (StatusCode::FORBIDDEN, error("AuthorizationFailed", &expected))
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_named() -> anyhow::Result<()> {
    let arm = Arm::owner()?;
    let expected = [
        (
            "/subscriptions/11111111-2222-3333-4444-555555555555?api-version=2022-12-01".to_owned(),
            error(
                "SubscriptionNotFound",
                "The subscription '11111111-2222-3333-4444-555555555555' could not be found.",
            ),
        ),
        (
            format!("{SUBSCRIPTION}/resourceGroups/RG?api-version=2021-04-01"),
            error("ResourceGroupNotFound", "Resource group 'RG' could not be found."),
        ),
        (
            format!("{GROUP}/providers/Microsoft.KeyVault/vaults/NAME?api-version=2026-02-01"),
            error(
                "ResourceNotFound",
                "The Resource 'Microsoft.KeyVault/vaults/NAME' under resource group 'rg-mars' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            ),
        ),
    ];
    for (path, body) in expected {
        assert_eq!(arm.get(&path).await?, (StatusCode::NOT_FOUND, body), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_list_of_subscriptions_is_what_az_login_reads() -> anyhow::Result<()> {
    let (status, body) = Arm::owner()?.get("/subscriptions?api-version=2022-12-01").await?;
    assert_eq!(status, 200);
    let expected = json!({
        "id": SUBSCRIPTION, "authorizationSource": "RoleBased", "managedByTenants": [],
        "subscriptionId": SUBSCRIPTION.trim_start_matches("/subscriptions/"), "tenantId": azsim().tenant_id(),
        "displayName": "Mars", "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
        },
    });
    assert_eq!(body["value"][0], expected);
    assert_eq!(body["count"], json!({"type": "Total", "value": 1}));
    let (_, none) = Arm::new()?.get("/subscriptions?api-version=2022-12-01").await?;
    assert_eq!(none["value"], json!([]));
    Ok(())
}

#[tokio::test]
async fn resources_are_found_by_type_and_name() -> anyhow::Result<()> {
    let filter = "$filter=resourceType%20eq%20%27microsoft.keyvault%2Fvaults%27%20and%20name%20eq%20%27KV-mars%27";
    let path = format!("{SUBSCRIPTION}/resources?{filter}&api-version=2015-11-01");
    let (_, body) = Arm::owner()?.get(&path).await?;
    let id = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/kv-mars");
    let expected = json!({"value": [{
        "id": id, "name": "kv-mars", "type": "Microsoft.KeyVault/vaults", "location": "westeurope", "tags": {},
    }]});
    assert_eq!(body, expected);
    Ok(())
}

fn rsv(identity: Option<VaultIdentity>) -> (String, String) {
    let spec = RecoveryServicesVault {
        identity,
        containers: vec!["srv01".into()],
        ..RecoveryServicesVault::default()
    };
    (azsim().add_recovery_services_vault(spec.clone()), spec.name)
}

#[tokio::test]
async fn a_vault_that_never_had_an_identity_shows_none() -> anyhow::Result<()> {
    let (id, name) = rsv(None);
    // Asked in another case, answered in the canonical one.
    let path = format!("{}?api-version=2026-07-01", id.to_lowercase());
    let text = Arm::owner()?.ask("GET", &path)?.send().await?.text().await?;
    let etag = text.split("\"etag\":").nth(1).and_then(|tail| tail.split(",\"properties\"").next());
    let expected = format!(
        r#"{{"location":"westeurope","name":"{name}","etag":{},"properties":{{"provisioningState":"Succeeded","privateEndpointStateForBackup":"None","privateEndpointStateForSiteRecovery":"None"}},"id":"{id}","type":"Microsoft.RecoveryServices/vaults","sku":{{"name":"Standard"}}}}"#,
        etag.unwrap_or_default()
    );
    assert_eq!(text, expected);
    Ok(())
}

#[tokio::test]
async fn changing_an_identity_is_an_operation_to_poll() -> anyhow::Result<()> {
    let (group, name) = ("rg-(s\u{fc}d)".to_owned(), "rsv-south".to_owned());
    let south = RecoveryServicesVault { resource_group: group, name, ..Default::default() };
    let south = azsim().add_recovery_services_vault(south).replace('\u{fc}', "%C3%BC");
    changing_an_identity(&Arm::owner()?, &south).await?;
    changing_an_identity(&Arm::owner()?, &rsv(None).0).await
}

async fn changing_an_identity(arm: &Arm, id: &str) -> anyhow::Result<()> {
    let path = format!("{id}?api-version=2024-04-01");
    let body = json!({"identity": {"type": "systemassigned"}});
    let answer = arm.ask("PATCH", &path)?.json(&body).send().await?;
    assert_eq!(answer.status(), 202);
    let url = |name: &str| answer.headers()[name].to_str().unwrap_or_default().to_owned();
    let (polled, location) = (url("azure-asyncoperation"), url("location"));
    assert!(polled.starts_with(&format!("https://management.azure.com{id}/operationStatus/")));
    assert!(location.starts_with(&format!("https://management.azure.com{id}/operationResults/")));
    let (_, status) = arm.get(polled.trim_start_matches("https://management.azure.com")).await?;
    assert_eq!(status["status"], "Succeeded");
    let (_, vault) = arm.get(&path).await?;
    assert_eq!(vault["identity"]["type"], "SystemAssigned");
    assert_eq!(vault["identity"]["tenantId"], azsim().tenant_id());
    assert!(vault["identity"]["principalId"].is_string());
    arm.send("PATCH", &path, json!({"identity": {"type": "None"}})).await?;
    assert_eq!(arm.get(&path).await?.1["identity"], json!({"type": "None"}));
    Ok(())
}

#[tokio::test]
async fn machines_of_a_vault_are_its_mab_containers() -> anyhow::Result<()> {
    let (arm, (id, _)) = (Arm::owner()?, rsv(None));
    let containers = format!("{id}/backupProtectionContainers?api-version=2025-02-01&$filter=");
    let (_, body) = arm.get(&format!("{containers}backupManagementType eq 'MAB'")).await?;
    assert_eq!(body["value"][0]["properties"]["friendlyName"], "srv01");
    let (_, others) =
        arm.get(&format!("{containers}backupManagementType eq 'AzureIaasVM'")).await?;
    assert_eq!(others, json!({"value": []}));
    let (_, config) =
        arm.get(&format!("{id}/backupconfig/vaultconfig?api-version=2025-02-01")).await?;
    assert_eq!(config["properties"]["enhancedSecurityState"], "Enabled");
    Ok(())
}
