//! The decision by access policies.
//!
//! A policy names an object id and not what kind of object it is. One that grants to somebody else might be
//! for a group that holds the principal; ARM cannot tell, and managed identities are rarely put into groups.
//! So this is a denial that names those object ids, and whoever words it adds the doubt: "unknown" would hide
//! the commonest cause of 391225, a Key Vault with policies for others only.

use super::{
    AccessPolicy, Denial, EffectivePermission, Grant, Groups, PassedOver, Question, SecretAction,
    same,
};

pub(super) fn decide(question: &Question<'_>, policies: &[AccessPolicy]) -> EffectivePermission {
    let (mut by, mut passed_over, mut possible_groups) = (Vec::new(), Vec::new(), Vec::new());
    for policy in policies {
        let own = same(&policy.object_id, &question.principal.object_id);
        let through_group = match question.groups {
            Groups::Known(groups) => groups.iter().any(|group| same(group, &policy.object_id)),
            Groups::NotKnown => false,
        };
        match grant(question, policy) {
            Ok(word) if own || through_group => {
                by.push(Grant::AccessPolicy { object_id: policy.object_id.clone(), word });
            }
            Ok(_) if matches!(question.groups, Groups::NotKnown) => {
                possible_groups.push(policy.object_id.clone());
            }
            Err(why) if own || through_group => passed_over.push(why),
            Ok(_) | Err(_) => {}
        }
    }
    if by.is_empty() {
        let why = Denial::NoAccessPolicy { possible_groups, passed_over };
        return EffectivePermission::Denied { why };
    }
    // When a policy was made is not recorded, and Key Vault applies it at once.
    EffectivePermission::Allowed { by, propagating: false }
}

/// The word by which this policy grants to its object, or why it does not.
fn grant(question: &Question<'_>, policy: &AccessPolicy) -> Result<String, PassedOver> {
    let object_id = policy.object_id.clone();
    if let Some(application_id) = policy.application_id.clone() {
        return Err(PassedOver::CompoundIdentity { object_id, application_id });
    }
    if !same(&policy.tenant_id, &question.key_vault.tenant_id) {
        return Err(PassedOver::OtherTenant { object_id, tenant_id: policy.tenant_id.clone() });
    }
    let covers = |word: &&String| {
        same(word, question.action.policy_word())
            // `all` is older than purging and does not include it (a warning of Azure PowerShell's).
            || (same(word, "all") && question.action != SecretAction::Purge)
    };
    let words = &policy.secret_permissions;
    let word = words.iter().find(covers);
    word.cloned().ok_or_else(|| PassedOver::WordMissing { object_id, words: words.clone() })
}
