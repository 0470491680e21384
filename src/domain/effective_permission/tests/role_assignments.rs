//! Roles: what they grant, where, since when, and what is not known of them.

use super::{Case, check, scene::*};
use crate::domain::effective_permission::*;

const SECRETS: &str = "Microsoft.KeyVault/vaults/secrets/*";
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";

fn block(data_actions: &[&str], not_data_actions: &[&str]) -> Permission {
    Permission {
        data_actions: strings(data_actions),
        not_data_actions: strings(not_data_actions),
        ..Permission::default()
    }
}

fn with(blocks: Vec<Permission>) -> Scene {
    scene().role("R", blocks).assigned("R", KEY_VAULT)
}

#[test]
fn role_assignments_grant_what_their_roles_say() {
    check(&cases());
}

#[test]
fn scopes_reach_what_is_below_them() {
    check(&scope_cases());
}

pub(super) fn cases() -> Vec<Case> {
    [action_cases(), holder_cases(), age_cases()].concat()
}

fn action_cases() -> Vec<Case> {
    let owner = Permission { actions: strings(&["*"]), ..Permission::default() };
    let nothing = "denied: NoRoleAssignment";
    vec![
        ("no assignment at all", scene(), nothing),
        ("the exact data action", with(vec![block(&[SET], &[])]), "allowed"),
        ("the data action in capitals", with(vec![block(&[&SET.to_uppercase()], &[])]), "allowed"),
        ("a star for the rest", with(vec![block(&[SECRETS], &[])]), "allowed"),
        ("a star alone", with(vec![block(&["*"], &[])]), "allowed"),
        (
            "a star across slashes",
            with(vec![block(&["Microsoft.KeyVault/*/action"], &[])]),
            "allowed",
        ),
        ("a star for nothing", with(vec![block(&[&format!("{SET}*")], &[])]), "allowed"),
        ("two stars", with(vec![block(&["*/secrets/*Secret/action"], &[])]), "allowed"),
        (
            "a question mark is no wildcard",
            with(vec![block(&[&SET.replace('S', "?")], &[])]),
            nothing,
        ),
        (
            "a pattern that ends early",
            with(vec![block(&["Microsoft.KeyVault/vaults/secrets"], &[])]),
            nothing,
        ),
        ("another data action", scene().holds(READER, KEY_VAULT), nothing),
        (
            "keys are not secrets",
            with(vec![block(&["Microsoft.KeyVault/vaults/keys/*"], &[])]),
            nothing,
        ),
        ("an owner has no data action", with(vec![owner.clone()]), nothing),
        ("an owner next to a setter", with(vec![owner, block(&[SET], &[])]), "allowed"),
        ("an empty role", with(vec![]), nothing),
        ("an exception in the same block", with(vec![block(&[SECRETS], &[SET])]), nothing),
        ("an exception by a star", with(vec![block(&[SECRETS], &["*/setSecret/*"])]), nothing),
        (
            "an exception of something else",
            with(vec![block(&[SECRETS], &["*/getSecret/*"])]),
            "allowed",
        ),
        (
            "an exception in another block",
            with(vec![block(&[SECRETS], &[SET]), block(&[SET], &[])]),
            "allowed",
        ),
        (
            "an exception in another role",
            with(vec![block(&[SECRETS], &[SET])]).holds(SETTER, KEY_VAULT),
            "allowed",
        ),
        (
            "an update needs its own data action",
            scene().holds(SETTER, KEY_VAULT).asks(SecretAction::Update),
            nothing,
        ),
        (
            "reading metadata is listing",
            with(vec![block(&["*/readMetadata/action"], &[])]).asks(SecretAction::List),
            "allowed",
        ),
        (
            "a definition that could not be read",
            scene().assigned("Unread", KEY_VAULT),
            "unknown: DefinitionMissing",
        ),
        (
            "an unread definition next to a grant",
            scene().assigned("Unread", KEY_VAULT).holds(SETTER, KEY_VAULT),
            "allowed",
        ),
        (
            "an unread definition elsewhere",
            scene().assigned("Unread", "/subscriptions/other"),
            nothing,
        ),
        (
            "a definition's id in capitals",
            scene().holds(SETTER, KEY_VAULT).but(|it| {
                it.definitions[0].id = it.definitions[0].id.to_uppercase();
            }),
            "allowed",
        ),
    ]
}

