//! Microsoft.Authorization: role assignments, role definitions, deny assignments, at any scope.
//!
//! Extension resources: the scope is whatever stands before the last `providers`.

mod deny_assignments;
mod role_assignments;
mod role_definitions;

use hyper::Method;

use super::{Call, Outcome};

pub(super) fn answer(call: &Call<'_>) -> Outcome {
    let words = call.path.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let method = call.method.as_str();
    if *call.method != Method::DELETE {
        call.check_group()?;
    }
    match (method, words.as_slice()) {
        ("GET", ["roleassignments"]) => role_assignments::list(call),
        ("GET", ["roleassignments", name]) => role_assignments::get(call, name),
        ("PUT", ["roleassignments", name]) => role_assignments::create(call, name),
        ("DELETE", ["roleassignments", name]) => role_assignments::delete(call, name),
        ("GET", ["roledefinitions"]) => role_definitions::list(call),
        ("GET", ["roledefinitions", id]) => role_definitions::get(call, id),
        ("PUT", ["roledefinitions", id]) => role_definitions::put(call, id),
        ("DELETE", ["roledefinitions", id]) => role_definitions::delete(call, id),
        ("GET", ["denyassignments"]) => deny_assignments::list(call),
        _ => call.unknown(),
    }
}
