//! The operators that compare a name.

use super::{parse::Values, pattern};

/// How one value is compared with one other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
    Like,
}

/// How many values on the right must fit. There is one on the left: a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// No quantity is written: there has to be one value.
    Only,
    Any,
    All,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    comparison: Comparison,
    negative: bool,
    ignore_case: bool,
    quantity: Quantity,
}

impl Operator {
    /// As Azure spells it, letter by letter.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (quantity, name) = match name.split_once(':') {
            None => (Quantity::Only, name),
            Some(("ForAnyOfAnyValues" | "ForAllOfAnyValues", name)) => (Quantity::Any, name),
            Some(("ForAnyOfAllValues" | "ForAllOfAllValues", name)) => (Quantity::All, name),
            Some(_) => return None,
        };
        let name = name.strip_prefix("String")?;
        let positive = name.strip_prefix("Not");
        let (negative, name) = (positive.is_some(), positive.unwrap_or(name));
        let folded = name.strip_suffix("IgnoreCase");
        let comparison = match folded.unwrap_or(name) {
            "Equals" => Comparison::Equals,
            "StartsWith" => Comparison::StartsWith,
            "EndsWith" => Comparison::EndsWith,
            "Contains" => Comparison::Contains,
            "Like" => Comparison::Like,
            _ => return None,
        };
        Some(Self { comparison, negative, ignore_case: folded.is_some(), quantity })
    }

    pub(super) fn is_negative(self) -> bool {
        self.negative
    }

    /// `None` when what is written has no documented meaning.
    pub(super) fn compare(self, value: &str, with: &Values<'_>) -> Option<bool> {
        let with = match (with, self.quantity) {
            (Values::One(one), _) => std::slice::from_ref(one),
            (Values::Set(_), Quantity::Only) => return None,
            (Values::Set(set), _) => set,
        };
        let each: Option<Vec<bool>> = with.iter().map(|one| self.compare_one(value, one)).collect();
        let fits = |fits: &bool| *fits;
        Some(match self.quantity {
            Quantity::Only | Quantity::Any => each?.iter().any(fits),
            Quantity::All => each?.iter().all(fits),
        })
    }

    fn compare_one(self, value: &str, with: &str) -> Option<bool> {
        if self.comparison == Comparison::Like {
            return Some(pattern::like(with, value, self.ignore_case)? != self.negative);
        }
        // Names hold no backslash; whether it escapes here is not documented.
        if with.contains('\\') {
            return None;
        }
        let fold = |text: &str| {
            if self.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() }
        };
        let (value, with) = (fold(value), fold(with));
        let fits = match self.comparison {
            Comparison::Equals => value == with,
            Comparison::StartsWith => value.starts_with(&with),
            Comparison::EndsWith => value.ends_with(&with),
            Comparison::Contains | Comparison::Like => value.contains(&with),
        };
        Some(fits != self.negative)
    }
}
