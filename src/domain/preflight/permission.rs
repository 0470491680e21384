//! What somebody may do to the secrets of the Key Vault, decided from what was read.
//!
//! Azure Resource Manager tells neither what kind of object an access policy is for nor who is in a group. What of
//! that the other answers show, is used: role assignments name the kinds of their principals, and those to a group
//! are listed for an identity only if the group holds it.

use time::OffsetDateTime;

use super::{
    Check,
    facts::{Facts, Rights as ReadRights, Seen},
};
use crate::domain::{
    effective_permission::{
        EffectivePermission, Groups, KeyVaultScope, Question, Rights, SecretAction,
        SecurityPrincipal, decide_for_each,
    },
    recovery_services_resource::RecoveryServicesVaultResource,
};

/// The answer, or the check that tells why there is none.
pub(super) type Decided = Result<EffectivePermission, Box<Check>>;

/// What `principal` may do at the Key Vault, by what was read: to the machine's secret, under whichever name MARS
/// saves it.
pub(super) fn permission(
    check: &Check,
    facts: &Facts,
    (principal, read): (&SecurityPrincipal, &ReadRights),
    action: SecretAction,
    now: OffsetDateTime,
) -> Decided {
    let Seen::Found(key_vault, _) = &facts.key_vault else {
        return Err(Box::new(check.clone().unproven(&facts.key_vault)));
    };
    let scope =
        KeyVaultScope { id: key_vault.id.to_string(), tenant_id: key_vault.tenant_id.to_string() };
    let rights = if key_vault.rbac {
        let Seen::Found(assignments, _) = &read.assignments else {
            return Err(Box::new(check.clone().unproven(&read.assignments)));
        };
        Rights::Rbac {
            assignments,
            definitions: &read.definitions,
            deny_assignments: facts.deny_assignments.found().map(Vec::as_slice),
        }
    } else {
        Rights::AccessPolicies(&key_vault.access_policies)
    };
    let names: Vec<&str> = match &facts.subject.secret_name {
        Some(name) => vec![name.as_str()],
        None => facts.secrets.iter().map(|secret| secret.name.as_str()).collect(),
    };
    let (holding, no_groups) = (groups_of(read), no_groups(facts));
    let question = Question {
        principal,
        action,
        key_vault: &scope,
        secret_name: None,
        groups: Groups::Partly { holding: &holding, no_groups: &no_groups },
        now,
    };
    Ok(decide_for_each(&question, &names, rights))
}

/// Of the Recovery Services vault's identity.
pub(super) fn of_identity(
    check: &Check,
    facts: &Facts,
    action: SecretAction,
    now: OffsetDateTime,
) -> Decided {
    let Seen::Found(found, _) = &facts.recovery_services_vault else {
        return Err(Box::new(check.clone().unproven(&facts.recovery_services_vault)));
    };
    let Some(principal) = identity(found) else {
        let reason = "The Recovery Services vault has no system-assigned identity that could be permitted anything; see PF-07.";
        return Err(Box::new(check.clone().skipped(reason)));
    };
    permission(check, facts, (&principal, &facts.rights_of_recovery_services_vault), action, now)
}

pub(super) fn identity(found: &RecoveryServicesVaultResource) -> Option<SecurityPrincipal> {
    let identity = found.identity.system_assigned()?;
    let tenant_id = identity.tenant_id?.to_string();
    Some(SecurityPrincipal { object_id: identity.principal_id.to_string(), tenant_id })
}

/// The groups that hold the principal, as far as its role assignments show them.
fn groups_of(read: &ReadRights) -> Vec<String> {
    let assignments = read.assignments.found().into_iter().flatten();
    let to_groups = assignments.filter(|it| is(it.principal_type.as_deref(), &["Group"]));
    to_groups.map(|assignment| assignment.principal_id.clone()).collect()
}

/// Objects that are known to be no groups.
fn no_groups(facts: &Facts) -> Vec<String> {
    const NO_GROUP: [&str; 2] = ["User", "ServicePrincipal"];
    let rsv = facts.recovery_services_vault.found();
    let own = rsv.and_then(identity).map(|identity| identity.object_id);
    let user_assigned = rsv.into_iter().flat_map(|found| &found.user_assigned_principals);
    let of_rsv = &facts.rights_of_recovery_services_vault.assignments;
    let assigned = [of_rsv, &facts.rights_of_broker.assignments, &facts.role_holders]
        .into_iter()
        .filter_map(Seen::found)
        .flatten()
        .map(|assignment| (&assignment.principal_id, assignment.principal_type.as_deref()));
    let denied = facts.deny_assignments.found().into_iter().flatten();
    let denied = denied
        .flat_map(|denial| denial.principals.iter().chain(&denial.exclude_principals))
        .map(|principal| (&principal.id, principal.principal_type.as_deref()));
    let known = assigned.chain(denied).filter(|(_, kind)| is(*kind, &NO_GROUP));
    let broker = facts.broker.iter().map(|broker| broker.object_id.clone());
    broker
        .chain(own)
        .chain(user_assigned.map(ToString::to_string))
        .chain(known.map(|(id, _)| id.clone()))
        .collect()
}

fn is(kind: Option<&str>, kinds: &[&str]) -> bool {
    kind.is_some_and(|kind| kinds.iter().any(|one| one.eq_ignore_ascii_case(kind)))
}
