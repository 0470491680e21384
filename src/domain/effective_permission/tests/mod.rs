//! Facts about effective permissions: tables of cases, each with its name, and properties against a second,
//! simpler implementation.

mod conditions;
mod deny_assignments;
mod evidence;
mod names;
mod policies;
mod properties;
mod reference;
mod role_assignments;
mod scene;

use scene::Scene;

/// What is shown, the scene, and its answer in short.
type Case = (&'static str, Scene, &'static str);

/// Tells every case that came out otherwise, not only the first.
fn check(cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(name, scene, expected)| (name, scene.answer_in_short(), expected))
        .filter(|(_, answer, expected)| answer != *expected)
        .map(|(name, answer, expected)| format!("{name}: {answer}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_hold_at_least_sixty_cases_with_names_of_their_own() {
    let tables = [
        role_assignments::cases(),
        role_assignments::scope_cases(),
        deny_assignments::cases(),
        policies::cases(),
        conditions::cases(),
    ];
    let mut names: Vec<&str> = tables.iter().flatten().map(|(name, ..)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count >= 60 && names.len() == count, "{count} cases, {} names", names.len());
}
