//! A custom role with the least rights, and its assignment to one identity: in az, in PowerShell and in the portal.

use super::{
    Client, Remedy,
    commands::{Az, PowerShell, bash, select},
    remedies::{Resource, portal, remedy},
};

/// A custom role, and its assignment to one identity at one Key Vault or a wider scope.
pub(super) struct Grants<'a> {
    /// Ids of role assignments that stand in the way.
    pub(super) instead_of: &'a [String],
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
        let mut text = "Make a role with the least rights, unless it is there, and assign it. It takes effect within minutes, at \
                        most ten. If the assignment does not find the role yet, repeat it after a minute."
            .to_owned();
        let former = self.former(scope);
        if !former.is_empty() {
            text.push_str(
                " The same role was assigned here under a condition that does not hold, or cannot be evaluated here; Azure keeps one assignment of a role, so \
                 that one is taken away first.",
            );
        }
        let remove = former.iter().map(|id| {
            Az::new("role assignment delete")
                .arg("--ids", id)
                .arg("--subscription", subscription)
                .line()
        });
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
        let az = remove.chain([make, assign.line()]).collect();
        vec![
            remedy(Client::Az, text.clone(), az),
            remedy(Client::PowerShell, text, self.powershell(scope, subscription, principal)),
            portal(self.portal),
        ]
    }

    /// Those that stand in the way at this very scope: an inherited one does not.
    fn former(&self, scope: &str) -> Vec<&str> {
        let here = format!("{scope}/providers/Microsoft.Authorization/").to_ascii_lowercase();
        let at_scope = |id: &&String| id.to_ascii_lowercase().starts_with(&here);
        self.instead_of.iter().filter(at_scope).map(String::as_str).collect()
    }

    fn name_in(&self, subscription: &str) -> String {
        name_in(self.role, subscription)
    }

    fn powershell(&self, scope: &str, subscription: &str, principal: &str) -> Vec<String> {
        let list = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
            format!("[string[]]@({})", items.join(", "))
        };
        let name = self.name_in(subscription);
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
        let remove = self.former(scope).into_iter().map(|_| {
            PowerShell::new("Remove-AzRoleAssignment")
                .arg("-ObjectId", principal)
                .arg("-RoleDefinitionName", &name)
                .arg("-Scope", scope)
                .line()
        });
        let select = select(Some(subscription)).into_iter();
        select.chain(remove).chain([make, assign.line()]).collect()
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

/// A role's name is unique in the directory, and a role that was made for another subscription is not listed in
/// this one: with one name for all, the second subscription could make none.
pub(super) fn name_in(role: &str, subscription: &str) -> String {
    format!("{role} ({})", subscription.get(..8).unwrap_or(subscription))
}
