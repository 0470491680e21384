//! This service itself: its Key Vaults, the API versions that it speaks, and its clock.

use super::{
    Check,
    facts::{Facts, Seen},
};

const SKEW_SECONDS: i64 = 60;
/// What Azure answers when it does not know an API version any more.
const VERSION_REFUSALS: [&str; 3] =
    ["InvalidApiVersionParameter", "NoRegisteredProviderFound", "InvalidResourceType"];

/// PF-23.
pub(super) fn one_key_vault(facts: &Facts) -> Check {
    let check = Check::new("PF-23", "One Key Vault for all");
    match &facts.key_vaults_in_use {
        Ok(used) if used.len() > 1 => check
            .warn("The registered machines use several Key Vaults. Microsoft recommends one for all passphrases: it is easier to guard and to search.")
            .with(used.join(", "), None),
        Ok(used) => check.pass("The registered machines use one Key Vault at most.").with(used.join(", "), None),
        Err(why) => check.unknown(*why),
    }
}

/// PF-24: every Key Vault control-plane version before 2026-02-01 ends on 2027-02-27.
pub(super) fn api_versions(facts: &Facts) -> Check {
    let check = Check::new("PF-24", "API versions");
    let sources = [
        facts.key_vault.source(),
        facts.recovery_services_vault.source(),
        facts.containers.source(),
        facts.rsv_config.source(),
        facts.deny_assignments.source(),
        facts.diagnostic_settings.source(),
        facts.rights_of_recovery_services_vault.assignments.source(),
    ];
    let answered: Vec<_> =
        sources.into_iter().flatten().filter(|source| source.status.is_some()).collect();
    let refused = answered
        .iter()
        .find(|source| source.code.as_deref().is_some_and(|code| VERSION_REFUSALS.contains(&code)));
    match (refused, answered.first()) {
        (Some(source), _) => check
            .fail("Azure does not take an API version any more that this service speaks: a later release of it is needed.")
            .with(source.code.clone().unwrap_or_default(), Some((*source).clone())),
        // Something in front of Azure may answer, too; only Azure's own data proves that it took the version.
        (None, _) if matches!(facts.key_vault, Seen::Found(..))
                || matches!(facts.deleted_key_vault, Seen::Found(..)) || matches!(facts.recovery_services_vault, Seen::Found(..)) => {
            check.pass("Azure takes the API versions that this service speaks.")
        }
        (None, Some(_)) => check.unknown("Azure Resource Manager gave no answer that shows whether it takes the API versions."),
        (None, None) if facts.key_vault.source().is_none() && facts.recovery_services_vault.source().is_none() => {
            check.skipped("Azure Resource Manager was not asked.")
        }
        (None, None) => check.unknown("Azure Resource Manager does not answer."),
    }
}

/// PF-25.
pub(super) fn clock(facts: &Facts) -> Check {
    let check = Check::new("PF-25", "Clock");
    let Some((ahead, source)) = &facts.clock_ahead else {
        return check.unknown("No answer of Azure told the time.");
    };
    let check =
        check.with(format!("this service's clock is {ahead} s ahead of Azure's"), source.clone());
    if ahead.abs() <= SKEW_SECONDS {
        return check.pass("This service's clock agrees with Azure's.");
    }
    check.warn("This service's clock is more than a minute off: tokens may be refused, and times in the log are wrong. Synchronise it (NTP).")
}
