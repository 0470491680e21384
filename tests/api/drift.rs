//! The periodic check: what happens to secrets without the broker is found, shown, on record once, and
//! forgotten when it is put right. No value is read by it.

use std::time::{Duration, Instant};

use azsim::{Effect, SecretSpec};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::harness::{Actor, Answer, Broker, Setup, azure, refusal};

/// A broker that checks each second, for all tests here.
async fn checking() -> &'static Broker {
    static CHECKING: OnceCell<Broker> = OnceCell::const_new();
    CHECKING.get_or_init(|| Broker::start(every_second())).await
}

fn every_second() -> Setup {
    let environment = [("DRIFT_CHECK_EVERY", "1s".to_owned())].into();
    Setup { environment, ..Setup::default() }
}

/// Waits until the machine is shown like this.
async fn shown(broker: &Broker, machine: &str, state: &str, findings: Value) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = broker.portal().get(&format!("/v1/machines/{machine}")).await;
        if found.field("state") == state && found.body["findings"] == findings {
            return found;
        }
        assert!(Instant::now() < deadline, "not {state} {findings}: {}", found.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a check has begun and ended from now on.
async fn checked_again(broker: &Broker, machine: &str) {
    let at = format!(
        "select (extract(epoch from last_checked_at) * 1000)::bigint from machines where id = '{machine}' and last_checked_at is not null union all select 0 limit 1"
    );
    for _ in 0..2 {
        let before = broker.database.count(&at).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while broker.database.count(&at).await == before {
            assert!(Instant::now() < deadline, "not checked\n{}", broker.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `was -> is` of each event.
async fn events(broker: &Broker, machine: &str) -> Vec<String> {
    let condition = format!("machine_id = '{machine}' and action = 'check_drift'");
    let logged = broker.database.logged(&condition).await;
    let line = |event: &crate::harness::Logged| {
        assert_eq!(
            (event.outcome.as_str(), event.text("/actor/kind").as_str()),
            ("succeeded", "system")
        );
        format!("{} -> {}", event.text("/details/was"), event.text("/details/is"))
    };
    logged.iter().map(line).collect()
}

/// Somebody else writes a version, a second after everything before it.
async fn written_by_others(broker: &Broker, secret: &str) -> String {
    broker.another_second(secret).await;
    azure().put_secret(&broker.key_vault, SecretSpec::new(secret, "what-mars-saved-later")).unwrap()
}

#[tokio::test]
async fn a_version_that_somebody_else_wrote_is_told_once_and_becomes_a_candidate() {
    let broker = checking().await;
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    let foreign = written_by_others(broker, secret).await;
    let drifted = shown(broker, machine.id(), "drifted", json!(["foreignVersion"])).await;
    assert_eq!(drifted.body["foreignVersions"], json!([foreign]));
    let reads = broker.requests_on(secret);
    assert!(reads.iter().all(|seen| seen.operation != "key_vault.get_secret"), "{reads:?}");
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    let other = &retrieved.body["otherCandidates"][0];
    assert_eq!(
        (other["passphrase"].as_str(), other["version"].as_str()),
        (Some("what-mars-saved-later"), Some(foreign.as_str()))
    );
    assert!(other["hint"].as_str().unwrap().contains("MARS or somebody else"));
    let released =
        broker.auditor().events(&format!("machineId={}&outcome=released", machine.id())).await;
    assert_eq!(released[0]["secrets"].as_array().unwrap().len(), 2, "both are on record");
    checked_again(broker, machine.id()).await;
    assert_eq!(events(broker, machine.id()).await, ["asItShouldBe -> foreignVersion"]);
}

#[tokio::test]
async fn each_later_version_of_somebody_else_stays_a_candidate_though_it_is_followed_or_disabled() {
    let broker = checking().await;
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    let first = written_by_others(broker, secret).await;
    shown(broker, machine.id(), "drifted", json!(["foreignVersion"])).await;
    let second = written_by_others(broker, secret).await;
    checked_again(broker, machine.id()).await;
    azure().set_enabled(&broker.key_vault, secret, &second, false).unwrap();
    checked_again(broker, machine.id()).await;
    let drifted = shown(broker, machine.id(), "drifted", json!(["foreignVersion"])).await;
    assert_eq!(drifted.body["foreignVersions"], json!([second, first]));
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    let ids = |member: &str| {
        let candidates = retrieved.body[member].as_array().unwrap().iter();
        candidates.map(|other| other["version"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("otherCandidates"), [json!(first)]);
    assert_eq!(ids("unreadableCandidates"), [json!(second)]);
}

#[tokio::test]
async fn a_confirmed_rotation_settles_a_foreign_version() {
    let broker = checking().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    written_by_others(broker, machine.field("secretName")).await;
    shown(broker, machine.id(), "drifted", json!(["foreignVersion"])).await;
    let rotation = agent.rotate(machine.id()).await;
    shown(broker, machine.id(), "rotating", json!(["foreignVersion"])).await;
    broker.another_second(machine.field("secretName")).await;
    assert_eq!(agent.settle(machine.id(), rotation.id(), "confirm").await.status, 200);
    shown(broker, machine.id(), "active", json!([])).await;
    checked_again(broker, machine.id()).await;
    shown(broker, machine.id(), "active", json!([])).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
}

#[tokio::test]
async fn what_mars_wrote_in_a_rotation_that_it_confirmed_is_no_drift() {
    let broker = checking().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let body = json!({"passphrase": {"source": "generated"}, "writer": "agent"});
    let rotation = agent.post(&format!("/v1/machines/{}/rotations", machine.id()), body).await;
    let secret = machine.field("secretName");
    broker.another_second(secret).await;
    let spec = SecretSpec::new(secret, rotation.field("passphrase"));
    azure().put_secret(&broker.key_vault, spec).unwrap();
    checked_again(broker, machine.id()).await;
    shown(broker, machine.id(), "rotating", json!([])).await;
    assert_eq!(agent.settle(machine.id(), rotation.id(), "confirm").await.status, 200);
    checked_again(broker, machine.id()).await;
    shown(broker, machine.id(), "active", json!([])).await;
    assert!(events(broker, machine.id()).await.is_empty());
}

#[tokio::test]
async fn a_deleted_secret_is_shown_until_it_is_recovered_here_or_by_hand() {
    let broker = checking().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let secret = machine.field("secretName");
    broker.soft_delete(secret).await;
    shown(broker, machine.id(), "softDeleted", json!(["secretSoftDeleted"])).await;
    let listed = portal.get("/v1/machines?state=softDeleted&pageSize=200").await;
    assert!(listed.text.contains(machine.id()), "{}", listed.text);
    broker.recover_by_hand(secret).await;
    shown(broker, machine.id(), "active", json!([])).await;
    broker.soft_delete(secret).await;
    shown(broker, machine.id(), "softDeleted", json!(["secretSoftDeleted"])).await;
    let back = portal.act(&format!("/v1/machines/{}/recover", machine.id())).await;
    assert_eq!((back.status, back.field("state")), (200, "active"), "{}", back.text);
    assert_eq!(back.body["findings"], json!([]));
}

#[tokio::test]
async fn a_disabled_version_in_force_is_shown_and_a_rotation_is_not_hidden_by_it() {
    let broker = checking().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let (secret, version) = (machine.field("secretName"), machine.field("currentVersion"));
    azure().set_enabled(&broker.key_vault, secret, version, false).unwrap();
    shown(broker, machine.id(), "drifted", json!(["versionDisabled"])).await;
    let rotation = agent.rotate(machine.id()).await;
    shown(broker, machine.id(), "rotating", json!(["versionDisabled"])).await;
    assert_eq!(agent.settle(machine.id(), rotation.id(), "fail").await.status, 200);
    shown(broker, machine.id(), "drifted", json!(["versionDisabled"])).await;
    azure().set_enabled(&broker.key_vault, secret, version, true).unwrap();
    shown(broker, machine.id(), "active", json!([])).await;
}

#[tokio::test]
async fn a_secret_that_is_nowhere_counts_as_missing_after_a_while() {
    let broker = Broker::start(every_second()).await;
    azure()
        .change_settings(&broker.key_vault, |settings| settings.purge_protection = false)
        .unwrap();
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    broker.soft_delete(secret).await;
    broker.purge(secret).await;
    let seen = "select count(*) from machines where seen_missing_at is not null";
    while broker.database.count(seen).await == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shown(&broker, machine.id(), "active", json!([])).await;
    // A minute later.
    broker.database.execute("update machines set seen_missing_at = now() - interval '61 seconds', check_claimed_at = '-infinity'").await;
    shown(&broker, machine.id(), "drifted", json!(["secretMissing"])).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.problem(), (409, "key-vault-secret-missing"), "{}", retrieved.text);
}

#[tokio::test]
async fn a_passphrase_that_mars_saved_for_a_machine_without_one_can_be_retrieved() {
    let broker = checking().await;
    let body = Actor::registration(&json!({"source": "none"}));
    let machine = broker.portal().post("/v1/machines", body).await;
    let secret = machine.field("secretName");
    azure()
        .put_secret(&broker.key_vault, SecretSpec::new(secret, "what-mars-saved-first"))
        .unwrap();
    shown(broker, machine.id(), "awaitingPassphrase", json!(["foreignVersion"])).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(
        (retrieved.status, retrieved.field("status")),
        (201, "unconfirmed"),
        "{}",
        retrieved.text
    );
    assert_eq!(retrieved.field("passphrase"), "what-mars-saved-first");
}

#[tokio::test]
async fn what_cannot_be_asked_changes_nothing_and_is_asked_again() {
    let broker = Broker::start(every_second()).await;
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    for effect in [
        refusal(403, "Forbidden", "ForbiddenByRbac"),
        Effect::refuse(500, ""),
        Effect::refuse(404, "<html>"),
        Effect::refuse(200, "{}"),
    ] {
        checked_again(&broker, machine.id()).await;
        let fault = broker.fault("list_versions", secret, effect);
        fault.reached(3).await;
        shown(&broker, machine.id(), "active", json!([])).await;
    }
    let busy = Effect::Throttle { retry_after: Some("9".to_owned()) };
    let fault = broker.fault("list_versions", secret, busy);
    fault.reached(1).await;
    drop(fault);
    broker.soft_delete(secret).await;
    shown(&broker, machine.id(), "softDeleted", json!(["secretSoftDeleted"])).await;
}

#[tokio::test]
async fn two_replicas_check_each_machine_once_and_tell_once() {
    let broker = Broker::start(every_second()).await;
    let replica_of = Some((broker.key_vault.clone(), broker.tenant.clone()));
    let database = Some(broker.database.clone());
    let second = Broker::start(Setup { database, replica_of, ..every_second() }).await;
    let mut machines = Vec::new();
    for _ in 0..8 {
        machines.push(broker.portal().register().await);
    }
    for machine in &machines {
        broker.soft_delete(machine.field("secretName")).await;
    }
    for machine in &machines {
        shown(&second, machine.id(), "softDeleted", json!(["secretSoftDeleted"])).await;
        checked_again(&broker, machine.id()).await;
        assert_eq!(events(&broker, machine.id()).await, ["asItShouldBe -> secretSoftDeleted"]);
    }
}

#[tokio::test]
async fn checks_keep_to_their_budget_and_people_do_not_wait_for_them() {
    let broker = Broker::start(every_second()).await;
    let mut machines = Vec::new();
    for _ in 0..40 {
        machines.push(broker.portal().register().await);
    }
    let count = || {
        let seen = azure().requests(&broker.key_vault).unwrap();
        seen.iter().filter(|request| request.operation == "key_vault.list_versions").count()
    };
    let (before, began) = (count(), Instant::now());
    for machine in &machines {
        assert_eq!(broker.helpdesk().retrieve(machine.id()).await.status, 201);
    }
    let people = began.elapsed();
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(people)).await;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let rate = (count() - before) as f64 / seconds;
    println!("{rate:.1} calls of checks a second, 40 retrievals meanwhile in {people:?}");
    assert!((1.0..=22.0).contains(&rate), "{rate}");
}
