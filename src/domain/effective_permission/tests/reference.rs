//! The same answers found another way: every fact that is not known is tried both ways, and each of those
//! worlds is decided with plain booleans. What comes out the same in all of them is certain.

use time::Duration;

use super::scene::*;
use crate::domain::effective_permission::*;

/// What is not known of a scene, decided one way: a number from 0 to 15, one bit a fact.
#[derive(Clone, Copy)]
struct World(u8);

impl World {
    fn in_group(self) -> bool {
        self.0 & 1 != 0
    }

    fn unread_role_grants(self) -> bool {
        self.0 & 2 != 0
    }

    fn unread_denial_denies(self) -> bool {
        self.0 & 4 != 0
    }

    fn beyond_holds(self) -> bool {
        self.0 & 8 != 0
    }
}

/// A condition whose truth nobody here can know, one that holds and one that fails.
pub(super) const BEYOND: &str = "@Environment[isPrivateLink] BoolEquals true";
pub(super) const HOLDS: &str = "ActionMatches{'*'}";
pub(super) const FAILS: &str = "!(ActionMatches{'*'})";

/// By a table: `fits[p][t]` says whether the first `p` of the pattern fit the first `t` of the text.
pub(super) fn fits(pattern: &str, text: &str, question_mark: bool) -> bool {
    let lower = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<char>>();
    let (pattern, text) = (lower(pattern), lower(text));
    let mut fits = vec![vec![false; text.len() + 1]; pattern.len() + 1];
    fits[0][0] = true;
    for p in 1..=pattern.len() {
        for t in 0..=text.len() {
            fits[p][t] = match pattern[p - 1] {
                '*' => fits[p - 1][t] || (t > 0 && fits[p][t - 1]),
                '?' if question_mark => t > 0 && fits[p - 1][t - 1],
                other => t > 0 && other == text[t - 1] && fits[p - 1][t - 1],
            };
        }
    }
    fits[pattern.len()][text.len()]
}

/// `allowed`, `propagating`, `denied` or `unknown`.
pub(super) fn answer(scene: &Scene) -> &'static str {
    let answers: Vec<Option<bool>> = (0..16).map(|world| decide_in(scene, World(world))).collect();
    let allowed = answers.iter().flatten().count();
    match allowed {
        0 => "denied",
        16 if answers.contains(&Some(true)) => "propagating",
        16 => "allowed",
        _ => "unknown",
    }
}

/// `None` is denied; otherwise whether all that grants is young.
fn decide_in(scene: &Scene, world: World) -> Option<bool> {
    let denied = match &scene.denials {
        None => world.unread_denial_denies(),
        Some(denials) => denials.iter().any(|denial| denies(scene, denial, world)),
    };
    let granting: Vec<&RoleAssignment> =
        scene.assignments.iter().filter(|own| grants(scene, own, world)).collect();
    let young = |own: &&RoleAssignment| own.updated_on.unwrap() + Duration::minutes(10) > NOW;
    (!denied && !granting.is_empty()).then(|| granting.iter().all(young))
}

fn grants(scene: &Scene, assignment: &RoleAssignment, world: World) -> bool {
    let role = scene.definitions.iter().find(|role| {
        role.id.to_lowercase().ends_with(&assignment.role_definition_id.to_lowercase()[40..])
    });
    let granted = role.map_or(world.unread_role_grants(), |role| {
        role.permissions.iter().any(|block| covers(scene, block))
    });
    let holds = condition_holds(assignment.condition.as_deref(), world);
    granted && holds && reaches(scene, &assignment.scope)
}

fn covers(scene: &Scene, block: &Permission) -> bool {
    let action = scene.action.data_action();
    let matching = |patterns: &[String]| {
        patterns.iter().filter(|pattern| fits(pattern, action, false)).count()
    };
    matching(&block.not_data_actions) == 0 && matching(&block.data_actions) > 0
}

fn condition_holds(condition: Option<&str>, world: World) -> bool {
    match condition {
        None | Some(HOLDS) => true,
        Some(FAILS) => false,
        Some(_) => world.beyond_holds(),
    }
}

/// By the list of all scopes that there are from the secret up.
fn reaches(scene: &Scene, scope: &str) -> bool {
    let secret = format!("{KEY_VAULT}/secrets/{}", scene.secret_name.clone().unwrap());
    let up = [&secret, KEY_VAULT, RESOURCE_GROUP, SUBSCRIPTION, "/", MANAGEMENT_GROUP];
    up.iter().any(|one| one.to_lowercase() == scope.to_lowercase())
}

fn denies(scene: &Scene, denial: &DenyAssignment, world: World) -> bool {
    let is_named = |list: &[PrincipalRef]| {
        list.iter().any(|one| match one.id.as_str() {
            P | EVERYONE => true,
            GROUP => world.in_group(),
            _ => false,
        })
    };
    let stops = denial.do_not_apply_to_child_scopes && !denial.scope.contains("/secrets/");
    is_named(&denial.principals)
        && !is_named(&denial.exclude_principals)
        && denial.permissions.iter().any(|block| covers(scene, block))
        && condition_holds(denial.condition.as_deref(), world)
        && reaches(scene, &denial.scope)
        && !stops
}
