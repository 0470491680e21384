//! What mends it: for az, for PowerShell and in the portal, with the caller's own names filled in.
//!
//! The commands of Microsoft's how-to are not repeated where they do not run or grant too much: an identity
//! is named by its object id (a display name is ambiguous, and a look-up in the directory lags behind), and
//! the role allows setting secrets and nothing else.

use super::{
    Client, Remedy,
    commands::{Az, PowerShell},
    facts::{Facts, Seen},
    roles::{Grants, name_in},
};
use crate::domain::{
    effective_permission::{Denial, Doubt, PassedOver},
    key_vault_resource::KeyVaultResource,
};

/// The role that lets a Recovery Services vault save passphrases, and do nothing else.
pub(super) const WRITER_ROLE: &str = "MARS passphrase writer";
const SET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";

/// The names that commands need, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) key_vault: Option<Resource>,
    pub(super) recovery_services_vault: Option<Resource>,
    /// The object id of the Recovery Services vault's own identity.
    pub(super) principal_id: Option<String>,
    pub(super) rbac: Option<bool>,
    /// What the identity's own access policy grants already: setting a policy replaces it.
    words: Vec<String>,
    /// Role assignments that give a role under a condition which does not hold.
    pub(super) conditioned: Vec<String>,
}

/// A resource by its id, or by its name alone.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) group: Option<String>,
}

impl Resource {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), id: None, subscription: None, group: None }
    }

    /// `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/vaults/{name}`.
    fn of_id(id: &str) -> Self {
        let part = |at: usize| id.split('/').nth(at).map(str::to_owned);
        let name = part(8).unwrap_or_default();
        Self { name, id: Some(id.to_owned()), subscription: part(2), group: part(4) }
    }

    fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    fn subscription(&self) -> Option<&str> {
        self.subscription.as_deref()
    }
}

impl Names {
    pub(super) fn of_key_vault(name: &str) -> Self {
        Self { key_vault: Some(Resource::named(name)), ..Self::default() }
    }

    pub(super) fn of(facts: &Facts) -> Self {
        let found = facts.key_vault.found();
        let deleted = facts.deleted_key_vault.found().map(|deleted| deleted.id.to_string());
        let given = facts.subject.key_vault_id.as_ref().map(ToString::to_string);
        let id = found.map(|found| found.id.to_string()).or(deleted).or(given);
        let by_name = || {
            let uri = facts.key_vault_uri.as_ref()?;
            uri.host().split('.').next().map(Resource::named)
        };
        let rsv = facts.subject.recovery_services_vault_id.as_ref();
        let identity_id = match &facts.recovery_services_vault {
            Seen::Found(found, _) => {
                found.identity.system_assigned().map(|it| it.principal_id.to_string())
            }
            _ => None,
        };
        Self {
            key_vault: id.as_deref().map(Resource::of_id).or_else(by_name),
            recovery_services_vault: rsv.map(|id| Resource::of_id(id.as_str())),
            principal_id: identity_id.clone(),
            rbac: found.map(|found| found.rbac),
            words: words_of(found, identity_id.as_deref()),
            conditioned: Vec::new(),
        }
    }
}

impl Names {
    /// Where MARS's own role is assigned already, under a condition that does not hold.
    pub(super) fn without_conditions(mut self, why: &Denial) -> Self {
        let subscription = self.key_vault.as_ref().and_then(Resource::subscription);
        let role = name_in(WRITER_ROLE, subscription.unwrap_or_default());
        self.conditioned = false_conditions(why, &role);
        self
    }

    /// Where it is assigned under a condition that nobody here can evaluate.
    pub(super) fn without_doubts(mut self, why: &[Doubt]) -> Self {
        let subscription = self.key_vault.as_ref().and_then(Resource::subscription);
        let role = name_in(WRITER_ROLE, subscription.unwrap_or_default());
        let same = why.iter().flat_map(|doubt| match doubt {
            Doubt::ConditionUndecided { assignment_id, role_name, .. } if *role_name == role => {
                vec![assignment_id.clone()]
            }
            Doubt::NamesDiffer { refused, .. } => {
                refused.first().map(|(_, why)| false_conditions(why, &role)).unwrap_or_default()
            }
            _ => Vec::new(),
        });
        self.conditioned = same.collect();
        self
    }
}

/// The assignments of this role whose condition does not hold.
fn false_conditions(why: &Denial, role: &str) -> Vec<String> {
    let Denial::NoRoleAssignment { passed_over } = why else { return Vec::new() };
    let same = passed_over.iter().filter_map(|over| match over {
        PassedOver::ConditionFalse { assignment_id, role_name, .. } if role_name == role => {
            Some(assignment_id.clone())
        }
        _ => None,
    });
    same.collect()
}

fn words_of(key_vault: Option<&KeyVaultResource>, object_id: Option<&str>) -> Vec<String> {
    let (Some(key_vault), Some(object_id)) = (key_vault, object_id) else { return Vec::new() };
    let own = key_vault.access_policies.iter().filter(|policy| {
        policy.object_id.eq_ignore_ascii_case(object_id) && policy.application_id.is_none()
    });
    own.flat_map(|policy| &policy.secret_permissions)
        .map(|word| word.to_ascii_lowercase())
        .collect()
}

