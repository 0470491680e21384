//! Properties: the decision equals the reference in every scene, wildcards and conditions equal naive ones,
//! and no text makes the parser panic.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};

use super::{reference, scene::*};
use crate::domain::effective_permission::{condition::Together, *};

const ACTIONS: [&str; 7] = [
    "*",
    "Microsoft.KeyVault/vaults/secrets/*",
    "*/setSecret/action",
    "microsoft.keyvault/VAULTS/secrets/setSecret/action",
    "*/getSecret/*",
    "Microsoft.KeyVault/vaults/keys/*",
    "Microsoft.KeyVault/*/read",
];
const SCOPES: [&str; 8] = [
    KEY_VAULT,
    RESOURCE_GROUP,
    "/SUBSCRIPTIONS/S",
    "/",
    MANAGEMENT_GROUP,
    "/subscriptions/other",
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-mars/secrets/AzBackup-web01-rsv",
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-mars/secrets/other",
];

fn permission() -> impl Strategy<Value = Permission> {
    let some = || subsequence(ACTIONS.to_vec(), 0..=2).prop_map(|found| strings(&found));
    (some(), some()).prop_map(|(data_actions, not_data_actions)| Permission {
        data_actions,
        not_data_actions,
        ..Permission::default()
    })
}

/// One text for all of them: a condition in two places is two facts, and the reference knows one.
fn condition() -> impl Strategy<Value = Option<String>> {
    option::of(select(vec![reference::HOLDS, reference::FAILS, reference::BEYOND]))
        .prop_map(|text| text.map(str::to_owned))
}

/// Of role `0` to `3`; role `3` could not be read.
fn assignment() -> impl Strategy<Value = (usize, &'static str, Option<String>, i64)> {
    (0..4_usize, select(SCOPES.to_vec()), condition(), 0..20_i64)
}

fn denial() -> impl Strategy<Value = DenyAssignment> {
    let principals = |ids: &[(&str, &str)]| {
        let one = |(id, kind): &(&str, &str)| PrincipalRef {
            id: (*id).to_owned(),
            principal_type: Some((*kind).to_owned()),
        };
        subsequence(ids.iter().map(one).collect::<Vec<_>>(), 0..=ids.len())
    };
    // The group is in one of the two lists only: what depends on one fact twice is not for three values.
    let principal = [(P, "ServicePrincipal"), (OTHER, "User")];
    let lists = prop_oneof![
        (principals(&[principal[0], principal[1], (GROUP, "Group")]), principals(&principal)),
        (
            principals(&[principal[0], principal[1], (EVERYONE, "SystemDefined")]),
            principals(&principal)
        ),
    ];
    // Where it stops at the Key Vault's own scope, documentation is silent.
    let place = (select(SCOPES.to_vec()), any::<bool>())
        .prop_filter("documented", |(scope, stops)| !(*stops && *scope == KEY_VAULT));
    let certain = select(vec![None, Some(reference::HOLDS), Some(reference::FAILS)]);
    (vec(permission(), 1..3), place, lists, certain).prop_map(
        |(permissions, (scope, stops), (named, excluded), condition)| DenyAssignment {
            id: "d".to_owned(),
            name: String::new(),
            permissions,
            scope: scope.to_owned(),
            do_not_apply_to_child_scopes: stops,
            principals: named,
            exclude_principals: excluded,
            condition: condition.map(str::to_owned),
        },
    )
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let roles = vec(vec(permission(), 0..3), 3);
    let denials = option::weighted(0.9, vec(denial(), 0..3));
    (roles, vec(assignment(), 0..5), denials).prop_map(|(roles, assignments, denials)| {
        let mut scene = scene();
        for (number, blocks) in roles.into_iter().enumerate() {
            scene = scene.role(&format!("role-{number}"), blocks);
        }
        for (role, scope, condition, age) in assignments {
            let with_condition = |own: &mut RoleAssignment| own.condition = condition;
            scene = scene.assigned(&format!("role-{role}"), scope).which(with_condition).aged(age);
        }
        scene.but(|it| it.denials = denials)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_decision_is_what_holds_in_every_world_that_may_be(scene in any_scene()) {
        let answer = scene.answer_in_short();
        let answer = answer.split(':').next().unwrap_or_default();
        prop_assert_eq!(answer, reference::answer(&scene));
    }

    #[test]
    fn an_action_pattern_is_what_a_table_says(pattern in "[aAb/*?]{0,9}", action in "[aAbB/*?]{0,12}") {
        prop_assert_eq!(pattern::covers(&pattern, &action), reference::fits(&pattern, &action, false));
    }

    #[test]
    fn a_like_pattern_is_what_a_table_says(pattern in "[aAb*?]{0,9}", name in "[aAbB]{0,12}") {
        let expected = reference::fits(&pattern, &name, true);
        prop_assert_eq!(pattern::like(&pattern, &name, true), Some(expected));
    }

    #[test]
    fn a_text_of_any_kind_is_never_a_condition_that_holds(text in "[^\\s]\\PC{0,200}") {
        let answer = scene().holds(SETTER, KEY_VAULT).under(&text).answer();
        let undecided = matches!(answer, EffectivePermission::Unknown { .. });
        prop_assert!(undecided, "{:?}", answer);
    }

    #[test]
    fn a_heap_of_words_never_panics(words in vec(select(WORDS.to_vec()), 0..40), glue in " ?") {
        let text = words.join(&glue);
        condition::together(&[(Some(&text), None)], &scene().question());
    }
}

const WORDS: [&str; 20] = [
    "(",
    ")",
    "{",
    "}",
    ",",
    "!",
    "NOT",
    "AND",
    "OR",
    "&&",
    "||",
    "'a'",
    "'",
    "7",
    "@Request[x:name]",
    "@Resource[Microsoft.KeyVault/vaults:name]",
    "StringEquals",
    "ForAnyOfAnyValues:StringLike",
    "ActionMatches{'*'}",
    "Exists",
];

/// A condition as a tree, to be written out and evaluated by trying every unknown leaf both ways.
#[derive(Debug, Clone)]
enum Tree {
    Leaf { text: &'static str, holds: Option<bool> },
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaves = [
        ("ActionMatches{'*/setSecret/action'}", Some(true)),
        ("ActionMatches{'*/getSecret/action'}", Some(false)),
        (
            "@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'AzBackup-'",
            Some(true),
        ),
        ("@Resource[Microsoft.KeyVault/vaults:name] StringNotLike 'kv-*'", Some(false)),
        ("@Principal[department] StringEquals 'IT'", None),
    ];
    let leaf = select(leaves.to_vec()).prop_map(|(text, holds)| Tree::Leaf { text, holds });
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            vec(inner.clone(), 2..4).prop_map(Tree::All),
            vec(inner, 2..4).prop_map(Tree::Any),
        ]
    })
}

