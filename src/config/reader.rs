//! Reads variables and collects what is wrong with them, instead of stopping at the first mistake.
//!
//! A variable that is empty counts as unset. A secret `X` may come from the file that `X_FILE`
//! names; what a secret contains never gets into a mistake.

use std::{fmt, fs};

use zeroize::Zeroizing;

pub(super) const EXPECTED_DATABASE: &str = "a URL such as \
     postgres://role:password@host:5432/database?sslmode=verify-full, with every special character \
     of the password percent-encoded";
pub(super) const EXPECTED_CURSOR_KEY: &str = "base64 of exactly 32 random bytes, the same on all \
     replicas (openssl rand -base64 32)";
pub(super) const FILTER: Setting<String> = Setting {
    expected: "a level (error, warn, info, debug, trace) or a filter such as info,passphrase_broker=debug",
    parse: |text| crate::telemetry::check_filter(text).map(|()| text.to_owned()),
};

/// One thing that is wrong, in words for the person who sets the variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub variable: String,
    pub problem: String,
    pub expected: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}; expected: {}", self.variable, self.problem, self.expected)
    }
}

/// How one kind of variable is read. The error says what is wrong, to follow the variable's name.
pub(super) struct Setting<T> {
    pub(super) expected: &'static str,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, mistakes: Vec::new() }
    }

    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Mistake>> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(self.mistakes),
        }
    }

    pub(super) fn mistake(&mut self, variable: &str, problem: impl Into<String>, expected: &str) {
        self.mistakes.push(Mistake {
            variable: variable.to_owned(),
            problem: problem.into(),
            expected: expected.to_owned(),
        });
    }

    /// The value of a variable that need not be set.
    pub(super) fn optional<T>(&mut self, variable: &str, setting: &Setting<T>) -> Option<T> {
        let text = self.text(variable)?;
        self.parsed(variable, text.trim(), setting)
    }

    /// The value of a variable with a default; `None` means that a mistake was recorded.
    pub(super) fn or<T>(
        &mut self,
        variable: &str,
        default: &str,
        setting: &Setting<T>,
    ) -> Option<T> {
        let text = self.text(variable);
        self.parsed(variable, text.as_deref().map_or(default, |text| text.trim()), setting)
    }

    /// The value of a variable that must be set; `None` means that a mistake was recorded.
    pub(super) fn must<T>(&mut self, variable: &str, setting: &Setting<T>) -> Option<T> {
        let expected = setting.expected;
        let value = self.optional(variable, setting);
        self.required(variable, expected, value)
    }

    /// The value of a secret variable, from itself or from the file that `<variable>_FILE` names.
    pub(super) fn secret<T>(
        &mut self,
        variable: &str,
        expected: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let file_variable = format!("{variable}_FILE");
        let text = match (self.text(variable), self.text(&file_variable)) {
            (Some(_), Some(_)) => {
                self.mistake(
                    variable,
                    format!("and {file_variable} are both set"),
                    "one of the two",
                );
                return None;
            }
            (Some(text), None) => text,
            (None, Some(path)) => self.file(&file_variable, path.trim(), expected)?,
            (None, None) => return None,
        };
        parse(&text).map_err(|problem| self.mistake(variable, problem, expected)).ok()
    }

    /// Records that a variable is unset, unless its absence already has a mistake of its own.
    pub(super) fn required<T>(
        &mut self,
        variable: &str,
        expected: &str,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() {
            self.require_set(variable, expected);
        }
        value
    }

    pub(super) fn require_set(&mut self, variable: &str, expected: &str) {
        let belongs = |mistake: &Mistake| mistake.variable.trim_end_matches("_FILE") == variable;
        if !self.mistakes.iter().any(belongs) {
            self.mistake(variable, "is not set", expected);
        }
    }

    fn parsed<T>(&mut self, variable: &str, text: &str, setting: &Setting<T>) -> Option<T> {
        (setting.parse)(text)
            .map_err(|problem| self.mistake(variable, problem, setting.expected))
            .ok()
    }

    fn text(&mut self, variable: &str) -> Option<Zeroizing<String>> {
        let text = Zeroizing::new((self.lookup)(variable)?);
        if text.contains('\u{fffd}') {
            self.mistake(variable, "is not UTF-8", "UTF-8 text");
            return None;
        }
        (!text.trim().is_empty()).then_some(text)
    }

    fn file(&mut self, variable: &str, path: &str, expected: &str) -> Option<Zeroizing<String>> {
        match fs::read_to_string(path).map(Zeroizing::new) {
            // Editors and `echo` end a file with a newline that belongs to no secret.
            Ok(text) => Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => {
                let problem = format!("names {path:?}, which cannot be read ({})", error.kind());
                self.mistake(variable, problem, &format!("a file that holds {expected}"));
                None
            }
        }
    }
}
