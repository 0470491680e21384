//! MARS on the machine: an agent that can save to Key Vault, and a registration that is complete.

use super::{
    Check, Client, Remedy,
    commands::{Az, PowerShell},
    facts::{Facts, Seen, Source},
    remedies::{Names, portal, remedy},
};
use crate::domain::{
    machine::{AgentVersion, Fqdn},
    recovery_services_resource::MarsContainer,
};

/// Since then the agent saves to Key Vault.
const SAVES_TO_KEY_VAULT: [u64; 4] = [2, 0, 9262, 0];
/// Since then it takes today's vault credentials.
const TAKES_CREDENTIALS: [u64; 4] = [2, 0, 9249, 0];
/// Since then it knows the security PIN.
const KNOWS_PIN: [u64; 4] = [2, 0, 9052, 0];

/// What MARS shows; it has no number.
const INCOMPLETE: &str = "Registration is incomplete";

/// PF-17.
pub(super) fn agent_version(facts: &Facts) -> Check {
    let check = Check::new("PF-17", "Agent version");
    let of_azure = container(facts).and_then(|(found, source)| {
        let version = AgentVersion::parse(found.agent_version.as_deref()?).ok()?;
        Some((version, source.clone()))
    });
    let given = facts.subject.agent_version.as_ref();
    let (version, check) = match (given, &of_azure, &facts.subject.registered_agent_version) {
        (Some(given), _, _) => (given, check.with(format!("{} was given", given.as_str()), None)),
        (None, Some((version, source)), _) => {
            (version, check.with(format!("Azure reports {}", version.as_str()), source.clone()))
        }
        (None, None, Some(registered)) => {
            (registered, check.with(format!("the registration says {}", registered.as_str()), None))
        }
        (None, None, None) => match (&facts.subject.fqdn, &facts.containers) {
            (Some(_), Seen::Found(_, source)) if container(facts).is_some() => {
                return check
                    .unknown(
                        "Azure knows the machine and reports no version of its agent that can be read. Look on the machine \
                         (Get-OBMachineSetting, or \"About\" in its console) and give it as agentVersion.",
                    )
                    .with("no readable agentVersion among the registered machines", source.clone());
            }
            (Some(_), Seen::Found(..)) => {
                return check
                    .skipped("Azure reports no agent of this machine, and no version was given.");
            }
            (Some(_), other) => return check.unproven(other),
            (None, _) => return check.skipped("No agentVersion and no fqdn was given."),
        },
    };
    if parts(version) < SAVES_TO_KEY_VAULT {
        return check.fail(too_old(version)).mend(update());
    }
    match &of_azure {
        Some((reported, source)) if parts(reported) < SAVES_TO_KEY_VAULT => check
            .warn(format!(
                "{} can save to Key Vault, but Azure still reports {} for this machine.",
                version.as_str(),
                reported.as_str()
            ))
            .with(format!("Azure reports {}", reported.as_str()), source.clone())
            .mend(update()),
        _ => check.pass("The agent can save to Key Vault (2.0.9262.0 or later)."),
    }
}

fn too_old(version: &AgentVersion) -> String {
    let mut text = format!(
        "{} cannot save to Key Vault: 2.0.9262.0 is the first version that can.",
        version.as_str()
    );
    if parts(version) < TAKES_CREDENTIALS {
        text.push_str(" It does not take today's vault credentials either (2.0.9249.0).");
    }
    if parts(version) < KNOWS_PIN {
        text.push_str(" And where a security PIN is asked, changing the passphrase fails with 120002 (2.0.9052.0).");
    }
    text
}

fn update() -> Vec<Remedy> {
    let text = "On the machine: install the latest agent from https://aka.ms/azurebackup_agent over the old one; no restart is needed.";
    vec![
        remedy(Client::PowerShell, text, vec![".\\MARSAgentInstaller.exe /q".to_owned()]),
        portal(
            "Recovery Services vault > Properties > Backup: Recovery Services Agent, download and install it on the machine.",
        ),
    ]
}

