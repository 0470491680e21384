//! Writer `agent`, when Key Vault does not hold what was handed out: nothing is believed, everything that the
//! machine may use stays a candidate, and the right version settles it. Both failure rows of the reads, too.

use azsim::Effect;
use serde_json::json;

use crate::{
    harness::{Answer, azure, refusal},
    mars_writes::{Stage, rotate},
};

const OTHER: &str = "typed in on the server by hand";

impl Stage {
    async fn machine_state(&self) -> String {
        let shown = self.agent.get(&format!("/v1/machines/{}", self.machine.id())).await;
        shown.field("state").to_owned()
    }

    /// The passphrases that a person is shown, in their order.
    async fn shown(&self) -> Vec<String> {
        let retrieved = self.broker.helpdesk().retrieve(self.machine.id()).await;
        assert_eq!(retrieved.status, 201, "{}", retrieved.text);
        let others = retrieved.body["otherCandidates"].as_array().unwrap().clone();
        let others =
            others.iter().map(|other| other["passphrase"].as_str().unwrap_or_default().to_owned());
        [retrieved.field("passphrase").to_owned()].into_iter().chain(others).collect()
    }

    async fn assert_nothing_changed(&self) {
        assert_eq!(self.state().await, "collected");
        assert_eq!(self.shown().await, [self.machine.field("passphrase"), self.passphrase()]);
    }
}

fn assert_different(answer: &Answer, version: &str) {
    assert_eq!(answer.problem(), (409, "invalid-rotation-state"), "{}", answer.text);
    assert!(answer.field("detail").contains(version), "{}", answer.text);
    assert!(!answer.text.contains(OTHER));
}

#[tokio::test]
async fn another_passphrase_is_kept_beside_the_one_that_was_handed_out() {
    let stage = Stage::set().await;
    let foreign = stage.mars_writes(OTHER);
    for _ in 0..2 {
        assert_different(&stage.confirm().await, &foreign);
        assert_eq!(stage.state().await, "indeterminate");
        assert_eq!(stage.machine_state().await, "indeterminate");
        let all = [stage.machine.field("passphrase"), stage.passphrase(), OTHER];
        assert_eq!(stage.shown().await, all);
    }
    let failed = stage.events("outcome=failed").await;
    assert_eq!((failed.len(), &failed[0]["details"]["comparison"]), (2, &json!("different")));
    assert_eq!(failed[0]["secrets"][0]["version"], foreign);
    let escrow = stage.broker.versions(&stage.machine.escrow_name());
    assert!(escrow.iter().all(|version| version.enabled));
    let exactly = stage.broker.helpdesk().retrieve_version(stage.machine.id(), &foreign).await;
    assert_eq!((exactly.field("passphrase"), exactly.field("status")), (OTHER, "unconfirmed"));
}

#[tokio::test]
async fn the_right_passphrase_written_later_settles_it() {
    let stage = Stage::set().await;
    let foreign = stage.mars_writes(OTHER);
    assert_different(&stage.confirm().await, &foreign);
    let path = format!("/v1/machines/{}/rotations/{}", stage.machine.id(), stage.rotation.id());
    let told = stage.agent.get(&path).await;
    assert!(told.body["otherSecretIdentifiers"][0].as_str().unwrap().ends_with(&foreign));
    let written = stage.mars_writes(stage.passphrase());
    stage.assert_in_force(&stage.confirm().await, &written).await;
    assert_eq!(stage.machine_state().await, "active");
}

#[tokio::test]
async fn a_new_rotation_settles_it_too() {
    let first = Stage::set().await;
    let foreign = first.mars_writes(OTHER);
    assert_different(&first.confirm().await, &foreign);
    let rotation = rotate(&first.agent, &first.machine).await;
    let second = Stage { rotation, ..first };
    // What the first one found different does not make the second one indeterminate.
    assert_eq!(second.confirm().await.status, 202);
    assert!(second.shown().await.contains(&OTHER.to_owned()));
    let written = second.mars_writes(second.passphrase());
    second.assert_in_force(&second.confirm().await, &written).await;
    assert_eq!(second.machine_state().await, "active");
}

