//! Access policies: whose, for what, and who else might be meant.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};

use super::{Case, check, scene::*};
use crate::domain::effective_permission::*;

#[test]
fn access_policies_grant_their_words_to_their_object() {
    check(&cases());
}

pub(super) fn cases() -> Vec<Case> {
    let own = |words: &[&str]| scene().policy(P, words);
    let nothing = "denied: NoAccessPolicy";
    let doubted = "unknown: AccessPolicyGroups";
    let by_others = || scene().policy(OTHER, &["set"]).policy(GROUP, &["all"]);
    let no_groups = |ids: &[&str]| by_others().but(|it| it.no_groups = strings(ids));
    let known = |groups: &[&str]| {
        let groups = strings(groups);
        scene().policy(GROUP, &["set"]).but(|it| it.groups = Some(groups))
    };
    vec![
        ("no policy at all", scene().but(|it| it.policies = Some(vec![])), nothing),
        ("the word", own(&["set"]), "allowed"),
        ("the word as the portal spells it", own(&["Get", "Set"]), "allowed"),
        ("the word for all", own(&["all"]), "allowed"),
        ("the word for all, in capitals", own(&["All"]), "allowed"),
        ("other words", own(&["get", "list", "delete"]), nothing),
        ("no word", own(&[]), nothing),
        ("a word that holds the word", own(&["reset", "set "]), nothing),
        ("the object in capitals", scene().policy(&P.to_uppercase(), &["set"]), "allowed"),
        ("others only, of unknown kinds", by_others(), doubted),
        ("others only, one of them no group", no_groups(&[OTHER]), doubted),
        ("others only, none of them a group", no_groups(&[OTHER, &GROUP.to_uppercase()]), nothing),
        ("others only, who may not set", scene().policy(OTHER, &["get"]), nothing),
        (
            "others only, one of them a group that holds it",
            by_others().but(|it| it.holding = strings(&[GROUP])),
            "allowed",
        ),
        (
            "a group that holds it, without the word, and others with it",
            scene()
                .policy(GROUP, &["get"])
                .policy(OTHER, &["set"])
                .but(|it| it.holding = strings(&[GROUP])),
            doubted,
        ),
        (
            "its own policy without the word, and others with it",
            own(&["get"]).policy(OTHER, &["set"]),
            doubted,
        ),
        (
            "its own policy with the word, and others",
            own(&["set"]).policy(OTHER, &["set"]),
            "allowed",
        ),
        (
            "others of another tenant",
            scene().policy(OTHER, &["set"]).whose(|policy| policy.tenant_id = OTHER.to_owned()),
            nothing,
        ),
        (
            "others through an application",
            scene()
                .policy(OTHER, &["set"])
                .whose(|policy| policy.application_id = Some(P.to_owned())),
            nothing,
        ),
        ("a policy for nobody at all", scene().policy("", &["set"]), nothing),
        ("two policies, one with the word", own(&["get"]).policy(P, &["set"]), "allowed"),
        (
            "a compound identity",
            own(&["set"]).whose(|policy| policy.application_id = Some(OTHER.to_owned())),
            nothing,
        ),
        (
            "another tenant's policy",
            own(&["set"]).whose(|policy| policy.tenant_id = OTHER.to_owned()),
            nothing,
        ),
        (
            "a policy's tenant in capitals",
            own(&["set"]).whose(|policy| policy.tenant_id = TENANT.to_uppercase()),
            "allowed",
        ),
        ("a policy of no tenant", own(&["set"]).whose(|policy| policy.tenant_id.clear()), nothing),
        (
            "a policy for nobody",
            scene().policy("", &["set"]).but(|it| it.principal.object_id.clear()),
            nothing,
        ),
        ("a policy of a group that is known", known(&[GROUP]), "allowed"),
        ("a policy of a group not among those known", known(&[OTHER]), nothing),
        (
            "attributes are changed by the word set",
            own(&["set"]).asks(SecretAction::Update),
            "allowed",
        ),
        ("all does not include purging", own(&["all"]).asks(SecretAction::Purge), nothing),
        ("purging by its word", own(&["purge"]).asks(SecretAction::Purge), "allowed"),
        (
            "a foreign principal with a policy",
            own(&["set"]).but(|it| it.principal.tenant_id = OTHER.to_owned()),
            "denied: ForeignTenant",
        ),
        ("roles do not count under access policies", own(&[]).holds(OFFICER, KEY_VAULT), nothing),
    ]
}

