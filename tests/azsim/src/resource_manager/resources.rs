//! Microsoft.Resources: tenants, subscriptions, resource groups, and the list of resources.
//!
//! Lists show what the caller may read.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Serialize;

use super::{
    Call, Outcome,
    error::Refused,
    estate::{Resource, group_id, same},
    listed, paged,
};
use crate::{
    azure::within,
    http::Answer,
    world::{ResourceGroup, Subscription},
};

const READ_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody {
    id: String,
    authorization_source: &'static str,
    managed_by_tenants: [(); 0],
    subscription_id: String,
    tenant_id: Option<String>,
    display_name: String,
    state: &'static str,
    subscription_policies: Policies,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Policies {
    location_placement_id: &'static str,
    quota_id: &'static str,
    spending_limit: &'static str,
}

#[derive(Serialize)]
struct Subscriptions {
    value: Vec<SubscriptionBody>,
    count: Count,
}

#[derive(Serialize)]
struct Count {
    r#type: &'static str,
    value: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TenantBody {
    id: String,
    tenant_id: String,
    tenant_category: &'static str,
}

#[derive(Serialize)]
struct GroupBody {
    id: String,
    name: String,
    r#type: &'static str,
    location: String,
    properties: Provisioned,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provisioned {
    provisioning_state: &'static str,
}

#[derive(Serialize)]
struct ResourceBody {
    id: String,
    name: String,
    r#type: &'static str,
    location: String,
    tags: BTreeMap<String, String>,
}

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    if call.method != Method::GET {
        return call.unknown();
    }
    let words = call.path.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["tenants"] => Ok(tenants(call)),
        ["subscriptions"] => Ok(subscriptions(call)),
        ["subscriptions", id] => subscription(call, id),
        ["subscriptions", id, "resourcegroups"] => Ok(groups(call, id)),
        ["subscriptions", id, "resourcegroups", name] => group(call, id, name),
        ["subscriptions", _, "resources"] => resources(call, &call.path.scope()),
        ["subscriptions", _, "resourcegroups", _, "resources"] => {
            call.check_group()?;
            resources(call, &call.path.scope())
        }
        _ => call.unknown(),
    }
}

fn tenants(call: &Call<'_>) -> Answer {
    let tenant_id = call.azure.default_tenant_id().to_owned();
    let id = format!("/tenants/{tenant_id}");
    listed([TenantBody { id, tenant_id, tenant_category: "Home" }])
}

/// Those in which the caller has any role, at the subscription or below.
fn subscriptions(call: &Call<'_>) -> Answer {
    let roles = call.azure.roles();
    let who = roles.identities(&call.caller.oid);
    let visible = |subscription: &Subscription| {
        let id = format!("/subscriptions/{}", subscription.subscription_id);
        roles.assignments.iter().any(|assignment| {
            who.contains(&assignment.given.principal_id.to_ascii_lowercase())
                && (within(&assignment.given.scope, &id)
                    || roles.within(&id, &assignment.given.scope))
        })
    };
    let value = call.azure.subscriptions().into_iter().filter(visible).map(subscription_body);
    let value: Vec<_> = value.collect();
    let count = Count { r#type: "Total", value: value.len() };
    Answer::json(200, &Subscriptions { value, count })
}

fn subscription(call: &Call<'_>, id: &str) -> Outcome {
    call.require("Microsoft.Resources/subscriptions/read", &call.path.scope())?;
    let found = call.azure.subscription(id).ok_or_else(|| Refused::no_subscription(id))?;
    Ok(Answer::json(200, &subscription_body(found)))
}

fn subscription_body(subscription: Subscription) -> SubscriptionBody {
    SubscriptionBody {
        id: format!("/subscriptions/{}", subscription.subscription_id),
        authorization_source: "RoleBased",
        managed_by_tenants: [],
        subscription_id: subscription.subscription_id,
        tenant_id: subscription.tenant_id,
        display_name: subscription.display_name,
        state: "Enabled",
        subscription_policies: Policies {
            location_placement_id: "Public_2014-09-01",
            quota_id: "PayAsYouGo_2014-09-01",
            spending_limit: "Off",
        },
    }
}

fn groups(call: &Call<'_>, subscription_id: &str) -> Answer {
    let groups = call.azure.resource_groups(subscription_id).into_iter();
    listed(groups.filter(|group| call.may(READ_GROUP, &group_id(group))).map(group_body))
}

fn group(call: &Call<'_>, subscription_id: &str, name: &str) -> Outcome {
    call.require(READ_GROUP, &call.path.scope())?;
    let found = call.azure.resource_group(subscription_id, name);
    Ok(Answer::json(200, &group_body(found.ok_or_else(|| Refused::no_group(name))?)))
}

fn group_body(group: ResourceGroup) -> GroupBody {
    GroupBody {
        id: group_id(&group),
        name: group.name,
        r#type: "Microsoft.Resources/resourceGroups",
        location: group.location,
        properties: Provisioned { provisioning_state: "Succeeded" },
    }
}

/// Those below the scope that the caller may read and that the filter admits.
fn resources(call: &Call<'_>, scope: &str) -> Outcome {
    let scope = scope.rsplit_once('/').map_or(scope, |(scope, _)| scope);
    let filter = call.filter()?;
    let wanted = |resource: &Resource| {
        within(&resource.id, scope)
            && filter.admits("resourceType", resource.kind)
            && filter.admits("name", &resource.name)
            && filter.admits("location", &resource.location)
            && filter.wanted("resourceGroup").is_none_or(|group| {
                resource.id.split('/').nth(4).is_some_and(|own| same(own, group))
            })
            && call.may(&format!("{}/read", resource.kind), &resource.id)
    };
    let resources = call.azure.resources().into_iter().filter(wanted);
    let bodies = resources.map(|resource| ResourceBody {
        id: resource.id,
        name: resource.name,
        r#type: resource.kind,
        location: resource.location,
        tags: resource.tags,
    });
    paged(call, bodies)
}
