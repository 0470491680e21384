//! The Recovery Services vault: it is there, it has the identity that MARS writes with (391224), and that
//! identity is of the Key Vault's tenant.

use super::{
    Check,
    facts::{Facts, Seen},
    remedies::{self, Names},
};
use crate::domain::recovery_services_resource::{RecoveryServicesVaultResource, ResourceIdentity};

/// PF-06.
pub(super) fn exists(facts: &Facts) -> Check {
    let check = Check::new("PF-06", "Recovery Services vault");
    match &facts.recovery_services_vault {
        Seen::Found(found, source) => check
            .pass("The Recovery Services vault is there.")
            .with(format!("{} in {}", found.id, found.location), source.clone()),
        Seen::Absent(source) => check
            .fail("There is no Recovery Services vault of this id. Is the subscription, the resource group or the name another one?")
            .with("Azure knows no such resource", source.clone())
            .mend([remedies::remedy(
                super::Client::Az,
                "List those that there are.",
                vec!["az backup vault list --query '[].id' --output tsv".to_owned()],
            )]),
        other => check.unproven(other),
    }
}

/// PF-07.
pub(super) fn identity(facts: &Facts) -> Check {
    let check = Check::new("PF-07", "System-assigned identity").mars("391224");
    let (found, source) = match &facts.recovery_services_vault {
        Seen::Found(found, source) => (found, source.clone()),
        other => return check.unproven(other),
    };
    let names = Names::of(facts);
    let check = check.with(seen(found), source);
    match &found.identity {
        ResourceIdentity::SystemAssigned(_) | ResourceIdentity::SystemAndUserAssigned { .. } => {
            check.pass("It has the system-assigned identity that MARS writes with.")
        }
        ResourceIdentity::Absent { .. } => check
            .fail("The Recovery Services vault has no identity, so MARS cannot write to any Key Vault.")
            .mend(remedies::assign_identity(&names)),
        ResourceIdentity::UserAssigned { .. } => check
            .fail(
                "The Recovery Services vault has user-assigned identities only. MARS does not support a user-assigned \
                 identity: it writes with the system-assigned one, which can be there beside the others.",
            )
            .mend(remedies::assign_identity(&names)),
        ResourceIdentity::WithoutPrincipal { .. } => check.unknown(
            "Azure calls the identity system-assigned and names no principal; it may be in the making. Try again in a minute.",
        ),
    }
}

fn seen(found: &RecoveryServicesVaultResource) -> String {
    match &found.identity {
        ResourceIdentity::Absent { was_taken_away: false } => "there is no identity".to_owned(),
        ResourceIdentity::Absent { was_taken_away: true } => "identity.type is None".to_owned(),
        ResourceIdentity::SystemAssigned(identity) => {
            format!("identity.type is SystemAssigned, principalId {}", identity.principal_id)
        }
        ResourceIdentity::UserAssigned { .. } => "identity.type is UserAssigned".to_owned(),
        ResourceIdentity::SystemAndUserAssigned { system_assigned, .. } => {
            format!(
                "identity.type is SystemAssigned, UserAssigned; principalId {}",
                system_assigned.principal_id
            )
        }
        ResourceIdentity::WithoutPrincipal { .. } => {
            "identity.type is SystemAssigned, without a principalId".to_owned()
        }
    }
}

/// PF-08.
pub(super) fn tenant(facts: &Facts) -> Check {
    let check = Check::new("PF-08", "Same tenant").mars("391225");
    let (found, source) = match &facts.recovery_services_vault {
        Seen::Found(found, source) => (found, source.clone()),
        other => return check.unproven(other),
    };
    let (key_vault, other_source) = match &facts.key_vault {
        Seen::Found(key_vault, source) => (key_vault, source.clone()),
        other => return check.unproven(other),
    };
    let Some(tenant) = found.identity.system_assigned().and_then(|identity| identity.tenant_id)
    else {
        return check
            .skipped("The Recovery Services vault has no system-assigned identity; see PF-07.");
    };
    let check = check
        .with(format!("identity.tenantId is {tenant}"), source)
        .with(format!("the Key Vault's tenantId is {}", key_vault.tenant_id), other_source);
    if tenant == key_vault.tenant_id {
        return check.pass("The identity and the Key Vault are of one tenant.");
    }
    check.fail(
        "The identity is of another tenant than the Key Vault, which takes tokens of its own tenant only. Use a Key \
         Vault in the Recovery Services vault's tenant.",
    )
}

/// PF-19: nothing to mend, but good to know before somebody stands at the console.
pub(super) fn security_pin(facts: &Facts) -> Check {
    let check = Check::new("PF-19", "Security PIN and multi-user authorization");
    let (config, source) = match &facts.rsv_config {
        Seen::Found(config, source) => (config, source.clone()),
        other => return check.unproven(other),
    };
    let state = config.enhanced_security.as_deref().unwrap_or("not told");
    let authorization = facts
        .recovery_services_vault
        .found()
        .and_then(|found| found.multi_user_authorization.as_deref())
        .unwrap_or("not told");
    let pin = if state.eq_ignore_ascii_case("Disabled") {
        "Changing a passphrase needs no security PIN."
    } else {
        "Changing a passphrase needs a security PIN, which is good for 5 minutes (a wrong or an old one is error \
         100130), and an agent of 2.0.9052.0 or later (else 120002): Recovery Services vault > Properties > Security PIN > Generate."
    };
    let guard = if authorization.eq_ignore_ascii_case("Enabled") {
        " Multi-user authorization is on: generating the PIN may need the Resource Guard's owner."
    } else {
        ""
    };
    check.pass(format!("{pin}{guard}")).with(
        format!("enhancedSecurityState is {state}, multiUserAuthorization is {authorization}"),
        source,
    )
}
