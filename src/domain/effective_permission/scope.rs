//! Which scopes reach the secrets of a Key Vault: its own, those above it, and one secret's below it.

use super::{Question, SecretAction, same};

const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/";

/// How a scope lies to what is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Above the Key Vault: resource group, subscription, management group, root.
    Above,
    /// The Key Vault itself.
    KeyVault,
    /// The very secret.
    Secret,
    /// One secret, and which one is asked about is not known.
    SomeSecret,
    Elsewhere,
}

/// A management group always reaches: ARM lists it for the Key Vaults below it only.
pub(super) fn reach(scope: &str, question: &Question<'_>) -> Reach {
    let scope = if scope == "/" { scope } else { scope.trim_end_matches('/') };
    let key_vault = question.key_vault.id.trim_end_matches('/');
    if same(scope, key_vault) {
        return Reach::KeyVault;
    }
    if scope == "/" || is_management_group(scope) || is_ancestor(scope, key_vault) {
        return Reach::Above;
    }
    let Some(secret) =
        strip_prefix(scope, key_vault).and_then(|rest| strip_prefix(rest, "/secrets/"))
    else {
        return Reach::Elsewhere;
    };
    match question.secret_name {
        Some(name) if same(secret, name) => Reach::Secret,
        None if question.action != SecretAction::List => Reach::SomeSecret,
        // Listing a Key Vault is asked of the Key Vault: no single secret's scope reaches it.
        Some(_) | None => Reach::Elsewhere,
    }
}

fn is_management_group(scope: &str) -> bool {
    strip_prefix(scope, MANAGEMENT_GROUP)
        .is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// A subscription or resource group whose id the resource's begins with.
fn is_ancestor(scope: &str, resource: &str) -> bool {
    let parts: Vec<&str> = scope.split('/').collect();
    let is_container = match parts.as_slice() {
        ["", subscriptions, _] => same(subscriptions, "subscriptions"),
        ["", subscriptions, _, groups, _] => {
            same(subscriptions, "subscriptions") && same(groups, "resourceGroups")
        }
        _ => false,
    };
    is_container && strip_prefix(resource, scope).is_some_and(|rest| rest.starts_with('/'))
}

/// Without case, as ARM compares ids.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
