//! Key Vaults made, changed and recovered by clients. What counts for secrets goes into the data plane's settings.
//!
//! Absent members leave things as they are; what is irreversible stays.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    Body, SystemData, Tags, WRITE,
    body::{EnabledFor, Facet, NetworkAcls, Policy, policies},
    find,
    policies::counting,
};
use crate::{
    azure::{is_key_vault_name, within},
    http::Answer,
    key_vault::{CLIENT_ADDRESS, KeyVault},
    resource_manager::{Call, Outcome, error::Refused, estate::same},
    world::{Access, KeyVaultSpec, Network, Settings},
};

pub(super) const IN_DELETED_STATE: &str = "A vault with the same name already exists in deleted state. You need to \
    either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for \
    more information on soft delete.";

#[derive(Deserialize)]
struct Request {
    location: Option<String>,
    tags: Option<Tags>,
    #[serde(default)]
    properties: Requested,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Requested {
    tenant_id: Option<String>,
    create_mode: Option<String>,
    access_policies: Option<Vec<Policy>>,
    enable_rbac_authorization: Option<bool>,
    enable_soft_delete: Option<bool>,
    enable_purge_protection: Option<bool>,
    soft_delete_retention_in_days: Option<u32>,
    network_acls: Option<NetworkAcls>,
    public_network_access: Option<String>,
    #[serde(flatten)]
    enabled_for: EnabledFor,
}

pub(super) fn put(call: &Call<'_>, name: &str) -> Outcome {
    call.require(WRITE, &call.path.whole())?;
    call.check_group()?;
    let mut request: Request = call.json()?;
    let mode = request.properties.create_mode.take();
    let recovers = mode.is_some_and(|mode| same(&mode, "recover"));
    match call.azure.key_vault(name).ok() {
        Some(deleted) if deleted.is_soft_deleted() && recovers => {
            recover(call, &deleted);
            Ok(Answer::json(201, &Body::of(call.azure, &deleted)))
        }
        Some(deleted) if deleted.is_soft_deleted() => {
            Err(Refused::new(409, "ConflictError", IN_DELETED_STATE))
        }
        Some(known) if within(&known.spec.resource_id(), &call.path.scope()) => {
            change(call, &known, request)?;
            Ok(Answer::json(200, &Body::of(call.azure, &known)))
        }
        Some(_) => Err(Refused::new(409, "VaultAlreadyExists", name_in_use(name))),
        None if recovers => {
            let message =
                format!("The deleted vault '{name}' does not exist, so it cannot be recovered.");
            Err(Refused::new(404, "DeletedVaultNotFound", message))
        }
        None => create(call, name, request),
    }
}

pub(super) fn patch(call: &Call<'_>, name: &str) -> Outcome {
    call.require(WRITE, &call.path.whole())?;
    let known = find(call, name)?;
    change(call, &known, call.json()?)?;
    Ok(Answer::json(200, &Body::of(call.azure, &known)))
}

pub(super) fn name_in_use(name: &str) -> String {
    format!(
        "The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the name is \
         already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same \
         name was recently deleted but not purged after being placed in a recoverable state."
    )
}

/// Role assignments at it went when it was deleted; one that the world deleted loses them here.
fn recover(call: &Call<'_>, deleted: &KeyVault) {
    super::drop_roles(call, deleted);
    deleted.change(|settings| settings.soft_deleted = false);
    call.azure.change_facet(deleted.host(), |facet| facet.deleted_at = None);
}

fn create(call: &Call<'_>, name: &str, mut request: Request) -> Outcome {
    if !is_key_vault_name(name) {
        let message = format!(
            "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name \
             must begin with a letter, end with a letter or digit, and not contain consecutive hyphens."
        );
        return Err(Refused::new(400, "VaultNameNotValid", message));
    }
    let group = call.path.group().unwrap_or_default();
    let group = call.azure.resource_group(call.path.subscription().unwrap_or_default(), group);
    let group = group.ok_or_else(Refused::unreadable)?;
    let location = request.location.take().ok_or_else(|| {
        Refused::new(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        )
    })?;
    let rbac = request.properties.enable_rbac_authorization;
    // From 2026-02-01 on a new Key Vault is under RBAC unless it says otherwise.
    let rbac = rbac.unwrap_or_else(|| call.api_version() >= "2026-02-01");
    if !rbac && request.properties.access_policies.is_none() {
        let message = "The parameter accessPolicies is not specified.";
        return Err(Refused::bad_request(message));
    }
    request.properties.enable_rbac_authorization = Some(rbac);
    check(&request.properties, None)?;
    let spec = KeyVaultSpec {
        location: location.to_ascii_lowercase().replace(' ', ""),
        subscription_id: group.subscription_id,
        resource_group: group.name,
        tenant_id: request.properties.tenant_id.clone(),
        grants: Vec::new(),
        settings: Settings {
            purge_protection: false,
            soft_delete_retention_days: request
                .properties
                .soft_delete_retention_in_days
                .unwrap_or(90),
            ..Settings::default()
        },
        ..KeyVaultSpec::named(name)
    };
    let made = call.azure.put_key_vault(spec);
    let made = made.map_err(|error| Refused::bad_request(format!("{error:#}")))?;
    change(call, &made, request)?;
    call.azure.change_facet(made.host(), |facet| facet.is_new = true);
    Ok(Answer::json(201, &Body::of(call.azure, &made)))
}

/// Members that are absent leave things as they are.
fn change(call: &Call<'_>, known: &Arc<KeyVault>, request: Request) -> Result<(), Refused> {
    let asked = request.properties;
    let settings = known.settings();
    check(&asked, Some(&settings))?;
    let mut facet = call.azure.facet(known.host());
    facet.policies = policies(&facet, &settings, known.tenant_id());
    facet.policies = asked.access_policies.unwrap_or(facet.policies);
    facet.network_acls = asked.network_acls.or(facet.network_acls);
    facet.tags = request.tags.unwrap_or(facet.tags);
    facet.system_data = Some(SystemData::by(&call.caller).after(facet.system_data));
    let (old, new) = (facet.enabled_for, asked.enabled_for);
    facet.enabled_for = EnabledFor {
        deployment: new.deployment.or(old.deployment),
        disk_encryption: new.disk_encryption.or(old.disk_encryption),
        template_deployment: new.template_deployment.or(old.template_deployment),
    };
    let rbac = asked.enable_rbac_authorization.unwrap_or(settings.access == Access::Rbac);
    let access = if rbac { Access::Rbac } else { counting(&facet.policies, known.tenant_id()) };
    let network = network(asked.public_network_access.as_deref(), &facet, &settings);
    let purge_protection = settings.purge_protection || asked.enable_purge_protection == Some(true);
    call.azure.change_facet(known.host(), |old| *old = facet);
    known.change_after(call.azure.propagation(), |settings| {
        settings.access = access;
        settings.network = network;
        settings.purge_protection = purge_protection;
    });
    Ok(())
}

fn check(asked: &Requested, known: Option<&Settings>) -> Result<(), Refused> {
    if asked.enable_purge_protection == Some(false) {
        return Err(Refused::bad_request(
            "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is \
             an irreversible action.",
        ));
    }
    if asked.enable_soft_delete == Some(false) {
        return Err(Refused::bad_request(
            "The property \"enableSoftDelete\" can be set to false only for creating new vault. Enabling the 'soft \
             delete' functionality is an irreversible action.",
        ));
    }
    let Some(days) = asked.soft_delete_retention_in_days else {
        return Ok(());
    };
    if !(7..=90).contains(&days) {
        return Err(Refused::bad_request(
            "The property \"softDeleteRetentionInDays\" must be between 7 and 90.",
        ));
    }
    if known.is_some_and(|settings| settings.soft_delete_retention_days != days) {
        return Err(Refused::bad_request(
            "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.",
        ));
    }
    Ok(())
}

/// Every caller comes from one address; a rule that holds it lets all of them in.
fn network(public: Option<&str>, facet: &Facet, settings: &Settings) -> Network {
    let disabled = public.map_or(settings.network == Network::PublicAccessDisabled, |public| {
        same(public, "Disabled")
    });
    if disabled {
        return Network::PublicAccessDisabled;
    }
    let Some(acls) = &facet.network_acls else {
        let closed = settings.network == Network::FirewallDenies;
        return if closed { Network::FirewallDenies } else { Network::Open };
    };
    let open = same(&acls.default_action, "Allow")
        || acls.ip_rules.iter().any(|rule| holds(&rule.value, CLIENT_ADDRESS));
    if open { Network::Open } else { Network::FirewallDenies }
}

/// Is the IPv4 address in the range, `a.b.c.d` or `a.b.c.d/n`?
fn holds(range: &str, address: &str) -> bool {
    let (base, bits) = range.split_once('/').unwrap_or((range, "32"));
    let parsed = |text: &str| text.parse::<std::net::Ipv4Addr>().map(u32::from).ok();
    let (Some(base), Some(address), Ok(bits)) =
        (parsed(base), parsed(address), bits.parse::<u32>())
    else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or_default();
    bits <= 32 && base & mask == address & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_addresses_whose_head_is_its_own() {
        for range in ["203.0.113.7", "203.0.113.7/32", "203.0.113.0/24", "0.0.0.0/0"] {
            assert!(holds(range, CLIENT_ADDRESS), "{range}");
        }
        for range in ["203.0.113.8", "203.0.112.0/24", "203.0.113.0/33", "nonsense"] {
            assert!(!holds(range, CLIENT_ADDRESS), "{range}");
        }
    }
}
