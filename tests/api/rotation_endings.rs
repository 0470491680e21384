//! How a rotation ends other than well, and what then still counts as a candidate.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Actor, Answer, Broker, azure, refusal};

/// Puts a rotation's deadline into the past.
async fn overdue(broker: &Broker, rotation: &Answer) {
    let statement = format!(
        "update rotations set requested_at = now() - interval '2 hours', expires_at = now() - interval '1 second' where id = '{}'",
        rotation.id()
    );
    broker.database.execute(&statement).await;
}

async fn state(reader: &Actor, machine: &Answer, rotation: &Answer) -> String {
    let path = format!("/v1/machines/{}/rotations/{}", machine.id(), rotation.id());
    reader.get(&path).await.field("state").to_owned()
}

#[tokio::test]
async fn a_failure_keeps_the_old_passphrase_and_the_candidate() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let path = format!("/v1/machines/{}/rotations/{}/fail", machine.id(), rotation.id());
    let report = json!({"marsErrorCode": "100130", "message": "the service did not start"});
    let failed = agent.post(&path, report).await;
    assert_eq!((failed.status, failed.field("state")), (200, "failed"), "{}", failed.text);
    assert_eq!(failed.field("marsErrorCode"), "100130");
    let again = agent.settle(machine.id(), rotation.id(), "fail").await;
    assert_eq!((again.status, &again.body), (200, &failed.body));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"][0]["passphrase"], rotation.body["passphrase"]);
    let shown = agent.get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.field("state"), "active");
}

#[tokio::test]
async fn a_failure_before_collection_leaves_no_candidate() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let rotation = portal.rotate(machine.id()).await;
    let failed = portal.settle(machine.id(), rotation.id(), "fail").await;
    assert_eq!((failed.status, failed.field("state")), (200, "failed"));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    let refused = portal.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"));
}

#[tokio::test]
async fn a_machine_that_reported_a_failure_may_confirm_all_the_same() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), rotation.id(), "fail").await;
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

#[tokio::test]
async fn nobody_confirms_a_rotation_when_a_later_one_is_in_force() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let first = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), first.id(), "fail").await;
    let second = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), second.id(), "confirm").await;
    let refused = agent.settle(machine.id(), first.id(), "confirm").await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), second.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    assert_eq!(broker.versions(machine.field("secretName")).len(), 2);
}

#[tokio::test]
async fn a_rotation_is_abandoned_only_before_collection() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let rotation = portal.rotate(machine.id()).await;
    let abandoned = portal.settle(machine.id(), rotation.id(), "abandon").await;
    assert_eq!((abandoned.status, abandoned.field("state")), (200, "abandoned"));
    let again = portal.settle(machine.id(), rotation.id(), "abandon").await;
    assert_eq!((again.status, &again.body), (200, &abandoned.body));
    let refused = agent.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"));
    let next = agent.rotate(machine.id()).await;
    assert_ne!(next.id(), rotation.id());
    let refused = portal.settle(machine.id(), next.id(), "abandon").await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"));
}

#[tokio::test]
async fn a_prepared_rotation_expires_and_is_gone() {
    let broker = Broker::shared().await;
    let (agent, portal) = (broker.agent(), broker.portal());
    let machine = portal.register_for(&agent).await;
    let rotation = portal.rotate(machine.id()).await;
    overdue(broker, &rotation).await;
    for how in ["collect", "confirm", "fail"] {
        let refused = agent.settle(machine.id(), rotation.id(), how).await;
        assert_eq!(refused.problem(), (410, "rotation-expired"), "{how}");
    }
    assert_eq!(state(&agent, &machine, &rotation).await, "expired");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    assert_eq!(agent.get("/v1/agent/tasks").await.body["items"], json!([]));
    assert_eq!(agent.rotate(machine.id()).await.status, 201);
}

#[tokio::test]
async fn a_collected_rotation_becomes_indeterminate_and_a_late_confirmation_settles_it() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    overdue(broker, &rotation).await;
    let refused = agent.settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(refused.problem(), (410, "rotation-expired"));
    assert_eq!(state(&agent, &machine, &rotation).await, "indeterminate");
    let shown = agent.get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.field("state"), "indeterminate");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"][0]["passphrase"], rotation.body["passphrase"]);
    let confirmed = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
    let shown = agent.get(&format!("/v1/machines/{}", machine.id())).await;
    assert_eq!(shown.field("state"), "active");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
}

