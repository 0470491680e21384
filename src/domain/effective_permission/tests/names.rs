//! One question about several secrets.

use super::scene::*;
use crate::domain::effective_permission::*;

const NAMES: [&str; 3] =
    ["AzBackup-web01-corp-rsv", "AzBackup-web01corp-rsv", "AzBackup-web01-rsv"];

fn answer(scene: &Scene, names: &[&str]) -> EffectivePermission {
    decide_for_each(&scene.question(), names, scene.rights())
}

fn only(name: &str) -> Scene {
    let condition =
        format!("@Request[Microsoft.KeyVault/vaults/secrets:name] StringEquals '{name}'");
    scene().holds(SETTER, KEY_VAULT).under(&condition)
}

#[test]
fn what_all_names_agree_on_is_certain() {
    let allowed = answer(&scene().holds(SETTER, KEY_VAULT), &NAMES);
    assert!(
        matches!(&allowed, EffectivePermission::Allowed { by, .. } if by.len() == 1),
        "{allowed:?}"
    );
    let refused = answer(&only("other"), &NAMES);
    assert!(matches!(refused, EffectivePermission::Denied { .. }), "{refused:?}");
    let young = answer(&scene().holds(SETTER, KEY_VAULT).aged(1), &NAMES);
    assert!(matches!(young, EffectivePermission::Allowed { propagating: true, .. }), "{young:?}");
}

#[test]
fn what_one_name_may_and_another_may_not_is_unknown() {
    let EffectivePermission::Unknown { why } = answer(&only(NAMES[0]), &NAMES) else {
        panic!("certain")
    };
    let [Doubt::NamesDiffer { allowed, refused }] = why.as_slice() else { panic!("{why:?}") };
    assert_eq!(allowed, &strings(&NAMES[..1]));
    assert_eq!(refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), NAMES[1..]);
    assert!(matches!(answer(&only(NAMES[0]), &NAMES[..1]), EffectivePermission::Allowed { .. }));
}

#[test]
fn a_doubt_about_one_name_is_a_doubt() {
    let beyond = "@Environment[isPrivateLink] BoolEquals true";
    let condition = format!(
        "@Request[Microsoft.KeyVault/vaults/secrets:name] StringEquals '{}' OR {beyond}",
        NAMES[0]
    );
    let scene = scene().holds(SETTER, KEY_VAULT).under(&condition);
    let EffectivePermission::Unknown { why } = answer(&scene, &NAMES) else { panic!("certain") };
    assert!(matches!(why.as_slice(), [Doubt::ConditionUndecided { .. }]), "{why:?}");
}

#[test]
fn without_a_name_it_is_asked_about_any_secret() {
    let scene = only(NAMES[0]).about(Some(NAMES[0]));
    assert!(matches!(answer(&scene, &[]), EffectivePermission::Unknown { .. }));
}
