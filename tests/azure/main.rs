//! The clients of `src/azure` by themselves, against azsim: what they make of Azure's answers, good and
//! bad. What a caller of the service sees of it is in `tests/api`.

#![expect(
    unreachable_pub,
    reason = "a test binary has no callers; `pub` marks the words of the harness"
)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be is a failure")]

mod bad_answers;
mod effective_permission;
mod harness;
mod identities;
mod pages;
mod probes;
mod refusals;
mod resources;
mod rights;
