//! PF-15: who may connect to the Key Vault, and from which address this service was seen to.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Check, Client, Remedy,
    commands::{Az, PowerShell, select},
    facts::{Door, Facts, Seen},
    remedies::{Names, portal, remedy},
};
use crate::domain::key_vault_resource::KeyVaultNetwork;

pub(super) fn network(facts: &Facts) -> Check {
    let check = Check::new("PF-15", "Firewall");
    if facts.key_vault_uri.is_none() {
        return check.skipped("Without a Key Vault URI there is nothing to connect to; see PF-01.");
    }
    if facts.deleted_key_vault.found().is_some() {
        return check.skipped("The Key Vault is soft-deleted; see PF-05.");
    }
    let rules = facts.key_vault.found().map(|found| &found.network);
    let check = match (&facts.key_vault, rules) {
        (Seen::Found(_, source), Some(rules)) => check.with(told(rules), source.clone()),
        _ => check,
    };
    if let Door::Firewall { client_address, source } = &facts.door {
        let address = client_address
            .map_or_else(|| "an address that it did not tell".to_owned(), |it| it.to_string());
        return check
            .fail(format!(
                "Key Vault's firewall refuses this service, which it saw coming from {address}. Nothing of MARS's own way in is \
                 proved by that, but this service cannot store or release a passphrase."
            ))
            .with(format!("refused; the address seen is {address}"), source.clone())
            .mend(let_in(facts, rules, *client_address));
    }
    let check = match &facts.door {
        Door::Open(source) => check.with("this service was let in", source.clone()),
        Door::Forbidden(source) => {
            check.with("this service was let in to the door", source.clone())
        }
        Door::Firewall { .. } | Door::Unreadable { .. } | Door::NotAsked(_) => check,
    };
    match rules {
        Some(rules) if restricted(rules) => check
            .warn(
                "The Key Vault is closed to the public network. MARS's passphrases are written by the Azure Backup service, and \
                 Microsoft's list of trusted services names it for the backup of virtual machines only: whether it gets in here \
                 cannot be proved. Save one passphrase before you rely on it.",
            )
            .mend(trust(facts, rules)),
        Some(_) => check.pass("The Key Vault is open to public networks; who gets a secret is decided by permissions."),
        None => check.unproven(&facts.key_vault),
    }
}

fn restricted(rules: &KeyVaultNetwork) -> bool {
    let open =
        rules.public_access.as_deref().is_none_or(|access| access.eq_ignore_ascii_case("Enabled"));
    !open || rules.default_action_deny
}

fn told(rules: &KeyVaultNetwork) -> String {
    format!(
        "publicNetworkAccess is {}, networkAcls.defaultAction is {}, bypass is {}; {} address rules, {} network rules, {} private endpoints",
        rules.public_access.as_deref().unwrap_or("not told"),
        if rules.default_action_deny { "Deny" } else { "Allow" },
        if rules.bypass_azure_services { "AzureServices" } else { "None" },
        rules.ip_rules.len(),
        rules.virtual_network_rules,
        rules.private_endpoints,
    )
}

/// Lets this service in. A private address is of no use in a rule.
fn let_in(facts: &Facts, rules: Option<&KeyVaultNetwork>, address: Option<IpAddr>) -> Vec<Remedy> {
    let names = Names::of(facts);
    let Some(key_vault) = &names.key_vault else { return Vec::new() };
    let closed = rules.is_some_and(|rules| {
        rules.public_access.as_deref().is_some_and(|access| !access.eq_ignore_ascii_case("Enabled"))
    });
    let Some(IpAddr::V4(address)) =
        address.filter(|address| matches!(address, IpAddr::V4(v4) if is_public(*v4)))
    else {
        return vec![portal(
            "Give this service a private endpoint of the Key Vault, or a rule for its subnet: Key Vault > Networking. A rule for \
             an address works with public IPv4 addresses only.",
        )];
    };
    let text = "Let this service's address in; it takes up to 15 minutes. If the address is not its own for long (no NAT gateway), \
                use a private endpoint instead.";
    let mut az = Vec::new();
    let mut powershell: Vec<String> =
        select(key_vault.subscription.as_deref()).into_iter().collect();
    if closed {
        az.push(
            Az::new("keyvault update")
                .arg("--name", &key_vault.name)
                .known("--resource-group", key_vault.group.as_deref())
                .known("--subscription", key_vault.subscription.as_deref())
                .word("--public-network-access Enabled --default-action Deny --bypass AzureServices --output none")
                .line(),
        );
        powershell.push(
            PowerShell::new("Update-AzKeyVault")
                .arg("-VaultName", &key_vault.name)
                .known("-ResourceGroupName", key_vault.group.as_deref())
                .word("-PublicNetworkAccess Enabled")
                .line(),
        );
    }
    let range = format!("{address}/32");
    az.push(
        Az::new("keyvault network-rule add")
            .arg("--name", &key_vault.name)
            .known("--resource-group", key_vault.group.as_deref())
            .known("--subscription", key_vault.subscription.as_deref())
            .arg("--ip-address", &range)
            .word("--output none")
            .line(),
    );
    powershell.push(
        PowerShell::new("Add-AzKeyVaultNetworkRule")
            .arg("-VaultName", &key_vault.name)
            .known("-ResourceGroupName", key_vault.group.as_deref())
            .arg("-IpAddressRange", &range)
            .line(),
    );
    vec![
        remedy(Client::Az, text, az),
        remedy(Client::PowerShell, text, powershell),
        portal(format!(
            "Key Vault > Networking > Firewalls and virtual networks: add {address}, Apply."
        )),
    ]
}

fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let carrier_grade = first == 100 && (64..128).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || carrier_grade)
}

/// The exception for Microsoft's trusted services, when it is off.
fn trust(facts: &Facts, rules: &KeyVaultNetwork) -> Vec<Remedy> {
    let names = Names::of(facts);
    let Some(key_vault) = names.key_vault.filter(|_| !rules.bypass_azure_services) else {
        return Vec::new();
    };
    let text =
        "Let Microsoft's trusted services in, which is likely to be what MARS's way in needs.";
    let az = Az::new("keyvault update")
        .arg("--name", &key_vault.name)
        .known("--resource-group", key_vault.group.as_deref())
        .known("--subscription", key_vault.subscription.as_deref())
        .word("--bypass AzureServices --output none");
    let powershell = PowerShell::new("Update-AzKeyVaultNetworkRuleSet")
        .arg("-VaultName", &key_vault.name)
        .known("-ResourceGroupName", key_vault.group.as_deref())
        .word("-Bypass AzureServices");
    vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, powershell.lines_in(key_vault.subscription.as_deref())),
        portal(
            "Key Vault > Networking > Exception: Allow trusted Microsoft services to bypass this firewall, Apply.",
        ),
    ]
}
