//! Why somebody retrieves a passphrase: the reason, in their words, and the ticket.

use std::ops::RangeInclusive;

use regex::Regex;
use serde::Serialize;
use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    AlternateLocationRestore,
    MachineReinstall,
    RestoreDrill,
    Audit,
    Migration,
    LegalRequest,
    Other,
}

/// A reason that satisfies the rules, and only such a one: retrieval asks for nothing less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    reason: Reason,
    justification: String,
    ticket: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPurpose {
    #[error("a justification has at least {minimum} characters (and at most 500) with this reason")]
    Justification { minimum: usize },
    #[error("a justification has no control, invisible or direction-changing characters")]
    Unprintable,
    #[error("a ticket is required")]
    TicketRequired,
    #[error("the ticket does not have the form that this service is configured for")]
    TicketPattern,
}

/// What the configuration asks of a ticket.
#[derive(Debug, Clone, Default)]
pub struct TicketRule {
    pub required: bool,
    pub pattern: Option<Regex>,
}

/// Characters that are not seen, or that turn the direction of others.
const INVISIBLE: [RangeInclusive<char>; 10] = [
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{e0000}'..='\u{e007f}',
];

impl Purpose {
    pub fn parse(
        reason: Reason,
        justification: &str,
        ticket: Option<&str>,
        rule: &TicketRule,
    ) -> Result<Self, InvalidPurpose> {
        let justification = justification.trim();
        let minimum = if reason == Reason::Other { 20 } else { 10 };
        if !(minimum..=500).contains(&justification.chars().count()) {
            return Err(InvalidPurpose::Justification { minimum });
        }
        // An auditor reads this in a terminal: no escape sequences, no text that runs backwards.
        let deceives = |c: char| c.is_control() || INVISIBLE.iter().any(|range| range.contains(&c));
        if justification.contains(deceives) {
            return Err(InvalidPurpose::Unprintable);
        }
        let ticket = ticket.map(str::trim).filter(|ticket| !ticket.is_empty());
        match ticket {
            None if rule.required => return Err(InvalidPurpose::TicketRequired),
            Some(text) if !rule.admits(text) => return Err(InvalidPurpose::TicketPattern),
            _ => {}
        }
        Ok(Self {
            reason,
            justification: justification.to_owned(),
            ticket: ticket.map(str::to_owned),
        })
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    pub fn justification(&self) -> &str {
        &self.justification
    }

    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }
}

impl TicketRule {
    fn admits(&self, ticket: &str) -> bool {
        let printable = ticket.len() <= 64
            && ticket.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        // The whole ticket must match: a pattern without anchors would let anything follow.
        let matches_whole =
            |pattern: &Regex| pattern.find(ticket).is_some_and(|found| found.len() == ticket.len());
        printable && self.pattern.as_ref().is_none_or(matches_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        reason: Reason,
        justification: &str,
        ticket: Option<&str>,
    ) -> Result<Purpose, InvalidPurpose> {
        let rule = TicketRule { required: true, pattern: Some(Regex::new("INC[0-9]{7}").unwrap()) };
        Purpose::parse(reason, justification, ticket, &rule)
    }

    #[test]
    fn a_justification_is_longer_when_the_reason_says_nothing() {
        let ticket = Some("INC0012345");
        assert!(parse(Reason::RestoreDrill, "ten letters", ticket).is_ok());
        assert!(parse(Reason::RestoreDrill, "   short   ", ticket).is_err());
        assert!(parse(Reason::Other, "nineteen letters...", ticket).is_err());
        assert!(parse(Reason::Other, "twenty letters are it", ticket).is_ok());
    }

    #[test]
    fn the_whole_ticket_matches_the_pattern() {
        let refusal = |ticket| parse(Reason::Audit, "a yearly audit", ticket).err();
        assert_eq!(refusal(Some("INC0012345")), None);
        assert_eq!(refusal(Some("INC0012345; drop")), Some(InvalidPurpose::TicketPattern));
        assert_eq!(refusal(Some("  ")), Some(InvalidPurpose::TicketRequired));
        assert_eq!(refusal(None), Some(InvalidPurpose::TicketRequired));
    }

    #[test]
    fn a_justification_cannot_deceive_its_reader() {
        let unseen = "\u{200b}".repeat(10);
        for wrong in [
            unseen.as_str(),
            "restore \u{1b}[2J of web01",
            "restore \u{202e}10bew fo",
            "restore\nof web01",
        ] {
            assert_eq!(
                parse(Reason::Audit, wrong, Some("INC0012345")),
                Err(InvalidPurpose::Unprintable)
            );
        }
    }
}
