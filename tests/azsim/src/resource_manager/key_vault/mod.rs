//! Microsoft.KeyVault: the Key Vaults themselves, deleted ones, and whether a name is free.
//!
//! What decides about secrets lives in the data plane's settings and is changed there; a `Facet` is the rest.

mod body;
mod change;
mod deleted;
mod policies;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub(crate) use self::body::Facet;
use self::body::{Body, SystemData};
use super::{Call, Outcome, error::Refused, estate::same, listed, paged};
use crate::{
    azure::{Azure, locked, within},
    http::Answer,
    key_vault::KeyVault,
};

const KIND: &str = "Microsoft.KeyVault/vaults";
const READ: &str = "Microsoft.KeyVault/vaults/read";
const WRITE: &str = "Microsoft.KeyVault/vaults/write";
const DELETE: &str = "Microsoft.KeyVault/vaults/delete";

impl Azure {
    pub(super) fn facet(&self, host: &str) -> Facet {
        locked(&self.estate).facets.get(host).cloned().unwrap_or_default()
    }

    fn change_facet(&self, host: &str, change: impl FnOnce(&mut Facet)) {
        change(locked(&self.estate).facets.entry(host.to_owned()).or_default());
    }
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    let words = call.path.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (method, group) = (call.method.as_str(), call.path.group().is_some());
    match (method, words.as_slice()) {
        ("GET", ["vaults"]) => list(call),
        ("GET", ["vaults", name]) if group => {
            call.require(READ, &call.path.whole())?;
            let found = find(call, name)?;
            let body = Body::of(call.azure, &found);
            call.azure.change_facet(found.host(), |facet| facet.is_new = false);
            Ok(Answer::json(200, &body))
        }
        ("PUT", ["vaults", name]) if group => change::put(call, name),
        ("PATCH", ["vaults", name]) if group => change::patch(call, name),
        ("DELETE", ["vaults", name]) if group => delete(call, name),
        ("PUT", ["vaults", name, "accesspolicies", kind]) if group => {
            policies::answer(call, name, kind)
        }
        // Nobody has a managed HSM here.
        ("GET", ["managedhsms" | "deletedmanagedhsms"]) => Ok(listed([(); 0])),
        ("POST", ["checknameavailability" | "checkmhsmnameavailability"]) => check_name(call),
        ("GET", ["deletedvaults"]) => deleted::list(call),
        ("GET", ["locations", location, "deletedvaults", name]) => {
            deleted::get(call, location, name)
        }
        ("POST", ["locations", location, "deletedvaults", name, "purge"]) => {
            deleted::purge(call, location, name)
        }
        ("GET", ["locations", _, "operationresults", _]) => Ok(Answer::empty(200)),
        _ => call.unknown(),
    }
}

fn find(call: &Call<'_>, name: &str) -> Result<Arc<KeyVault>, Refused> {
    call.check_group()?;
    let group = call.path.group().unwrap_or_default();
    let scope = call.path.scope();
    let found = call.azure.key_vault(name).ok();
    let found = found.filter(|found| {
        !found.is_soft_deleted()
            && within(&found.spec.resource_id(), &scope)
            && same(&found.spec.name, name)
    });
    found.ok_or_else(|| Refused::no_resource(KIND, name, group))
}

fn list(call: &Call<'_>) -> Outcome {
    call.check_group()?;
    let scope = call.path.scope();
    let mut found = call.azure.key_vaults();
    found.retain(|found| {
        let id = found.spec.resource_id();
        !found.is_soft_deleted() && within(&id, &scope) && call.may(READ, &id)
    });
    found.sort_by(|one, other| one.host().cmp(other.host()));
    paged(call, found.iter().map(|found| Body::of(call.azure, found)))
}

/// What was granted at the Key Vault goes with it; recovering does not bring it back.
fn delete(call: &Call<'_>, name: &str) -> Outcome {
    call.require(DELETE, &call.path.whole())?;
    let Ok(found) = find(call, name) else {
        return Ok(Answer::empty(204));
    };
    found.change(|settings| settings.soft_deleted = true);
    call.azure
        .change_facet(found.host(), |facet| facet.deleted_at = Some(OffsetDateTime::now_utc()));
    drop_roles(call, &found);
    Ok(Answer::empty(200))
}

fn drop_roles(call: &Call<'_>, key_vault: &KeyVault) {
    let id = key_vault.spec.resource_id();
    call.azure.change_roles_at_once(|roles| {
        roles.assignments.retain(|assignment| !within(&assignment.given.scope, &id));
    });
}

#[derive(Deserialize)]
struct NameRequest {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Availability {
    name_available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

fn check_name(call: &Call<'_>) -> Outcome {
    call.require("Microsoft.KeyVault/checkNameAvailability/read", &call.path.scope())?;
    let NameRequest { name } = call.json()?;
    let (reason, message) = match call.azure.key_vault(&name) {
        _ if !crate::azure::is_key_vault_name(&name) => {
            let message = "Vault name must be between 3-24 alphanumeric characters. The name must begin with a letter, \
                           end with a letter or digit, and not contain consecutive hyphens.";
            (Some("AccountNameInvalid"), Some(message.to_owned()))
        }
        Ok(found) if found.is_soft_deleted() => {
            (Some("AlreadyExists"), Some(change::IN_DELETED_STATE.to_owned()))
        }
        Ok(_) => (Some("AlreadyExists"), Some(change::name_in_use(&name))),
        Err(_) => (None, None),
    };
    Ok(Answer::json(200, &Availability { name_available: reason.is_none(), reason, message }))
}

type Tags = BTreeMap<String, String>;
