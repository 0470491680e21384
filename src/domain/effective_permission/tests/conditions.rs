//! Conditions: the documented forms are evaluated, all else is unknown where it matters.

use std::time::{Duration, Instant};

use super::{Case, check, scene::*};
use crate::domain::effective_permission::*;

/// An assignment of every secret action under this condition.
fn under(condition: &str) -> Scene {
    scene().holds(OFFICER, KEY_VAULT).under(condition)
}

/// `@Request[...name]` compared, asked about setting the scene's secret.
fn request(comparison: &str) -> Scene {
    under(&format!("@Request[Microsoft.KeyVault/vaults/secrets:name] {comparison}"))
}

const NOT_SET: &str = "!(ActionMatches{'Microsoft.KeyVault/vaults/secrets/setSecret/action'})";
const OWN_NAME: &str =
    "@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'AzBackup-'";
const STORED_NAME: &str =
    "@Resource[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'AzBackup-'";
const BEYOND: &str = "@Environment[UtcNow] DateTimeLessThan '2027-01-01T00:00:00.0Z'";

#[test]
fn conditions_are_evaluated_as_documented() {
    check(&cases());
}

const FAILS: &str = "denied: NoRoleAssignment";
const UNDECIDED: &str = "unknown: ConditionUndecided";

pub(super) fn cases() -> Vec<Case> {
    [operator_cases(), logic_cases(), attribute_cases(), unreadable_cases()].concat()
}

fn operator_cases() -> Vec<Case> {
    vec![
        ("equals", request("StringEquals 'AzBackup-web01-rsv'"), "allowed"),
        ("equals, with case", request("StringEquals 'azbackup-web01-rsv'"), FAILS),
        ("equals, without case", request("StringEqualsIgnoreCase 'azbackup-WEB01-rsv'"), "allowed"),
        ("not equals", request("StringNotEquals 'azbackup-web01-rsv'"), "allowed"),
        (
            "not equals, without case",
            request("StringNotEqualsIgnoreCase 'azbackup-web01-rsv'"),
            FAILS,
        ),
        ("starts with", request("StringStartsWith 'AzBackup-'"), "allowed"),
        ("starts with, with case", request("StringStartsWith 'azbackup-'"), FAILS),
        ("starts with, without case", request("StringStartsWithIgnoreCase 'azbackup-'"), "allowed"),
        ("starts not with", request("StringNotStartsWith 'AzBackup-'"), FAILS),
        (
            "starts not with, without case",
            request("StringNotStartsWithIgnoreCase 'Other'"),
            "allowed",
        ),
        ("ends with", request("StringEndsWith '-rsv'"), "allowed"),
        ("contains", request("StringContains 'web'"), "allowed"),
        ("contains not", request("StringNotContains 'web'"), FAILS),
        ("like", request("StringLike 'AzBackup-*-rs?'"), "allowed"),
        ("like, with case", request("StringLike 'azbackup-*'"), FAILS),
        ("like, without case", request("StringLikeIgnoreCase 'azbackup-*'"), "allowed"),
        ("like an escaped star", request(r"StringLike 'AzBackup-\*'"), FAILS),
        ("like another escape", request(r"StringLike 'AzBackup-\w*'"), UNDECIDED),
        ("not like", request("StringNotLike 'AzBackup-*'"), FAILS),
        ("not like, without case", request("StringNotLikeIgnoreCase 'other*'"), "allowed"),
        (
            "any of several",
            request("ForAnyOfAnyValues:StringLike {'Other', 'AzBackup-*'}"),
            "allowed",
        ),
        ("none of several", request("ForAnyOfAnyValues:StringEquals {'Other', 'Another'}"), FAILS),
        (
            "all of several",
            request("ForAnyOfAllValues:StringNotEquals {'Other', 'Another'}"),
            "allowed",
        ),
        ("a set without a quantity", request("StringEquals {'AzBackup-web01-rsv'}"), UNDECIDED),
        ("an operator of another kind", request("NumericEquals '3'"), UNDECIDED),
        (
            "an operator in another spelling",
            request("stringequals 'AzBackup-web01-rsv'"),
            UNDECIDED,
        ),
    ]
}

