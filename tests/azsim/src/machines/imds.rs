//! The Azure Instance Metadata Service: `Metadata: true`, and every value a string.
//!
//! Which listener and which machine is asked was settled in `machines.rs`.

use hyper::Method;
use serde::Serialize;
use serde_json::json;

use super::{Ask, INSTANCE, PATH, not_found};
use crate::http::Answer;

const SERVER: &str = "IMDS/150.870.65.1015";

#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    refresh_token: &'static str,
    client_id: String,
    expires_in: String,
    expires_on: String,
    ext_expires_in: String,
    not_before: String,
    resource: String,
    token_type: &'static str,
}

#[derive(Serialize)]
struct ErrorResponse {
    error: &'static str,
    error_description: &'static str,
}

pub(super) fn answer(ask: &Ask<'_>, path: &str) -> Answer {
    let answer = match path {
        PATH => token(ask),
        INSTANCE => instance(ask),
        _ => not_found(),
    };
    answer.with("Server", SERVER)
}

/// None: let it in.
fn refusal(ask: &Ask<'_>) -> Option<Answer> {
    if *ask.request.method() != Method::GET {
        return Some(Answer::empty(405));
    }
    if ask.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
        return Some(refused("Required metadata header not specified"));
    }
    if ask.header("x-forwarded-for").is_some() {
        return Some(refused("Request contains an X-Forwarded-For header"));
    }
    ask.parameter("api-version")
        .is_none()
        .then(|| refused("Required query variable 'api-version' is missing"))
}

fn token(ask: &Ask<'_>) -> Answer {
    if let Some(refusal) = refusal(ask) {
        return refusal;
    }
    let Some(resource) = ask.parameter("resource") else {
        return refused("Required query variable 'resource' is missing");
    };
    let identity = ask.identity(&["msi_res_id", "mi_res_id"]);
    let Some(issued) = identity.and_then(|identity| ask.issue(identity, &resource)) else {
        return refused("Identity not found");
    };
    let lifetime = issued.identity.token_lifetime_seconds;
    let body = TokenResponse {
        access_token: issued.access_token,
        refresh_token: "",
        client_id: issued.identity.client_id,
        expires_in: lifetime.to_string(),
        expires_on: (issued.now + lifetime).to_string(),
        ext_expires_in: lifetime.to_string(),
        not_before: issued.now.to_string(),
        resource,
        token_type: "Bearer",
    };
    Answer::json(200, &body)
}

/// The least of `compute`: who the machine is.
fn instance(ask: &Ask<'_>) -> Answer {
    if let Some(refusal) = refusal(ask) {
        return refusal;
    }
    let Some(machine) = &ask.machine else {
        return not_found();
    };
    let id = machine.system_assigned.as_ref().map(|identity| identity.resource_id.clone());
    let id = id.unwrap_or_default();
    let part = |at: usize| id.split('/').nth(at).unwrap_or_default().to_owned();
    let body = json!({
        "compute": {
            "azEnvironment": "AzurePublicCloud", "location": "westeurope", "name": machine.name,
            "osType": "Linux", "resourceGroupName": part(4), "resourceId": id, "subscriptionId": part(2),
        },
    });
    Answer::json(200, &body)
}

fn refused(error_description: &'static str) -> Answer {
    Answer::json(400, &ErrorResponse { error: "invalid_request", error_description })
}
