//! Command lines to paste: names and ids are quoted for the shell that they are for, whatever is in them.

use std::fmt::Write;

/// A line for bash: `az ...`.
pub(super) struct Az(String);

impl Az {
    pub(super) fn new(command: &str) -> Self {
        Self(format!("az {command}"))
    }

    pub(super) fn arg(self, name: &str, value: &str) -> Self {
        self.word(name).word(&bash(value))
    }

    /// Left out when nothing is known: az asks its current subscription then.
    pub(super) fn known(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.arg(name, value),
            None => self,
        }
    }

    /// Words that need no quoting.
    pub(super) fn word(mut self, word: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(word);
        self
    }

    pub(super) fn line(self) -> String {
        self.0
    }
}

/// A line for PowerShell.
pub(super) struct PowerShell(String);

impl PowerShell {
    pub(super) fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    pub(super) fn arg(mut self, name: &str, value: &str) -> Self {
        // Writing to a String cannot fail.
        let _written = write!(self.0, " {name} {}", powershell(value));
        self
    }

    pub(super) fn known(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.arg(name, value),
            None => self,
        }
    }

    pub(super) fn word(mut self, word: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(word);
        self
    }

    pub(super) fn line(self) -> String {
        self.0
    }

    /// In this subscription, when it is known: most cmdlets work in that of the session only.
    pub(super) fn lines_in(self, subscription: Option<&str>) -> Vec<String> {
        select(subscription).into_iter().chain([self.line()]).collect()
    }
}

/// The line that makes a subscription the session's.
pub(super) fn select(subscription: Option<&str>) -> Option<String> {
    Some(PowerShell::new("Set-AzContext").arg("-Subscription", subscription?).line())
}

fn plain(text: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    !text.is_empty() && text.bytes().all(harmless)
}

/// A word for bash and its relatives.
pub(super) fn bash(text: &str) -> String {
    if plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A word for PowerShell, where typographic quotes end a string as well.
pub(super) fn powershell(text: &str) -> String {
    if plain(text) && !text.starts_with(['-', '.']) {
        return text.to_owned();
    }
    let mut quoted = String::from("'");
    for character in text.chars() {
        if matches!(character, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            quoted.push(character);
        }
        quoted.push(character);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_word_in_both_shells() {
        for text in ["rg-backup", "/subscriptions/0b1f6471/resourceGroups/rg.1"] {
            assert_eq!((bash(text), powershell(text)), (text.to_owned(), text.to_owned()));
        }
        assert_eq!(bash("rg (1); rm -rf $HOME"), "'rg (1); rm -rf $HOME'");
        assert_eq!(bash("it's"), r"'it'\''s'");
        assert_eq!(powershell("it's (1) $x"), "'it''s (1) $x'");
        assert_eq!(powershell("a\u{2019}b"), "'a\u{2019}\u{2019}b'");
        assert_eq!((bash(""), powershell("")), ("''".to_owned(), "''".to_owned()));
    }
}
