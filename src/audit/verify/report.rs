//! What a verification says.

use std::fmt;

use serde::Serialize;

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
    /// Of the largest checkpoint that was given, by itself or in a receipt.
    pub checkpoint_size: Option<u64>,
    /// Events that are here by their hashes only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archived: Vec<Archived>,
    /// At most 100.
    pub findings: Vec<Finding>,
}

/// Events whose bodies are in the archive. Their hashes are part of the tree that was checked; an export of them is
/// verified by itself.
#[derive(Debug, Clone, Serialize)]
pub struct Archived {
    pub first: u64,
    /// The first that is not among them.
    pub end: u64,
    pub bodies: Verdict,
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
        for Archived { first, end, bodies } in &self.archived {
            let last = end.saturating_sub(1);
            writeln!(formatter, "archived      {first} to {last}: bodies {}", word(*bodies))?;
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