#[tokio::test]
async fn a_new_version_that_is_disabled_is_told_and_not_believed() {
    let stage = Stage::set().await;
    let (vault, name) = (&stage.broker.key_vault, stage.machine.field("secretName"));
    let written = stage.mars_writes(stage.passphrase());
    azure().set_enabled(vault, name, &written, false).unwrap();
    let refused = stage.confirm().await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-disabled"), "{}", refused.text);
    assert!(refused.field("detail").contains(&written));
    stage.assert_nothing_changed().await;
    let failed = stage.events("outcome=failed").await;
    assert_eq!(failed[0]["secrets"][0]["version"], written);
    azure().set_enabled(vault, name, &written, true).unwrap();
    stage.assert_in_force(&stage.confirm().await, &written).await;
}

#[tokio::test]
async fn a_disabled_version_beside_a_different_one_is_a_candidate_that_cannot_be_read() {
    let stage = Stage::set().await;
    let (vault, name) = (&stage.broker.key_vault, stage.machine.field("secretName"));
    let disabled = stage.mars_writes("nobody can read this one now");
    azure().set_enabled(vault, name, &disabled, false).unwrap();
    let foreign = stage.mars_writes(OTHER);
    let refused = stage.confirm().await;
    assert_different(&refused, &foreign);
    assert!(refused.field("detail").contains(&disabled), "{}", refused.text);
    let retrieved = stage.broker.helpdesk().retrieve(stage.machine.id()).await;
    assert_eq!(retrieved.body["unreadableCandidates"][0]["version"], disabled);
    assert_eq!(retrieved.body["otherCandidates"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn at_most_three_of_many_foreign_versions_are_candidates_and_all_stay_retrievable() {
    let stage = Stage::set().await;
    let foreign: Vec<String> =
        (0..5).map(|number| stage.mars_writes(&format!("foreign passphrase {number}"))).collect();
    assert_different(&stage.confirm().await, &foreign[4]);
    assert_eq!(stage.shown().await.len(), 2 + 3);
    for version in &foreign {
        let exactly = stage.broker.helpdesk().retrieve_version(stage.machine.id(), version).await;
        assert_eq!(exactly.status, 201, "{}", exactly.text);
    }
}

#[tokio::test]
async fn a_read_that_key_vault_refuses_proves_nothing_and_is_repeated() {
    let permission = || refusal(403, "Forbidden", "ForbiddenByRbac");
    let throttled = || Effect::Throttle { retry_after: Some("60".to_owned()) };
    let refusals = [
        (permission(), 502, "broker-permission-missing"),
        (throttled(), 503, "key-vault-throttled"),
    ];
    for (effect, status, code) in refusals {
        let stage = Stage::set().await;
        let written = stage.mars_writes(stage.passphrase());
        for (operation, secret) in [
            ("list_versions", stage.machine.field("secretName").to_owned()),
            ("get_secret", stage.machine.field("secretName").to_owned()),
            ("get_secret", stage.machine.escrow_name()),
        ] {
            let fault = stage.broker.fault(operation, &secret, effect.clone());
            let refused = stage.confirm().await;
            assert_eq!(refused.problem(), (status, code), "{operation} {}", refused.text);
            fault.release();
            stage.assert_nothing_changed().await;
        }
        stage.assert_in_force(&stage.confirm().await, &written).await;
    }
}

#[tokio::test]
async fn a_read_that_hangs_is_given_up_within_the_deadline_and_is_repeated() {
    let stage = Stage::set().await;
    let written = stage.mars_writes(stage.passphrase());
    for secret in [stage.machine.field("secretName").to_owned(), stage.machine.escrow_name()] {
        let fault = stage.broker.fault("get_secret", &secret, Effect::HoldBefore);
        let started = std::time::Instant::now();
        let refused = stage.confirm().await;
        assert_eq!(refused.problem(), (503, "key-vault-unavailable"), "{}", refused.text);
        assert!(started.elapsed() < std::time::Duration::from_secs(8));
        fault.release();
        stage.assert_nothing_changed().await;
    }
    stage.assert_in_force(&stage.confirm().await, &written).await;
}
