//! The App Service identity endpoint (2019-08-01): the broker's only source of tokens.
//!
//! A path that begins with `/machines/<name>` asks as that machine's system-assigned identity instead. A missing or wrong `X-IDENTITY-HEADER` gets 403 and not one byte of JSON, as in a real Container App.

use std::sync::Arc;

use hyper::{Method, Request, body::Incoming};
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    azure::{Azure, epoch_seconds, read},
    faults::{Point, around},
    http::{Answer, Reply},
    oidc::token::managed_identity,
    world::Machine,
};

pub(crate) const PATH: &str = "/msi/token";

/// `expires_on` is a string: the Rust SDK refuses a number.
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    expires_on: String,
    resource: String,
    token_type: &'static str,
    client_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorResponse {
    status_code: u16,
    message: &'static str,
    correlation_id: String,
}

pub(crate) async fn answer(azure: Arc<Azure>, request: Request<Incoming>) -> Reply {
    let fault = azure.faults.take(&Point { operation: "identity.token", ..Point::default() });
    around(fault, || issue(&azure, &request), |answer| answer).await
}

fn issue(azure: &Azure, request: &Request<Incoming>) -> Answer {
    let (machine, path) = named(azure, request.uri().path());
    if path != PATH {
        return Answer::empty(404).with("Server", "Kestrel");
    }
    if request.method() != Method::GET {
        return Answer::empty(405).with("Server", "Kestrel");
    }
    let header = request.headers().get("x-identity-header");
    if header.is_none_or(|header| header != azure.identity_header.as_str()) {
        return Answer::empty(403).with("Server", "Kestrel");
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let parameter = |name: &str| {
        form_urlencoded::parse(query)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if parameter("api-version").as_deref() != Some("2019-08-01") {
        return refusal(400, "The api-version is not supported.");
    }
    let identity = match &machine {
        Some(machine) => machine.system_assigned.as_ref(),
        None => Some(&azure.world.identity),
    };
    let Some(identity) = identity else {
        return refusal(400, "Unable to load the proper Managed Identity.");
    };
    let known = |name, id: &str| parameter(name).is_none_or(|asked| asked.eq_ignore_ascii_case(id));
    if !known("client_id", &identity.client_id)
        || !known("principal_id", &identity.principal_id)
        || !known("object_id", &identity.principal_id)
        || !known("mi_res_id", &identity.resource_id)
    {
        return refusal(
            400,
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        );
    }
    let Some(resource) = parameter("resource") else {
        return refusal(400, "Unable to load the proper Managed Identity.");
    };
    let tenant_id = azure.default_tenant_id();
    let spec = managed_identity(identity, tenant_id, &resource);
    let Ok(access_token) = azure.tenant(tenant_id).and_then(|tenant| spec.mint(&tenant)) else {
        return refusal(500, "An unexpected error occured while fetching the AAD Token.");
    };
    let body = TokenResponse {
        access_token,
        expires_on: (epoch_seconds() + identity.token_lifetime_seconds).to_string(),
        resource,
        token_type: "Bearer",
        client_id: identity.client_id.clone(),
    };
    Answer::json(200, &body)
}

/// The machine that a path names, of any kind, and the rest of the path.
fn named<'a>(azure: &Azure, path: &'a str) -> (Option<Machine>, &'a str) {
    let words = path.strip_prefix("/machines/").and_then(|tail| tail.split_once('/'));
    let machines = read(&azure.machines);
    let found = words.and_then(|(name, tail)| {
        let machine = machines.iter().find(|machine| machine.name.eq_ignore_ascii_case(name))?;
        Some((machine.clone(), &path[path.len() - tail.len() - 1..]))
    });
    found.map_or((None, path), |(machine, tail)| (Some(machine), tail))
}

fn refusal(status_code: u16, message: &'static str) -> Answer {
    let correlation_id = Uuid::new_v4().to_string();
    Answer::json(status_code, &ErrorResponse { status_code, message, correlation_id })
}
