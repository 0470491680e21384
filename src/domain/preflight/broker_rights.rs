//! PF-16: which operations of this service its own identity could not do. Nothing is tried by writing: reading
//! is tried with reads, the rest is worked out like anybody else's rights.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{
    Check, Remedy,
    facts::{Door, Facts, Seen, Source},
    permission::permission,
    remedies::{Names, set_policy},
    roles::Grants,
};
use crate::domain::effective_permission::{EffectivePermission, SecretAction, SecurityPrincipal};

const NEEDED: [(SecretAction, &str); 5] = [
    (SecretAction::List, "registering, adopting, listing versions and noticing other writers"),
    (SecretAction::Get, "retrieving and rotating"),
    (SecretAction::Set, "registering with a passphrase and rotating"),
    (SecretAction::Update, "disabling confirmed copies of a rotation"),
    (SecretAction::Recover, "recovering a soft-deleted secret"),
];
const SECRETS_ROLE: &str = "MARS Passphrase Broker (secrets)";
const DIAGNOSIS_ROLE: &str = "MARS Passphrase Broker (diagnosis)";
/// What preflight reads in Azure Resource Manager.
const DIAGNOSIS: [&str; 10] = [
    "Microsoft.KeyVault/vaults/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/deletedVaults/read",
    "Microsoft.RecoveryServices/Vaults/read",
    "Microsoft.RecoveryServices/Vaults/backupProtectionContainers/read",
    "Microsoft.RecoveryServices/Vaults/backupconfig/read",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/denyAssignments/read",
    "Microsoft.Insights/diagnosticSettings/read",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    Yes,
    No,
    Unknown,
}

pub(super) fn rights(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-16", "This service's own permissions");
    if facts.key_vault_uri.is_none() {
        return check
            .skipped("Without a Key Vault URI there is nothing to be permitted; see PF-01.");
    }
    if facts.deleted_key_vault.found().is_some() {
        return check.skipped(
            "The Key Vault is soft-deleted; see PF-05. Its role assignments are gone with it.",
        );
    }
    let verdicts =
        NEEDED.map(|(action, purpose)| (action, purpose, may(&check, facts, action, now)));
    let mut check = verdicts.iter().fold(check, |check, (action, _, may)| {
        let verdict = match may {
            May::Yes => "allowed",
            May::No => "not allowed",
            May::Unknown => "not proved",
        };
        check.with(format!("{}: {verdict}", action.data_action()), witness(facts, *action))
    });
    let missing = missing_reads(facts);
    let actions: BTreeSet<&str> = missing.iter().map(|(action, _)| action.as_str()).collect();
    let actions = actions.into_iter().collect::<Vec<_>>().join(", ");
    if !missing.is_empty() {
        check = check.with(format!("not readable in Azure Resource Manager: {actions}"), None);
    }
    let purposes = |wanted: May| -> Vec<&str> {
        verdicts.iter().filter(|(.., may)| *may == wanted).map(|(_, purpose, _)| *purpose).collect()
    };
    let (denied, doubted) = (purposes(May::No), purposes(May::Unknown));
    if !denied.is_empty() {
        return check
            .fail(format!("This service's identity lacks permissions in this Key Vault. These would fail: {}.", denied.join("; ")))
            .mend(secrets_role(facts))
            .mend(diagnosis_role(facts, &missing));
    }
    if !doubted.is_empty() {
        let why = if facts.key_vault_allowed {
            "It cannot be proved without writing, and this service does not write to find out"
        } else {
            "This service is not configured for this Key Vault (KEY_VAULT_URIS), so its secrets were not asked for"
        };
        let blind = if missing.is_empty() {
            String::new()
        } else {
            format!(" Preflight is blind without: {actions}.")
        };
        return check
            .unknown(format!("{why}. Not proved: {}.{blind}", doubted.join("; ")))
            .mend(diagnosis_role(facts, &missing));
    }
    if !facts.key_vault_allowed {
        return check
            .warn(
                "This service's identity has the rights, but this service is not configured for this Key Vault (KEY_VAULT_URIS): \
                 it refuses to register machines with it.",
            )
            .mend(diagnosis_role(facts, &missing));
    }
    if missing.is_empty() {
        return check.pass("This service may do all that it does with secrets, and see all that preflight looks at.");
    }
    check
        .warn(format!(
            "This service may do all that it does with secrets. Preflight is blind without: {actions}."
        ))
        .mend(diagnosis_role(facts, &missing))
}

