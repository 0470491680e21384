//! The OpenAPI document, made from the handlers, and the page to read it on.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::{Method, header},
    routing::get,
};
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, HttpMethod, Ref, RefOr, ResponseBuilder,
        path::{Operation as PathOperation, Parameter, ParameterIn, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{App, open_routes, operations, problem::ProblemBody};
use crate::domain::{operation::Operation, principal::Role};

const SCHEME: &str = "entraId";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "passphrase-broker",
        description = "Keeps the passphrases of Azure Backup's MARS agents: registers machines, rotates passphrases with the agent's confirmation, and releases them with a reason and an audit event.\n\nEvery error is `application/problem+json` (RFC 9457); its `type` is a page of this service. Times are RFC 3339 in UTC. Bodies are at most 64 KiB; unknown and repeated members are refused.",
        license(name = "MIT", identifier = "MIT")
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "machines", description = "Windows servers with the MARS agent"),
        (name = "adoptions", description = "What MARS saved before this service was there"),
        (name = "coverage", description = "Which machines are safe"),
        (name = "rotations", description = "A new passphrase, in two phases"),
        (name = "retrievals", description = "A person reads a passphrase"),
        (name = "preflight", description = "Which of Microsoft's errors is about to be met, and what mends it"),
        (name = "agents", description = "For the script on the machine"),
        (name = "audit", description = "Who did what, and why"),
        (name = "callers", description = "Who you are"),
        (name = "operations", description = "For whoever runs this")
    )
)]
struct Document;

/// The document.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(operations().into_openapi());
    document.merge(open_routes().into_openapi());
    document.servers = None;
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(
            "An Entra ID access token, version 2, for this service's app registration.",
        ));
    if let Some(components) = &mut document.components {
        components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer.build()));
    }
    for item in document.paths.paths.values_mut() {
        for (_, found) in methods_of(item) {
            if let Some(operation) = operation_of(found) {
                complete(found, operation);
            }
        }
    }
    document
}

/// The document as it is committed and served.
pub fn openapi_json() -> String {
    let mut json = document().to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// `/docs/`, with its script in the binary, and `/openapi.json`.
///
/// The document is written out once: made anew for each request, a few callers without a token would
/// keep the service busy.
pub(super) fn pages() -> Router<Arc<App>> {
    let document = Bytes::from(openapi_json());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let docs = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::from(docs).route("/openapi.json", get(|| async move { (json, document) }))
}

/// What every operation with a token has in common: security, roles, and the problems of the bracket.
fn complete(found: &mut PathOperation, operation: Operation) {
    let roles: Vec<&str> = operation.roles().iter().map(|role| Role::name(*role)).collect();
    found.security = Some(vec![SecurityRequirement::new(SCHEME, roles.clone())]);
    let mut who = if roles.is_empty() {
        "Any valid token.".to_owned()
    } else {
        format!("Role: {}.", roles.join(" and "))
    };
    if operation.open_to_agents() && operation != Operation::ListAgentTasks {
        who.push_str(" `Agent` for its own machine.");
    }
    let description = found.description.take().map(|text| format!("{text}\n\n{who}"));
    found.description = Some(description.unwrap_or(who));
    let unavailable = if operation.is_audited() {
        "`audit-unavailable`: nothing was released or changed; `database-unavailable`, `key-vault-unavailable`, `key-vault-throttled`, `identity-unavailable`, `overloaded`, `timed-out`"
    } else {
        "`database-unavailable`, `key-vault-unavailable`, `identity-unavailable`, `overloaded`, `timed-out`"
    };
    let mut problems = vec![
        ("400", "`invalid-request`, `key-vault-uri-invalid` (100272), `key-vault-not-allowed`"),
        ("401", "`unauthenticated`"),
        ("500", "`internal`"),
        ("503", unavailable),
    ];
    if !operation.roles().is_empty() {
        problems.push(("403", "`role-missing`, `guest-not-allowed`"));
    }
    let in_path = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path);
    if found.parameters.iter().flatten().any(in_path) {
        problems.push(("404", "`not-found`: there is none, or it is not yours to see"));
    }
    if asks_key_vault(operation) {
        problems.push((
            "502",
            "`broker-permission-missing`, `key-vault-firewall`, `key-vault-refused`",
        ));
    }
    if operation_meets_obstacles(operation) {
        problems.push((
            "424",
            "`key-vault-soft-deleted` (391283); when MARS is to save the passphrase by itself also `rsv-identity-missing` (391224), `rsv-permission-missing` (391225)",
        ));
    }
    if found.request_body.is_some() {
        problems.extend([
            ("408", "`request-timeout`"),
            ("413", "`payload-too-large`"),
            ("415", "`unsupported-media-type`"),
        ]);
    }
    for (status, description) in problems {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content);
        found
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(response.build()));
    }
}

/// Whether Key Vault's refusals can be the answer.
fn asks_key_vault(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RegisterMachine
            | Operation::ListVersions
            | Operation::RequestRotation
            | Operation::CollectPassphrase
            | Operation::ConfirmRotation
            | Operation::ScanAdoptions
            | Operation::RecoverSecret
            | Operation::RetrievePassphrase
    )
}

/// Whether preflight's obstacles can be the answer.
fn operation_meets_obstacles(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RegisterMachine
            | Operation::RequestRotation
            | Operation::CollectPassphrase
            | Operation::RetrievePassphrase
    )
}

fn operation_of(found: &PathOperation) -> Option<Operation> {
    let id = found.operation_id.as_deref()?;
    Operation::ALL.into_iter().find(|operation| operation.id() == id)
}

fn methods_of(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut PathOperation)> {
    let named = [
        (HttpMethod::Get, item.get.as_mut()),
        (HttpMethod::Post, item.post.as_mut()),
        (HttpMethod::Patch, item.patch.as_mut()),
        (HttpMethod::Put, item.put.as_mut()),
        (HttpMethod::Delete, item.delete.as_mut()),
    ];
    named.into_iter().filter_map(|(method, found)| found.map(|found| (method, found)))
}

/// Which operation a method and path are, by the document: so a route cannot be in one and not the other.
pub struct OperationTable(HashMap<(Method, String), Operation>);

impl OperationTable {
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        let mut table = HashMap::new();
        for (path, item) in &document.paths.paths {
            for (method, found) in methods_of(&mut item.clone()) {
                if let Some(operation) = operation_of(found) {
                    table.insert((method_of(&method), path.clone()), operation);
                }
            }
        }
        Self(table)
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Operation> {
        // HEAD is GET without its body.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(&(method.clone(), path.to_owned())).copied()
    }
}

fn method_of(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Post => Method::POST,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        _ => Method::GET,
    }
}