pub(super) fn remedy(client: Client, text: impl Into<String>, commands: Vec<String>) -> Remedy {
    Remedy { client, text: text.into(), commands }
}

pub(super) fn portal(text: impl Into<String>) -> Remedy {
    remedy(Client::Portal, text, Vec::new())
}

/// Copying the right URI.
pub(super) fn show_uri(names: &Names) -> Vec<Remedy> {
    let (az, powershell) = match &names.key_vault {
        Some(key_vault) => (
            Az::new("keyvault show")
                .arg("--name", &key_vault.name)
                .known("--subscription", key_vault.subscription())
                .word("--query properties.vaultUri --output tsv"),
            PowerShell::new("(Get-AzKeyVault")
                .arg("-VaultName", &key_vault.name)
                .word(").VaultUri"),
        ),
        None => (
            // A list has no URIs; they are made of the names.
            Az::new("keyvault list").word(
                "--query \"[].join('', ['https://', name, '.vault.azure.net/'])\" --output tsv",
            ),
            PowerShell::new(
                "Get-AzKeyVault | ForEach-Object { (Get-AzKeyVault -VaultName $_.VaultName).VaultUri }",
            ),
        ),
    };
    vec![
        remedy(Client::Az, "Print the URI, and paste all of it.", vec![az.line()]),
        remedy(
            Client::PowerShell,
            "Print the URI, and paste all of it.",
            vec![powershell.line().replace(" )", ")")],
        ),
        portal("Key vaults > the Key Vault > Overview: copy \"Vault URI\"."),
    ]
}

/// Copying the right id, in the subscription of the session: the one that was given is in doubt.
pub(super) fn show_id(key_vault: &str) -> [Remedy; 3] {
    let text = "Print the id, and give all of it.";
    let az = Az::new("keyvault show").arg("--name", key_vault).word("--query id --output tsv");
    let powershell = PowerShell::new("(Get-AzKeyVault").arg("-VaultName", key_vault);
    [
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, vec![format!("{}).ResourceId", powershell.line())]),
        portal("Key vaults > the Key Vault > Properties: copy \"Resource ID\"."),
    ]
}

/// 391224.
pub(super) fn assign_identity(names: &Names) -> Vec<Remedy> {
    let Some(rsv) = &names.recovery_services_vault else { return Vec::new() };
    let text = "Give the Recovery Services vault its system-assigned identity. Never switch it off again: MARS \
                needs it at each change of a passphrase, and a new one is another identity without rights.";
    let az = Az::new("backup vault identity assign")
        .word("--system-assigned")
        .known("--resource-group", rsv.group())
        .arg("--name", &rsv.name)
        .known("--subscription", rsv.subscription());
    let powershell = PowerShell::new("Update-AzRecoveryServicesVault")
        .known("-ResourceGroupName", rsv.group())
        .arg("-Name", &rsv.name)
        .arg("-IdentityType", "SystemAssigned");
    vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, powershell.lines_in(rsv.subscription())),
        portal(
            "Recovery Services vaults > the vault > Identity > System assigned: Status On, Save.",
        ),
    ]
}

/// 391225.
pub(super) fn grant_set(names: &Names) -> Vec<Remedy> {
    let (Some(key_vault), Some(principal)) = (&names.key_vault, &names.principal_id) else {
        return Vec::new();
    };
    if names.rbac == Some(false) {
        let mut words = vec!["set"];
        words.extend(names.words.iter().map(String::as_str).filter(|word| *word != "set"));
        return set_policy(key_vault, principal, &words);
    }
    let grants = Grants {
        instead_of: &names.conditioned,
        role: WRITER_ROLE,
        description: "Sets secrets, and does nothing else with them",
        data_actions: &[SET_SECRET],
        actions: &[],
        portal: "Key Vault > Access control (IAM) > Add role assignment: a custom role with the one data action \
                 Microsoft.KeyVault/vaults/secrets/setSecret/action, member: Managed identity > Recovery Services \
                 vault. (The built-in role \"Key Vault Secrets Officer\" works too, and also lets it read, delete and \
                 purge every secret.)",
    };
    grants.to(key_vault, principal)
}

pub(super) fn set_policy(key_vault: &Resource, principal: &str, words: &[&str]) -> Vec<Remedy> {
    let text = "Add an access policy for exactly this identity. The rights of its policy for secrets become these.";
    let az = Az::new("keyvault set-policy")
        .arg("--name", &key_vault.name)
        .known("--resource-group", key_vault.group())
        .known("--subscription", key_vault.subscription())
        .arg("--object-id", principal)
        .word("--secret-permissions")
        .word(&words.join(" "))
        .word("--output none");
    let powershell = PowerShell::new("Set-AzKeyVaultAccessPolicy")
        .arg("-VaultName", &key_vault.name)
        .known("-ResourceGroupName", key_vault.group())
        .arg("-ObjectId", principal)
        .word("-PermissionsToSecrets")
        .word(&words.join(","))
        .word("-BypassObjectIdValidation");
    vec![
        remedy(Client::Az, text, vec![az.line()]),
        remedy(Client::PowerShell, text, powershell.lines_in(key_vault.subscription())),
        portal(format!(
            "Key Vault > Access policies > Create: secret permissions {}, principal with object id {principal}.",
            words.join(", ")
        )),
    ]
}
