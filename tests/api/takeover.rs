//! Two replicas and one piece of work: of all that would finish what was interrupted one does, and a
//! replica that was frozen meanwhile (SIGSTOP, as when a VM is moved) releases nothing when it comes back.

use std::time::{Duration, Instant};

use azsim::Effect;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup, secret_name_of};

async fn pair() -> (Broker, Broker) {
    let one = Broker::start(Setup::default()).await;
    let two = one.replica(&[]).await;
    (one, two)
}

/// Lets everything that is under way seem to have begun long ago.
async fn long_ago(broker: &Broker) {
    for (table, column) in
        [("rotations", "attempted_at"), ("machines", "registration_attempted_at")]
    {
        let statement = format!("update {table} set {column} = {column} - interval '31 seconds'");
        broker.database.execute(&statement).await;
    }
}

async fn until(broker: &Broker, query: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.database.count(query).await != wanted {
        assert!(Instant::now() < deadline, "{query}\n{}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Rotations whose requester died before it wrote anything, as many as there are machines.
async fn interrupted_rotations(broker: &Broker, count: usize) {
    for _ in 0..count {
        broker.portal().register().await;
    }
    let insert = "insert into rotations (id, machine_id, writer, state, escrow_secret_name, requested_by_tenant_id,
            requested_by_object_id, requested_at, expires_at, attempted_at)
        select gen_random_uuid(), id, 'broker', 'requested', replace(secret_name, 'AzBackup-', 'AzBackupPending-'),
            tenant_id, tenant_id, now(), now() + interval '1 hour', now() - interval '31 seconds' from machines";
    broker.database.execute(insert).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_finishes_each_interrupted_rotation() {
    let (one, two) = pair().await;
    interrupted_rotations(&one, 12).await;
    until(&one, "select count(*) from rotations where state = 'failed'", 12).await;
    let finished = one.database.logged("action = 'finish_rotation'").await;
    let told = |outcome| finished.iter().filter(|event| event.outcome == outcome).count();
    assert_eq!((finished.len(), told("intended"), told("failed")), (24, 12, 12));
    drop(two);
}

/// A request to a replica that is frozen while Key Vault has it, and finished by the other.
struct Frozen {
    one: Broker,
    two: Broker,
    waiting: tokio::task::JoinHandle<Answer>,
}

/// Freezes the first replica when `secret` was written and the answer is on its way.
async fn frozen(
    one: Broker,
    two: Broker,
    secret: &str,
    actor: &Actor,
    path: &str,
    body: &Value,
) -> Frozen {
    let versions = one.versions(secret).len();
    let fault = one.fault_once("set_secret", secret, Effect::HoldAfter);
    let request = actor.request(reqwest::Method::POST, path).json(body);
    let waiting = tokio::spawn(Answer::of(request));
    fault.reached(1).await;
    while one.versions(secret).len() == versions {
        tokio::task::yield_now().await;
    }
    one.signal("STOP");
    fault.release();
    long_ago(&two).await;
    Frozen { one, two, waiting }
}

impl Frozen {
    /// What it answers when it comes back.
    async fn thawed(self) -> (Answer, Broker, Broker) {
        self.one.signal("CONT");
        let late = self.waiting.await.unwrap();
        assert!(!late.text.contains("\"passphrase\""), "{}", late.text);
        (late, self.one, self.two)
    }
}

async fn in_force(broker: &Broker, machine: &str, passphrase: &str) {
    let retrieved = broker.helpdesk().retrieve(machine).await;
    assert_eq!(retrieved.field("passphrase"), passphrase);
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_in_a_rotation_releases_nothing() {
    let (one, two) = pair().await;
    let agent = one.agent();
    let machine = one.portal().register_for(&agent).await;
    let path = format!("/v1/machines/{}/rotations", machine.id());
    let body = json!({"passphrase": {"source": "generated"}});
    let frozen = frozen(one, two, &machine.escrow_name(), &agent, &path, &body).await;
    let at_two = agent.at(&frozen.two);
    let rotation = at_two.rotate(machine.id()).await;
    assert_eq!(rotation.status, 201, "{}", rotation.text);
    let (late, one, two) = frozen.thawed().await;
    assert_eq!(late.problem(), (409, "invalid-rotation-state"), "{}", late.text);
    assert_eq!(one.versions(&machine.escrow_name()).len(), 1);
    assert_eq!(agent.settle(machine.id(), rotation.id(), "confirm").await.status, 200);
    in_force(&two, machine.id(), rotation.field("passphrase")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_in_a_registration_releases_nothing() {
    let (one, two) = pair().await;
    let body = Actor::registration(&json!({"source": "generated"}));
    let (secret, portal) = (secret_name_of(&body), one.portal());
    let frozen = frozen(one, two, &secret, &portal, "/v1/machines", &body).await;
    let registered = portal.at(&frozen.two).post("/v1/machines", body).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let (late, one, two) = frozen.thawed().await;
    assert_eq!(late.problem(), (412, "precondition-failed"), "{}", late.text);
    assert_eq!(one.versions(&secret).len(), 1);
    in_force(&two, registered.id(), registered.field("passphrase")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_in_a_confirmation_changes_nothing() {
    let (one, two) = pair().await;
    let agent = one.agent();
    let machine = one.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let path = format!("/v1/machines/{}/rotations/{}/confirm", machine.id(), rotation.id());
    let secret = machine.field("secretName");
    let frozen = frozen(one, two, secret, &agent, &path, &json!({})).await;
    until(&frozen.two, "select count(*) from rotations where state = 'confirmed'", 1).await;
    let (late, one, two) = frozen.thawed().await;
    assert!([200, 409].contains(&late.status), "{}", late.text);
    assert_eq!(one.versions(secret).len(), 2);
    in_force(&two, machine.id(), rotation.field("passphrase")).await;
}

/// As long as PostgreSQL lets a silent session keep the head of the log, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_frozen_with_the_logs_head_locked_keeps_others_waiting_for_three_seconds()
{
    let one = Broker::start(Setup::default()).await;
    let machine = one.portal().register().await;
    let frozen = one.replica(&[("FAIL_POINT", "group.locked=delay:1000")]).await;
    let (id, helpdesk) = (machine.id().to_owned(), one.helpdesk().at(&frozen));
    let waiting = tokio::spawn(async move { helpdesk.retrieve(&id).await });
    let locked = "select count(*) from pg_stat_activity
        where datname = current_database() and state = 'idle in transaction'";
    until(&one, locked, 1).await;
    frozen.signal("STOP");
    let began = Instant::now();
    // An event gives up after 2.4 s. On a busy machine that may be just before the lock is taken away.
    while one.helpdesk().retrieve(machine.id()).await.status != 201 {
        assert!(began.elapsed() < Duration::from_secs(3), "{}", one.log());
    }
    let waited = began.elapsed();
    println!("the other replica waited for {waited:.1?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    frozen.signal("CONT");
    let late = waiting.await.unwrap();
    assert_eq!(late.problem(), (503, "audit-unavailable"), "{}", late.text);
}

/// A machine whose registration was interrupted after its passphrase was stored.
async fn half_registered(broker: &Broker, agent: &Actor) -> (String, String) {
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["agentObjectId"] = json!(agent.object_id);
    let secret = secret_name_of(&body);
    let fault = broker.fault_once("set_secret", &secret, Effect::HoldBefore);
    let lost = broker.portal().post("/v1/machines", body.clone()).await;
    assert_eq!(lost.problem(), (503, "key-vault-unavailable"), "{}", lost.text);
    fault.release();
    while broker.versions(&secret).is_empty() {
        tokio::task::yield_now().await;
    }
    let path = format!("/v1/machines?q={}", body["fqdn"].as_str().unwrap());
    let found = broker.portal().get(&path).await;
    (found.body["items"][0]["id"].as_str().unwrap().to_owned(), secret)
}

/// What a rotation puts in force must not be replaced by the registration's passphrase later.
#[tokio::test]
async fn a_machine_is_not_rotated_while_its_registration_is_unfinished() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let (machine, secret) = half_registered(&broker, &agent).await;
    let refused = agent.rotate(&machine).await;
    assert_eq!(refused.problem(), (409, "rotation-in-progress"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "30");
    let old = "update machines set registration_attempted_at = registration_attempted_at - interval '301 seconds'";
    broker.database.execute(old).await;
    until(&broker, "select count(*) from machines where state = 'active'", 1).await;
    in_force(&broker, &machine, &broker.versions(&secret)[0].value).await;
    let rotation = agent.rotate(&machine).await;
    assert_eq!(agent.settle(&machine, rotation.id(), "confirm").await.status, 200);
    in_force(&broker, &machine, rotation.field("passphrase")).await;
}

#[tokio::test]
async fn a_secret_keeps_its_name_while_its_first_passphrase_is_written() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let (machine, _) = half_registered(&broker, &agent).await;
    let path = format!("/v1/machines/{machine}");
    let etag = broker.portal().get(&path).await.header("etag").to_owned();
    let renamed = json!({"secretName": "AzBackup-another-name"});
    let refused = broker.portal().patch(&path, &etag, renamed).await;
    assert_eq!(refused.problem(), (412, "precondition-failed"), "{}", refused.text);
    let tagged = broker.portal().patch(&path, &etag, json!({"tags": {"owner": "team-a"}})).await;
    assert_eq!(tagged.status, 200, "{}", tagged.text);
}
