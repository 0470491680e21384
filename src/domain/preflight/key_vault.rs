//! The Key Vault as ARM knows it: there and the right one, not soft-deleted (391283), protected from
//! purging, with a diagnostic log, and where.

use super::{
    Check, Client, Remedy,
    commands::{Az, PowerShell},
    facts::{Door, Facts, Seen},
    moment,
    remedies::{self, Names, Resource, portal, remedy},
};
use crate::domain::key_vault_id::KeyVaultUri;

/// PF-04.
pub(super) fn exists(facts: &Facts) -> Check {
    let check = Check::new("PF-04", "Key Vault").mars("100272");
    let Some(uri) = &facts.key_vault_uri else {
        return check.skipped("Without a Key Vault URI there is nothing to look for; see PF-01.");
    };
    let given = facts.subject.key_vault_id.as_ref();
    if let Some(other) = given.filter(|given| !given.is_named(uri.name())) {
        return check
            .fail("The URI is that of another Key Vault than the one whose id was given.")
            .with(format!("the id is that of {}", other.name()), None)
            .mend(remedies::show_uri(&Names::of(facts)));
    }
    match &facts.key_vault {
        Seen::Found(found, source) => {
            let check = check.with(format!("vaultUri is {}", found.uri), source.clone());
            if KeyVaultUri::parse(&found.uri).is_ok_and(|theirs| theirs == *uri) {
                return check.pass("The Key Vault is there, and the URI is its own.");
            }
            check
                .fail("The URI is that of another Key Vault than the one whose id was given.")
                .mend(remedies::show_uri(&Names::of(facts)))
        }
        Seen::Absent(_) if facts.deleted_key_vault.found().is_some() => {
            check.skipped("The Key Vault is soft-deleted; see PF-05.")
        }
        Seen::NotAsked(reason) if facts.deleted_key_vault.found().is_some() => {
            check.skipped(*reason)
        }
        // What answers is there, whatever this service may see of its resources.
        other => match (answered(&facts.door), other) {
            (Some(_), Seen::Absent(source)) if given.is_some() => check
                .unknown(
                    "The URI answers, but Azure knows no Key Vault with the keyVaultId that was given: its subscription or its \
                     resource group is another one. Correct it, or leave keyVaultId out.",
                )
                .with("Azure knows no such resource", source.clone())
                .mend(remedies::show_id(uri.name())),
            (Some(source), _) => check
                .pass("Its data plane answers under this URI.")
                .with("Key Vault answered", source),
            (None, Seen::Absent(source)) if given.is_some() => check
                .fail("There is no such Key Vault: Azure knows none with the id that was given, and its host does not answer.")
                .with("Azure knows no such resource", source.clone())
                .mend(remedies::show_uri(&Names::of(facts))),
            (None, Seen::Absent(source)) => check
                .unknown(
                    "It is in none of the subscriptions that this service can read (Microsoft.KeyVault/vaults/read). Compare its \
                     name letter by letter; then give keyVaultId, or let this service read the subscription of the Key Vault.",
                )
                .with("not found by its name", source.clone()),
            (None, other) => check.unproven(other),
        },
    }
}

fn answered(door: &Door) -> Option<super::facts::Source> {
    match door {
        Door::Open(source) | Door::Forbidden(source) | Door::Firewall { source, .. } => {
            Some(source.clone())
        }
        Door::Unreadable { .. } | Door::NotAsked(_) => None,
    }
}

/// PF-05.
pub(super) fn soft_deleted(facts: &Facts) -> Check {
    let check = Check::new("PF-05", "Key Vault not soft-deleted").mars("391283");
    if facts.key_vault_uri.is_none() {
        return check.skipped("Without a Key Vault URI there is nothing to look for; see PF-01.");
    }
    if let Seen::Found(_, source) = &facts.key_vault {
        return check
            .pass("The Key Vault is not deleted.")
            .with("the Key Vault is there", source.clone());
    }
    match &facts.deleted_key_vault {
        Seen::Found(deleted, source) => {
            let purge = deleted.scheduled_purge_at.map_or_else(|| "an unknown time".to_owned(), moment);
            check
                .fail(format!(
                    "The Key Vault is soft-deleted and will be purged, with all its passphrases, at {purge}. Recover it, or \
                     use another one. Recovering it brings back neither role assignments nor Event Grid subscriptions: \
                     until they are made again, MARS fails with 391225."
                ))
                .with(format!("{} is among the deleted Key Vaults", deleted.id.name()), source.clone())
                .mend(recover(facts, &deleted.location))
        }
        other => match answered(&facts.door) {
            Some(source) => check
                .pass("The Key Vault is not deleted: it answers.")
                .with("Key Vault answered", source),
            None => match other {
                // "No such subscription" is no list of what was deleted.
                Seen::Absent(source) if source.status != Some(200) => check.unproven(other),
                Seen::Absent(source) if facts.subject.key_vault_id.is_some() => check
                    .pass("It is not among the deleted Key Vaults of the subscription.")
                    .with("not among the deleted Key Vaults", source.clone()),
                Seen::Absent(source) => check
                    .unknown("It is not among the deleted Key Vaults of the subscriptions that this service can read.")
                    .with("not among the deleted Key Vaults", source.clone()),
                other => check.unproven(other),
            },
        },
    }
}

