//! A path of ARM: a scope, and what is asked for there. Case does not count; the answer carries the canonical case.
//!
//! The last `providers` parts the scope from a resource provider's own part, so extension resources such as role
//! assignments find the resource they belong to in the scope.

use percent_encoding::percent_decode_str;

#[derive(Clone, Debug)]
pub(super) struct Path {
    parts: Vec<String>,
    /// Where the last `providers` is.
    provider_at: Option<usize>,
}

impl Path {
    pub(super) fn of(path: &str) -> Self {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(decoded).collect();
        let is_providers = |part: &String| part.eq_ignore_ascii_case("providers");
        let provider_at = parts.iter().rposition(is_providers);
        Self { parts, provider_at }
    }

    /// The part before the last `providers`, or all of it; `/` when there is nothing.
    pub(super) fn scope(&self) -> String {
        let parts = &self.parts[..self.provider_at.unwrap_or(self.parts.len())];
        format!("/{}", parts.join("/"))
    }

    pub(super) fn whole(&self) -> String {
        format!("/{}", self.parts.join("/"))
    }

    /// The resource that a subresource of two parts belongs to.
    pub(super) fn parent(&self) -> String {
        let parts = &self.parts[..self.parts.len().saturating_sub(2)];
        format!("/{}", parts.join("/"))
    }

    fn after(&self, position: usize, keyword: &str) -> Option<&str> {
        let word = self.parts.get(position)?;
        let value = self.parts.get(position + 1)?;
        word.eq_ignore_ascii_case(keyword).then_some(value)
    }

    pub(super) fn subscription(&self) -> Option<&str> {
        self.after(0, "subscriptions")
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.after(2, "resourceGroups")
    }

    /// In lower case.
    pub(super) fn namespace(&self) -> Option<String> {
        self.provider_at.map(|_| self.namespace_as_written().to_ascii_lowercase())
    }

    pub(super) fn namespace_as_written(&self) -> String {
        let at = self.provider_at.map(|at| at + 1);
        at.and_then(|at| self.parts.get(at)).cloned().unwrap_or_default()
    }

    /// `…/providers/{namespace}`, and nothing after it.
    pub(super) fn is_provider(&self) -> bool {
        self.provider_at.is_some_and(|at| self.parts.len() == at + 2)
    }

    /// What follows the namespace, or the whole path without one, as written.
    pub(super) fn rest(&self) -> Vec<&str> {
        let from = self.provider_at.map_or(0, |at| at + 2);
        self.parts.get(from..).unwrap_or_default().iter().map(String::as_str).collect()
    }

    /// `rest` with the words of the grammar (every other one) in lower case.
    pub(super) fn words(&self) -> Vec<String> {
        let lowered = |(at, part): (usize, &str)| {
            if at % 2 == 0 { part.to_ascii_lowercase() } else { part.to_owned() }
        };
        self.rest().into_iter().enumerate().map(lowered).collect()
    }

    /// The type in error messages: `vaults/accessPolicies`.
    pub(super) fn kind(&self) -> String {
        self.rest().into_iter().step_by(2).collect::<Vec<_>>().join("/")
    }

    /// The Key Vault it is about, for faults; empty for none.
    pub(super) fn key_vault(&self) -> &str {
        let named = self.parts.windows(4).find(|four| {
            four[0].eq_ignore_ascii_case("providers")
                && four[1].eq_ignore_ascii_case("Microsoft.KeyVault")
                && four[2].eq_ignore_ascii_case("vaults")
        });
        named.map_or("", |four| &four[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_resource_has_its_resource_as_scope() {
        let path = Path::of(
            "/subscriptions/s/resourcegroups/g/providers/Microsoft.KeyVault/vaults/kv/providers/microsoft.authorization/roleAssignments/x",
        );
        assert_eq!(
            path.scope(),
            "/subscriptions/s/resourcegroups/g/providers/Microsoft.KeyVault/vaults/kv"
        );
        assert_eq!((path.subscription(), path.group()), (Some("s"), Some("g")));
        assert_eq!(path.namespace().as_deref(), Some("microsoft.authorization"));
        assert_eq!(path.words(), ["roleassignments", "x"]);
        assert_eq!(path.key_vault(), "kv");
    }

    #[test]
    fn a_path_without_provider_is_all_scope() {
        let path = Path::of("/subscriptions/s/resourceGroups/g%20h");
        assert_eq!(path.scope(), "/subscriptions/s/resourceGroups/g h");
        assert_eq!(path.namespace(), None);
    }
}