fn holder_cases() -> Vec<Case> {
    let by_group = |kind: Option<&str>| {
        let kind = kind.map(str::to_owned);
        scene()
            .holds(SETTER, KEY_VAULT)
            .which(|own| own.principal_id = GROUP.to_owned())
            .which(|own| own.principal_type = kind)
    };
    let nothing = "denied: NoRoleAssignment";
    vec![
        ("through a group", by_group(Some("Group")), "allowed"),
        ("through a principal of no stated type", by_group(None), "allowed"),
        ("another principal's assignment", by_group(Some("ServicePrincipal")), nothing),
        ("another user's assignment", by_group(Some("user")), nothing),
        (
            "through a group that is known",
            by_group(Some("Group")).but(|it| it.groups = Some(strings(&[GROUP]))),
            "allowed",
        ),
        (
            "a group that is known not to hold it",
            by_group(Some("Group")).but(|it| it.groups = Some(vec![])),
            nothing,
        ),
        (
            "the principal in capitals",
            scene().holds(SETTER, KEY_VAULT).which(|own| {
                own.principal_id = P.to_uppercase();
            }),
            "allowed",
        ),
        (
            "another tenant",
            scene().holds(SETTER, KEY_VAULT).but(|it| it.principal.tenant_id = OTHER.to_owned()),
            "denied: ForeignTenant",
        ),
        (
            "no tenant at all",
            scene().holds(SETTER, KEY_VAULT).but(|it| {
                it.principal.tenant_id.clear();
                it.key_vault.tenant_id.clear();
            }),
            "denied: ForeignTenant",
        ),
    ]
}

fn age_cases() -> Vec<Case> {
    vec![
        ("nine minutes old", scene().holds(SETTER, KEY_VAULT).aged(9), "propagating"),
        ("ten minutes old", scene().holds(SETTER, KEY_VAULT).aged(10), "allowed"),
        ("made in the future", scene().holds(SETTER, KEY_VAULT).aged(-3), "propagating"),
        (
            "old and lately changed",
            scene().holds(SETTER, KEY_VAULT).which(|own| own.updated_on = Some(NOW)),
            "propagating",
        ),
        (
            "of unknown age",
            scene()
                .holds(SETTER, KEY_VAULT)
                .aged(1)
                .which(|own| own.created_on = None)
                .which(|own| own.updated_on = None),
            "allowed",
        ),
        (
            "one young and one old",
            scene().holds(SETTER, KEY_VAULT).aged(1).holds(OFFICER, KEY_VAULT),
            "allowed",
        ),
        (
            "a young one that grants nothing",
            scene().holds(READER, KEY_VAULT).aged(1).holds(SETTER, KEY_VAULT),
            "allowed",
        ),
    ]
}

pub(super) fn scope_cases() -> Vec<Case> {
    let at = |scope: &str| scene().holds(SETTER, scope);
    let secret = |name: &str| format!("{KEY_VAULT}/secrets/{name}");
    let nothing = "denied: NoRoleAssignment";
    vec![
        ("the Key Vault", at(KEY_VAULT), "allowed"),
        ("the Key Vault in capitals", at(&KEY_VAULT.to_uppercase()), "allowed"),
        ("the Key Vault with a slash", at(&format!("{KEY_VAULT}/")), "allowed"),
        ("the resource group", at(RESOURCE_GROUP), "allowed"),
        ("the subscription", at(SUBSCRIPTION), "allowed"),
        ("the root", at("/"), "allowed"),
        ("no scope", at(""), nothing),
        (
            "a management group",
            at("/providers/Microsoft.Management/managementGroups/mg"),
            "allowed",
        ),
        (
            "something in a management group",
            at("/providers/Microsoft.Management/managementGroups/mg/x"),
            nothing,
        ),
        ("another subscription", at("/subscriptions/other"), nothing),
        ("a subscription whose id begins alike", at("/subscriptions/"), nothing),
        (
            "a resource group whose name begins alike",
            at("/subscriptions/s/resourceGroups/r"),
            nothing,
        ),
        (
            "the Key Vaults of the resource group",
            at(&KEY_VAULT.replace("/vaults/kv-mars", "")),
            nothing,
        ),
        ("another Key Vault", at(&format!("{KEY_VAULT}2")), nothing),
        ("the very secret", at(&secret(SECRET)), "allowed"),
        ("the very secret in capitals", at(&secret(&SECRET.to_uppercase())), "allowed"),
        ("another secret", at(&secret("other")), nothing),
        ("one version of the secret", at(&secret(&format!("{SECRET}/v"))), nothing),
        ("a key of that name", at(&format!("{KEY_VAULT}/keys/{SECRET}")), nothing),
        ("one secret, asked about any", at(&secret(SECRET)).about(None), "unknown: OneSecretOnly"),
        (
            "one secret, asked about the list",
            scene().holds(OFFICER, &secret(SECRET)).asks(SecretAction::List).about(None),
            nothing,
        ),
        ("the Key Vault, asked about any secret", at(KEY_VAULT).about(None), "allowed"),
    ]
}
