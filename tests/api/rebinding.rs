//! A machine gets a new identity when it is imaged anew: an operator binds it, the old one is out at once, and the
//! new one goes on where the old one was. How an old token is refused everywhere is in `agents`.

use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker};

async fn bind(broker: &Broker, machine: &Answer, agent: &Value) -> Answer {
    let path = format!("/v1/machines/{}", machine.id());
    let shown = broker.portal().get(&path).await;
    broker.portal().patch(&path, shown.header("etag"), json!({"agentObjectId": agent})).await
}

async fn first_task(agent: &Actor) -> Value {
    agent.get("/v1/agent/tasks").await.body["items"][0].clone()
}

#[tokio::test]
async fn the_new_identity_resumes_the_rotation_that_the_old_one_collected() {
    let broker = Broker::shared().await;
    let (old, new) = (broker.agent(), broker.agent());
    let machine = broker.portal().register_for(&old).await;
    let rotation = old.rotate(machine.id()).await;
    let bound = bind(broker, &machine, &json!(new.object_id)).await;
    assert_eq!((bound.status, bound.field("agentObjectId")), (200, new.object_id.as_str()));
    for how in ["collect", "confirm", "fail"] {
        let refused = old.settle(machine.id(), rotation.id(), how).await;
        assert_eq!(refused.problem(), (404, "not-found"));
    }
    assert_eq!(old.rotate(machine.id()).await.problem(), (404, "not-found"));
    let task = first_task(&new).await;
    assert_eq!(
        (&task["task"], &task["rotationId"]),
        (&json!("confirmRotation"), &rotation.body["id"])
    );
    let resumed = new.rotate(machine.id()).await;
    for member in ["id", "passphrase", "escrowSecretIdentifier", "collectedAt"] {
        assert_eq!(resumed.field(member), rotation.field(member), "{member}");
    }
    assert_eq!(broker.versions(&machine.escrow_name()).len(), 1);
    let confirmed = new.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.field("state"), "confirmed");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
}

#[tokio::test]
async fn the_log_names_both_identities() {
    let broker = Broker::shared().await;
    let (old, new) = (broker.agent(), broker.agent());
    let machine = broker.portal().register_for(&old).await;
    bind(broker, &machine, &json!(new.object_id)).await;
    bind(broker, &machine, &Value::Null).await;
    let query = format!("machineId={}&action=update_machine", machine.id());
    let events = broker.auditor().events(&query).await;
    let (unbound, bound) = (&events[0]["details"], &events[1]["details"]);
    assert_eq!(bound["boundToObjectId"], new.object_id);
    assert_eq!(bound["wasBoundToObjectId"], old.object_id);
    assert_eq!(unbound["wasBoundToObjectId"], new.object_id);
    assert!(unbound.get("boundToObjectId").is_none());
}

#[tokio::test]
async fn an_identity_that_another_machine_has_is_refused_until_that_one_lets_it_go() {
    let broker = Broker::shared().await;
    let (here, there) = (broker.agent(), broker.agent());
    let machine = broker.portal().register_for(&here).await;
    let other = broker.portal().register_for(&there).await;
    let refused = bind(broker, &machine, &json!(there.object_id)).await;
    assert_eq!(refused.problem(), (409, "agent-binding-mismatch"));
    assert_eq!(here.get(&format!("/v1/machines/{}", machine.id())).await.status, 200);
    let query = format!("machineId={}&action=update_machine", machine.id());
    let events = broker.auditor().events(&query).await;
    assert_eq!((events.len(), &events[0]["problem"]), (1, &json!("agent-binding-mismatch")));
    assert_eq!(bind(broker, &other, &Value::Null).await.status, 200);
    assert_eq!(bind(broker, &machine, &json!(there.object_id)).await.status, 200);
    let shown = there.get("/v1/me").await;
    assert_eq!(shown.body["machine"]["id"], machine.body["id"]);
}

#[tokio::test]
async fn a_retired_machines_identity_can_be_bound_anew() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let retired = broker.portal().register_for(&agent).await;
    let path = format!("/v1/machines/{}/retire", retired.id());
    assert_eq!(broker.portal().act(&path).await.status, 200);
    let machine = broker.portal().register().await;
    assert_eq!(bind(broker, &machine, &json!(agent.object_id)).await.status, 200);
    assert_eq!(agent.get("/v1/me").await.body["machine"]["id"], machine.body["id"]);
}
