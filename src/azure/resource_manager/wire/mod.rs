//! The JSON of Azure Resource Manager, and what of it is believed.
//!
//! A member that is absent or null is none. One of a wrong type, or an id of something that was not
//! asked for, makes the whole answer worthless: what is not understood must never count as read.

pub(super) mod authorization;
pub(super) mod key_vault;
pub(super) mod recovery_services;
pub(super) mod resources;

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::domain::effective_permission::NOT_SHOWN;

const LONGEST_TEXT: usize = 512;

/// A member of `{"value": ...}`, as in lists of addresses.
#[derive(Deserialize)]
struct Item {
    value: Option<String>,
}

/// A text that can be shown to people: of one line, and not longer than anything Azure would say.
fn shown(text: Option<String>) -> Option<String> {
    text.filter(|text| {
        let hidden = |c: char| c.is_control() || is_invisible(c);
        (1..=LONGEST_TEXT).contains(&text.len()) && !text.contains(hidden)
    })
}

/// The words of a list, if all can be shown; absent lists are empty.
fn words(list: Option<Vec<String>>) -> Option<Vec<String>> {
    list.unwrap_or_default().into_iter().map(|word| shown(Some(word))).collect()
}

/// The condition of a grant or denial, or its version. What cannot be shown of it is marked, and whoever judges
/// it sees that it is not whole: left out, the grant would be unconditional.
fn condition(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let hidden = |c: char| (c.is_control() && !c.is_ascii_whitespace()) || is_invisible(c);
    Some(text.replace(hidden, NOT_SHOWN))
}

/// Marks that make text run backwards or vanish in a terminal.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn moment(text: Option<String>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text?, &Rfc3339).ok()
}

/// Whether a resource's id is another one's, or lies below it.
fn is_within(id: &str, parent: &str) -> bool {
    let below = id.get(..parent.len()).is_some_and(|start| start.eq_ignore_ascii_case(parent));
    below && id.get(parent.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
