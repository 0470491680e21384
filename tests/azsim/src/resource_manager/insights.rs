//! Microsoft.Insights: the diagnostic settings of a resource, made, read, listed and taken away.
//!
//! Nothing is ever logged anywhere; what is written is what is read again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, Outcome, error::Refused, estate::same, listed};
use crate::{azure::locked, http::Answer, world::DiagnosticSetting};

#[derive(Serialize)]
struct Body {
    id: String,
    r#type: &'static str,
    name: String,
    properties: Value,
}

#[derive(Deserialize)]
struct Request {
    properties: Value,
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    let words = call.path.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (call.method.as_str(), words.as_slice()) {
        ("GET", ["diagnosticsettings"]) => {
            let scope = allowed(call, "read")?;
            Ok(listed(of(call, &scope).into_iter().map(|setting| body(&scope, setting))))
        }
        ("GET", ["diagnosticsettings", name]) => {
            let scope = allowed(call, "read")?;
            let found = of(call, &scope).into_iter().find(|setting| same(&setting.name, name));
            let message = format!("The diagnostic setting {name} doesn't exist.");
            let found = found.ok_or_else(|| Refused::new(404, "ResourceNotFound", message))?;
            Ok(Answer::json(200, &body(&scope, found)))
        }
        ("PUT", ["diagnosticsettings", name]) => {
            let scope = allowed(call, "write")?;
            let properties = call.json::<Request>()?.properties;
            let resource_id = scope.clone();
            let setting = DiagnosticSetting { resource_id, name: (*name).to_owned(), properties };
            remove(call, &scope, name);
            locked(&call.azure.estate).add_diagnostic_setting(setting.clone());
            Ok(Answer::json(200, &body(&scope, setting)))
        }
        ("DELETE", ["diagnosticsettings", name]) => {
            let scope = allowed(call, "delete")?;
            Ok(Answer::empty(if remove(call, &scope, name) { 200 } else { 204 }))
        }
        _ => call.unknown(),
    }
}

/// The resource, in its canonical case.
fn allowed(call: &Call<'_>, verb: &str) -> Result<String, Refused> {
    let scope = call.path.scope();
    call.require(&format!("Microsoft.Insights/diagnosticSettings/{verb}"), &scope)?;
    Ok(call.azure.canonical(&scope))
}

fn of(call: &Call<'_>, scope: &str) -> Vec<DiagnosticSetting> {
    let settings = locked(&call.azure.estate).diagnostic_settings.clone();
    settings.into_iter().filter(|setting| same(&setting.resource_id, scope)).collect()
}

fn remove(call: &Call<'_>, scope: &str, name: &str) -> bool {
    let settings = &mut locked(&call.azure.estate).diagnostic_settings;
    let before = settings.len();
    settings.retain(|known| !same(&known.resource_id, scope) || !same(&known.name, name));
    settings.len() < before
}

fn body(scope: &str, setting: DiagnosticSetting) -> Body {
    Body {
        id: format!(
            "{}/providers/microsoft.insights/diagnosticSettings/{}",
            scope.to_ascii_lowercase(),
            setting.name
        ),
        r#type: "Microsoft.Insights/diagnosticSettings",
        name: setting.name,
        properties: setting.properties,
    }
}
