//! 391225: whether the Recovery Services vault's identity may set secrets, by what, and what else it may.

use time::OffsetDateTime;

use super::{
    Check, Client, Remedy,
    commands::Az,
    facts::{Facts, Seen, Source},
    permission::{identity, of_identity},
    remedies::{self, Names, remedy},
    wording::{denial, doubt, seen_of, told},
};
use crate::domain::effective_permission::{
    Denial, Doubt, EffectivePermission, Grant, SecretAction,
};

/// What the identity needs none of.
const EXCESS: [SecretAction; 8] = [
    SecretAction::Get,
    SecretAction::List,
    SecretAction::Update,
    SecretAction::Delete,
    SecretAction::Recover,
    SecretAction::Purge,
    SecretAction::Backup,
    SecretAction::Restore,
];

/// PF-09.
pub(super) fn set_permission(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-09", "Permission to set secrets").mars("391225");
    let decided = match of_identity(&check, facts, SecretAction::Set, now) {
        Ok(decided) => decided,
        Err(unproven) => return *unproven,
    };
    let source = rights_source(facts);
    match decided {
        EffectivePermission::Allowed { by, .. } => {
            let through_groups = if by.iter().all(|grant| is_of_group(facts, grant)) {
                " It may through a group; Azure's tokens keep the groups of an identity for hours, so who was put into one \
                 today may have to wait."
            } else {
                ""
            };
            let cause = format!(
                "The identity of the Recovery Services vault may set secrets in this Key Vault.{through_groups}"
            );
            by.iter()
                .fold(check.pass(cause), |check, grant| check.with(told(grant), source.clone()))
        }
        EffectivePermission::Denied { why } => {
            let (cause, seen) = denial(&why);
            let check = check.fail(format!(
                "{cause} Two more questions before you grant it: is the vault credential that of this Recovery Services \
                 vault, and is the URI that of the Key Vault you mean?"
            ));
            let check =
                seen.into_iter().fold(check, |check, fact| check.with(fact, source.clone()));
            match why {
                Denial::DenyAssignment { .. } | Denial::ForeignTenant { .. } => check,
                _ => check.mend(remedies::grant_set(&Names::of(facts).without_conditions(&why))),
            }
        }
        EffectivePermission::Unknown { why } => {
            let doubts: Vec<String> = why.iter().map(doubt).collect();
            let cause = format!(
                "Whether the identity may set secrets cannot be proved: {}.",
                doubts.join("; ")
            );
            let check = why
                .iter()
                .flat_map(seen_of)
                .fold(check.unknown(cause), |check, fact| check.with(fact, source.clone()));
            // A role more does not help where a denial is in doubt.
            if why.iter().any(is_about_denial) {
                return check;
            }
            check.mend(remedies::grant_set(&Names::of(facts).without_doubts(&why)))
        }
    }
}

/// An access policy of somebody else counts when it is known to be for a group that holds the identity.
fn is_of_group(facts: &Facts, grant: &Grant) -> bool {
    let own = facts.recovery_services_vault.found().and_then(identity);
    let Grant::AccessPolicy { object_id, .. } = grant else { return false };
    own.is_none_or(|own| !own.object_id.eq_ignore_ascii_case(object_id))
}

/// PF-10.
pub(super) fn excess(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-10", "No more rights than needed");
    let (mut held, mut by, mut doubts) = (Vec::new(), Vec::<Grant>::new(), Vec::<Doubt>::new());
    // An access policy cannot grant setting without the changing of attributes.
    let by_roles = facts.key_vault.found().is_some_and(|found| found.rbac);
    let beyond = EXCESS.into_iter().filter(|action| by_roles || *action != SecretAction::Update);
    for action in beyond {
        match of_identity(&check, facts, action, now) {
            Ok(EffectivePermission::Allowed { by: grants, .. }) => {
                held.push(word(action));
                by.extend(
                    grants.into_iter().filter(|grant| !by.contains(grant)).collect::<Vec<_>>(),
                );
            }
            Ok(EffectivePermission::Unknown { why }) => doubts.extend(why),
            Ok(EffectivePermission::Denied { .. }) => {}
            Err(unproven) => return *unproven,
        }
    }
    let source = rights_source(facts);
    if held.is_empty() {
        return unless_doubted(check, &doubts, source);
    }
    let cause = format!(
        "The identity needs to set secrets and nothing else. It may also {}: whoever gets hold of the Recovery Services vault \
         could read or destroy the passphrases of all machines.",
        held.join(", ")
    );
    let check =
        by.iter().fold(check.warn(cause), |check, grant| check.with(told(grant), source.clone()));
    check.mend(narrowed(facts, &by))
}

