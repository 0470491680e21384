//! Conditions of role assignments and deny assignments, as far as they speak of secrets' and Key Vaults' names.
//!
//! A condition becomes a row of truth values and signs, which two stacks reduce. What this cannot evaluate is `None`,
//! and whoever asks takes that for a refusal; how much that is: `README.md`.

use crate::azure::covers;

/// What somebody wants to do.
pub(super) struct Asked<'a> {
    pub(super) action: &'a str,
    /// The resource's id: a Key Vault, a secret below it, or anything else.
    pub(super) resource: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Open,
    Close,
    Not,
    And,
    Or,
}

enum Item {
    Sign(Sign),
    Truth(Option<bool>),
}

/// Whether it holds, if that can be told.
pub(super) fn holds(condition: &str, asked: &Asked<'_>) -> Option<bool> {
    let lexemes = lexemes(condition)?;
    let mut items = Vec::new();
    let mut rest: Vec<&str> = lexemes.iter().map(String::as_str).collect();
    while !rest.is_empty() {
        let (item, length) = first(&rest, asked)?;
        items.push(item);
        rest.drain(..length);
    }
    reduce(items)
}

/// Words, signs, quoted texts and attributes, each as it is written.
fn lexemes(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '\'' => rest[1..].find('\'')? + 2,
            '@' => rest.find(']')? + 1,
            '&' | '|' => 2,
            '(' | ')' | '{' | '}' | ',' | '!' => 1,
            _ => rest
                .find(|c: char| c.is_whitespace() || "(){},!'@&|".contains(c))
                .unwrap_or(rest.len()),
        };
        found.push(rest.get(..length)?.to_owned());
        rest = rest[length..].trim_start();
    }
    Some(found)
}

/// The first sign or comparison, and how many lexemes it takes.
fn first(rest: &[&str], asked: &Asked<'_>) -> Option<(Item, usize)> {
    let sign = match rest[0] {
        "(" => Some(Sign::Open),
        ")" => Some(Sign::Close),
        "!" | "NOT" => Some(Sign::Not),
        "AND" | "&&" => Some(Sign::And),
        "OR" | "||" => Some(Sign::Or),
        _ => None,
    };
    if let Some(sign) = sign {
        return Some((Item::Sign(sign), 1));
    }
    let (truth, length) = match rest {
        ["ActionMatches", "{", pattern, "}", ..] => {
            (Some(covers(unquoted(pattern)?, asked.action)), 4)
        }
        ["SubOperationMatches", "{", _, "}", ..] => (None, 4),
        ["Exists", _, ..] => (None, 2),
        [attribute, operator, ..] if !attribute.starts_with('@') || !is_word(operator) => {
            return None;
        }
        [attribute, operator, "{", ..] => {
            let end = rest.iter().position(|lexeme| *lexeme == "}")?;
            let members = rest.get(3..end)?.iter().filter(|lexeme| **lexeme != ",");
            let values: Option<Vec<&str>> = members.map(|lexeme| unquoted(lexeme)).collect();
            // Numbers are not for names.
            let truth = values.and_then(|values| compare(attribute, operator, &values, asked));
            (truth.filter(|_| operator.contains(':')), end + 1)
        }
        [attribute, operator, value, ..] if value.starts_with('\'') || is_word(value) => {
            (unquoted(value).and_then(|value| compare(attribute, operator, &[value], asked)), 3)
        }
        _ => return None,
    };
    Some((Item::Truth(truth), length))
}

/// Of an operator, a number, `true`.
fn is_word(lexeme: &str) -> bool {
    const OTHERS: [&str; 6] =
        ["AND", "OR", "NOT", "ActionMatches", "SubOperationMatches", "Exists"];
    lexeme.starts_with(|c: char| c.is_ascii_alphanumeric()) && !OTHERS.contains(&lexeme)
}

fn unquoted(lexeme: &str) -> Option<&str> {
    lexeme.strip_prefix('\'')?.strip_suffix('\'')
}

type Comparison = fn(&str, &str) -> Option<bool>;

const COMPARISONS: [(&str, Comparison); 5] = [
    ("Equals", |name, value| Some(name == value)),
    ("StartsWith", |name, value| Some(name.starts_with(value))),
    ("EndsWith", |name, value| Some(name.ends_with(value))),
    ("Contains", |name, value| Some(name.contains(value))),
    ("Like", like),
];