#[test]
fn a_doubt_names_the_objects_that_might_be_groups_once_each() {
    let compound = |policy: &mut AccessPolicy| policy.application_id = Some(P.to_owned());
    let scene = scene()
        .policy(GROUP, &["set"])
        .policy(P, &["get"])
        .policy(OTHER, &["all"])
        .policy(&GROUP.to_uppercase(), &["set"])
        .policy(EVERYONE, &["set"])
        .whose(compound);
    let passed_over =
        vec![PassedOver::WordMissing { object_id: P.to_owned(), words: strings(&["get"]) }];
    let doubt = Doubt::AccessPolicyGroups { object_ids: strings(&[GROUP, OTHER]), passed_over };
    assert_eq!(scene.answer(), EffectivePermission::Unknown { why: vec![doubt] });
}

#[test]
fn a_denial_tells_why_the_principals_own_policies_do_not_count() {
    let compound = |policy: &mut AccessPolicy| policy.application_id = Some(OTHER.to_owned());
    let foreign = |policy: &mut AccessPolicy| policy.tenant_id = OTHER.to_owned();
    let scene = scene().policy(P, &["set"]).whose(compound).policy(P, &["set"]).whose(foreign);
    let (object_id, other) = (P.to_owned(), OTHER.to_owned());
    let passed_over = vec![
        PassedOver::CompoundIdentity {
            object_id: object_id.clone(),
            application_id: other.clone(),
        },
        PassedOver::OtherTenant { object_id: object_id.clone(), tenant_id: other },
        PassedOver::WordMissing { object_id, words: strings(&["get"]) },
    ];
    let why = Denial::NoAccessPolicy { passed_over };
    assert_eq!(scene.policy(P, &["get"]).answer(), EffectivePermission::Denied { why });
}

fn policy() -> impl Strategy<Value = AccessPolicy> {
    let words = select(vec!["get", "Set", "set", "ALL", "settle", ""]);
    let application = option::weighted(0.2, Just(OTHER.to_owned()));
    let ids = (select(vec![P, OTHER, GROUP]), select(vec![TENANT, TENANT, OTHER]));
    (ids, application, vec(words, 0..3)).prop_map(|((object, tenant), application_id, words)| {
        AccessPolicy {
            tenant_id: tenant.to_owned(),
            object_id: object.to_owned(),
            application_id,
            secret_permissions: strings(&words),
        }
    })
}

/// Every object that is not known is tried both ways, as a group that holds P and as something else.
fn reference(policies: &[AccessPolicy], holding: &[&str], no_groups: &[&str]) -> &'static str {
    let counts = |one: &&AccessPolicy| {
        let words: Vec<String> =
            one.secret_permissions.iter().map(|word| word.to_lowercase()).collect();
        let grants = words.contains(&"set".to_owned()) || words.contains(&"all".to_owned());
        grants && one.tenant_id == TENANT && one.application_id.is_none()
    };
    let granted_to: Vec<&str> =
        policies.iter().filter(counts).map(|one| one.object_id.as_str()).collect();
    let allowed_in = |unknown_are_groups: bool| {
        granted_to.iter().any(|id| {
            *id == P || holding.contains(id) || (unknown_are_groups && !no_groups.contains(id))
        })
    };
    match (allowed_in(false), allowed_in(true)) {
        (true, _) => "allowed",
        (false, true) => "unknown: AccessPolicyGroups",
        (false, false) => "denied: NoAccessPolicy",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_decide_what_holds_whoever_is_a_group(
        policies in vec(policy(), 0..5),
        (holding, no_groups) in (subsequence(vec![GROUP], 0..=1), subsequence(vec![OTHER], 0..=1)),
    ) {
        let expected = reference(&policies, &holding, &no_groups);
        let scene = scene().but(|it| {
            it.policies = Some(policies);
            it.holding = strings(&holding);
            it.no_groups = strings(&no_groups);
        });
        prop_assert_eq!(scene.answer_in_short(), expected);
    }
}
