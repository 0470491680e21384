//! The machine's secret: its name, whether it lies soft-deleted (391282), and the state of its versions.

use time::OffsetDateTime;

use super::{
    Check, Client,
    commands::{Az, PowerShell},
    facts::{DeletedSecretFacts, Facts, SecretFacts, Seen, VersionFacts},
    moment,
    remedies::{Names, portal, remedy},
};
use crate::domain::secret_name::SecretName;

/// A secret with more than 500 versions cannot be backed up by Key Vault.
const MANY_VERSIONS: usize = 400;
const NEEDED: &str =
    "The machine's fqdn and its Recovery Services vault are needed to know the secret's name.";

/// PF-03.
pub(super) fn name(facts: &Facts) -> Check {
    let check = Check::new("PF-03", "Secret name");
    let subject = &facts.subject;
    if let (Some(fqdn), Some(rsv), None) =
        (&subject.fqdn, &subject.recovery_services_vault_id, &subject.secret_name)
        && SecretName::candidates(fqdn, rsv).is_empty()
    {
        return check.fail(
            "AzBackup-<machine>-<Recovery Services vault> has more than the 127 characters that Key Vault allows, in every \
             spelling, or characters that it does not allow. Register the machine with a secretName of its own.",
        );
    }
    if facts.secrets.is_empty() {
        return check.skipped(NEEDED);
    }
    let names: Vec<&str> = facts.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let check = check.with(format!("possible names: {}", names.join(", ")), None);
    match &facts.shared_with {
        Ok(others) if others.is_empty() => check.pass("No other registered machine has this secret."),
        Ok(others) => check.warn(format!(
            "Another registered machine has the same secret: {}. Two machines that save to one secret overwrite each other; give \
             one of them a secretName of its own.",
            others.join(", ")
        )),
        Err(why) => check.unknown(*why),
    }
}

/// PF-13.
pub(super) fn soft_deleted(facts: &Facts) -> Check {
    let check = Check::new("PF-13", "Secret not soft-deleted").mars("391282");
    if facts.secrets.is_empty() {
        return check.skipped(NEEDED);
    }
    let deleted: Vec<_> = facts
        .secrets
        .iter()
        .filter_map(|secret| match &secret.deleted {
            Seen::Found(found, source) => Some((secret, found, source)),
            _ => None,
        })
        .collect();
    if !deleted.is_empty() {
        let causes: Vec<String> =
            deleted.iter().map(|(secret, found, _)| lies_deleted(secret, found)).collect();
        return deleted.iter().fold(check.fail(causes.join(" ")), |check, (secret, _, source)| {
            check
                .with(format!("{} is among the deleted secrets", secret.name), (*source).clone())
                .mend(recover(facts, secret))
        });
    }
    let unproven = facts.secrets.iter().find(|secret| !matches!(secret.deleted, Seen::Absent(_)));
    match unproven {
        Some(secret) => check.unproven(&secret.deleted),
        None => facts.secrets.iter().fold(
            check.pass("It is not among the deleted secrets."),
            |check, secret| {
                check.with(
                    format!("{} is not among the deleted secrets", secret.name),
                    secret.deleted.source().cloned(),
                )
            },
        ),
    }
}

fn lies_deleted(secret: &SecretFacts, found: &DeletedSecretFacts) -> String {
    let purge = found
        .scheduled_purge_at
        .map_or_else(String::new, |at| format!(" It will be purged at {}.", moment(at)));
    let disabled = if found.disabled { ", and was disabled before" } else { "" };
    format!(
        "The secret {} is soft-deleted{disabled}. Until it is recovered, MARS cannot save this machine's passphrase under that \
         name.{purge}",
        secret.name
    )
}

