//! Conditions of role assignments (Azure ABAC, version 2.0), as far as they are about secrets.
//!
//! What is documented for Key Vault is evaluated: `ActionMatches`, the string operators on the Key Vault's
//! and the secret's name, and their joining. Everything else stays unknown, and makes the whole condition
//! unknown only where it matters. Nothing that cannot be read is ever taken to hold.

mod compare;
mod parse;
mod token;

use self::{
    compare::Operator,
    parse::{Attribute, Expression, parse},
};
use super::{Question, SecretAction, outcome::Undecided, pattern, rights::NOT_SHOWN};

const KEY_VAULT_NAME: &str = "Microsoft.KeyVault/vaults:name";
const SECRET_NAME: &str = "Microsoft.KeyVault/vaults/secrets:name";

/// Whether a condition holds, in three values.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown(Undecided),
}

/// What is compared.
enum Value<'a> {
    Is(&'a str),
    /// Secrets are listed as a whole: there is no name, and documentation says that comparing one refuses.
    Absent,
    Unknown(Undecided),
}

/// A condition as ARM shows it, with its version where it has one.
pub(super) type Written<'a> = (Option<&'a str>, Option<&'a str>);

/// What several conditions say that must all hold.
pub(super) enum Together {
    Hold {
        /// There is at least one.
        conditional: bool,
    },
    Fail(String),
    Unknown(String, Undecided),
}

pub(super) fn together(conditions: &[Written<'_>], question: &Question<'_>) -> Together {
    let mut result = Together::Hold { conditional: false };
    for (text, version) in conditions {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { continue };
        match (holds(text, *version, question), &result) {
            (Truth::False, _) => return Together::Fail(text.to_owned()),
            (Truth::True, Together::Hold { .. }) => result = Together::Hold { conditional: true },
            (Truth::Unknown(because), Together::Hold { .. }) => {
                result = Together::Unknown(text.to_owned(), because);
            }
            _ => {}
        }
    }
    result
}

/// A missing version is 2.0, as ARM documents.
fn holds(condition: &str, version: Option<&str>, question: &Question<'_>) -> Truth {
    if [Some(condition), version].into_iter().flatten().any(|text| text.contains(NOT_SHOWN)) {
        return Truth::Unknown(Undecided::NotShown);
    }
    if let Some(other) = version.filter(|version| *version != "2.0") {
        return Truth::Unknown(Undecided::Version(other.to_owned()));
    }
    parse(condition).map_or(Truth::Unknown(Undecided::Unreadable), |expression| {
        evaluate(&expression, question, false)
    })
}

/// `negated`: under an odd number of negations, where a comparison that fails must not turn into a permission
/// without being known to.
fn evaluate(expression: &Expression<'_>, question: &Question<'_>, negated: bool) -> Truth {
    match expression {
        Expression::Not(inner) => match evaluate(inner, question, !negated) {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            unknown @ Truth::Unknown(_) => unknown,
        },
        Expression::All(parts) => join(parts, question, negated, &Truth::False, Truth::True),
        Expression::Any(parts) => join(parts, question, negated, &Truth::True, Truth::False),
        Expression::ActionMatches(pattern) => {
            truth(pattern::covers(pattern, question.action.data_action()))
        }
        Expression::Comparison { attribute, operator, values, text } => {
            let undecided = || Truth::Unknown(Undecided::Term((*text).to_owned()));
            let Some(operator) = Operator::named(operator) else { return undecided() };
            match value(attribute, question, text) {
                Value::Is(value) => operator.compare(value, values).map_or_else(undecided, truth),
                Value::Absent if !negated && !operator.is_negative() => Truth::False,
                Value::Absent => undecided(),
                Value::Unknown(why) => Truth::Unknown(why),
            }
        }
        Expression::Other(text) => Truth::Unknown(Undecided::Term((*text).to_owned())),
    }
}

/// One part that is `decisive` settles it; otherwise one unknown part makes it unknown.
fn join(
    parts: &[Expression<'_>],
    question: &Question<'_>,
    negated: bool,
    decisive: &Truth,
    otherwise: Truth,
) -> Truth {
    let mut result = otherwise;
    for part in parts {
        let truth = evaluate(part, question, negated);
        if truth == *decisive {
            return truth;
        }
        if matches!((&result, &truth), (Truth::True | Truth::False, Truth::Unknown(_))) {
            result = truth;
        }
    }
    result
}

fn truth(holds: bool) -> Truth {
    if holds { Truth::True } else { Truth::False }
}

/// Where the secret's name is depends on the action: in the request while the secret need not exist yet.
fn value<'a>(attribute: &Attribute<'_>, question: &Question<'a>, text: &str) -> Value<'a> {
    let in_request = matches!(question.action, SecretAction::Set | SecretAction::Restore);
    let source = if in_request { "Request" } else { "Resource" };
    let is = |source: &str, name: &str| {
        attribute.source.eq_ignore_ascii_case(source) && attribute.name.eq_ignore_ascii_case(name)
    };
    if is("Resource", KEY_VAULT_NAME) {
        return Value::Is(question.key_vault.name());
    }
    if !is(source, SECRET_NAME) {
        return Value::Unknown(Undecided::Term(text.to_owned()));
    }
    match question.secret_name {
        Some(name) => Value::Is(name),
        None if question.action == SecretAction::List => Value::Absent,
        None => Value::Unknown(Undecided::SecretNotNamed),
    }
}
