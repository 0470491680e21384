//! Takes the events one by one and compares the tree over them with what is claimed of it.

use std::iter::Peekable;

use super::{
    Archived, Evidence, Finding, Report, Verdict,
    evidence::{Claim, Claims},
};
use crate::audit::{
    note::Checkpoint,
    proof::is_consistent,
    tree::{Frontier, Hash},
};

/// More than this are counted, not listed.
const MOST_FINDINGS: usize = 100;

/// The end of the log, as whoever keeps it says.
pub(super) struct Head {
    pub(super) size: u64,
    /// None: it could not be told.
    pub(super) frontier: Option<Vec<u8>>,
}

/// An event's place in the tree, and what is wrong with it by itself.
pub(super) struct Leaf<'a> {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
    /// The inner nodes that it completes, as they are stored.
    pub(super) nodes: &'a [u8],
    pub(super) problems: Vec<String>,
}

/// What the root over the events agreed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AgreesWith {
    Nothing,
    /// What whoever keeps the events says of them.
    Head,
    /// A checkpoint that was kept elsewhere.
    Elsewhere,
}

/// Takes the events in their order.
pub(super) struct Verifier {
    claims: Peekable<Claims>,
    evidence_size: Option<u64>,
    tree: Frontier,
    /// The sequence that comes next.
    next: u64,
    events: u64,
    altered: bool,
    missing: bool,
    agrees_with: AgreesWith,
    archived: Vec<Archived>,
    first_bad: Option<u64>,
    findings: Vec<Finding>,
}

impl Verifier {
    /// `before` is the tree of the events that come before those that will be taken.
    pub(super) fn new(evidence: Evidence, before: Frontier) -> Self {
        let mut verifier = Self {
            evidence_size: evidence.size(),
            claims: evidence.into_claims().peekable(),
            next: before.size(),
            tree: before,
            events: 0,
            altered: false,
            missing: false,
            agrees_with: AgreesWith::Nothing,
            archived: Vec::new(),
            first_bad: None,
            findings: Vec::new(),
        };
        verifier.compare_claims();
        verifier
    }

    pub(super) fn take(&mut self, leaf: Leaf<'_>) {
        self.events += 1;
        self.place(leaf);
    }

    /// An event whose body is in the archive: its hashes were kept.
    pub(super) fn take_archived(&mut self, leaf: Leaf<'_>) {
        let first = leaf.sequence;
        match self.archived.last_mut() {
            Some(range) if range.end == first => range.end += 1,
            _ => self.archived.push(Archived { first, end: first + 1, bodies: Verdict::Unknown }),
        }
        self.place(leaf);
    }

    fn place(&mut self, leaf: Leaf<'_>) {
        let sequence = leaf.sequence;
        if sequence < self.next {
            // The table has no room for it, unless somebody took its constraints away.
            self.altered(Some(sequence), "there is another event in this place".into());
            return;
        }
        if sequence > self.next {
            let gap = format!("{} events are missing from here on", sequence - self.next);
            self.missing(self.next, gap);
        }
        for problem in leaf.problems {
            self.altered(Some(sequence), problem);
        }
        // Beyond a gap there is no tree to check against.
        if !self.missing {
            self.grow(sequence, leaf.nodes, leaf.hash);
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
        self.compare_claims();
    }

    fn compare_claims(&mut self) {
        let size = self.tree.size();
        while let Some(claim) = self.claims.next_if(|claim| claim.leaves.end <= size) {
            if claim.leaves.end < size {
                self.pass_over(&claim);
            } else if self.tree.root_from(claim.leaves.start) == Some(claim.root) {
                if claim.is_checkpoint {
                    self.agrees_with = AgreesWith::Elsewhere;
                }
            } else {
                self.contradict(&claim);
            }
        }
    }

    /// What is read begins behind it.
    fn pass_over(&mut self, claim: &Claim) {
        if claim.is_checkpoint {
            let size = claim.leaves.end;
            let problem =
                format!("the checkpoint is of the first {size} events, which are not in here");
            self.note(problem);
        }
    }

    fn contradict(&mut self, claim: &Claim) {
        let (first, last) = (claim.leaves.start, claim.leaves.end.saturating_sub(1));
        // Which event it is is known better than by a whole range of them.
        let unknown = self.first_bad.is_none_or(|known| known > last);
        if claim.is_checkpoint {
            let size = claim.leaves.end;
            let problem = format!("the first {size} events are not those of the checkpoint");
            self.altered(None, problem);
        } else if first == last {
            self.altered(Some(first), "this is not the event of the receipt".into());
        } else if unknown {
            let problem =
                format!("from here to {last}, some event is not one that the receipt vouches for");
            self.altered(Some(first), problem);
        }
    }

    /// A checkpoint that came with the events: with the log's signature, but not from elsewhere.
    pub(super) fn vouch(&mut self, checkpoint: &Checkpoint, consistency: &[Hash]) {
        if self.missing {
            return;
        }
        let (ours, theirs) = (self.tree.root(), (checkpoint.size, &checkpoint.root));
        if is_consistent((self.tree.size(), &ours), theirs, consistency) {
            self.agrees_with = self.agrees_with.max(AgreesWith::Head);
        } else {
            self.altered(None, "the events are not those of their own checkpoint".into());
        }
    }

    pub(super) fn finish(mut self, head: &Head) -> Report {
        if self.next < head.size {
            let problem = format!("{} events are missing at the end", head.size - self.next);
            self.missing(self.next, problem);
        } else if self.next > head.size {
            self.altered(
                Some(head.size),
                "events lie beyond the head: nobody appended them".into(),
            );
        } else if !self.missing
            && let Some(frontier) = &head.frontier
        {
            self.compare_head(frontier);
        }
        if let Some(size) = self.evidence_size
            && size > self.next
        {
            let problem = format!("the checkpoint knows {} events more", size - self.next);
            self.missing(self.next, problem);
        }
        let integrity = match (self.altered, self.agrees_with) {
            (true, _) => Verdict::Failed,
            (false, AgreesWith::Nothing) => Verdict::Unknown,
            (false, _) => Verdict::Ok,
        };
        let completeness = match (self.missing, self.agrees_with) {
            (true, _) => Verdict::Failed,
            // A checkpoint of other events says nothing about these.
            (false, AgreesWith::Elsewhere) if !self.altered => Verdict::Ok,
            (false, _) => Verdict::Unknown,
        };
        Report {
            integrity,
            completeness,
            first_bad_sequence: self.first_bad,
            events: self.events,
            checkpoint_size: self.evidence_size,
            archived: self.archived,
            findings: self.findings,
        }
    }

    fn compare_head(&mut self, frontier: &[u8]) {
        if self.tree.subtrees().concat() == frontier {
            self.agrees_with = self.agrees_with.max(AgreesWith::Head);
        } else {
            let first = self.tree.first_difference(frontier);
            let first = first.filter(|_| self.first_bad.is_none());
            self.altered(
                first,
                "the events are not those that the head of the log was made of".into(),
            );
        }
    }

    pub(super) fn altered(&mut self, sequence: Option<u64>, problem: String) {
        self.altered = true;
        self.find(sequence, problem);
    }

    /// From this sequence on.
    pub(super) fn missing(&mut self, sequence: u64, problem: String) {
        self.missing = true;
        self.find(Some(sequence), problem);
    }

    /// Something to know that is no fault.
    pub(super) fn note(&mut self, remark: String) {
        self.find(None, remark);
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn events(&self) -> u64 {
        self.events
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
