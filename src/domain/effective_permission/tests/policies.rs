//! Access policies: whose, for what, and who else might be meant.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{Case, check, scene::*};
use crate::domain::effective_permission::*;

#[test]
fn access_policies_grant_their_words_to_their_object() {
    check(&cases());
}

pub(super) fn cases() -> Vec<Case> {
    let own = |words: &[&str]| scene().policy(P, words);
    let nothing = "denied: NoAccessPolicy";
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
        ("others only", scene().policy(OTHER, &["set"]).policy(GROUP, &["all"]), nothing),
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

fn denial(scene: &Scene) -> (Vec<String>, Vec<PassedOver>) {
    match scene.answer() {
        EffectivePermission::Denied {
            why: Denial::NoAccessPolicy { possible_groups, passed_over },
        } => (possible_groups, passed_over),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_denial_names_the_objects_that_might_be_groups() {
    let compound = |policy: &mut AccessPolicy| policy.application_id = Some(P.to_owned());
    let scene = scene().policy(GROUP, &["set"]).policy(OTHER, &["get"]).policy(OTHER, &["all"]);
    let (possible_groups, passed_over) =
        denial(&scene.clone().policy(GROUP, &["set"]).whose(compound));
    assert_eq!((possible_groups, passed_over), (strings(&[GROUP, OTHER]), vec![]));
    let known = scene.but(|it| it.groups = Some(vec![]));
    assert_eq!(denial(&known), (vec![], vec![]));
}

#[test]
fn a_denial_tells_why_the_principals_own_policies_do_not_count() {
    let compound = |policy: &mut AccessPolicy| policy.application_id = Some(OTHER.to_owned());
    let foreign = |policy: &mut AccessPolicy| policy.tenant_id = OTHER.to_owned();
    let scene = scene().policy(P, &["set"]).whose(compound).policy(P, &["set"]).whose(foreign);
    let (object_id, other) = (P.to_owned(), OTHER.to_owned());
    let expected = vec![
        PassedOver::CompoundIdentity {
            object_id: object_id.clone(),
            application_id: other.clone(),
        },
        PassedOver::OtherTenant { object_id: object_id.clone(), tenant_id: other },
        PassedOver::WordMissing { object_id, words: strings(&["get"]) },
    ];
    assert_eq!(denial(&scene.policy(P, &["get"])), (vec![], expected));
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_policies_that_do_not_count_can_be_left_out(policies in vec(policy(), 0..5)) {
        let mut counting = policies.clone();
        counting.retain(|one| one.object_id == P && one.tenant_id == TENANT);
        counting.retain(|one| one.application_id.is_none());
        let words = counting.iter().flat_map(|one| &one.secret_permissions);
        let granted = words.filter(|word| ["set", "all"].contains(&word.to_lowercase().as_str()));
        let expected = if granted.count() > 0 { "allowed" } else { "denied: NoAccessPolicy" };
        prop_assert_eq!(scene().but(|it| it.policies = Some(policies)).answer_in_short(), expected);
    }
}
