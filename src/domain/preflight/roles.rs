//! A custom role with the least rights, and its assignment to one identity: in az, in PowerShell and in the portal.

use super::{
    Client, Remedy,
    commands::{Az, PowerShell, bash},
    remedies::{Resource, portal, remedy},
};

/// A custom role, and its assignment to one identity at one Key Vault or a wider scope.
pub(super) struct Grants<'a> {
    pub(super) role: &'a str,
    pub(super) description: &'a str,
    pub(super) actions: &'a [&'a str],
    pub(super) data_actions: &'a [&'a str],
    pub(super) portal: &'a str,
}

impl Grants<'_> {
    /// At this Key Vault.
    pub(super) fn to(&self, key_vault: &Resource, principal: &str) -> Vec<Remedy> {
        let (Some(scope), Some(subscription)) = (&key_vault.id, &key_vault.subscription) else {
            return vec![portal(self.portal)];
        };
        self.at(scope, subscription, principal)
    }

    pub(super) fn at(&self, scope: &str, subscription: &str, principal: &str) -> Vec<Remedy> {
        let text = "Make a role with the least rights, unless it is there, and assign it. It takes effect within minutes, at most \
                    ten. If the second command does not find the role yet, repeat it after a minute.";
        let role_name = self.name_in(subscription);
        let definition = bash(&self.definition(subscription));
        let role = bash(&role_name);
        let make = format!(
            "az role definition list --custom-role-only true --name {role} --subscription {subscription} --query '[].name' \
             --output tsv | grep -q . || az role definition create --subscription {subscription} --role-definition {definition} --output none"
        );
        let assign = Az::new("role assignment create")
            .arg("--assignee-object-id", principal)
            .word("--assignee-principal-type ServicePrincipal")
            .arg("--role", &role_name)
            .arg("--scope", scope)
            .arg("--subscription", subscription)
            .word("--output none");
        vec![
            remedy(Client::Az, text, vec![make, assign.line()]),
            remedy(Client::PowerShell, text, self.powershell(scope, subscription, principal)),
            portal(self.portal),
        ]
    }

    /// A role's name is unique in the directory, and a role that was made for another subscription is not listed
    /// in this one: with one name for all, the second subscription could make none.
    fn name_in(&self, subscription: &str) -> String {
        format!("{} ({})", self.role, subscription.get(..8).unwrap_or(subscription))
    }

    fn powershell(&self, scope: &str, subscription: &str, principal: &str) -> Vec<String> {
        let list = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
            format!("[string[]]@({})", items.join(", "))
        };
        let name = self.name_in(subscription);
        let select = PowerShell::new("Set-AzContext").arg("-Subscription", subscription).line();
        let make = format!(
            "if (-not (Get-AzRoleDefinition -Name '{name}')) {{ \
             $role = [Microsoft.Azure.Commands.Resources.Models.Authorization.PSRoleDefinition]::new(); \
             $role.Name = '{name}'; $role.Description = '{}'; $role.IsCustom = $true; $role.Actions = {}; \
             $role.DataActions = {}; $role.AssignableScopes = [string[]]@('/subscriptions/{subscription}'); \
             New-AzRoleDefinition -Role $role }}",
            self.description,
            list(self.actions),
            list(self.data_actions),
        );
        let assign = PowerShell::new("New-AzRoleAssignment")
            .arg("-ObjectId", principal)
            .word("-ObjectType ServicePrincipal")
            .arg("-RoleDefinitionName", &name)
            .arg("-Scope", scope);
        vec![select, make, assign.line()]
    }

    /// For `az role definition create`.
    fn definition(&self, subscription: &str) -> String {
        serde_json::json!({
            "Name": self.name_in(subscription),
            "IsCustom": true,
            "Description": self.description,
            "Actions": self.actions,
            "NotActions": [],
            "DataActions": self.data_actions,
            "NotDataActions": [],
            "AssignableScopes": [format!("/subscriptions/{subscription}")],
        })
        .to_string()
    }
}
