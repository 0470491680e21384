//! Writer `agent`: MARS saves the new passphrase by itself, and a confirmation finds it and compares. What
//! becomes of another passphrase is in `mars_disagrees`.

use std::time::{Duration, Instant};

use azsim::SecretSpec;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup, azure};

/// A machine, its agent, and a rotation of writer `agent` that was collected.
pub struct Stage {
    pub broker: &'static Broker,
    pub agent: Actor,
    pub machine: Answer,
    pub rotation: Answer,
}

impl Stage {
    pub async fn set() -> Self {
        let broker = Broker::shared().await;
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let rotation = rotate(&agent, &machine).await;
        Self { broker, agent, machine, rotation }
    }

    /// What the Azure Backup service does for MARS. Answers the version's id.
    pub fn mars_writes(&self, passphrase: &str) -> String {
        let secret = SecretSpec::new(self.machine.field("secretName"), passphrase);
        azure().put_secret(&self.broker.key_vault, secret).unwrap()
    }

    pub async fn confirm(&self) -> Answer {
        self.agent.settle(self.machine.id(), self.rotation.id(), "confirm").await
    }

    pub async fn confirm_with(&self, identifier: &str) -> Answer {
        let path =
            format!("/v1/machines/{}/rotations/{}/confirm", self.machine.id(), self.rotation.id());
        self.agent.post(&path, json!({"secretIdentifier": identifier})).await
    }

    pub fn passphrase(&self) -> &str {
        self.rotation.field("passphrase")
    }

    pub async fn state(&self) -> String {
        let path = format!("/v1/machines/{}/rotations/{}", self.machine.id(), self.rotation.id());
        self.agent.get(&path).await.field("state").to_owned()
    }

    /// Confirmed with this version: the help desk gets it, and no other candidate.
    pub async fn assert_in_force(&self, confirmed: &Answer, version: &str) {
        assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
        assert!(confirmed.field("secretIdentifier").ends_with(version), "{}", confirmed.text);
        let retrieved = self.broker.helpdesk().retrieve(self.machine.id()).await;
        assert_eq!(retrieved.field("passphrase"), self.passphrase());
        assert_eq!(retrieved.field("version"), version);
        assert_eq!(retrieved.body["otherCandidates"], json!([]));
    }

    pub async fn events(&self, query: &str) -> Vec<Value> {
        let query = format!("machineId={}&action=confirm_rotation&{query}", self.machine.id());
        self.broker.auditor().events(&query).await
    }
}

pub async fn rotate(agent: &Actor, machine: &Answer) -> Answer {
    let body = json!({"passphrase": {"source": "generated"}, "writer": "agent"});
    let rotation = agent.post(&format!("/v1/machines/{}/rotations", machine.id()), body).await;
    assert_eq!((rotation.status, rotation.field("writer")), (201, "agent"), "{}", rotation.text);
    rotation
}

#[tokio::test]
async fn what_mars_wrote_is_found_compared_and_in_force() {
    let stage = Stage::set().await;
    let written = stage.mars_writes(stage.passphrase());
    let confirmed = stage.confirm().await;
    stage.assert_in_force(&confirmed, &written).await;
    assert!(confirmed.body.get("passphrase").is_none());
    let escrow = stage.broker.versions(&stage.machine.escrow_name());
    assert!(escrow.iter().all(|version| !version.enabled));
    let name = stage.machine.field("secretName");
    // The registration's and MARS's: the broker wrote nothing of its own.
    assert_eq!(stage.broker.versions(name).len(), 2);
    let seen = stage.broker.requests_on(name);
    let reads = seen.iter().filter(|request| request.operation == "key_vault.get_secret");
    assert!(reads.clone().count() > 0);
    assert!(reads.clone().all(|read| read.version.is_some()), "\"latest\" was read: {seen:?}");
    assert_eq!(stage.confirm().await.body, confirmed.body);
}

#[tokio::test]
async fn while_mars_has_not_written_the_agent_is_told_to_ask_again() {
    let stage = Stage::set().await;
    for _ in 0..2 {
        let waiting = stage.confirm().await;
        assert_eq!((waiting.status, waiting.field("state")), (202, "collected"));
        assert_eq!(waiting.header("retry-after"), "10");
        assert!(waiting.body.get("secretIdentifier").is_none());
    }
    let retrieved = stage.broker.helpdesk().retrieve(stage.machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), stage.machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"][0]["passphrase"], stage.passphrase());
    let waits = stage.events("outcome=intended").await;
    assert_eq!((waits.len(), &waits[0]["details"]["waitsFor"]), (2, &json!("MARS")));
    let written = stage.mars_writes(stage.passphrase());
    stage.assert_in_force(&stage.confirm().await, &written).await;
}

#[tokio::test]
async fn a_version_that_the_agent_names_in_any_spelling_is_confirmed() {
    type Spelling = fn(&str, &str, &str) -> String;
    let spellings: [Spelling; 4] = [
        |vault, name, version| format!("https://{vault}.vault.azure.net/secrets/{name}/{version}"),
        |vault, name, version| {
            format!("https://{vault}.vault.azure.net/secrets/{name}/{version}").to_uppercase()
        },
        |vault, name, version| {
            format!("https://{vault}.vault.azure.net:443/secrets/{name}/{version}")
        },
        |vault, name, _| format!("https://{vault}.vault.azure.net/secrets/{name}"),
    ];
    for spell in spellings {
        let stage = Stage::set().await;
        let written = stage.mars_writes(stage.passphrase());
        let name = stage.machine.field("secretName");
        let identifier = spell(&stage.broker.key_vault, name, &written);
        stage.assert_in_force(&stage.confirm_with(&identifier).await, &written).await;
    }
}