impl Tree {
    fn write(&self) -> String {
        let join = |trees: &[Self], word: &str| {
            let parts: Vec<String> =
                trees.iter().map(|tree| format!("({})", tree.write())).collect();
            parts.join(word)
        };
        match self {
            Self::Leaf { text, .. } => (*text).to_owned(),
            Self::Not(tree) => format!("NOT({})", tree.write()),
            Self::All(trees) => join(trees, "&&\n"),
            Self::Any(trees) => join(trees, " OR "),
        }
    }

    /// Each unknown leaf takes the next bit.
    fn evaluate(&self, bits: &mut u32) -> bool {
        match self {
            Self::Leaf { holds: Some(holds), .. } => *holds,
            Self::Leaf { .. } => {
                let bit = *bits & 1 == 1;
                *bits >>= 1;
                bit
            }
            Self::Not(tree) => !tree.evaluate(bits),
            // All of them, so that every leaf takes its own bit.
            Self::All(trees) => each(trees, bits).iter().all(|holds| *holds),
            Self::Any(trees) => each(trees, bits).iter().any(|holds| *holds),
        }
    }

    fn unknown_leaves(&self) -> u32 {
        match self {
            Self::Leaf { holds, .. } => u32::from(holds.is_none()),
            Self::Not(tree) => tree.unknown_leaves(),
            Self::All(trees) | Self::Any(trees) => trees.iter().map(Self::unknown_leaves).sum(),
        }
    }
}

fn each(trees: &[Tree], bits: &mut u32) -> Vec<bool> {
    trees.iter().map(|tree| tree.evaluate(bits)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_condition_is_certain_when_no_unknown_leaf_can_change_it(tree in tree()) {
        prop_assume!(tree.unknown_leaves() <= 10);
        let outcomes: Vec<bool> =
            (0..1_u32 << tree.unknown_leaves()).map(|mut bits| tree.evaluate(&mut bits)).collect();
        let text = tree.write();
        let found = condition::together(&[(Some(&text), None)], &scene().question());
        let as_expected = match found {
            Together::Hold { .. } => !outcomes.contains(&false),
            Together::Fail(_) => !outcomes.contains(&true),
            Together::Unknown(..) => outcomes.contains(&true) && outcomes.contains(&false),
        };
        prop_assert!(as_expected, "{}", text);
    }
}