fn compare(attribute: &str, operator: &str, values: &[&str], asked: &Asked<'_>) -> Option<bool> {
    let (quantity, operator) = operator.rsplit_once(':').unwrap_or(("ForAnyOfAnyValues", operator));
    let positive = operator.replacen("StringNot", "String", 1);
    let exact = positive.strip_suffix("IgnoreCase").unwrap_or(&positive);
    let is_folded = exact.len() < positive.len();
    let folded = |text: &str| if is_folded { text.to_lowercase() } else { text.to_owned() };
    let (_, comparison) =
        COMPARISONS.iter().find(|(word, _)| exact.strip_prefix("String") == Some(*word))?;
    let name = folded(asked.name(attribute)?);
    // What a backslash means elsewhere is not documented.
    let is_plain = |value: &&str| exact == "StringLike" || !value.contains('\\');
    values.iter().all(is_plain).then_some(())?;
    let mut fits = Vec::new();
    for value in values {
        fits.push(comparison(&name, &folded(value))? == (operator == positive));
    }
    match quantity {
        "ForAnyOfAnyValues" | "ForAllOfAnyValues" => Some(fits.contains(&true)),
        "ForAnyOfAllValues" | "ForAllOfAllValues" => Some(!fits.contains(&false)),
        _ => None,
    }
}

/// `*` for any run of letters, `?` for one, a backslash in front of either for itself: every place of the pattern that
/// may have been reached, letter by letter.
fn like(name: &str, pattern: &str) -> Option<bool> {
    let mut places = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let escaped = letter == '\\';
        places.push((
            escaped,
            if escaped { letters.next().filter(|c| "*?".contains(*c))? } else { letter },
        ));
    }
    let skip_stars = |reached: &mut Vec<bool>| {
        for at in 0..places.len() {
            reached[at + 1] |= reached[at] && places[at] == (false, '*');
        }
    };
    let mut reached = vec![false; places.len() + 1];
    reached[0] = true;
    skip_stars(&mut reached);
    for letter in name.chars() {
        let mut next = vec![false; places.len() + 1];
        for (at, (escaped, wanted)) in places.iter().enumerate().filter(|(at, _)| reached[*at]) {
            let is_star = !escaped && *wanted == '*';
            next[at] |= is_star;
            next[at + 1] |= !is_star && (*wanted == letter || (!escaped && *wanted == '?'));
        }
        skip_stars(&mut next);
        reached = next;
    }
    reached.last().copied()
}

impl Asked<'_> {
    /// Setting and restoring have the secret's name in the request, everything else in the resource.
    fn name(&self, attribute: &str) -> Option<&str> {
        let source = match self.action.rsplit('/').nth(1) {
            Some("setSecret" | "restore") => "@Request[",
            _ => "@Resource[",
        };
        let below = self.resource.split_once("/providers/Microsoft.KeyVault/vaults/")?.1;
        let mut parts = below.split('/');
        let (key_vault, secret) = (parts.next()?, parts.nth(1));
        if attribute.eq_ignore_ascii_case("@Resource[Microsoft.KeyVault/vaults:name]") {
            return Some(key_vault);
        }
        let own = format!("{source}Microsoft.KeyVault/vaults/secrets:name]");
        secret.filter(|_| attribute.eq_ignore_ascii_case(&own))
    }
}

/// Truth values on one stack, signs on the other. AND next to OR without parentheses is refused, as in Azure.
fn reduce(items: Vec<Item>) -> Option<bool> {
    let (mut truths, mut signs) = (Vec::new(), Vec::new());
    let mut after_truth = false;
    for item in items {
        match item {
            Item::Truth(truth) if !after_truth => {
                truths.push(truth);
                after_truth = true;
                negate(&mut truths, &mut signs)?;
            }
            Item::Sign(sign @ (Sign::Open | Sign::Not)) if !after_truth => signs.push(sign),
            Item::Sign(Sign::Close) if after_truth => {
                join(&mut truths, &mut signs)?;
                signs.pop().filter(|sign| *sign == Sign::Open)?;
                negate(&mut truths, &mut signs)?;
            }
            Item::Sign(sign @ (Sign::And | Sign::Or)) if after_truth => {
                let mixed = signs.last().is_some_and(|last| *last != Sign::Open && *last != sign);
                (!mixed).then(|| signs.push(sign))?;
                after_truth = false;
            }
            Item::Truth(_) | Item::Sign(_) => return None,
        }
    }
    join(&mut truths, &mut signs)?;
    truths.pop().filter(|_| after_truth && signs.is_empty())?
}