fn recover(facts: &Facts, location: &str) -> Vec<Remedy> {
    let names = Names::of(facts);
    let Some(key_vault) = &names.key_vault else { return Vec::new() };
    let text = "Recover the Key Vault with its secrets. Then give the roles again, and subscribe to Event Grid again if you did.";
    let az = Az::new("keyvault recover")
        .arg("--name", &key_vault.name)
        .arg("--location", location)
        .known("--subscription", key_vault.subscription.as_deref())
        .word("--output none");
    let powershell = PowerShell::new("Undo-AzKeyVaultRemoval")
        .arg("-VaultName", &key_vault.name)
        .known("-ResourceGroupName", key_vault.group.as_deref())
        .arg("-Location", location);
    let mut remedies = vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, powershell.lines_in(key_vault.subscription.as_deref())),
        portal(
            "Key vaults > Manage deleted vaults > the subscription > the Key Vault > Recover; then Access control (IAM).",
        ),
    ];
    remedies.extend(remedies::grant_set(&names).into_iter().map(|grant| Remedy {
        text: format!(
            "After recovering, if the Key Vault works with roles (Azure RBAC): {}",
            grant.text
        ),
        ..grant
    }));
    remedies
}

/// PF-11.
pub(super) fn soft_delete(facts: &Facts) -> Check {
    let check = Check::new("PF-11", "Soft delete");
    if let Seen::Found(_, source) = &facts.deleted_key_vault {
        return check
            .pass("The Key Vault itself is soft-deleted, and its secrets with it: see PF-05.")
            .with("it is among the deleted Key Vaults", source.clone());
    }
    let told = facts.key_vault.found().and_then(|found| found.soft_delete);
    match (&facts.key_vault, told, &facts.recovery_level) {
        // With today's API, absent means on: it cannot be switched off any more.
        (Seen::Found(found, source), Some(true) | None, _) => {
            let days = found.retention_days.map_or_else(String::new, |days| format!(" for {days} days"));
            check.pass(format!("Deleted secrets can be recovered{days}.")).with("enableSoftDelete is not false", source.clone())
        }
        (Seen::Found(_, source), Some(false), _) => check
            .fail(
                "Soft delete is off: a deleted passphrase is gone. It is switched on for every Key Vault by now and \
                 cannot be switched off; Azure does it when the Key Vault is next updated, with purge protection for example.",
            )
            .with("enableSoftDelete is false", source.clone())
            .mend(protect(&Names::of(facts))),
        (_, _, Some((level, source))) if level == "Purgeable" => check
            .fail("Soft delete is off: a deleted passphrase is gone.")
            .with(format!("recoveryLevel is {level}"), source.clone()),
        (_, _, Some((level, source))) => {
            check.pass("Deleted secrets can be recovered.").with(format!("recoveryLevel is {level}"), source.clone())
        }
        (other, _, None) => check.unproven(other),
    }
}

