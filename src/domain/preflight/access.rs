//! 391225: whether the Recovery Services vault's identity may set secrets, by what, and what else it may.

use time::OffsetDateTime;

use super::{
    Check, Client, Remedy,
    commands::Az,
    facts::{Facts, Rights as ReadRights, Seen},
    remedies::{self, Names, remedy},
    wording::{denial, doubt, told},
};
use crate::domain::{
    effective_permission::{
        Denial, Doubt, EffectivePermission, Grant, Groups, KeyVaultScope, Question, Rights,
        SecretAction, SecurityPrincipal, decide,
    },
    recovery_services_resource::RecoveryServicesVaultResource,
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

/// The answer, or the check that tells why there is none.
type Decided = Result<EffectivePermission, Box<Check>>;

/// What `principal` may do at the Key Vault, by what was read.
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
    let secret_name =
        facts.subject.secret_name.as_ref().or(facts.secrets.first().map(|secret| &secret.name));
    let question = Question {
        principal,
        action,
        key_vault: &scope,
        secret_name: secret_name.map(crate::domain::secret_name::SecretName::as_str),
        groups: Groups::NotKnown,
        now,
    };
    Ok(decide(&question, rights))
}

/// Of the Recovery Services vault's identity.
fn of_identity(check: &Check, facts: &Facts, action: SecretAction, now: OffsetDateTime) -> Decided {
    let Seen::Found(found, _) = &facts.recovery_services_vault else {
        return Err(Box::new(check.clone().unproven(&facts.recovery_services_vault)));
    };
    let Some(principal) = identity(found) else {
        let reason = "The Recovery Services vault has no system-assigned identity that could be permitted anything; see PF-07.";
        return Err(Box::new(check.clone().skipped(reason)));
    };
    permission(check, facts, (&principal, &facts.rights_of_recovery_services_vault), action, now)
}

fn identity(found: &RecoveryServicesVaultResource) -> Option<SecurityPrincipal> {
    let identity = found.identity.system_assigned()?;
    let tenant_id = identity.tenant_id?.to_string();
    Some(SecurityPrincipal { object_id: identity.principal_id.to_string(), tenant_id })
}

/// PF-09.
pub(super) fn set_permission(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-09", "Permission to set secrets").mars("391225");
    let decided = match of_identity(&check, facts, SecretAction::Set, now) {
        Ok(decided) => decided,
        Err(unproven) => return *unproven,
    };
    let source = rights_source(facts);
    match decided {
        EffectivePermission::Allowed { by, .. } => by.iter().fold(
            check.pass(
                "The identity of the Recovery Services vault may set secrets in this Key Vault.",
            ),
            |check, grant| check.with(told(grant), source.clone()),
        ),
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
            let check = check.unknown(cause).with(doubts.join("; "), source);
            // A role more does not help where a denial is in doubt.
            if why.iter().any(is_about_denial) {
                return check;
            }
            check.mend(remedies::grant_set(&Names::of(facts).without_doubts(&why)))
        }
    }
}

/// PF-10.
pub(super) fn excess(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-10", "No more rights than needed");
    let (mut held, mut by, mut doubted) = (Vec::new(), Vec::<Grant>::new(), false);
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
            Ok(EffectivePermission::Unknown { .. }) => doubted = true,
            Ok(EffectivePermission::Denied { .. }) => {}
            Err(unproven) => return *unproven,
        }
    }
    let source = rights_source(facts);
    if held.is_empty() {
        return if doubted {
            check.unknown(
                "Whether the identity may do more than set secrets cannot be proved; see PF-09.",
            )
        } else {
            check
                .pass("The identity may set secrets at most.")
                .with("no other permission for secrets", source)
        };
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
        Doubt::DefinitionMissing { .. }
        | Doubt::ConditionUndecided { .. }
        | Doubt::OneSecretOnly { .. } => false,
    }
}

fn rights_source(facts: &Facts) -> Option<super::facts::Source> {
    let by_policies = facts.key_vault.found().is_some_and(|found| !found.rbac);
    let assignments = &facts.rights_of_recovery_services_vault.assignments;
    if by_policies { facts.key_vault.source() } else { assignments.source() }.cloned()
}