fn logic_cases() -> Vec<Case> {
    let least = format!("(({NOT_SET}) OR ({OWN_NAME}))");
    let other = least.replace("AzBackup-", "app-");
    let (yes, no) = ("ActionMatches{'*'}", "ActionMatches{'x'}");
    let joined = |text: String| under(&text);
    vec![
        ("the least grant there is", under(&least), "allowed"),
        ("the least grant, for other names", under(&other), FAILS),
        ("the least grant, for other actions", under(&other).asks(SecretAction::Get), "allowed"),
        ("no condition but blanks", under("  "), "allowed"),
        ("a negation by a word", under("NOT ActionMatches{'*/getSecret/*'}"), "allowed"),
        ("two negations", joined(format!("!!{yes}")), "allowed"),
        ("signs for words", joined(format!("{yes}&&({no}||{yes})")), "allowed"),
        ("three in a row", joined(format!("{yes} AND {yes} AND {no}")), FAILS),
        ("unknown and false", joined(format!("{BEYOND} AND {no}")), FAILS),
        ("unknown and true", joined(format!("{BEYOND} AND {yes}")), UNDECIDED),
        ("unknown or true", joined(format!("{BEYOND} OR {yes}")), "allowed"),
        ("unknown or false", joined(format!("{no} OR {BEYOND}")), UNDECIDED),
        ("not unknown", joined(format!("NOT {BEYOND}")), UNDECIDED),
        (
            "a suboperation where it does not matter",
            joined(format!("!({no} AND SubOperationMatches{{'Blob.List'}})")),
            "allowed",
        ),
        (
            "a suboperation where it matters",
            joined(format!("!({yes} AND SubOperationMatches{{'Blob.List'}})")),
            UNDECIDED,
        ),
        (
            "undecided next to one without condition",
            joined(BEYOND.to_owned()).holds(SETTER, "/"),
            "allowed",
        ),
        (
            "undecided on a role that grants nothing",
            scene().holds(READER, "/").under(BEYOND),
            FAILS,
        ),
        (
            "false where the scope is elsewhere",
            scene().holds(SETTER, "/subscriptions/x").under(BEYOND),
            FAILS,
        ),
    ]
}

fn attribute_cases() -> Vec<Case> {
    let key_vault = |name: &str| {
        under(&format!("@Resource[Microsoft.KeyVault/vaults:name] StringEquals '{name}'"))
    };
    let block = |condition: &str| Permission {
        data_actions: strings(&["*"]),
        condition: Some(condition.to_owned()),
        ..Permission::default()
    };
    let blocks = vec![block(BEYOND), block("!ActionMatches{'*'}")];
    let two_blocks = scene().role("R", blocks).assigned("R", "/");
    let in_role = |condition: &str| {
        let condition = Some(condition.to_owned());
        scene().holds(SETTER, "/").but(|it| it.definitions[0].permissions[0].condition = condition)
    };
    vec![
        ("the stored name, for getting", under(STORED_NAME).asks(SecretAction::Get), "allowed"),
        ("the requested name, for getting", under(OWN_NAME).asks(SecretAction::Get), UNDECIDED),
        ("the stored name, for setting", under(STORED_NAME), UNDECIDED),
        (
            "the requested name, for restoring",
            under(OWN_NAME).asks(SecretAction::Restore),
            "allowed",
        ),
        ("the name, and no secret is named", under(OWN_NAME).about(None), UNDECIDED),
        ("the name of a list", under(STORED_NAME).asks(SecretAction::List).about(None), FAILS),
        (
            "the name of a list, negated",
            under(&format!("!({STORED_NAME})")).asks(SecretAction::List).about(None),
            UNDECIDED,
        ),
        ("the Key Vault's name", key_vault("kv-mars"), "allowed"),
        ("another Key Vault's name", key_vault("kv-other"), FAILS),
        ("the Key Vault's name, with case", key_vault("KV-MARS"), FAILS),
        (
            "attributes without case",
            under(&OWN_NAME.replace("vaults/secrets:name", "Vaults/Secrets:Name")),
            "allowed",
        ),
        (
            "the name of a list, in a negative operator",
            under("@Resource[Microsoft.KeyVault/vaults/secrets:name] StringNotEquals 'x'")
                .asks(SecretAction::List)
                .about(None),
            UNDECIDED,
        ),
        ("a role with an unknown and a failing block", two_blocks, UNDECIDED),
        (
            "an unknown attribute",
            under("@Request[Microsoft.KeyVault/vaults/secrets:tag] StringEquals 'x'"),
            UNDECIDED,
        ),
        (
            "version 1.0",
            request("StringLike '*'").which(|own| own.condition_version = Some("1.0".into())),
            UNDECIDED,
        ),
        (
            "version 2.0",
            request("StringLike '*'").which(|own| own.condition_version = Some("2.0".into())),
            "allowed",
        ),
        ("a condition of the role fails", in_role("!ActionMatches{'*'}"), FAILS),
        ("a condition of the role is beyond us", in_role(BEYOND), UNDECIDED),
    ]
}