/// Part by part, as numbers; missing parts are 0.
fn parts(version: &AgentVersion) -> [u64; 4] {
    let mut numbers = version.as_str().split('.').map(|part| part.parse().unwrap_or_default());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

/// PF-18.
pub(super) fn registered(facts: &Facts) -> Check {
    let check = Check::new("PF-18", "MARS registration");
    let Some(fqdn) = &facts.subject.fqdn else { return check.skipped("No fqdn was given.") };
    let (containers, source) = match &facts.containers {
        Seen::Found(containers, source) => (containers, source.clone()),
        other => return check.unproven(other),
    };
    let Some((found, _)) = container(facts) else {
        return check
            .warn(format!(
                "No machine {fqdn} is registered with this Recovery Services vault yet. That is as it should be before MARS is \
                 installed; if it is installed, it is registered elsewhere or under another name."
            ))
            .with(format!("{} machines, none of this name", containers.len()), source)
            .mend(look(facts));
    };
    let status = found.registration_status.as_deref().unwrap_or("not told");
    let items = found
        .protected_items
        .map_or_else(|| "an unknown number of".to_owned(), |items| items.to_string());
    let check =
        check.with(format!("{}: {status}, {items} protected items", found.friendly_name), source);
    if !status.eq_ignore_ascii_case("Registered") {
        return check
            .fail(format!("Azure knows the machine, and its registration is \"{status}\" instead of \"Registered\"."))
            .mend(complete(facts));
    }
    match (found.protected_items, saved(facts)) {
        (Some(1..), _) | (_, Some(true)) => check.pass("The machine is registered."),
        (_, Some(false)) => check
            .mars(INCOMPLETE)
            .fail(
                "Registration is incomplete: the machine is registered, but backs up nothing and has saved no passphrase. Until \
                 its passphrase is registered, backups cannot be configured.",
            )
            .mend(complete(facts)),
        (_, None) => check.mars(INCOMPLETE).unknown(
            "The machine is registered and backs up nothing. Whether its passphrase was saved could not be read; if MARS shows \
             \"Registration is incomplete\", complete it there.",
        ),
    }
}

/// Whether Key Vault holds a passphrase of it; none: not known.
fn saved(facts: &Facts) -> Option<bool> {
    let mut known = !facts.secrets.is_empty();
    for secret in &facts.secrets {
        match (&secret.versions, &secret.deleted) {
            (Seen::Found(versions, _), _) if !versions.is_empty() => return Some(true),
            (_, Seen::Found(..)) => return Some(true),
            (Seen::Found(..) | Seen::Absent(_), Seen::Absent(_)) => {}
            _ => known = false,
        }
    }
    known.then_some(false)
}

/// The machine of this name among those of the Recovery Services vault: by its full name, or by its host
/// name when Azure has no more of it.
fn container(facts: &Facts) -> Option<(&MarsContainer, &Source)> {
    let (Some(fqdn), Seen::Found(containers, source)) = (&facts.subject.fqdn, &facts.containers)
    else {
        return None;
    };
    let by = |name: &dyn Fn(&str) -> bool| {
        containers.iter().find(|container| name(bare(&container.friendly_name)))
    };
    by(&|name| name.eq_ignore_ascii_case(fqdn.as_str()))
        .or_else(|| by(&|name| is_host_of(name, fqdn)))
        .map(|found| (found, source))
}

fn bare(name: &str) -> &str {
    name.trim_end_matches('.')
}

fn is_host_of(name: &str, fqdn: &Fqdn) -> bool {
    !name.contains('.') && name.eq_ignore_ascii_case(fqdn.host())
}

fn complete(facts: &Facts) -> Vec<Remedy> {
    let uri =
        facts.key_vault_uri.as_ref().map_or("https://<name>.vault.azure.net/", |uri| uri.as_str());
    let set = PowerShell::new("Set-OBMachineSetting")
        .word("-EncryptionPassphrase (Read-Host -AsSecureString -Prompt 'Passphrase') -SecurityPin ' '")
        .arg("-KeyVaultUri", uri);
    let text = "On the machine, as an administrator. The PIN is blank at the first registration only; later it is asked for.";
    vec![
        remedy(
            Client::PowerShell,
            text,
            vec!["Import-Module MSOnlineBackup".to_owned(), set.line()],
        ),
        portal(format!(
            "On the machine: Microsoft Azure Backup > select the warning \"Registration is incomplete\" and register the passphrase, \
             saved to the Key Vault {uri}."
        )),
    ]
}

/// Lists who is registered.
fn look(facts: &Facts) -> Vec<Remedy> {
    let names = Names::of(facts);
    let Some(rsv) = &names.recovery_services_vault else { return Vec::new() };
    let az = Az::new("backup container list")
        .known("--resource-group", rsv.group.as_deref())
        .arg("--vault-name", &rsv.name)
        .known("--subscription", rsv.subscription.as_deref())
        .word("--backup-management-type MAB --query '[].properties.friendlyName' --output tsv");
    vec![
        remedy(Client::Az, "List the machines that are registered.", vec![az.line()]),
        portal(
            "Recovery Services vault > Backup infrastructure > Protected servers > Azure Backup Agent.",
        ),
    ]
}