fn unless_doubted(check: Check, doubts: &[Doubt], source: Option<Source>) -> Check {
    let of_groups = |doubt: &&Doubt| matches!(doubt, Doubt::AccessPolicyGroups { .. });
    match (doubts.first(), doubts.iter().find(of_groups)) {
        (None, _) => check
            .pass("The identity may set secrets at most.")
            .with("no other permission for secrets", source),
        (Some(_), None) => check
            .unknown("Whether the identity may do more than set secrets cannot be proved; see PF-09."),
        // Access policies alone are in force: there are no other doubts.
        // Not "unknown": this check warns of what was granted to the identity, and most Key Vaults have an
        // administrator's policy.
        (Some(_), Some(doubt)) => seen_of(doubt).into_iter().fold(
            check.pass(
                "Its own access policies let the identity set secrets at most. Those of others allow more, which matters if \
                 one is for a group that holds the identity: Azure Resource Manager does not tell who is in a group.",
            ),
            |check, fact| check.with(fact, source.clone()),
        ),
    }
}

fn word(action: SecretAction) -> &'static str {
    if action == SecretAction::Update { "update" } else { action.policy_word() }
}

/// The narrow role first, then away with the wide ones that are given right here.
fn narrowed(facts: &Facts, by: &[Grant]) -> Vec<Remedy> {
    let names = Names::of(facts);
    let mut mended = remedies::grant_set(&names);
    let here =
        names.key_vault.as_ref().and_then(|key_vault| key_vault.id.clone()).unwrap_or_default();
    let wide = by.iter().filter_map(|grant| match grant {
        Grant::RoleAssignment { assignment_id, scope, .. } if scope.eq_ignore_ascii_case(&here) => {
            Some(assignment_id)
        }
        _ => None,
    });
    let lines: Vec<String> =
        wide.map(|id| Az::new("role assignment delete").arg("--ids", id).line()).collect();
    if !lines.is_empty() {
        mended.push(remedy(Client::Az, "Then take the wide role away.", lines));
    }
    mended
}

/// PF-20.
pub(super) fn propagation(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-20", "Role in force").mars("391225");
    match of_identity(&check, facts, SecretAction::Set, now) {
        Ok(EffectivePermission::Allowed { propagating: true, by }) => {
            let check = check.warn(
                "The role was assigned or changed within the last ten minutes. Until Azure has spread it, MARS may still fail \
                 with 391225: wait, and try again.",
            );
            by.iter().fold(check, |check, grant| check.with(told(grant), rights_source(facts)))
        }
        Ok(EffectivePermission::Allowed { .. }) => {
            check.pass("The permission is older than ten minutes.")
        }
        Ok(_) => check.skipped("There is no permission that could be young; see PF-09."),
        Err(unproven) => *unproven,
    }
}

/// PF-21.
pub(super) fn deny_assignments(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-21", "Deny assignments").mars("391225");
    if facts.key_vault.found().is_some_and(|found| !found.rbac) {
        return check.skipped(
            "The Key Vault works with access policies; deny assignments do not concern it.",
        );
    }
    let decided = match of_identity(&check, facts, SecretAction::Set, now) {
        Ok(decided) => decided,
        Err(unproven) => return *unproven,
    };
    let (denials, source) = match &facts.deny_assignments {
        Seen::Found(denials, source) => (denials, source.clone()),
        other => return check.unproven(other),
    };
    match decided {
        EffectivePermission::Denied { why: Denial::DenyAssignment { id, name, scope } } => check
            .fail(format!(
                "The deny assignment \"{name}\" at {scope} forbids it, whatever roles are given. It belongs to a managed \
                 application or a deployment stack; its owner has to exclude the identity or remove it."
            ))
            .with(format!("deny assignment {id}"), source)
            .mend([remedies::portal("Key Vault > Access control (IAM) > Deny assignments: see who made it, and ask them.")]),
        EffectivePermission::Unknown { why } if why.iter().any(is_about_denial) => {
            let doubts: Vec<String> = why.iter().filter(|doubt| is_about_denial(doubt)).map(doubt).collect();
            check.unknown(format!("Not provable: {}.", doubts.join("; "))).with(doubts.join("; "), source)
        }
        _ => check
            .pass("No deny assignment forbids it.")
            .with(format!("{} deny assignments at the Key Vault or above", denials.len()), source),
    }
}

fn is_about_denial(doubt: &Doubt) -> bool {
    match doubt {
        Doubt::DenyAssignmentsUnread
        | Doubt::DenyAssignmentGroups { .. }
        | Doubt::DenyAssignmentReach { .. }
        | Doubt::DenyAssignmentCondition { .. } => true,
        Doubt::NamesDiffer { refused, .. } => {
            refused.iter().any(|(_, why)| matches!(why, Denial::DenyAssignment { .. }))
        }
        Doubt::AccessPolicyGroups { .. }
        | Doubt::DefinitionMissing { .. }
        | Doubt::ConditionUndecided { .. }
        | Doubt::OneSecretOnly { .. } => false,
    }
}

fn rights_source(facts: &Facts) -> Option<Source> {
    let by_policies = facts.key_vault.found().is_some_and(|found| !found.rbac);
    let assignments = &facts.rights_of_recovery_services_vault.assignments;
    if by_policies { facts.key_vault.source() } else { assignments.source() }.cloned()
}
