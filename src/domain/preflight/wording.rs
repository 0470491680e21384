//! Rights in words: what allows, what stands in the way, and what leaves it open.

use crate::domain::effective_permission::{Denial, Doubt, Grant, PassedOver, Undecided};

pub(super) fn told(grant: &Grant) -> String {
    match grant {
        Grant::AccessPolicy { object_id, word } => {
            format!("the access policy of {object_id} has \"{word}\"")
        }
        Grant::RoleAssignment { role_name, scope, principal_id, conditional, young, .. } => {
            format!(
                "the role \"{role_name}\" at {scope}, given to {principal_id}{}{}",
                if *conditional { ", under a condition that holds" } else { "" },
                if *young { ", less than ten minutes ago" } else { "" },
            )
        }
    }
}

/// A sentence, and what was seen.
pub(super) fn denial(why: &Denial) -> (String, Vec<String>) {
    match why {
        Denial::ForeignTenant { principal_tenant_id, key_vault_tenant_id } => (
            "The identity is of another tenant than the Key Vault; see PF-08.".to_owned(),
            vec![format!("tenant {principal_tenant_id} against {key_vault_tenant_id}")],
        ),
        Denial::NoAccessPolicy { passed_over } => {
            let mut seen: Vec<String> = passed_over.iter().map(passed).collect();
            if seen.is_empty() {
                seen.push(
                    "no access policy names the identity, and none that could be for a group of it has this right"
                        .to_owned(),
                );
            }
            ("No access policy lets the identity set secrets in this Key Vault.".to_owned(), seen)
        }
        Denial::NoRoleAssignment { passed_over } => {
            let mut seen: Vec<String> = passed_over.iter().map(passed).collect();
            if seen.is_empty() {
                seen.push(
                    "the identity has no role at this Key Vault or above, itself or through groups"
                        .to_owned(),
                );
            }
            let conditioned =
                passed_over.iter().find(|it| matches!(it, PassedOver::ConditionFalse { .. }));
            let but = conditioned.map_or_else(String::new, |it| format!(" But {}.", passed(it)));
            (format!("No role lets the identity set secrets in this Key Vault.{but}"), seen)
        }
        Denial::DenyAssignment { id, name, .. } => (
            format!("The deny assignment \"{name}\" forbids it; see PF-21."),
            vec![format!("deny assignment {id}")],
        ),
    }
}

fn passed(over: &PassedOver) -> String {
    match over {
        PassedOver::CompoundIdentity { object_id, application_id } => {
            format!(
                "the access policy of {object_id} is for use through the application {application_id} only"
            )
        }
        PassedOver::OtherTenant { tenant_id, .. } => {
            format!("its access policy is under another tenant, {tenant_id}")
        }
        PassedOver::WordMissing { words, .. } => {
            format!("its access policy for secrets has only: {}", words.join(", "))
        }
        PassedOver::ActionMissing { role_name, control_plane_only: true, .. } => {
            format!(
                "the role \"{role_name}\" manages the Key Vault and gives no access to its secrets"
            )
        }
        PassedOver::ActionMissing { role_name, .. } => {
            format!("the role \"{role_name}\" does not include setting secrets")
        }
        PassedOver::OtherPrincipal { principal_id, .. } => {
            format!("a role is given to {principal_id}, which is somebody else")
        }
        PassedOver::OtherScope { scope, .. } => {
            format!("a role is given at {scope}, which is not this Key Vault or secret")
        }
        PassedOver::ConditionFalse { role_name, condition, .. } => {
            format!(
                "the role \"{role_name}\" is given under a condition that does not hold here: {condition}"
            )
        }
    }
}

/// What a doubt rests on.
pub(super) fn seen_of(why: &Doubt) -> Vec<String> {
    match why {
        Doubt::AccessPolicyGroups { object_ids, passed_over } => {
            let others = format!("access policies of others have it: {}", object_ids.join(", "));
            passed_over.iter().map(passed).chain([others]).collect()
        }
        other => vec![doubt(other)],
    }
}

pub(super) fn doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::NamesDiffer { allowed, refused } => {
            let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
            let why = refused.first().map_or_else(String::new, |(_, why)| denial(why).0);
            let but = if allowed.is_empty() {
                String::new()
            } else {
                format!(", though it may set {}", allowed.join(", "))
            };
            format!(
                "MARS may save under one of several names, and the identity may not set {}{but} ({})",
                names.join(", "),
                why.trim_end_matches('.')
            )
        }
        Doubt::AccessPolicyGroups { object_ids, .. } => {
            let others = match object_ids.len() {
                1 => "one other object's does".to_owned(),
                count => format!("those of {count} other objects do"),
            };
            format!(
                "no access policy of its own allows it, and {others}. If one of them is a group that holds the identity, it is \
                 allowed, too: Azure Resource Manager does not tell who is in a group, and tokens keep the groups of an identity \
                 for hours"
            )
        }
        Doubt::DefinitionMissing { role_definition_id, .. } => {
            format!(
                "the role definition {role_definition_id} could not be read (Microsoft.Authorization/roleDefinitions/read)"
            )
        }
        Doubt::ConditionUndecided { assignment_id, role_name, because, .. } => {
            format!(
                "the role \"{role_name}\" is given under a condition that cannot be evaluated here: {} (role assignment {assignment_id})",
                undecided(because)
            )
        }
        Doubt::OneSecretOnly { scope, .. } => {
            format!(
                "a role is given at {scope}; give the machine's fqdn, so that the secret is known"
            )
        }
        Doubt::DenyAssignmentsUnread => {
            "the deny assignments could not be read (Microsoft.Authorization/denyAssignments/read)"
                .to_owned()
        }
        Doubt::DenyAssignmentGroups { name, .. } => {
            format!(
                "the deny assignment \"{name}\" names groups, and who is in them is not known here"
            )
        }
        Doubt::DenyAssignmentReach { name, scope, .. } => {
            format!(
                "the deny assignment \"{name}\" at {scope} does not apply below, and whether a secret is below is not documented"
            )
        }
        Doubt::DenyAssignmentCondition { name, because, .. } => {
            format!(
                "the deny assignment \"{name}\" has a condition that cannot be evaluated here: {}",
                undecided(because)
            )
        }
    }
}

fn undecided(why: &Undecided) -> String {
    match why {
        Undecided::NotShown => {
            "it has a character that cannot be shown, and that hides what it says".to_owned()
        }
        Undecided::Unreadable => "it is not of the documented grammar".to_owned(),
        Undecided::Version(version) => format!("it is of version {version}"),
        Undecided::SecretNotNamed => {
            "it compares the secret's name; give the machine's fqdn".to_owned()
        }
        Undecided::Term(term) => format!("\"{term}\" is not known here"),
    }
}