fn unreadable_cases() -> Vec<Case> {
    vec![
        ("and next to or", under(&format!("{NOT_SET} AND {OWN_NAME} OR {OWN_NAME}")), UNDECIDED),
        ("an open parenthesis", under("(ActionMatches{'*'}"), UNDECIDED),
        ("a closing one too many", under("ActionMatches{'*'})"), UNDECIDED),
        ("an open quote", under("ActionMatches{'*}"), UNDECIDED),
        ("a backslash before a quote", under(r"ActionMatches{'x\'}"), UNDECIDED),
        ("a backslash in a name", request(r"StringNotEquals 'a\b'"), UNDECIDED),
        (
            "an operator for a value",
            under("StringLike StringLike 'a' OR ActionMatches{'*'}"),
            UNDECIDED,
        ),
        ("an operator for a function", under("StringLike {'*'} OR ActionMatches{'*'}"), UNDECIDED),
        ("a function for an operator", under("'a' Exists {'x'} OR ActionMatches{'*'}"), UNDECIDED),
        (
            "numbers may be compared",
            under("3 NumericEquals {3, 4} OR ActionMatches{'*'}"),
            "allowed",
        ),
        ("two actions", under("ActionMatches{'*', '*'}"), UNDECIDED),
        ("words of another language", under("1 = 1 OR true"), UNDECIDED),
        ("not even ASCII", under("\u{2018}*\u{2019} ActionMatches"), UNDECIDED),
        ("nothing after an and", under("ActionMatches{'*'} AND"), UNDECIDED),
    ]
}

fn takes_no_time(condition: &str) {
    let begin = Instant::now();
    let answer = under(condition).answer();
    assert!(!matches!(answer, EffectivePermission::Allowed { .. }), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_hostile_condition_costs_neither_stack_nor_time() {
    for unit in ["(", "!", "NOT ", "{", "@", "'", "ActionMatches{'x'} AND (", "(!"] {
        takes_no_time(&unit.repeat(15_000 / unit.len()));
        takes_no_time(&unit.repeat(3_000_000));
    }
    let stars = format!("'{}x'", "*a".repeat(7_000));
    takes_no_time(&format!("@Request[Microsoft.KeyVault/vaults/secrets:name] StringLike {stars}"));
}

#[test]
fn a_condition_with_a_character_that_cannot_be_shown_is_never_evaluated() {
    let name = "@Request[Microsoft.KeyVault/vaults/secrets:name]";
    for hidden in [
        format!("{name} StringNotEquals 'x{NOT_SHOWN}'"),
        format!("{name} StringEquals '{NOT_SHOWN}' OR ActionMatches{{'*'}}"),
        NOT_SHOWN.to_owned(),
    ] {
        let scene = scene().holds(SETTER, KEY_VAULT).under(&hidden);
        assert_eq!(scene.answer_in_short(), "unknown: ConditionUndecided", "{hidden}");
        let beside = scene.holds(OFFICER, KEY_VAULT);
        assert_eq!(beside.answer_in_short(), "allowed", "{hidden}");
    }
}
