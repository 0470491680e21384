//! `/v1/machines/{machineId}/rotations`: the state machine, as agents, portals and people drive it.

use serde_json::json;

use crate::harness::{Broker, azure};

#[tokio::test]
async fn the_agent_rotates_confirms_and_the_new_passphrase_is_in_force() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "collected"), "{}", rotation.text);
    assert_ne!(rotation.field("passphrase"), machine.field("passphrase"));
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    let older =
        broker.helpdesk().retrieve_version(machine.id(), machine.field("currentVersion")).await;
    assert_eq!(older.field("passphrase"), machine.field("passphrase"));
    assert_eq!(older.field("status"), "superseded");
}

#[tokio::test]
async fn a_portal_prepares_without_seeing_and_the_agent_collects() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let prepared = portal.rotate(machine.id()).await;
    assert_eq!((prepared.status, prepared.field("state")), (201, "prepared"), "{}", prepared.text);
    assert!(prepared.body.get("passphrase").is_none());
    let path = format!("/v1/machines/{}/rotations/{}", machine.id(), prepared.id());
    assert_eq!(prepared.header("location"), path);
    let refused = portal.settle(machine.id(), prepared.id(), "collect").await;
    assert_eq!(refused.problem(), (403, "role-missing"));
    let collected = agent.settle(machine.id(), prepared.id(), "collect").await;
    assert_eq!((collected.status, collected.field("state")), (200, "collected"));
    let escrow = broker.versions(&machine.escrow_name());
    assert_eq!(escrow.len(), 1);
    assert_eq!(escrow[0].value, collected.field("passphrase"));
    let again = agent.settle(machine.id(), prepared.id(), "collect").await;
    assert_eq!(again.field("passphrase"), collected.field("passphrase"));
    assert_eq!(again.field("collectedAt"), collected.field("collectedAt"));
}

#[tokio::test]
async fn a_person_with_both_roles_requests_collects_and_confirms() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let person = broker.user(&["Passphrases.Rotate", "Passphrases.Retrieve"]);
    let rotation = person.rotate(machine.id()).await;
    assert_eq!((rotation.status, rotation.field("state")), (201, "collected"), "{}", rotation.text);
    let collected = person.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(collected.field("passphrase"), rotation.field("passphrase"));
    let confirmed = person.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
    assert!(confirmed.body.get("passphrase").is_none());
}

#[tokio::test]
async fn a_person_with_one_role_sees_no_passphrase() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let rotator = broker.user(&["Passphrases.Rotate"]);
    let rotation = rotator.rotate(machine.id()).await;
    assert_eq!(rotation.field("state"), "prepared");
    for roles in [&["Passphrases.Rotate"][..], &["Passphrases.Retrieve"], &["Machines.Read"]] {
        let refused = broker.user(roles).settle(machine.id(), rotation.id(), "collect").await;
        assert_eq!(refused.problem(), (403, "role-missing"), "{roles:?}");
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_resumes_the_same_version() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let first = agent.rotate(machine.id()).await;
    let again = agent.rotate(machine.id()).await;
    for member in ["id", "passphrase", "escrowSecretIdentifier", "collectedAt"] {
        assert_eq!(again.field(member), first.field(member), "{member}");
    }
    assert_eq!(broker.versions(&machine.escrow_name()).len(), 1);
}

#[tokio::test]
async fn a_portal_is_told_that_a_rotation_is_open() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    agent.rotate(machine.id()).await;
    let refused = portal.rotate(machine.id()).await;
    assert_eq!(refused.problem(), (409, "rotation-in-progress"));
    let shown = portal.get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.field("state"), "rotating");
}

#[tokio::test]
async fn of_twenty_requests_at_once_one_opens_a_rotation() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let requests = (0..20).map(|_| portal.rotate(machine.id()));
    let answers = futures_util::future::join_all(requests).await;
    let opened = answers.iter().filter(|answer| answer.status == 201).count();
    let told =
        answers.iter().filter(|answer| answer.problem() == (409, "rotation-in-progress")).count();
    assert_eq!((opened, told), (1, 19));
    assert_eq!(broker.versions(&machine.escrow_name()).len(), 1);
}

#[tokio::test]
async fn a_confirmation_repeated_changes_nothing() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let first = agent.settle(machine.id(), rotation.id(), "confirm").await;
    let again = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(broker.versions(machine.field("secretName")).len(), 2);
}