/// PF-12.
pub(super) fn purge_protection(facts: &Facts) -> Check {
    let check = Check::new("PF-12", "Purge protection");
    let why = "Purge protection is off: whoever may purge can destroy passphrases for ever, and with them the backups. \
               Switching it on cannot be undone.";
    match (&facts.key_vault, &facts.recovery_level) {
        _ if let Seen::Found(deleted, source) = &facts.deleted_key_vault => {
            let check = check.with(
                format!("purgeProtectionEnabled is {}", deleted.purge_protection),
                source.clone(),
            );
            if deleted.purge_protection {
                check.pass("Nobody can purge the deleted Key Vault before the retention ends.")
            } else {
                check.fail("Purge protection is off: whoever may purge can destroy the deleted Key Vault for ever. Recover it (PF-05), then switch it on.")
            }
        }
        (Seen::Found(found, source), _) if found.purge_protection => check
            .pass("Nobody can purge before the retention ends.")
            .with("enablePurgeProtection is true", source.clone()),
        (Seen::Found(_, source), _) => check
            .fail(why)
            .with("enablePurgeProtection is not true", source.clone())
            .mend(protect(&Names::of(facts))),
        (_, Some((level, source))) if level.contains("Purgeable") => check
            .fail(why)
            .with(format!("recoveryLevel is {level}"), source.clone())
            .mend(protect(&Names::of(facts))),
        (_, Some((level, source))) => check
            .pass("Nobody can purge before the retention ends.")
            .with(format!("recoveryLevel is {level}"), source.clone()),
        (other, None) => check.unproven(other),
    }
}

fn protect(names: &Names) -> Vec<Remedy> {
    let Some(key_vault) = &names.key_vault else { return Vec::new() };
    let text = "Switch purge protection on. This cannot be undone: until the retention ends, nobody can purge a deleted \
                secret or the deleted Key Vault, and its name stays taken.";
    let az = Az::new("keyvault update")
        .arg("--name", &key_vault.name)
        .known("--resource-group", key_vault.group.as_deref())
        .known("--subscription", key_vault.subscription.as_deref())
        .word("--enable-purge-protection true --output none");
    let powershell = PowerShell::new("Update-AzKeyVault")
        .arg("-VaultName", &key_vault.name)
        .known("-ResourceGroupName", key_vault.group.as_deref())
        .word("-EnablePurgeProtection");
    vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, powershell.lines_in(key_vault.subscription.as_deref())),
        portal("Key Vault > Properties > Purge protection: Enable. It cannot be undone."),
    ]
}

/// PF-22.
pub(super) fn diagnostics(facts: &Facts) -> Check {
    let check = Check::new("PF-22", "Key Vault's own log");
    let (settings, source) = match &facts.diagnostic_settings {
        Seen::Found(settings, source) => (settings, source.clone()),
        other => return check.unproven(other),
    };
    let logged = settings.iter().find(|setting| setting.logs_audit_events());
    if let Some(setting) = logged {
        return check
            .pass("Key Vault logs who reads, as a second witness.")
            .with(format!("the diagnostic setting {} logs AuditEvent", setting.name), source);
    }
    let check = check
        .warn("Key Vault does not log who reads secrets, so a read that does not go through this service leaves no trace.")
        .with(format!("{} diagnostic settings, none logs AuditEvent", settings.len()), source);
    let names = Names::of(facts);
    let Some(Resource { id: Some(id), .. }) = &names.key_vault else { return check };
    let az = Az::new("monitor diagnostic-settings create")
        .arg("--resource", id)
        .word("--name passphrase-audit --workspace \"$LOG_ANALYTICS_WORKSPACE_ID\"")
        .word(r#"--logs '[{"category":"AuditEvent","enabled":true}]' --output none"#);
    let powershell = format!(
        "New-AzDiagnosticSetting -Name passphrase-audit {} -WorkspaceId $LogAnalyticsWorkspaceId -Log (New-AzDiagnosticSettingLogSettingsObject -Category AuditEvent -Enabled $true)",
        PowerShell::new("").arg("-ResourceId", id).line().trim_start()
    );
    let text = "Send the log to a Log Analytics workspace of yours: put its resource id into the variable first.";
    check.mend([
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, vec![powershell]),
        portal("Key Vault > Diagnostic settings > Add: category AuditEvent, to a Log Analytics workspace."),
    ])
}

/// PF-26: allowed, and worth a sentence.
pub(super) fn region(facts: &Facts) -> Check {
    let check = Check::new("PF-26", "Regions");
    let (Seen::Found(key_vault, source), Seen::Found(rsv, other)) =
        (&facts.key_vault, &facts.recovery_services_vault)
    else {
        return check.skipped("The regions of both are needed for this.");
    };
    let check = check
        .with(format!("the Key Vault is in {}", key_vault.location), source.clone())
        .with(format!("the Recovery Services vault is in {}", rsv.location), other.clone());
    if key_vault.location.eq_ignore_ascii_case(&rsv.location) {
        return check.pass(
            "Both are in one region: an outage takes the backups and their passphrases at once.",
        );
    }
    check.pass(
        "They are in different regions, which is allowed. When the Key Vault's region fails, nothing can be restored elsewhere \
         until Microsoft fails it over; note it in your recovery plan.",
    )
}
