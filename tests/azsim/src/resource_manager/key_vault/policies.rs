//! Access policies added, replaced and removed one principal at a time.
//!
//! `add` joins words, `replace` sets them, `remove` takes them away and the entry with the last one.

use serde::{Deserialize, Serialize};

use super::{
    KIND, SystemData,
    body::{Permissions, Policy, policies},
    find,
};
use crate::{
    http::Answer,
    resource_manager::{Call, Outcome, error::Refused, estate::same},
    world::{Access, AccessPolicy},
};

#[derive(Serialize, Deserialize)]
struct Request {
    properties: Properties,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    access_policies: Vec<Policy>,
}

#[derive(Serialize)]
struct Body {
    id: String,
    r#type: String,
    location: String,
    properties: Properties,
}

pub(super) fn answer(call: &Call<'_>, name: &str, kind: &str) -> Outcome {
    call.require("Microsoft.KeyVault/vaults/accessPolicies/write", &call.path.parent())?;
    let known = find(call, name)?;
    let Request { properties } = call.json()?;
    let (mut facet, settings) = (call.azure.facet(known.host()), known.settings());
    let mut all = policies(&facet, &settings, known.tenant_id());
    for asked in properties.access_policies {
        let former = all.iter().position(|known| known.is_for(&asked)).map(|at| all.remove(at));
        match (kind.to_ascii_lowercase().as_str(), former) {
            ("add", Some(former)) => all.push(joined(former, &asked, add)),
            ("add", None) | ("replace", _) => all.push(asked),
            ("remove", Some(former)) => {
                all.extend(Some(joined(former, &asked, take)).filter(holds_any));
            }
            ("remove", None) => {}
            _ => {
                return Err(Refused::bad_request(format!(
                    "'{kind}' is not add, replace or remove."
                )));
            }
        }
    }
    facet.policies.clone_from(&all);
    facet.system_data = Some(SystemData::by(&call.caller).after(facet.system_data));
    call.azure.change_facet(known.host(), |old| *old = facet);
    if settings.access != Access::Rbac {
        let access = counting(&all, known.tenant_id());
        known.change_after(call.azure.propagation(), |settings| settings.access = access);
    }
    let body = Body {
        id: format!("{}/accessPolicies/", known.spec.resource_id()),
        r#type: format!("{KIND}/accessPolicies"),
        location: known.spec.location.clone(),
        properties: Properties { access_policies: all },
    };
    Ok(Answer::json(200, &body))
}

/// What decides about secrets: own tenant, no application in between.
pub(super) fn counting(all: &[Policy], tenant_id: &str) -> Access {
    let counts =
        |policy: &&Policy| policy.application_id.is_none() && same(&policy.tenant_id, tenant_id);
    let counting = all.iter().filter(counts).map(|policy| AccessPolicy {
        object_id: policy.object_id.clone(),
        secrets: policy.permissions.secrets.clone().unwrap_or_default(),
        ..AccessPolicy::default()
    });
    Access::Policies(counting.collect())
}

fn joined(former: Policy, asked: &Policy, join: fn(&mut Vec<String>, &[String])) -> Policy {
    let both = |former: Option<Vec<String>>, asked: &Option<Vec<String>>| {
        let Some(asked) = asked else {
            return former;
        };
        let mut words = former.unwrap_or_default();
        join(&mut words, asked);
        Some(words)
    };
    let (old, new) = (former.permissions, &asked.permissions);
    let permissions = Permissions {
        keys: both(old.keys, &new.keys),
        secrets: both(old.secrets, &new.secrets),
        certificates: both(old.certificates, &new.certificates),
        storage: both(old.storage, &new.storage),
    };
    Policy { permissions, ..former }
}

fn add(words: &mut Vec<String>, new: &[String]) {
    for word in new {
        if !words.iter().any(|known| same(known, word)) {
            words.push(word.clone());
        }
    }
}

fn take(words: &mut Vec<String>, gone: &[String]) {
    words.retain(|known| !gone.iter().any(|word| same(known, word)));
}

fn holds_any(policy: &Policy) -> bool {
    let Permissions { keys, secrets, certificates, storage } = &policy.permissions;
    [keys, secrets, certificates, storage]
        .iter()
        .any(|words| words.as_ref().is_some_and(|words| !words.is_empty()))
}
