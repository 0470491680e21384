//! `POST /v1/machines/{machineId}/retrievals`.

use crate::harness::Broker;

#[tokio::test]
async fn the_help_desk_gets_what_was_registered_and_the_log_knows() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.status, 201, "{}", retrieved.text);
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.field("status"), "current");
    let events = broker
        .auditor()
        .events(&format!("machineId={}&action=retrieve_passphrase", machine.id()))
        .await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["outcome"], "released");
    assert_eq!(events[0]["sequence"], retrieved.body["auditEvent"]["sequence"]);
}