#[tokio::test]
async fn confirmations_at_the_same_time_end_in_one_state() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let confirm = || agent.settle(machine.id(), rotation.id(), "confirm");
    let answers = futures_util::future::join_all((0..5).map(|_| confirm())).await;
    assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status < 500), "{answers:?}");
    assert_eq!(confirm().await.field("state"), "confirmed");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_collected() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let rotation = portal.rotate(machine.id()).await;
    let refused = portal.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"));
    assert_eq!(broker.versions(machine.field("secretName")).len(), 1);
}

#[tokio::test]
async fn a_confirmation_says_the_agent_version() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let path = format!("/v1/machines/{}/rotations/{}/confirm", machine.id(), rotation.id());
    let confirmed = agent.post(&path, json!({"agentVersion": "2.0.9262.0"})).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let shown = agent.get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.field("agentVersion"), "2.0.9262.0");
    assert_eq!(shown.field("state"), "active");
}

#[tokio::test]
async fn a_provided_passphrase_is_rotated_to_and_never_shown_to_who_provided_it() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let body = json!({"passphrase": {"source": "provided", "value": "correct horse battery staple"}, "expiresInSeconds": 60});
    let prepared = portal.post(&format!("/v1/machines/{}/rotations", machine.id()), body).await;
    assert_eq!((prepared.status, prepared.field("state")), (201, "prepared"), "{}", prepared.text);
    assert!(!prepared.text.contains("correct horse"));
    let collected = agent.settle(machine.id(), prepared.id(), "collect").await;
    assert_eq!(collected.field("passphrase"), "correct horse battery staple");
}

#[tokio::test]
async fn rotations_are_listed_newest_first_without_values() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let rotation = agent.rotate(machine.id()).await;
        agent.settle(machine.id(), rotation.id(), "confirm").await;
        ids.insert(0, rotation.id().to_owned());
    }
    let path = format!("/v1/machines/{}/rotations?pageSize=2", machine.id());
    let first = agent.get(&path).await;
    let second = agent.get(&format!("{path}&cursor={}", first.field("nextCursor"))).await;
    let items = |page: &crate::harness::Answer| page.body["items"].as_array().unwrap().clone();
    let listed: Vec<_> = items(&first).into_iter().chain(items(&second)).collect();
    let listed_ids: Vec<&str> = listed.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(listed_ids, ids);
    assert!(second.body.get("nextCursor").is_none());
    assert!(listed.iter().all(|item| item.get("passphrase").is_none()));
}

#[tokio::test]
async fn the_agents_tasks_follow_the_rotation() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let tasks = || async { agent.get("/v1/agent/tasks").await.body["items"].clone() };
    assert_eq!(tasks().await, json!([]));
    let rotation = portal.rotate(machine.id()).await;
    let due = tasks().await;
    assert_eq!(due[0]["task"], "collectPassphrase");
    assert_eq!(
        (due[0]["machineId"].as_str(), due[0]["rotationId"].as_str()),
        (Some(machine.id()), Some(rotation.id()))
    );
    agent.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(tasks().await[0]["task"], "confirmRotation");
    agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(tasks().await, json!([]));
}

#[tokio::test]
async fn a_version_that_somebody_else_wrote_is_kept_and_told() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let name = machine.field("secretName");
    let foreign = azsim::SecretSpec::new(name, "written by somebody else");
    let foreign = azure().put_secret(&broker.key_vault, foreign).unwrap();
    let rotation = agent.rotate(machine.id()).await;
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    let told = confirmed.body["otherSecretIdentifiers"][0].as_str().unwrap();
    assert!(told.ends_with(&foreign), "{}", confirmed.text);
    let query = format!("machineId={}&action=confirm_rotation&outcome=intended", machine.id());
    let events = broker.auditor().events(&query).await;
    assert_eq!(events[0]["details"]["versionsOfOthers"], serde_json::json!(foreign));
    let older = broker.helpdesk().retrieve_version(machine.id(), &foreign).await;
    assert_eq!(older.field("passphrase"), "written by somebody else");
    assert!(broker.versions(name).iter().any(|version| version.id == foreign));
    let again = agent.rotate(machine.id()).await;
    let confirmed = agent.settle(machine.id(), again.id(), "confirm").await;
    assert!(confirmed.body.get("otherSecretIdentifiers").is_none(), "{}", confirmed.text);
}
