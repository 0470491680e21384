//! The decision by access policies.
//!
//! A policy names an object id and not what kind of object it is. One that grants to somebody else might be
//! for a group that holds the principal; ARM tells neither. So without a policy that grants for certain, each
//! such object leaves a doubt, unless it is known to be no group.

use super::{
    AccessPolicy, Denial, Doubt, EffectivePermission, Grant, PassedOver, Question, SecretAction,
    same,
};

pub(super) fn decide(question: &Question<'_>, policies: &[AccessPolicy]) -> EffectivePermission {
    let (mut by, mut passed_over, mut object_ids) = (Vec::new(), Vec::new(), Vec::<String>::new());
    for policy in policies {
        let own = same(&policy.object_id, &question.principal.object_id);
        let certain = own || question.groups.hold(&policy.object_id);
        match grant(question, policy) {
            Ok(word) if certain => {
                by.push(Grant::AccessPolicy { object_id: policy.object_id.clone(), word });
            }
            Ok(_) if question.groups.may_hold(&policy.object_id) => {
                if !object_ids.iter().any(|known| same(known, &policy.object_id)) {
                    object_ids.push(policy.object_id.clone());
                }
            }
            Err(why) if certain => passed_over.push(why),
            Ok(_) | Err(_) => {}
        }
    }
    if !by.is_empty() {
        // When a policy was made is not recorded, and Key Vault applies it at once.
        return EffectivePermission::Allowed { by, propagating: false };
    }
    if !object_ids.is_empty() {
        let why = vec![Doubt::AccessPolicyGroups { object_ids, passed_over }];
        return EffectivePermission::Unknown { why };
    }
    EffectivePermission::Denied { why: Denial::NoAccessPolicy { passed_over } }
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
