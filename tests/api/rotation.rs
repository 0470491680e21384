//! `/v1/machines/{machineId}/rotations`.

use crate::harness::Broker;

#[tokio::test]
async fn the_agent_rotates_confirms_and_the_new_passphrase_is_in_force() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "collected"), "{}", rotation.text);
    assert_ne!(rotation.field("passphrase"), machine.field("passphrase"));
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(
        (confirmed.status, confirmed.field("state")),
        (200, "confirmed"),
        "{}",
        confirmed.text
    );
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], serde_json::json!([]));
    let older =
        broker.helpdesk().retrieve_version(machine.id(), machine.field("currentVersion")).await;
    assert_eq!(older.field("passphrase"), machine.field("passphrase"));
    assert_eq!(older.field("status"), "superseded");
}

#[tokio::test]
async fn a_collected_passphrase_that_nobody_confirmed_is_a_candidate() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"][0]["passphrase"], rotation.body["passphrase"]);
    assert_eq!(retrieved.body["otherCandidates"][0]["status"], "unconfirmed");
}
