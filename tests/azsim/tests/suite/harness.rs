//! One azsim for the whole suite, a Key Vault for each test, and HTTP clients that reach it as real clients would.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use azsim::{Azsim, KeyVaultSpec, TokenSpec, World};
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    http::{ClientOptions, RetryOptions, Transport},
    time::OffsetDateTime,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use reqwest::{Certificate, Proxy};
use serde_json::Value;

pub(crate) fn azsim() -> &'static Azsim {
    static AZSIM: OnceLock<Azsim> = OnceLock::new();
    #[expect(clippy::expect_used, reason = "no test can go on without it")]
    AZSIM.get_or_init(|| Azsim::start(World::default()).expect("azsim"))
}

/// Trusts azsim's authority, goes through its proxy, verifies everything.
pub(crate) fn builder() -> anyhow::Result<reqwest::ClientBuilder> {
    let ca = Certificate::from_pem(azsim().ca_pem().as_bytes())?;
    let proxy = Proxy::https(azsim().proxy_url())?;
    Ok(reqwest::Client::builder().tls_certs_only([ca]).proxy(proxy))
}

pub(crate) fn http() -> anyhow::Result<reqwest::Client> {
    Ok(builder()?.build()?)
}

/// A Key Vault of the test's own.
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) uri: String,
    http: reqwest::Client,
}

impl Room {
    /// Access for the broker's identity only, no purge protection.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut KeyVaultSpec)) -> anyhow::Result<Self> {
        let mut spec = KeyVaultSpec::default();
        spec.settings.purge_protection = false;
        change(&mut spec);
        let name = spec.name.clone();
        let uri = azsim().add_key_vault(spec)?;
        Ok(Self { name, uri, http: http()? })
    }

    /// Every data action for the broker's identity.
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::open_with(|_| {})
    }

    pub(crate) fn open_with(change: impl FnOnce(&mut KeyVaultSpec)) -> anyhow::Result<Self> {
        Self::with(|spec| {
            spec.grants = vec![azsim::Grant {
                data_actions: vec!["Microsoft.KeyVault/vaults/secrets/*".to_owned()],
                ..azsim::Grant::default()
            }];
            change(spec);
        })
    }

    pub(crate) fn host(&self) -> String {
        format!("{}.vault.azure.net", self.name)
    }

    /// The official client, challenge verification on, no retries.
    pub(crate) fn client(&self) -> anyhow::Result<SecretClient> {
        let transport = Transport::new(Arc::new(self.http.clone()));
        let client_options = ClientOptions {
            transport: Some(transport),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        };
        let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
        Ok(SecretClient::new(&self.uri, Arc::new(IdentityEndpoint), Some(options))?)
    }

    /// A raw request with the broker's token; `path` begins without a slash and has no query.
    pub(crate) fn raw(&self, method: &str, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        self.raw_at("2025-07-01", method, path)
    }

    pub(crate) fn raw_at(
        &self,
        api_version: &str,
        method: &str,
        path: &str,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        let url = format!("{}{path}?api-version={api_version}", self.uri);
        Ok(self.http.request(method.parse()?, url).bearer_auth(broker_token()?))
    }

    /// A raw request as it is written, without a token.
    pub(crate) fn bare(&self, method: &str, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        Ok(self.http.request(method.parse()?, format!("{}{path}", self.uri)))
    }
}

pub(crate) fn broker_token() -> anyhow::Result<String> {
    let identity = azsim().identity();
    azsim().mint(&TokenSpec::key_vault(
        azsim().tenant_id(),
        &identity.principal_id,
        &identity.client_id,
    ))
}

/// Asks the identity endpoint as `ManagedIdentityCredential` does, which takes its address from the environment only.
#[derive(Debug)]
struct IdentityEndpoint;

impl IdentityEndpoint {
    async fn token(scopes: &[&str]) -> anyhow::Result<AccessToken> {
        let resource = scopes.first().context("scope")?.trim_end_matches("/.default");
        let answer: Value = reqwest::Client::new()
            .get(azsim().identity_endpoint())
            .query(&[("api-version", "2019-08-01"), ("resource", resource)])
            .header("X-IDENTITY-HEADER", azsim().identity_header())
            .send()
            .await?
            .json()
            .await?;
        let expires: i64 = answer["expires_on"].as_str().context("expires_on")?.parse()?;
        let token = answer["access_token"].as_str().context("access_token")?.to_owned();
        Ok(AccessToken::new(token, OffsetDateTime::from_unix_timestamp(expires)?))
    }
}

impl TokenCredential for IdentityEndpoint {
    fn get_token<'a, 'b, 'c, 'd, 'e>(
        &'a self,
        scopes: &'b [&'c str],
        _: Option<TokenRequestOptions<'d>>,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<AccessToken>> + Send + 'e>>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
    {
        Box::pin(async move {
            Self::token(scopes).await.map_err(|error| {
                azure_core::Error::with_message(
                    azure_core::error::ErrorKind::Credential,
                    error.to_string(),
                )
            })
        })
    }
}

/// A client of ARM in a world of its own.
pub(crate) struct Own {
    pub(crate) azsim: Azsim,
    pub(crate) http: reqwest::Client,
}

impl Own {
    pub(crate) fn start(world: World) -> anyhow::Result<Self> {
        let azsim = Azsim::start(world)?;
        let ca = reqwest::Certificate::from_pem(azsim.ca_pem().as_bytes())?;
        let proxy = reqwest::Proxy::https(azsim.proxy_url())?;
        Ok(Self {
            http: reqwest::Client::builder().tls_certs_only([ca]).proxy(proxy).build()?,
            azsim,
        })
    }

    pub(crate) async fn get(&self, oid: &str, path: &str) -> anyhow::Result<(u16, Value)> {
        let token = TokenSpec::resource_manager(self.azsim.tenant_id(), oid, "a");
        let request = self.http.get(format!("https://management.azure.com{path}"));
        let answer = request.bearer_auth(self.azsim.mint(&token)?).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub(crate) async fn control(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let url = format!("{}/{path}", self.azsim.control_url());
        let request = reqwest::Client::new().request(method.parse()?, url).json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}
