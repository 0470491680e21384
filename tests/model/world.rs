//! A state of everything: PostgreSQL, Key Vault, what two replicas are at, what is on the wire, and the agent;
//! and what must be true of it.

use crate::{
    explore::Bounds,
    reference::{Model, State},
    rules::{Mutant, Rule},
};

/// A passphrase. 0 is the registration's.
pub type Value = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    pub value: Value,
    /// The number of the rotation that wrote it; 0 is the registration.
    pub operation: usize,
    pub enabled: bool,
}

/// A rotation in PostgreSQL, with what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub state: State,
    pub epoch: u8,
    pub confirming: bool,
    /// The place of its version in the escrow secret.
    pub escrow: Option<usize>,
    /// What the log says was handed out.
    pub released: Option<Value>,
    /// The log says that it was to be written to `AzBackup-...`.
    pub intended: bool,
}

/// A write that somebody gave up waiting for, and that Key Vault may still do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    pub own: bool,
    pub version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Answer {
    /// The agent's request.
    pub to: u8,
    pub row: usize,
    pub value: Value,
}

/// Where a replica is in what it does. `to` is the request that waits for it; none: the reconciler acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// The intent is on record, and nothing sent yet.
    Prepare {
        row: usize,
        epoch: u8,
        to: u8,
        value: Value,
    },
    /// Taken over: what was written is looked for.
    Look {
        row: usize,
        epoch: u8,
        to: Option<u8>,
    },
    /// Key Vault has acknowledged this version.
    Stored {
        row: usize,
        epoch: u8,
        to: Option<u8>,
        version: usize,
    },
    /// An open rotation is handed out again.
    HandOut {
        row: usize,
        to: u8,
    },
    /// On record; about to answer.
    Answer(Answer),
    /// To be confirmed: nothing has been asked yet. `epoch` is the reconciler's.
    Confirm {
        row: usize,
        epoch: Option<u8>,
    },
    /// The intent is on record, and nothing sent yet.
    Copy {
        row: usize,
        epoch: Option<u8>,
    },
    Copied {
        row: usize,
        epoch: Option<u8>,
        version: usize,
    },
    /// In force; the escrow is history.
    Disable {
        row: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The number of the rotation in force, and its version's place in the machine's secret.
    pub in_force: (usize, usize),
    pub rows: Vec<Row>,
    pub own: Vec<Version>,
    pub escrow: Vec<Version>,
    pub tasks: [Option<Task>; 2],
    pub late: Vec<Write>,
    pub answers: Vec<Answer>,
    /// The agent's newest request, what it was handed, and what MARS uses.
    pub asked: u8,
    pub handed: Option<(usize, Value)>,
    pub applied: Value,
    pub generated: Value,
    pub left: Bounds,
    /// What went wrong on the way.
    pub broken: Option<&'static str>,
}

impl Default for World {
    /// A machine that was just registered.
    fn default() -> Self {
        Self {
            in_force: (0, 0),
            rows: Vec::new(),
            own: vec![Version { value: 0, operation: 0, enabled: true }],
            escrow: Vec::new(),
            tasks: [None, None],
            late: Vec::new(),
            answers: Vec::new(),
            asked: 0,
            handed: None,
            applied: 0,
            generated: 0,
            left: Bounds::FULL,
            broken: None,
        }
    }
}

impl World {
    /// The machine's rows, as the conformance test knows them.
    pub fn model(&self) -> Model {
        let rotations = self.rows.iter().map(|row| row.state).collect();
        Model { in_force: self.in_force.0, rotations }
    }

    /// The open rotation.
    pub fn open(&self) -> Option<usize> {
        self.rows.iter().position(|row| row.state.is_open())
    }

    /// What the help desk can read of the candidates.
    fn candidates(&self, rule: &Rule) -> Vec<Value> {
        if rule.lacks(Mutant::Latest) {
            return self.own.last().map(|newest| newest.value).into_iter().collect();
        }
        let forgotten = |state: State| {
            (rule.lacks(Mutant::ExpiredForgotten) && state == State::Indeterminate)
                || (rule.lacks(Mutant::FailedForgotten) && matches!(state, State::Failed { .. }))
        };
        let in_force = self.own.get(self.in_force.1).map(|version| version.value);
        let candidates = self.model().candidates().into_iter().skip(1).map(|number| number - 1);
        let rows = candidates.map(|index| &self.rows[index]);
        let escrow = rows.filter(|row| !forgotten(row.state)).filter_map(|row| row.escrow);
        let readable = escrow.map(|place| &self.escrow[place]).filter(|version| version.enabled);
        in_force.into_iter().chain(readable.map(|version| version.value)).collect()
    }

    fn is_stored(&self, value: Value) -> bool {
        self.own.iter().chain(&self.escrow).any(|version| version.value == value)
    }

    /// The first invariant of reliability.md II that does not hold.
    pub fn violation(&self, rule: &Rule) -> Option<&'static str> {
        if self.broken.is_some() {
            return self.broken;
        }
        if !self.candidates(rule).contains(&self.applied) {
            return Some("I1: what the machine uses is no candidate");
        }
        let handed = self.handed.iter().copied();
        let mut given = handed.chain(self.answers.iter().map(|answer| (answer.row, answer.value)));
        if let Some((row, value)) = given.find(|(row, value)| {
            !self.is_stored(*value) || self.rows[*row].released != Some(*value)
        }) {
            let stored = self.is_stored(value) && row < self.rows.len();
            return Some(if stored {
                "I3: it left without an event"
            } else {
                "I2: it left before it was stored"
            });
        }
        let late_own = self.late.iter().filter(|write| write.own).map(|write| &write.version);
        let mut copies = self.own.iter().chain(late_own).filter(|version| version.operation > 0);
        if copies.any(|version| !self.rows[version.operation - 1].intended) {
            return Some("I4: written without an intent");
        }
        if self.rows.iter().filter(|row| row.state.is_open()).count() > 1 {
            return Some("I5: two rotations are open");
        }
        let named = self.own.get(self.in_force.1).map(|version| version.operation);
        (named != Some(self.in_force.0)).then_some("I1: in force is what is not there")
    }
}
