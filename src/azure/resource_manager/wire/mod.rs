//! The JSON of Azure Resource Manager, and what of it is believed.
//!
//! A member that is absent or null is none. One of a wrong type, or an id of something that was not
//! asked for, makes the whole answer worthless: what is not understood must never count as read.

pub(super) mod authorization;
pub(super) mod key_vault;
pub(super) mod recovery_services;

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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
mod tests {
    use super::*;

    #[test]
    fn text_that_nobody_should_see_is_none() {
        let shown = |text: &str| shown(Some(text.to_owned()));
        assert_eq!(shown("West Europe").as_deref(), Some("West Europe"));
        assert_eq!(shown("M\u{fc}nchen").as_deref(), Some("M\u{fc}nchen"));
        for wrong in ["", "a\nb", "a\u{1b}[2Jb", "a\u{202e}b", "a\u{feff}", &"a".repeat(513)] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_id_lies_within_another_at_a_slash_only() {
        assert!(is_within("/a/B", "/A/b") && is_within("/a/b/c", "/a/b"));
        assert!(!is_within("/a/bc", "/a/b") && !is_within("/a", "/a/b") && !is_within("", "/a"));
        assert!(!is_within("/\u{e4}", "/a"));
    }

    #[test]
    fn moments_have_seven_digits_of_a_second_or_none() {
        let moment = |text: &str| moment(Some(text.to_owned())).map(OffsetDateTime::unix_timestamp);
        assert_eq!(moment("2025-04-14T08:54:26.7153899Z"), Some(1_744_620_866));
        assert_eq!(moment("2024-07-22T06:24:25Z"), Some(1_721_629_465));
        assert_eq!(moment("yesterday"), None);
    }
}
