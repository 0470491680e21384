//! As much of the `$filter` of `OData` as ARM's clients use: `x eq 'y'`, `atScope()`, `assignedTo('x')`, joined by `and`.
//!
//! Anything else is a 400 rather than a list that is quietly too long.

/// Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    equal: Vec<(String, String)>,
    pub(super) at_scope: bool,
    pub(super) assigned_to: Option<String>,
}

impl Filter {
    /// None: not understood. An empty text is an empty filter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (term, tail) = split_term(rest);
            filter.take(term.trim())?;
            rest = tail.trim();
        }
        Some(filter)
    }

    /// The value that `name` must have.
    pub(super) fn wanted(&self, name: &str) -> Option<&str> {
        let found = self.equal.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Does nothing contradict this value?
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        self.wanted(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    }

    fn take(&mut self, term: &str) -> Option<()> {
        let lower = term.to_ascii_lowercase();
        if lower == "atscope()" {
            self.at_scope = true;
        } else if lower.starts_with("assignedto(") && lower.ends_with(')') {
            self.assigned_to = Some(unquoted(&term["assignedto(".len()..term.len() - 1])?);
        } else {
            let at = lower.find(" eq ")?;
            let name = lower[..at].trim().to_owned();
            self.equal.push((name, unquoted(&term[at + 4..])?));
        }
        Some(())
    }
}

/// Up to the next ` and ` outside of quotation marks.
fn split_term(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '\'';
        let ahead = text.get(at..at + 5).unwrap_or_default();
        if !quoted && ahead.eq_ignore_ascii_case(" and ") {
            return (&text[..at], &text[at + 5..]);
        }
    }
    (text, "")
}

fn unquoted(text: &str) -> Option<String> {
    let text = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    Some(text.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_joined_by_and_outside_of_quotation_marks() {
        let filter =
            Filter::parse("resourceType eq 'Microsoft.KeyVault/vaults' AND name eq 'a and b'");
        let filter = filter.unwrap_or_default();
        assert_eq!(filter.wanted("resourceType"), Some("Microsoft.KeyVault/vaults"));
        assert!(filter.admits("name", "A and B") && !filter.admits("name", "a"));
    }

    #[test]
    fn functions_are_known_whatever_their_case() {
        let filter = Filter::parse("atScope() and assignedTo('p')").unwrap_or_default();
        assert!(filter.at_scope);
        assert_eq!(filter.assigned_to.as_deref(), Some("p"));
    }

    #[test]
    fn what_is_not_understood_is_not_a_filter() {
        assert_eq!(Filter::parse("name ne 'x'"), None);
        assert_eq!(Filter::parse("name eq x"), None);
    }
}
