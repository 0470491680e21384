//! Microsoft.RecoveryServices: vaults with their identity, and what Azure Backup says of them.
//!
//! A changed identity is answered with 202 and two URLs to poll, as the real provider does.

mod backup;
mod body;
mod identity;

use std::{collections::BTreeMap, time::Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::Method;
use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use self::{body::Body, identity::RequestedIdentity};
use super::{
    Call, Outcome,
    error::Refused,
    estate::{overlaid, same},
    page,
};
use crate::{
    access_control::{new_guid, timestamp},
    azure::{Azure, locked, within},
    http::Answer,
    world::RecoveryServicesVault,
};

const KIND: &str = "Microsoft.RecoveryServices/vaults";
const READ: &str = "Microsoft.RecoveryServices/vaults/read";
const WRITE: &str = "Microsoft.RecoveryServices/vaults/write";

/// A vault as it is now; `spec` changes with it.
#[derive(Clone)]
pub(crate) struct RecoveryVault {
    pub(super) spec: RecoveryServicesVault,
    pub(super) tags: BTreeMap<String, String>,
    etag: String,
}

impl RecoveryVault {
    pub(crate) fn new(spec: RecoveryServicesVault) -> Self {
        Self { spec, tags: BTreeMap::new(), etag: etag() }
    }
}

#[derive(Deserialize)]
struct Request {
    location: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    identity: Option<RequestedIdentity>,
    #[serde(default)]
    properties: Value,
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    let words = call.path.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (method, group) = (call.method.as_str(), call.path.group().is_some());
    match (method, words.as_slice()) {
        ("GET", ["vaults"]) => list(call),
        ("GET", ["vaults", name]) if group => {
            call.require(READ, &call.path.whole())?;
            Ok(json(200, &Body::of(call.azure, &find(call, name)?)))
        }
        ("PUT", ["vaults", name]) if group => put(call, name),
        ("PATCH", ["vaults", name]) if group => patch(call, name),
        ("GET", ["vaults", name, "operationstatus", id]) if group => status(call, name, id),
        ("GET", ["vaults", name, "operationresults", id]) if group => result(call, name, id),
        (_, ["vaults", name, tail @ ..]) if group && call.method == Method::GET => {
            backup::answer(call, name, tail)
        }
        _ => call.unknown(),
    }
}

/// This provider writes no charset.
fn json(status: u16, body: &impl serde::Serialize) -> Answer {
    let mut answer = Answer::json(status, body);
    answer.headers.clear();
    answer.with("Content-Type", "application/json")
}

fn find(call: &Call<'_>, name: &str) -> Result<RecoveryVault, Refused> {
    call.check_group()?;
    let id = vault_id(call, name);
    let estate = locked(&call.azure.estate);
    let found = estate.vaults.iter().find(|vault| same(&vault.spec.resource_id(), &id)).cloned();
    let group = call.path.group().unwrap_or_default();
    found.ok_or_else(|| Refused::no_resource(KIND, name, group))
}

fn vault_id(call: &Call<'_>, name: &str) -> String {
    format!("{}/providers/{KIND}/{name}", call.path.scope())
}

fn list(call: &Call<'_>) -> Outcome {
    call.check_group()?;
    let scope = call.path.scope();
    let vaults = locked(&call.azure.estate).vaults.clone();
    let visible = |vault: &RecoveryVault| {
        let id = vault.spec.resource_id();
        within(&id, &scope) && call.may(READ, &id)
    };
    let visible = vaults.into_iter().filter(visible);
    let vaults = visible.map(|vault| Body::of(call.azure, &vault));
    Ok(json(200, &page(call, vaults)?))
}

fn put(call: &Call<'_>, name: &str) -> Outcome {
    call.require(WRITE, &call.path.whole())?;
    call.check_group()?;
    let request: Request = call.json()?;
    let former = find(call, name).ok();
    let location = request.location.clone();
    let location = location.or_else(|| former.as_ref().map(|known| known.spec.location.clone()));
    let group = call.path.group().unwrap_or_default();
    let group = call.azure.resource_group(call.path.subscription().unwrap_or_default(), group);
    let group = group.ok_or_else(Refused::unreadable)?;
    let mut vault = former.clone().unwrap_or_else(|| {
        RecoveryVault::new(RecoveryServicesVault {
            subscription_id: group.subscription_id,
            resource_group: group.name,
            ..RecoveryServicesVault::named(name)
        })
    });
    vault.spec.location = location.ok_or_else(|| {
        Refused::new(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        )
    })?;
    change(call.azure, &mut vault, request)?;
    let body = Body::of(call.azure, &vault);
    locked(&call.azure.estate).put_vault(vault);
    Ok(json(if former.is_some() { 200 } else { 201 }, &body))
}

/// A change of the identity is an operation that clients poll.
fn patch(call: &Call<'_>, name: &str) -> Outcome {
    call.require(WRITE, &call.path.whole())?;
    let mut vault = find(call, name)?;
    let request: Request = call.json()?;
    let polled = request.identity.is_some();
    change(call.azure, &mut vault, request)?;
    let body = Body::of(call.azure, &vault);
    let id = vault.spec.resource_id();
    locked(&call.azure.estate).put_vault(vault);
    if !polled {
        return Ok(json(200, &body));
    }
    let operation = BASE64_STANDARD.encode(format!("4095;{}", new_guid()));
    let done = Instant::now() + call.azure.propagation();
    locked(&call.azure.estate).operations.insert(operation.clone(), done);
    // A header is ASCII, and a resource group's name need not be.
    let id = utf8_percent_encode(&id, CONTROLS);
    let url = |kind: &str| {
        format!(
            "https://management.azure.com{id}/{kind}/{operation}?api-version={}",
            call.api_version()
        )
    };
    Ok(Answer::empty(202)
        .with("Azure-AsyncOperation", &url("operationStatus"))
        .with("Location", &url("operationResults")))
}

fn change(azure: &Azure, vault: &mut RecoveryVault, request: Request) -> Result<(), Refused> {
    if let Some(asked) = request.identity {
        let former = vault.spec.identity.take();
        vault.spec.identity = Some(asked.apply(azure, former)?);
    }
    vault.tags = request.tags.unwrap_or_else(|| std::mem::take(&mut vault.tags));
    let properties = match vault.spec.properties.take() {
        Value::Null => Value::Object(serde_json::Map::new()),
        properties => properties,
    };
    vault.spec.properties = overlaid(properties, &request.properties);
    vault.etag = etag();
    Ok(())
}

fn is_done(call: &Call<'_>, operation: &str) -> Result<bool, Refused> {
    let estate = locked(&call.azure.estate);
    let due = estate.operations.get(operation).copied();
    let missing = || Refused::new(404, "OperationNotFound", "The operation was not found.");
    Ok(due.ok_or_else(missing)? <= Instant::now())
}

/// Written over several lines, as the real one is.
fn status(call: &Call<'_>, name: &str, operation: &str) -> Outcome {
    call.require(READ, &vault_id(call, name))?;
    let status = if is_done(call, operation)? { "Succeeded" } else { "InProgress" };
    let id = find(call, name)?.spec.resource_id();
    let lines = [
        "{".to_owned(),
        format!("  \"id\": \"{id}/operationStatus/{operation}\","),
        format!("  \"name\": \"{operation}\","),
        format!("  \"status\": \"{status}\","),
        "  \"percentComplete\": 0.0".to_owned(),
        "}".to_owned(),
    ];
    let body = lines.join("\r\n").into_bytes();
    Ok(Answer::empty(200).with("Content-Type", "application/json").containing(body))
}

fn result(call: &Call<'_>, name: &str, operation: &str) -> Outcome {
    call.require(READ, &vault_id(call, name))?;
    if !is_done(call, operation)? {
        return Ok(Answer::empty(202));
    }
    Ok(json(200, &Body::of(call.azure, &find(call, name)?)))
}

fn etag() -> String {
    let now = timestamp(OffsetDateTime::now_utc()).replace(':', "%3A");
    format!("W/\"datetime'{now}'\"")
}
