//! Microsoft.Insights: the diagnostic settings of a resource, as a list.

use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use super::{Call, Outcome, estate::same, listed};
use crate::azure::locked;

#[derive(Serialize)]
struct Body {
    id: String,
    r#type: &'static str,
    name: String,
    properties: Value,
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    let words = call.path.words();
    if call.method != Method::GET || words != ["diagnosticsettings"] {
        return call.unknown();
    }
    let scope = call.path.scope();
    call.require("Microsoft.Insights/diagnosticSettings/read", &scope)?;
    let scope = call.azure.canonical(&scope);
    let settings = locked(&call.azure.estate).diagnostic_settings.clone();
    let here = settings.into_iter().filter(|setting| same(&setting.resource_id, &scope));
    Ok(listed(here.map(|setting| Body {
        id: format!(
            "{}/providers/microsoft.insights/diagnosticSettings/{}",
            scope.to_ascii_lowercase(),
            setting.name
        ),
        r#type: "Microsoft.Insights/diagnosticSettings",
        name: setting.name,
        properties: setting.properties,
    })))
}