/// Tried, where trying changes nothing; worked out otherwise.
fn may(check: &Check, facts: &Facts, action: SecretAction, now: OffsetDateTime) -> May {
    match (action, &facts.door, &facts.may_get) {
        (SecretAction::List, Door::Open(_), _) | (SecretAction::Get, _, Seen::Found(true, _)) => {
            return May::Yes;
        }
        (SecretAction::List, Door::Forbidden(_), _)
        | (SecretAction::Get, _, Seen::Found(false, _)) => return May::No,
        _ => {}
    }
    let Some(identity) = &facts.broker else { return May::Unknown };
    let principal = SecurityPrincipal {
        object_id: identity.object_id.clone(),
        tenant_id: identity.tenant_id.clone(),
    };
    match permission(check, facts, (&principal, &facts.rights_of_broker), action, now) {
        Ok(EffectivePermission::Allowed { .. }) => May::Yes,
        Ok(EffectivePermission::Denied { .. }) => May::No,
        Ok(EffectivePermission::Unknown { .. }) | Err(_) => May::Unknown,
    }
}

/// What a verdict rests on: the read that was tried, or what was worked out from.
fn witness(facts: &Facts, action: SecretAction) -> Option<Source> {
    let worked_out = || match &facts.key_vault {
        Seen::Found(key_vault, source) if !key_vault.rbac => Some(source.clone()),
        _ => facts.rights_of_broker.assignments.source().cloned(),
    };
    match (action, &facts.door, &facts.may_get) {
        (SecretAction::List, Door::Open(source) | Door::Forbidden(source), _)
        | (SecretAction::Get, _, Seen::Found(_, source)) => Some(source.clone()),
        _ => worked_out(),
    }
}

/// What Azure Resource Manager refused to show: the action that is missing, and the subscription of it.
fn missing_reads(facts: &Facts) -> BTreeSet<(String, Option<String>)> {
    fn lacking<T>(seen: &Seen<T>) -> Option<(String, Option<String>)> {
        match seen {
            Seen::Forbidden { action, source } => Some((action.clone(), subscription(source))),
            _ => None,
        }
    }
    let all = [
        lacking(&facts.key_vault),
        lacking(&facts.deleted_key_vault),
        lacking(&facts.recovery_services_vault),
        lacking(&facts.rsv_config),
        lacking(&facts.containers),
        lacking(&facts.rights_of_recovery_services_vault.assignments),
        lacking(&facts.rights_of_broker.assignments),
        facts.rights_of_recovery_services_vault.definition_unread.as_ref().and_then(lacking),
        facts.rights_of_broker.definition_unread.as_ref().and_then(lacking),
        lacking(&facts.deny_assignments),
        lacking(&facts.diagnostic_settings),
    ];
    all.into_iter().flatten().collect()
}

/// That was asked, by the URL of the call.
fn subscription(source: &Source) -> Option<String> {
    let (_, after) = source.call.split_once("/subscriptions/")?;
    after.split(['/', '?']).next().map(str::to_ascii_lowercase)
}

fn secrets_role(facts: &Facts) -> Vec<Remedy> {
    let names = Names::of(facts);
    let (Some(key_vault), Some(broker)) = (&names.key_vault, &facts.broker) else {
        return Vec::new();
    };
    if names.rbac == Some(false) {
        return set_policy(key_vault, &broker.object_id, &["get", "list", "set", "recover"]);
    }
    let actions = NEEDED.map(|(action, _)| action.data_action());
    let grants = Grants {
        instead_of: &[],
        role: SECRETS_ROLE,
        description: "Reads, sets, disables and recovers secrets, and never deletes one",
        actions: &[],
        data_actions: &actions,
        portal: "Key Vault > Access control (IAM) > Add role assignment: a custom role with the data actions of the evidence, \
                 member: the managed identity of this service.",
    };
    grants.to(key_vault, &broker.object_id)
}

/// For each subscription in which something could not be read.
fn diagnosis_role(facts: &Facts, missing: &BTreeSet<(String, Option<String>)>) -> Vec<Remedy> {
    let Some(broker) = &facts.broker else { return Vec::new() };
    let subscriptions: BTreeSet<&String> =
        missing.iter().filter_map(|(_, subscription)| subscription.as_ref()).collect();
    let grants = Grants {
        instead_of: &[],
        role: DIAGNOSIS_ROLE,
        description: "Reads what decides whether MARS can save a passphrase",
        actions: &DIAGNOSIS,
        data_actions: &[],
        portal: "Subscription > Access control (IAM) > Add role assignment: a custom role with the read actions of the evidence, \
                 member: the managed identity of this service.",
    };
    let at = |subscription: &String| {
        grants.at(&format!("/subscriptions/{subscription}"), subscription, &broker.object_id)
    };
    subscriptions.into_iter().flat_map(at).collect()
}