fn recover(facts: &Facts, secret: &SecretFacts) -> Vec<super::Remedy> {
    let names = Names::of(facts);
    let Some(key_vault) = &names.key_vault else { return Vec::new() };
    let through = match facts.machine_id {
        Some(id) => format!(" This service does it, too: POST /v1/machines/{id}/recover."),
        None => String::new(),
    };
    let text = format!(
        "Recover the secret with all its versions; it is there again after some seconds. Whoever does it needs the data action \
         secrets/recover/action (Key Vault Secrets Officer has it; Owner alone has not).{through}"
    );
    let az = Az::new("keyvault secret recover")
        .arg("--vault-name", &key_vault.name)
        .arg("--name", secret.name.as_str())
        .known("--subscription", key_vault.subscription.as_deref())
        .word("--output none");
    let powershell = PowerShell::new("Undo-AzKeyVaultSecretRemoval")
        .arg("-VaultName", &key_vault.name)
        .arg("-Name", secret.name.as_str());
    vec![
        remedy(Client::Az, text.clone(), vec![az.line()]),
        remedy(Client::PowerShell, text, vec![powershell.line()]),
        portal(format!(
            "Key Vault > Secrets > Manage deleted secrets > {} > Recover.",
            secret.name
        )),
    ]
}

/// PF-14.
pub(super) fn state(facts: &Facts, now: OffsetDateTime) -> Check {
    let check = Check::new("PF-14", "State of the secret");
    if facts.secrets.is_empty() {
        return check.skipped(NEEDED);
    }
    let mut there = Vec::new();
    for secret in &facts.secrets {
        match &secret.versions {
            Seen::Found(versions, source) if !versions.is_empty() => {
                there.push((secret, versions, source));
            }
            Seen::Found(..) | Seen::Absent(_) => {}
            other => return check.unproven(other),
        }
    }
    let (secret, versions, source) = match there.as_slice() {
        [] if facts.machine_id.is_some() => {
            return check
                .warn("The machine is registered, and Key Vault holds no passphrase of it.");
        }
        [] => return check.pass("There is no secret yet; saving the passphrase makes it."),
        [one] => *one,
        several => {
            let names: Vec<&str> =
                several.iter().map(|(secret, ..)| secret.name.as_str()).collect();
            return check.warn(format!(
                "More than one secret may be this machine's: {}.",
                names.join(", ")
            ));
        }
    };
    let check =
        check.with(format!("{} has {} versions", secret.name, versions.len()), source.clone());
    // The times are whole seconds: of several in one second, any may be the newest.
    let Some(newest) = versions.iter().max_by_key(|version| (version.created_at, !version.enabled))
    else {
        return check.pass("There is no version yet.");
    };
    match wrong(newest, versions.len(), now) {
        None => check.pass("Its newest version can be read."),
        Some(wrong) if newest.enabled => check.warn(wrong),
        Some(wrong) => check.warn(wrong).mend(enable(facts, secret, newest)),
    }
}

fn wrong(newest: &VersionFacts, versions: usize, now: OffsetDateTime) -> Option<String> {
    let version = &newest.version;
    if !newest.enabled {
        return Some(format!("Its newest version {version} is disabled: nobody can read it."));
    }
    if newest.expires_at.is_some_and(|at| at <= now) {
        return Some(format!(
            "Its newest version {version} has expired. It can still be read, but tools may refuse it."
        ));
    }
    if newest.not_before.is_some_and(|at| at > now) {
        return Some(format!(
            "Its newest version {version} is not valid yet. It can be read, but tools may refuse it."
        ));
    }
    (versions > MANY_VERSIONS).then(|| {
        format!("It has {versions} versions. Versions cannot be deleted, and Key Vault's backup fails above 500: rotate more rarely.")
    })
}

fn enable(facts: &Facts, secret: &SecretFacts, newest: &VersionFacts) -> Vec<super::Remedy> {
    let names = Names::of(facts);
    let Some(key_vault) = &names.key_vault else { return Vec::new() };
    let text = "Enable it, if it was not disabled on purpose. This takes the data action secrets/update/action.";
    let az = Az::new("keyvault secret set-attributes")
        .arg("--vault-name", &key_vault.name)
        .arg("--name", secret.name.as_str())
        .arg("--version", &newest.version)
        .known("--subscription", key_vault.subscription.as_deref())
        .word("--enabled true --output none");
    let powershell = PowerShell::new("Update-AzKeyVaultSecret")
        .arg("-VaultName", &key_vault.name)
        .arg("-Name", secret.name.as_str())
        .arg("-Version", &newest.version)
        .word("-Enable $true");
    vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, vec![powershell.line()]),
        portal(format!(
            "Key Vault > Secrets > {} > the version > Enabled: Yes, Apply.",
            secret.name
        )),
    ]
}