fn negate(truths: &mut [Option<bool>], signs: &mut Vec<Sign>) -> Option<()> {
    let last = truths.last_mut()?;
    while signs.pop_if(|sign| *sign == Sign::Not).is_some() {
        *last = last.map(|truth| !truth);
    }
    Some(())
}

/// All ANDs, or all ORs, down to the next parenthesis.
fn join(truths: &mut Vec<Option<bool>>, signs: &mut Vec<Sign>) -> Option<()> {
    while let Some(sign) = signs.pop_if(|sign| *sign != Sign::Open) {
        let (right, left) = (truths.pop()?, truths.pop()?);
        let decisive = Some(sign == Sign::Or);
        let either = left == decisive || right == decisive;
        truths.push(if either { decisive } else { left.and(right) });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_VAULT: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
    const NAME: &str = "@Request[Microsoft.KeyVault/vaults/secrets:name]";

    fn setting(condition: &str) -> Option<bool> {
        let resource = format!("{KEY_VAULT}/secrets/AzBackup-a");
        let action = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
        holds(condition, &Asked { action, resource: &resource })
    }

    #[test]
    fn a_name_is_compared_as_the_operator_says() {
        for (comparison, expected) in [
            ("StringEquals 'AzBackup-a'", Some(true)),
            ("StringEquals 'azbackup-a'", Some(false)),
            ("StringEqualsIgnoreCase 'azbackup-a'", Some(true)),
            ("StringNotStartsWith 'AzBackup-'", Some(false)),
            ("StringLike 'Az*-?'", Some(true)),
            (r"StringLike 'AzBackup-\?'", Some(false)),
            (r"StringLike 'AzBackup-\a'", None),
            ("StringNotLikeIgnoreCase 'az*'", Some(false)),
            ("ForAnyOfAnyValues:StringStartsWith {'x', 'Az'}", Some(true)),
            ("ForAnyOfAllValues:StringStartsWith {'x', 'Az'}", Some(false)),
            ("StringStartsWith {'Az'}", None),
            ("NumericEquals 3", None),
        ] {
            assert_eq!(setting(&format!("{NAME} {comparison}")), expected, "{comparison}");
        }
    }

    #[test]
    fn what_cannot_be_told_matters_only_where_it_decides() {
        let (yes, no, unknown) =
            ("ActionMatches{'*'}", "ActionMatches{'x'}", "Exists @Principal[x]");
        for (condition, expected) in [
            (format!("!({no}) AND ({yes} || {no})"), Some(true)),
            (format!("{no} OR NOT {yes}"), Some(false)),
            (format!("{unknown} AND {no}"), Some(false)),
            (format!("{unknown} OR {yes} OR {no}"), Some(true)),
            (format!("NOT {unknown}"), None),
            (format!("{unknown} AND {yes}"), None),
            (format!("{yes} AND {yes} OR {yes}"), None),
            (format!("({yes}"), None),
            (format!("{yes})"), None),
            (format!("{yes} {yes}"), None),
            (format!("{yes} OR }} x {{"), None),
            (format!("{yes} OR {NAME} StringEquals )"), None),
            ("AND".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(setting(&condition), expected, "{condition}");
        }
    }

    #[test]
    fn the_name_lies_where_the_action_has_it() {
        let stored = NAME.replace("Request", "Resource");
        let starts = |attribute: &str| format!("{attribute} StringStartsWith 'AzBackup-'");
        assert_eq!(setting(&starts(NAME)), Some(true));
        assert_eq!(setting(&starts(&stored)), None);
        let action = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";
        assert_eq!(holds(&starts(&stored), &Asked { action, resource: KEY_VAULT }), None);
        let key_vault = "@Resource[Microsoft.KeyVault/vaults:name] StringEquals 'kv'";
        assert_eq!(setting(key_vault), Some(true));
    }
}
