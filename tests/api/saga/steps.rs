//! What may happen next, and how often.

use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::model::Call;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Of the first or the second replica.
    Ask(Call, bool),
    /// Of both at once.
    AskBoth(Call, Call),
    /// The replica dies when Key Vault has done what the call asked for, or before it does.
    Dies {
        call: Call,
        replica: bool,
        done: bool,
    },
    /// Something goes wrong with a request to Key Vault.
    Wrong {
        call: Call,
        replica: bool,
        how: Trouble,
    },
    /// The agent gives MARS what it was handed last.
    Apply,
    /// It forgets what it was handed.
    Forget,
    /// MARS, or a person in the portal, saves another passphrase.
    MarsWrites,
    DeadlinePasses,
    /// Time passes: whoever was interrupted is taken over.
    Settle,
    PostgresCrashes,
}

#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    Refused,
    Dropped,
    AnswerLost,
    Busy,
    Slow,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 10..30)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => (call(), any::<bool>()).prop_map(|(call, replica)| Step::Ask(call, replica)),
        4 => (call(), call()).prop_map(|(one, two)| Step::AskBoth(one, two)),
        2 => (call(), any::<bool>(), any::<bool>())
            .prop_map(|(call, replica, done)| Step::Dies { call, replica, done }),
        5 => (call(), any::<bool>(), trouble())
            .prop_map(|(call, replica, how)| Step::Wrong { call, replica, how }),
        8 => Just(Step::Apply),
        1 => Just(Step::Forget),
        2 => Just(Step::MarsWrites),
        2 => Just(Step::DeadlinePasses),
        4 => Just(Step::Settle),
        1 => Just(Step::PostgresCrashes),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        5 => Just(Call::Rotate),
        2 => Just(Call::Prepare),
        2 => Just(Call::Collect),
        5 => Just(Call::Confirm),
        1 => Just(Call::Fail),
        1 => Just(Call::Abandon),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::Refused),
        Just(Trouble::Dropped),
        Just(Trouble::AnswerLost),
        Just(Trouble::Busy),
        Just(Trouble::Slow),
    ]
}
