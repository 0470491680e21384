//! Checks the log without the service, event by event in constant memory, and gives two verdicts:
//! *integrity* (no event was altered, moved or put in) and *completeness* (none is missing, up to a
//! checkpoint that was kept elsewhere). What could not be checked is `unknown`, never `ok`.
//!
//! The tree decides. The row's other columns only help to name the event where it went wrong.

mod database;
mod row;

use std::fmt;

use serde::Serialize;

pub use database::{VerifyError, database};
pub use row::Row;

use super::{
    note::Checkpoint,
    tree::{Frontier, Hash},
};

/// More than this are counted, not listed.
const MOST_FINDINGS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Failed,
    Unknown,
}

/// What is wrong, with the event where it shows.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub sequence: Option<u64>,
    pub problem: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub integrity: Verdict,
    pub completeness: Verdict,
    /// The first event that is altered, moved, put in or missing, as far as it can be told.
    pub first_bad_sequence: Option<u64>,
    /// How many were read.
    pub events: u64,
    /// Of the checkpoint that was given.
    pub checkpoint_size: Option<u64>,
    /// At most 100.
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.integrity == Verdict::Ok && self.completeness != Verdict::Failed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |verdict| match verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Unknown => "unknown",
        };
        writeln!(formatter, "integrity     {}", word(self.integrity))?;
        writeln!(formatter, "completeness  {}", word(self.completeness))?;
        writeln!(formatter, "events        {}", self.events)?;
        match self.checkpoint_size {
            Some(size) => writeln!(formatter, "checkpoint    {size} events")?,
            None => writeln!(
                formatter,
                "checkpoint    none given: nobody can tell whether the newest events are missing"
            )?,
        }
        if let Some(sequence) = self.first_bad_sequence {
            writeln!(formatter, "first bad     {sequence}")?;
        }
        for finding in &self.findings {
            match finding.sequence {
                Some(sequence) => writeln!(formatter, "  {sequence}: {}", finding.problem)?,
                None => writeln!(formatter, "  {}", finding.problem)?,
            }
        }
        Ok(())
    }
}

/// The end of the log as the database has it.
pub struct Head {
    pub size: u64,
    pub frontier: Vec<u8>,
}

/// Takes the events in their order.
pub struct Verifier {
    checkpoint: Option<Checkpoint>,
    tree: Frontier,
    /// The sequence that comes next.
    next: u64,
    events: u64,
    altered: bool,
    missing: bool,
    /// The root was compared with one that does not come from the events.
    anchored: bool,
    first_bad: Option<u64>,
    findings: Vec<Finding>,
}

impl Verifier {
    pub fn new(checkpoint: Option<Checkpoint>) -> Self {
        let mut verifier = Self {
            checkpoint,
            tree: Frontier::default(),
            next: 0,
            events: 0,
            altered: false,
            missing: false,
            anchored: false,
            first_bad: None,
            findings: Vec::new(),
        };
        verifier.compare_checkpoint();
        verifier
    }

    pub fn take(&mut self, row: &Row) {
        self.events += 1;
        let sequence = u64::try_from(row.sequence).unwrap_or_default();
        if sequence < self.next {
            // The table has no room for it, unless somebody took its constraints away.
            self.altered(Some(sequence), "there is another event in this place".into());
            return;
        }
        if sequence > self.next {
            let gap = format!("{} events are missing from here on", sequence - self.next);
            self.missing(self.next, gap);
        }
        let leaf = row.true_leaf();
        for problem in row.problems(&leaf) {
            self.altered(Some(sequence), problem);
        }
        // Beyond a gap there is no tree to check against.
        if !self.missing {
            self.grow(sequence, &row.nodes, leaf);
        }
        self.next = sequence + 1;
    }

    fn grow(&mut self, sequence: u64, stored: &[u8], leaf: Hash) {
        let nodes = self.tree.append(leaf);
        let complete = stored.len() == 32 * nodes.len();
        let differing =
            nodes.iter().zip(stored.chunks(32)).position(|(ours, theirs)| ours != theirs);
        // After a first fault the nodes above it differ as well, which says nothing new.
        if self.first_bad.is_none() {
            if !complete {
                self.altered(Some(sequence), "its nodes of the tree are of another place".into());
            } else if let Some(height) = differing {
                let first = (sequence + 1) - (2 << height);
                let problem =
                    format!("from here to {sequence}, some event is not the one that was hashed");
                self.altered(Some(first), problem);
            }
        }
        self.compare_checkpoint();
    }

    fn compare_checkpoint(&mut self) {
        if let Some(checkpoint) = &self.checkpoint
            && checkpoint.size == self.tree.size()
        {
            if checkpoint.root == self.tree.root() {
                self.anchored = true;
            } else {
                let size = checkpoint.size;
                self.altered(
                    None,
                    format!("the first {size} events are not those of the checkpoint"),
                );
            }
        }
    }

    pub fn finish(mut self, head: &Head) -> Report {
        if self.next < head.size {
            let problem = format!("{} events are missing at the end", head.size - self.next);
            self.missing(self.next, problem);
        } else if self.next > head.size {
            self.altered(
                Some(head.size),
                "events lie beyond the head: nobody appended them".into(),
            );
        } else if !self.missing {
            self.compare_head(head);
        }
        let checkpoint_size = self.checkpoint.as_ref().map(|checkpoint| checkpoint.size);
        if let Some(size) = checkpoint_size
            && size > self.next
        {
            let problem = format!("the checkpoint knows {} events more", size - self.next);
            self.missing(self.next, problem);
        }
        let integrity = match (self.altered, self.anchored) {
            (true, _) => Verdict::Failed,
            (false, true) => Verdict::Ok,
            (false, false) => Verdict::Unknown,
        };
        let completeness = match (self.missing, checkpoint_size) {
            (true, _) => Verdict::Failed,
            // A checkpoint of other events says nothing about these.
            (false, Some(_)) if !self.altered => Verdict::Ok,
            (false, _) => Verdict::Unknown,
        };
        Report {
            integrity,
            completeness,
            first_bad_sequence: self.first_bad,
            events: self.events,
            checkpoint_size,
            findings: self.findings,
        }
    }

    fn compare_head(&mut self, head: &Head) {
        if self.tree.subtrees().concat() == head.frontier {
            self.anchored = true;
        } else {
            let first = self.tree.first_difference(&head.frontier);
            let first = first.filter(|_| self.first_bad.is_none());
            self.altered(
                first,
                "the events are not those that the head of the log was made of".into(),
            );
        }
    }

    fn altered(&mut self, sequence: Option<u64>, problem: String) {
        self.altered = true;
        self.find(sequence, problem);
    }

    fn missing(&mut self, sequence: u64, problem: String) {
        self.missing = true;
        self.find(Some(sequence), problem);
    }

    fn find(&mut self, sequence: Option<u64>, problem: String) {
        self.first_bad = match (self.first_bad, sequence) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { sequence, problem });
        }
    }
}
