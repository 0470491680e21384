//! The rules of the saga, each of which can be left out: then some invariant must break, or it is no rule.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The help desk gets Key Vault's newest version.
    Latest,
    /// What was collected and not confirmed by the deadline is no candidate.
    ExpiredForgotten,
    /// A machine that reports a failure is believed that it applied nothing.
    FailedForgotten,
    /// The answer leaves before Key Vault has acknowledged.
    AnswerBeforeEscrow,
    /// No event says that it was handed out.
    NoEvent,
    /// Whoever was taken over is not fenced off.
    NoFencing,
    /// A second rotation begins while one is open.
    TwoOpen,
    /// The agent takes an answer to a request that it gave up.
    StaleAnswer,
    /// What an interrupted replica wrote is not looked for.
    NoTagLookup,
    /// A late confirmation of an earlier rotation counts.
    PointerGoesBack,
    /// A confirmation disables all of the escrow.
    DisablesAll,
    /// In force before it is written to `AzBackup-...`.
    InForceBeforeWritten,
}

pub const MUTANTS: [Mutant; 12] = [
    Mutant::Latest,
    Mutant::ExpiredForgotten,
    Mutant::FailedForgotten,
    Mutant::AnswerBeforeEscrow,
    Mutant::NoEvent,
    Mutant::NoFencing,
    Mutant::TwoOpen,
    Mutant::StaleAnswer,
    Mutant::NoTagLookup,
    Mutant::PointerGoesBack,
    Mutant::DisablesAll,
    Mutant::InForceBeforeWritten,
];

/// All of them, or all but one.
pub struct Rule(Option<Mutant>);

impl Rule {
    pub const OURS: Self = Self(None);

    pub fn without(mutant: Mutant) -> Self {
        Self(Some(mutant))
    }

    pub fn lacks(&self, mutant: Mutant) -> bool {
        self.0 == Some(mutant)
    }
}