#[tokio::test]
async fn the_reconciler_puts_a_passed_deadline_on_record_by_itself() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    overdue(broker, &rotation).await;
    let query = format!(
        "select count(*) from audit_events where action = 'expire_rotation' and machine_id = '{}'",
        machine.id()
    );
    // It comes round every 15 seconds; a request would do it at once, and is not made here.
    let deadline = Instant::now() + Duration::from_secs(25);
    while broker.database.count(&query).await == 0 {
        assert!(Instant::now() < deadline, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(state(&agent, &machine, &rotation).await, "indeterminate");
}

/// A confirmation that Key Vault refuses stays begun: somebody finishes it.
async fn begun(broker: &Broker, agent: &Actor, machine: &Answer) -> Answer {
    let rotation = agent.rotate(machine.id()).await;
    let denied = refusal(403, "Forbidden", "ForbiddenByRbac");
    let fault = broker.fault("set_secret", machine.field("secretName"), denied);
    let refused = agent.settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(refused.status, 502, "{}", refused.text);
    fault.release();
    rotation
}

#[tokio::test]
async fn a_confirmation_that_a_later_rotation_overtook_is_not_finished_any_more() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let overtaken = begun(broker, &agent, &machine).await;
    let confirming = format!(
        "select count(*) from rotations where confirming and machine_id = '{}'",
        machine.id()
    );
    assert_eq!(broker.database.count(&confirming).await, 1);
    overdue(broker, &overtaken).await;
    let later = agent.rotate(machine.id()).await;
    assert_eq!(later.status, 201, "{}", later.text);
    let confirmed = agent.settle(machine.id(), later.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    assert_eq!(broker.database.count(&confirming).await, 0);
}

#[tokio::test]
async fn an_interrupted_confirmation_that_is_finished_tells_what_somebody_else_wrote() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let foreign = azsim::SecretSpec::new(machine.field("secretName"), "written by somebody else");
    let foreign = azure().put_secret(&broker.key_vault, foreign).unwrap();
    let rotation = begun(broker, &agent, &machine).await;
    let old = "update rotations set attempted_at = attempted_at - interval '1 hour' where id = ";
    broker.database.execute(&format!("{old}'{}'", rotation.id())).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while state(&agent, &machine, &rotation).await != "confirmed" {
        assert!(Instant::now() < deadline, "{}", broker.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let path = format!("/v1/machines/{}/rotations/{}", machine.id(), rotation.id());
    let told = agent.get(&path).await.body["otherSecretIdentifiers"][0].clone();
    assert!(told.as_str().unwrap().ends_with(&foreign), "{told}");
}

#[tokio::test]
async fn escrow_versions_are_disabled_once_confirmed_and_nothing_else_ever_is() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let failed = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), failed.id(), "fail").await;
    assert!(broker.versions(&machine.escrow_name()).iter().all(|version| version.enabled));
    for _ in 0..2 {
        let rotation = agent.rotate(machine.id()).await;
        agent.settle(machine.id(), rotation.id(), "confirm").await;
    }
    let escrow = broker.versions(&machine.escrow_name());
    assert_eq!((escrow.len(), escrow.iter().filter(|version| version.enabled).count()), (3, 0));
    let in_force = broker.versions(machine.field("secretName"));
    assert_eq!((in_force.len(), in_force.iter().filter(|version| version.enabled).count()), (3, 3));
    let asked: Vec<String> = broker
        .requests_on(machine.field("secretName"))
        .into_iter()
        .map(|request| request.operation)
        .filter(|operation| {
            !["set_secret", "get_secret", "list_versions"]
                .iter()
                .any(|harmless| operation.ends_with(harmless))
        })
        .collect();
    assert_eq!(asked, [""; 0], "asked of the machine's own secret");
}

/// What takes nothing away. Other tests share the Key Vault, and some of them recover secrets.
const GENTLE: [&str; 7] = [
    "set_secret",
    "get_secret",
    "list_versions",
    "list_secrets",
    "get_deleted_secret",
    "list_deleted_secrets",
    "recover_secret",
];

#[tokio::test]
async fn nothing_is_ever_deleted_or_purged_in_the_whole_key_vault() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), rotation.id(), "confirm").await;
    let seen = azure().requests(&broker.key_vault).unwrap();
    assert!(seen.len() > 5);
    for request in seen {
        let gentle = GENTLE.iter().any(|operation| request.operation.ends_with(operation));
        let own = request.secret_name.starts_with("AzBackupPending-")
            && request.operation.ends_with("update_secret");
        let ours = request.caller_oid.as_ref() == Some(&azure().identity().principal_id);
        assert!(!ours || gentle || own, "{request:?}");
    }
}

#[tokio::test]
async fn a_machine_that_never_confirms_is_not_given_passphrases_for_ever() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let fifty_collected = format!(
        "insert into rotations (id, machine_id, writer, state, escrow_secret_name, escrow_version,
             requested_by_tenant_id, requested_by_object_id, requested_at, expires_at, collected_at, closed_at)
         select gen_random_uuid(), '{}', 'broker', 'failed', 'AzBackupPending-x', md5(n::text),
             gen_random_uuid(), gen_random_uuid(), now() - interval '1 hour', now(), now(), now()
         from generate_series(1, 50) n",
        machine.id()
    );
    broker.database.execute(&fifty_collected).await;
    let refused = broker.portal().rotate(machine.id()).await;
    assert_eq!(refused.problem(), (409, "invalid-rotation-state"), "{}", refused.text);
}
