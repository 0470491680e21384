//! May this caller do this here? Network first, then role assignments or access policies. Refusals in the service's words.

use super::{KeyVault, error::ServiceError, route::Target};
use crate::{
    access_control::{Denied, Plane},
    azure::Azure,
    oidc::verify::Caller,
    world::{Access, AccessPolicy, Network},
};

/// The address the firewall claims to have seen: a documentation address (RFC 5737).
pub(crate) const CLIENT_ADDRESS: &str = "203.0.113.7";

/// The token in `Authorization`, if it is a bearer token at all.
pub(super) fn bearer(authorization: &str) -> Result<&str, ServiceError> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        return Ok(token.trim());
    }
    Err(ServiceError::missing_token())
}

pub(super) fn check_network(
    key_vault: &KeyVault,
    caller: &Caller,
    network: &Network,
) -> Result<(), ServiceError> {
    let whence = || format!("Caller: {}\r\nVault: {}", described(caller), place(key_vault));
    match network {
        Network::Open => Ok(()),
        Network::FirewallDenies => Err(ServiceError::forbidden(
            "ForbiddenByFirewall",
            format!(
                "Client address is not authorized and caller is not a trusted service.\r\n\
                 Client address: {CLIENT_ADDRESS}\r\n{}",
                whence()
            ),
        )),
        Network::PublicAccessDisabled => Err(ServiceError::forbidden(
            "ForbiddenByConnection",
            format!(
                "Public network access is disabled and request is not from a trusted service nor via an approved \
                 private link.\r\n{}",
                whence()
            ),
        )),
    }
}

/// The role assignment that allows it; none where access policies decide.
pub(super) fn check_permission(
    azure: &Azure,
    key_vault: &KeyVault,
    caller: &Caller,
    access: &Access,
    target: &Target,
) -> Result<Option<String>, ServiceError> {
    match access {
        Access::Rbac => by_role(azure, key_vault, caller, target).map(Some),
        Access::Policies(policies) => {
            by_policy(azure, key_vault, caller, policies, target).map(|()| None)
        }
    }
}

fn by_role(
    azure: &Azure,
    key_vault: &KeyVault,
    caller: &Caller,
    target: &Target,
) -> Result<String, ServiceError> {
    let action = format!("Microsoft.KeyVault/vaults/secrets/{}", target.operation.data_action());
    let mut resource = key_vault.spec.resource_id();
    if !target.name.is_empty() {
        resource = format!("{resource}/secrets/{}", target.name);
    }
    azure.decide(&caller.oid, &action, &resource, Plane::Data).map_err(|Denied(denial)| {
        let (denial, reason) = match denial {
            None => ("null".to_owned(), "DeniedWithNoValidRBAC"),
            Some(id) => (format!("'{id}'"), "DeniedByDenyAssignment"),
        };
        let message = [
            "Caller is not authorized to perform action on resource.".to_owned(),
            "If role assignments, deny assignments or role definitions were changed recently, please observe \
             propagation time."
                .to_owned(),
            format!("Caller: {}", described(caller)),
            format!("Action: '{action}'"),
            format!("Resource: '{}'", resource.to_ascii_lowercase()),
            "Assignment: (not found)".to_owned(),
            format!("DenyAssignmentId: {denial}"),
            format!("DecisionReason: '{reason}' "),
            format!("Vault: {}", place(key_vault)),
        ];
        ServiceError::forbidden("ForbiddenByRbac", message.join("\r\n"))
    })
}

fn by_policy(
    azure: &Azure,
    key_vault: &KeyVault,
    caller: &Caller,
    policies: &[AccessPolicy],
    target: &Target,
) -> Result<(), ServiceError> {
    let permission = target.operation.permission();
    let who = azure.roles().identities(&caller.oid);
    let own_tenant = |tenant: &Option<String>| {
        tenant.as_ref().is_none_or(|tenant| tenant.eq_ignore_ascii_case(key_vault.tenant_id()))
    };
    let counts = |policy: &&AccessPolicy| {
        who.contains(&policy.object_id.to_ascii_lowercase())
            && policy.application_id.is_none()
            && own_tenant(&policy.tenant_id)
    };
    let words = policies.iter().filter(counts).flat_map(|policy| &policy.secrets);
    let allows = |word: &String| {
        word.eq_ignore_ascii_case(permission)
            || (word.eq_ignore_ascii_case("all") && permission != "purge")
    };
    if words.into_iter().any(allows) {
        return Ok(());
    }
    Err(ServiceError::forbidden(
        "AccessDenied",
        format!(
            "The user, group or application '{}' does not have secrets {permission} permission on key vault '{}'. \
             For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            described(caller),
            place(key_vault)
        ),
    ))
}

fn described(caller: &Caller) -> String {
    format!("appid={};oid={};iss={}", caller.appid, caller.oid, caller.issuer)
}

fn place(key_vault: &KeyVault) -> String {
    format!("{};location={}", key_vault.spec.name, key_vault.spec.location)
}
