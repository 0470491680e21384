//! `GET /v1/agent/tasks`: what an agent is told in every state of its machine and rotations, and when a policy
//! makes a rotation due.

use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup};

async fn tasks(agent: &Actor) -> Vec<Value> {
    let answer = agent.get("/v1/agent/tasks").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["items"].as_array().unwrap().clone()
}

/// The one task that there is.
async fn task(agent: &Actor) -> Value {
    let tasks = tasks(agent).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].clone()
}

async fn overdue(broker: &Broker, rotation: &str) {
    let past =
        "requested_at = now() - interval '2 hours', expires_at = now() - interval '1 second'";
    broker.database.execute(&format!("update rotations set {past} where id = '{rotation}'")).await;
}

#[tokio::test]
async fn an_open_rotation_is_collected_and_then_confirmed() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
    let prepared = broker.portal().rotate(machine.id()).await;
    let expected = |task: &str, state: &str| {
        json!({"task": task, "machineId": machine.id(), "rotationId": prepared.id(), "state": state,
            "writer": "broker", "expiresAt": prepared.field("expiresAt")})
    };
    let mut found = task(&agent).await;
    // The database keeps microseconds.
    found["expiresAt"] = prepared.body["expiresAt"].clone();
    assert_eq!(found, expected("collectPassphrase", "prepared"));
    agent.settle(machine.id(), prepared.id(), "collect").await;
    let mut found = task(&agent).await;
    found["expiresAt"] = prepared.body["expiresAt"].clone();
    assert_eq!(found, expected("confirmRotation", "collected"));
    agent.settle(machine.id(), prepared.id(), "confirm").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
}

#[tokio::test]
async fn the_task_says_that_mars_writes() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    crate::mars_writes::rotate(&agent, &machine).await;
    assert_eq!(task(&agent).await["writer"], "agent");
}

#[tokio::test]
async fn a_rotation_that_is_still_being_prepared_is_no_task_yet() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let requested = format!(
        "insert into rotations (id, machine_id, writer, state, escrow_secret_name,
             requested_by_tenant_id, requested_by_object_id, requested_at, expires_at)
         values (gen_random_uuid(), '{}', 'broker', 'requested', '{}',
             gen_random_uuid(), gen_random_uuid(), now(), now() + interval '1 hour')",
        machine.id(),
        machine.escrow_name()
    );
    broker.database.execute(&requested).await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
}

#[tokio::test]
async fn nothing_is_left_to_do_after_an_end_that_is_known() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let failed = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), failed.id(), "fail").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0], "failed");
    let abandoned = broker.portal().rotate(machine.id()).await;
    broker.portal().settle(machine.id(), abandoned.id(), "abandon").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0], "abandoned");
    let expired = broker.portal().rotate(machine.id()).await;
    overdue(broker, expired.id()).await;
    assert_eq!(tasks(&agent).await, [json!(null); 0], "expired, not on record yet");
    agent.settle(machine.id(), expired.id(), "collect").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0], "expired");
}

#[tokio::test]
async fn a_passphrase_of_which_nobody_knows_is_to_be_confirmed_also_after_the_deadline() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let lost = agent.rotate(machine.id()).await;
    overdue(broker, lost.id()).await;
    assert_eq!(task(&agent).await["rotationId"], lost.id());
    agent.settle(machine.id(), lost.id(), "collect").await;
    let found = task(&agent).await;
    assert_eq!(
        (&found["task"], &found["state"]),
        (&json!("confirmRotation"), &json!("indeterminate"))
    );
    // A later one that failed answers nothing about the first.
    let failed = agent.rotate(machine.id()).await;
    assert_eq!(task(&agent).await["rotationId"], failed.id());
    agent.settle(machine.id(), failed.id(), "fail").await;
    assert_eq!(task(&agent).await["rotationId"], lost.id());
    agent.settle(machine.id(), lost.id(), "confirm").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
}

/// A broker whose passphrases grow old after 30 days.
async fn with_policy(jitter: &str) -> Broker {
    let environment =
        [("ROTATION_AGE_DAYS", "30".to_owned()), ("ROTATION_JITTER_DAYS", jitter.to_owned())];
    Broker::start(Setup { environment: environment.into(), ..Setup::default() }).await
}

async fn aged(broker: &Broker, machine: &Answer, days: i32) {
    let since = format!("current_version_since = now() - interval '{days} days'");
    broker
        .database
        .execute(&format!("update machines set {since} where id = '{}'", machine.id()))
        .await;
}

async fn due_at(agent: &Actor, machine: &Answer) -> Value {
    agent.get(&format!("/v1/machines/{}", machine.id())).await.body["rotationDueAt"].clone()
}

#[tokio::test]
async fn an_old_passphrase_is_to_be_rotated_and_nothing_is_written_before_the_agent_asks() {
    let broker = with_policy("0").await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    aged(&broker, &machine, 29).await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
    aged(&broker, &machine, 31).await;
    let due = task(&agent).await;
    assert_eq!((&due["task"], &due["machineId"]), (&json!("rotate"), &machine.body["id"]));
    assert_eq!(due["dueAt"], due_at(&agent, &machine).await);
    assert!(due.get("rotationId").is_none());
    assert_eq!(broker.versions(&machine.escrow_name()).len(), 0);
    let rotation = agent.rotate(machine.id()).await;
    assert_eq!(task(&agent).await["task"], "confirmRotation");
    assert_eq!(due_at(&agent, &machine).await, Value::Null);
    agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
    assert_ne!(due_at(&agent, &machine).await, Value::Null);
}

#[tokio::test]
async fn after_a_failure_the_next_attempt_is_due_a_day_later() {
    let broker = with_policy("0").await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    aged(&broker, &machine, 31).await;
    let rotation = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), rotation.id(), "fail").await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
    let yesterday = "requested_at = now() - interval '25 hours'";
    let statement = format!("update rotations set {yesterday} where id = '{}'", rotation.id());
    broker.database.execute(&statement).await;
    assert_eq!(task(&agent).await["task"], "rotate");
}

#[tokio::test]
async fn an_unsettled_or_retired_machine_is_not_due() {
    let broker = with_policy("0").await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    overdue(&broker, rotation.id()).await;
    agent.settle(machine.id(), rotation.id(), "collect").await;
    aged(&broker, &machine, 365).await;
    assert_eq!(task(&agent).await["task"], "confirmRotation");
    let path = format!("/v1/machines/{}/retire", machine.id());
    assert_eq!(broker.portal().act(&path).await.status, 200);
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
}

#[tokio::test]
async fn the_jitter_delays_each_machine_by_its_own_time_and_always_the_same() {
    let broker = with_policy("100").await;
    let mut dates = Vec::new();
    for _ in 0..6 {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let since = "current_version_since = '2026-01-01T00:00:00Z'";
        let statement = format!("update machines set {since} where id = '{}'", machine.id());
        broker.database.execute(&statement).await;
        let date = due_at(&agent, &machine).await;
        assert_eq!(date, due_at(&agent, &machine).await);
        dates.push(date.as_str().unwrap().to_owned());
    }
    let (first, last) = (dates.iter().min().unwrap(), dates.iter().max().unwrap());
    assert!("2026-01-31" <= first.as_str() && last.as_str() < "2026-05-12", "{dates:?}");
    assert_ne!(first, last);
}

#[tokio::test]
async fn without_a_policy_nothing_is_due() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    aged(broker, &machine, 3_650).await;
    assert_eq!(tasks(&agent).await, [json!(null); 0]);
    assert_eq!(due_at(&agent, &machine).await, Value::Null);
}