#[tokio::test]
async fn a_version_of_another_secret_is_refused_and_changes_nothing() {
    let stage = Stage::set().await;
    let other = stage.broker.portal().register().await;
    let own = stage.machine.field("secretIdentifier");
    let elsewhere = own.replace(&stage.broker.key_vault, "kv-elsewhere");
    for identifier in [other.field("secretIdentifier"), &elsewhere, &stage.machine.escrow_name()] {
        let refused = stage.confirm_with(identifier).await;
        assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
        assert_eq!(refused.body["errors"][0]["pointer"], "/secretIdentifier");
        assert!(!refused.text.contains(other.field("passphrase")));
    }
    let asked = stage.broker.requests_on(other.field("secretName"));
    assert!(asked.iter().all(|request| request.operation != "key_vault.get_secret"), "{asked:?}");
    assert_eq!(stage.state().await, "collected");
}

#[tokio::test]
async fn a_rotation_that_the_broker_writes_takes_no_secret_of_mars() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let stage = Stage { broker, agent, machine, rotation };
    let refused = stage.confirm_with(stage.machine.field("secretIdentifier")).await;
    assert_eq!(refused.problem(), (400, "invalid-request"), "{}", refused.text);
    assert_eq!(stage.confirm().await.status, 200);
}

#[tokio::test]
async fn of_several_writes_the_newest_with_the_passphrase_is_in_force() {
    let stage = Stage::set().await;
    stage.mars_writes(stage.passphrase());
    let between = stage.mars_writes("typed in by hand in between");
    next_second().await;
    let newest = stage.mars_writes(stage.passphrase());
    stage.assert_in_force(&stage.confirm().await, &newest).await;
    let succeeded = stage.events("outcome=succeeded").await;
    assert_eq!(succeeded[0]["details"]["versionsOfOthers"], json!(between));
}

/// Key Vault dates versions in whole seconds.
async fn next_second() {
    let second = || time::OffsetDateTime::now_utc().unix_timestamp();
    let (now, deadline) = (second(), Instant::now() + Duration::from_secs(3));
    while second() == now {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_written_before_the_rotation_is_not_taken_for_it() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let old = SecretSpec::new(machine.field("secretName"), "changed by hand, long ago");
    azure().put_secret(&broker.key_vault, old).unwrap();
    let rotation = rotate(&agent, &machine).await;
    let stage = Stage { broker, agent, machine, rotation };
    let later = "requested_at = requested_at + interval '1 minute'";
    let statement = format!("update rotations set {later} where id = '{}'", stage.rotation.id());
    broker.database.execute(&statement).await;
    assert_eq!(stage.confirm().await.status, 202);
    assert_eq!(stage.state().await, "collected");
}

#[tokio::test]
async fn the_first_passphrase_of_a_machine_can_be_written_by_mars() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let mut body = Actor::registration(&json!({"source": "none"}));
    body["agentObjectId"] = json!(agent.object_id);
    let machine = broker.portal().post("/v1/machines", body).await;
    assert_eq!(machine.field("state"), "awaitingPassphrase");
    let rotation = rotate(&agent, &machine).await;
    let stage = Stage { broker, agent, machine, rotation };
    assert_eq!(stage.confirm().await.status, 202);
    let written = stage.mars_writes(stage.passphrase());
    stage.assert_in_force(&stage.confirm().await, &written).await;
}

#[tokio::test]
async fn a_late_confirmation_finds_what_mars_wrote() {
    for ending in ["expired", "failed"] {
        let stage = Stage::set().await;
        let written = stage.mars_writes(stage.passphrase());
        if ending == "failed" {
            stage.agent.settle(stage.machine.id(), stage.rotation.id(), "fail").await;
        } else {
            let past = "expires_at = requested_at + interval '1 microsecond'";
            let statement =
                format!("update rotations set {past} where id = '{}'", stage.rotation.id());
            stage.broker.database.execute(&statement).await;
        }
        stage.assert_in_force(&stage.confirm().await, &written).await;
    }
}

#[tokio::test]
async fn two_replicas_that_confirm_at_once_agree() {
    let one = Broker::shared().await;
    let two = Broker::start(Setup {
        database: Some(one.database.clone()),
        replica_of: Some((one.key_vault.clone(), one.tenant.clone())),
        ..Setup::default()
    })
    .await;
    for _ in 0..5 {
        let stage = Stage::set().await;
        let written = stage.mars_writes(stage.passphrase());
        let there = stage.agent.at(&two);
        let elsewhere = || there.settle(stage.machine.id(), stage.rotation.id(), "confirm");
        let (first, second, third) = tokio::join!(stage.confirm(), elsewhere(), elsewhere());
        for confirmed in [first, second, third] {
            stage.assert_in_force(&confirmed, &written).await;
        }
    }
}
