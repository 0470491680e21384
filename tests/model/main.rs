//! Goal B3: the saga as a model small enough to look at every state of it. Two replicas, one machine, its agent,
//! Key Vault and the reconciler, cut at every place where a process can die and a message get lost.
//!
//! A machine's rows are those of the model that `tests/api/saga` compares with the running service, so
//! that what is proven here of them holds there; which states are open and unsettled, the domain says.

#![expect(
    unreachable_pub,
    reason = "a test binary has no callers; `pub` marks the words of the model"
)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be is a failure")]

mod explore;
#[path = "../api/saga/model.rs"]
#[expect(dead_code, reason = "the conformance test asks more of it")]
mod reference;
mod replica;
mod rules;
mod steps;
mod world;

use explore::{Bounds, explore};
use passphrase_broker::domain::{
    key_vault_id::SecretVersion,
    rotation::{Collected, RotationState},
};
use reference::{Call, Model, State};
use rules::{MUTANTS, Rule};
use world::World;

fn full_size_or<T>(full: T, usual: T) -> T {
    #[expect(clippy::disallowed_methods, reason = "a test's size is no setting of the service")]
    let wanted = std::env::var_os("FULL_SIZE").is_some();
    if wanted { full } else { usual }
}

#[test]
fn no_state_of_the_saga_breaks_an_invariant() {
    let bounds = full_size_or(Bounds::FULL, Bounds::USUAL);
    let explored = explore(&Rule::OURS, bounds);
    let states = explored.states;
    assert!(explored.violation.is_none(), "{}", explored.story());
    println!("{states} states to a depth of {}, 0 violations", explored.depth);
    assert!(states >= full_size_or(700_000, 10_000), "{states}");
}

#[test]
fn each_rule_that_is_left_out_breaks_an_invariant() {
    let mut survivors = Vec::new();
    for mutant in MUTANTS {
        let explored = explore(&Rule::without(mutant), Bounds::USUAL);
        match &explored.violation {
            None => survivors.push(mutant),
            Some(broken) => println!("{mutant:?}: {broken} in {} steps", explored.depth),
        }
    }
    println!("{} of {} mutants are found", MUTANTS.len() - survivors.len(), MUTANTS.len());
    // Tags keep Key Vault tidy and make a rebuild possible; safety rests on fencing and named versions.
    assert_eq!(survivors, [rules::Mutant::NoTagLookup]);
}

#[test]
fn the_models_rows_and_the_domains_agree_on_what_is_open_and_what_is_unsettled() {
    let escrow_version = SecretVersion::parse(&"0".repeat(32)).unwrap();
    let at = time::OffsetDateTime::UNIX_EPOCH;
    let collected = Collected { escrow_version: escrow_version.clone(), at };
    let failed =
        |collected| RotationState::Failed { collected, mars_error_code: None, message: None };
    let version = escrow_version.clone();
    for (state, domain) in [
        (State::Requested, RotationState::Requested),
        (State::Prepared, RotationState::Prepared { escrow_version }),
        (State::Collected, RotationState::Collected(collected.clone())),
        (State::Confirmed, RotationState::Confirmed { collected: collected.clone(), version, at }),
        (State::Failed { collected: false }, failed(None)),
        (State::Failed { collected: true }, failed(Some(collected.clone()))),
        (State::Abandoned, RotationState::Abandoned),
        (State::Expired, RotationState::Expired),
        (State::Indeterminate, RotationState::Indeterminate(collected)),
    ] {
        assert_eq!(state.is_open(), domain.is_open(), "{state:?}");
        assert_eq!(state.is_unsettled(), domain.unsettled().is_some(), "{state:?}");
    }
}

/// What a call does when nothing comes in between is what the reference, and so the service, says.
#[test]
fn an_uninterrupted_call_is_the_references() {
    let mut world = World::default();
    for call in [Call::Rotate, Call::Confirm, Call::Rotate, Call::Fail, Call::Confirm] {
        let at = world.rows.len().saturating_sub(1);
        let expected: Model = world.model().after(call, at).1;
        world = steps::alone(&world, call, &Rule::OURS);
        assert_eq!(world.model(), expected, "{call:?}");
    }
    assert_eq!(world.model().in_force, 2);
}
