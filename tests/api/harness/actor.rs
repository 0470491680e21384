//! Somebody who calls the broker, in the words of the domain.

use azsim::TokenSpec;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::broker::{AUDIENCE, Broker, RSV, azure};

/// A machine name that no other test has.
pub fn unique_fqdn() -> String {
    format!("srv-{}.corp.contoso.com", &Uuid::new_v4().simple().to_string()[..12])
}

pub struct Actor {
    pub object_id: String,
    url: String,
    token: Option<String>,
    client: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// Null when it is not JSON.
    pub body: Value,
}

impl Actor {
    pub(super) fn new(url: &str, token: Option<String>, object_id: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { object_id, url: url.to_owned(), token, client }
    }

    pub(super) fn user(broker: &Broker, roles: &[&str]) -> Self {
        let object_id = Uuid::new_v4().to_string();
        let spec = TokenSpec::user(AUDIENCE, &object_id).in_tenant(&broker.tenant).roles(roles);
        Self::new(&broker.url, Some(azure().mint(&spec).unwrap()), object_id)
    }

    pub(super) fn application(broker: &Broker, roles: &[&str]) -> Self {
        let object_id = Uuid::new_v4().to_string();
        let spec =
            TokenSpec::application(AUDIENCE, &object_id).in_tenant(&broker.tenant).roles(roles);
        Self::new(&broker.url, Some(azure().mint(&spec).unwrap()), object_id)
    }

    /// Its bearer token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// The same somebody with another token.
    pub fn bearing(&self, token: String) -> Self {
        Self::new(&self.url, Some(token), self.object_id.clone())
    }

    /// The same somebody, calling another replica.
    pub fn at(&self, broker: &Broker) -> Self {
        self.at_url(&broker.url)
    }

    pub fn at_url(&self, url: &str) -> Self {
        let (object_id, token) = (self.object_id.clone(), self.token.clone());
        Self { object_id, url: url.to_owned(), token, client: self.client.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// A POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    pub async fn patch(&self, path: &str, etag: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).header("if-match", etag).json(&body)).await
    }

    /// A registration's body, for a machine of its own name.
    pub fn registration(source: &Value) -> Value {
        json!({"fqdn": unique_fqdn(), "recoveryServicesVaultId": RSV, "passphrase": source})
    }

    /// Registers a machine with a generated passphrase.
    pub async fn register(&self) -> Answer {
        let answer =
            self.post("/v1/machines", Self::registration(&json!({"source": "generated"}))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer
    }

    /// Registers a machine for this agent.
    pub async fn register_for(&self, agent: &Self) -> Answer {
        let mut body = Self::registration(&json!({"source": "generated"}));
        body["agentObjectId"] = json!(agent.object_id);
        let answer = self.post("/v1/machines", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer
    }

    pub async fn retrieve(&self, machine: &str) -> Answer {
        self.retrieve_version(machine, "latest").await
    }

    pub async fn retrieve_version(&self, machine: &str, version: &str) -> Answer {
        let body = json!({"reason": "restoreDrill", "justification": "the yearly restore drill", "version": version});
        self.post(&format!("/v1/machines/{machine}/retrievals"), body).await
    }

    /// Requests a rotation with a generated passphrase.
    pub async fn rotate(&self, machine: &str) -> Answer {
        let body = json!({"passphrase": {"source": "generated"}});
        self.post(&format!("/v1/machines/{machine}/rotations"), body).await
    }

    /// `collect`, `confirm`, `fail` or `abandon`.
    pub async fn settle(&self, machine: &str, rotation: &str, how: &str) -> Answer {
        self.act(&format!("/v1/machines/{machine}/rotations/{rotation}/{how}")).await
    }

    /// The audit events that fit a query, newest first.
    pub async fn events(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/audit/events?pageSize=200&{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["items"].as_array().unwrap().clone()
    }
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::if_any(request).await.unwrap()
    }

    /// None when no whole answer came: the other side died.
    pub async fn if_any(request: RequestBuilder) -> Option<Self> {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Self { status, headers, text, body })
    }

    /// A text member of the body.
    pub fn field(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no text {name} in {}", self.text))
    }

    pub fn id(&self) -> &str {
        self.field("id")
    }

    /// Status and problem code, for one assertion.
    pub fn problem(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or("no problem"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
