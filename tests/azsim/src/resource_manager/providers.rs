//! `GET /subscriptions/{id}/providers/{namespace}`: the types of a resource provider, and the api-versions they take.
//!
//! `az resource` asks it before anything else.

use hyper::Method;
use serde::Serialize;

use super::{Call, Outcome, error::Refused, versions};
use crate::http::Answer;

const PROVIDERS: [(&str, &[&str]); 4] = [
    ("Microsoft.KeyVault", &["vaults", "deletedVaults"]),
    ("Microsoft.RecoveryServices", &["vaults"]),
    ("Microsoft.Authorization", &["roleAssignments", "roleDefinitions", "denyAssignments"]),
    ("Microsoft.Insights", &["diagnosticSettings"]),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    id: String,
    namespace: &'static str,
    registration_policy: &'static str,
    resource_types: Vec<ResourceType>,
    registration_state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceType {
    #[serde(rename = "resourceType")]
    name: &'static str,
    locations: [&'static str; 2],
    /// The newest one first.
    api_versions: Vec<&'static str>,
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    call.require("Microsoft.Resources/subscriptions/providers/read", &call.path.scope())?;
    let asked = call.path.namespace_as_written();
    let known = PROVIDERS.iter().find(|(namespace, _)| namespace.eq_ignore_ascii_case(&asked));
    let (Some((namespace, types)), true) = (known, *call.method == Method::GET) else {
        return Err(Refused::invalid_namespace(&asked));
    };
    let newest_first = || {
        let known = versions::of(Some(&namespace.to_ascii_lowercase())).unwrap_or_default();
        known.iter().rev().copied().collect()
    };
    let resource_type = |name: &&'static str| ResourceType {
        name,
        locations: ["West Europe", "East US"],
        api_versions: newest_first(),
    };
    let body = Body {
        id: format!("{}/providers/{namespace}", call.path.scope()),
        namespace,
        registration_policy: "RegistrationRequired",
        resource_types: types.iter().map(resource_type).collect(),
        registration_state: "Registered",
    };
    Ok(Answer::json(200, &body))
}
