//! One question about several secrets: MARS saves under one of a few names, and nobody knows which.

use super::{Denial, Doubt, EffectivePermission, Question, Rights, decide};

/// Whether the principal may do it to every one of these secrets; without a name, to any secret. What differs
/// from name to name is unknown.
pub fn decide_for_each(
    question: &Question<'_>,
    names: &[&str],
    rights: Rights<'_>,
) -> EffectivePermission {
    let answers = names.iter().map(|name| {
        let question = Question { secret_name: Some(name), ..*question };
        (*name, decide(&question, rights))
    });
    let answers: Vec<(&str, EffectivePermission)> = answers.collect();
    match answers.as_slice() {
        [] => decide(&Question { secret_name: None, ..*question }, rights),
        [(_, only)] => only.clone(),
        several => together(several),
    }
}

fn together(answers: &[(&str, EffectivePermission)]) -> EffectivePermission {
    let (mut by, mut young, mut doubts) = (Vec::new(), false, Vec::new());
    let (mut allowed, mut refused) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            EffectivePermission::Allowed { by: grants, propagating } => {
                add(&mut by, grants);
                young |= propagating;
                allowed.push((*name).to_owned());
            }
            EffectivePermission::Denied { why } => refused.push(((*name).to_owned(), why.clone())),
            EffectivePermission::Unknown { why } => add(&mut doubts, why),
        }
    }
    if allowed.len() == answers.len() {
        return EffectivePermission::Allowed { by, propagating: young };
    }
    if refused.len() == answers.len() {
        // What no role can mend is told first.
        let by_denial = |(_, why): &&(String, Denial)| matches!(why, Denial::DenyAssignment { .. });
        let worst = refused.iter().find(by_denial).or(refused.first());
        if let Some((_, why)) = worst {
            return EffectivePermission::Denied { why: why.clone() };
        }
    }
    if !refused.is_empty() {
        doubts.push(Doubt::NamesDiffer { allowed, refused });
    }
    EffectivePermission::Unknown { why: doubts }
}

fn add<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}
