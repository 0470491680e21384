//! `POST /v1/machines/{machineId}/retrievals`: what the help desk gets, and when it gets nothing.

use azsim::{Effect, Network};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::harness::{Answer, Broker, Setup, azure};

/// The problem without its request's id, which names nothing of Azure's texts.
fn tells_nothing_of_azure(answer: &Answer) {
    let told = format!("{:?}{}", answer.headers, answer.text);
    for inside in
        ["Caller", "appid", "oid", "203.0.113", &azure().identity().principal_id, "message"]
    {
        assert!(!told.contains(inside), "{inside}: {told}");
    }
    assert!(answer.body.get("passphrase").is_none());
}

#[tokio::test]
async fn the_help_desk_gets_what_was_registered_and_the_log_knows() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.status, 201, "{}", retrieved.text);
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.field("status"), "current");
    assert_eq!(retrieved.field("version"), machine.field("currentVersion"));
    let events = broker
        .auditor()
        .events(&format!("machineId={}&action=retrieve_passphrase", machine.id()))
        .await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["outcome"], "released");
    assert_eq!(events[0]["sequence"], retrieved.body["auditEvent"]["sequence"]);
    assert_eq!(events[0]["secrets"][0]["version"], retrieved.body["version"]);
}

#[tokio::test]
async fn latest_is_what_was_confirmed_and_not_key_vaults_newest() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let secret = azsim::SecretSpec::new(machine.field("secretName"), "written-by-somebody-else");
    let foreign = azure().put_secret(&broker.key_vault, secret).unwrap();
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    let exactly = broker.helpdesk().retrieve_version(machine.id(), &foreign).await;
    assert_eq!(exactly.field("passphrase"), "written-by-somebody-else");
    assert_eq!(exactly.field("status"), "superseded");
}

#[tokio::test]
async fn a_version_of_another_machines_secret_is_not_found() {
    let broker = Broker::shared().await;
    let (mine, other) = (broker.portal().register().await, broker.portal().register().await);
    let refused =
        broker.helpdesk().retrieve_version(mine.id(), other.field("currentVersion")).await;
    assert_eq!(refused.problem(), (404, "not-found"));
    let nothing = "0123456789abcdef0123456789abcdef";
    let refused = broker.helpdesk().retrieve_version(mine.id(), nothing).await;
    assert_eq!(refused.problem(), (404, "not-found"));
}

#[tokio::test]
async fn candidates_come_newest_first_with_what_is_known_of_each() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let failed = agent.rotate(machine.id()).await;
    agent.settle(machine.id(), failed.id(), "fail").await;
    let lost = agent.rotate(machine.id()).await;
    let past = format!(
        "update rotations set requested_at = now() - interval '2 hours', expires_at = now() - interval '1 second' where id = '{}'",
        lost.id()
    );
    broker.database.execute(&past).await;
    let open = agent.rotate(machine.id()).await;
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    let others = retrieved.body["otherCandidates"].as_array().unwrap().clone();
    let given: Vec<&Value> = others.iter().map(|other| &other["passphrase"]).collect();
    assert_eq!(given, [&open, &lost, &failed].map(|rotation| &rotation.body["passphrase"]));
    for (other, rotation) in others.iter().zip([&open, &lost, &failed]) {
        assert_eq!(other["status"], "unconfirmed");
        assert_eq!(other["collectedAt"], rotation.body["collectedAt"]);
        assert_eq!(other["secretIdentifier"], rotation.body["escrowSecretIdentifier"]);
        assert!(other["hint"].as_str().unwrap().len() > 20);
    }
    let events = broker
        .auditor()
        .events(&format!("machineId={}&action=retrieve_passphrase", machine.id()))
        .await;
    assert_eq!(events[0]["secrets"].as_array().unwrap().len(), 4);
    let exactly = broker
        .helpdesk()
        .retrieve_version(machine.id(), others[2]["version"].as_str().unwrap())
        .await;
    assert_eq!(
        (exactly.field("status"), exactly.field("passphrase")),
        ("unconfirmed", failed.field("passphrase"))
    );
}

#[tokio::test]
async fn a_candidate_that_is_gone_does_not_keep_the_others_back() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    azure().set_enabled(&broker.key_vault, &machine.escrow_name(), "", false).unwrap();
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    assert_eq!(retrieved.body["otherCandidates"], json!([]));
    azure().set_enabled(&broker.key_vault, &machine.escrow_name(), "", true).unwrap();
    azure().set_enabled(&broker.key_vault, machine.field("secretName"), "", false).unwrap();
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    assert_eq!(retrieved.field("status"), "unconfirmed");
}

#[tokio::test]
async fn a_disabled_version_is_told() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    azure().set_enabled(&broker.key_vault, machine.field("secretName"), "", false).unwrap();
    let refused = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-disabled"), "{}", refused.text);
    assert_eq!(refused.body["keyVault"]["innerCode"], "SecretDisabled");
    tells_nothing_of_azure(&refused);
}

#[tokio::test]
async fn a_secret_that_is_gone_is_told() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    broker.soft_delete(machine.field("secretName")).await;
    let refused = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(refused.problem(), (409, "key-vault-secret-soft-deleted"), "{}", refused.text);
    assert_eq!(refused.body["marsErrorCode"], "391282");
    tells_nothing_of_azure(&refused);
}

#[tokio::test]
async fn a_permission_that_the_broker_lacks_is_told_without_azures_text() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await;
    assert!(azure().revoke_all(&broker.key_vault).unwrap() > 0);
    let refused = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(refused.problem(), (502, "broker-permission-missing"), "{}", refused.text);
    assert_eq!(refused.body["keyVault"]["code"], "Forbidden");
    assert_eq!(refused.body["keyVault"]["innerCode"], "ForbiddenByRbac");
    assert!(refused.body["keyVault"]["requestId"].as_str().unwrap().len() > 8);
    assert_eq!(refused.body["retryable"], false);
    tells_nothing_of_azure(&refused);
    let listed = broker.portal().get(&format!("/v1/machines/{}/versions", machine.id())).await;
    assert_eq!(listed.problem(), (502, "broker-permission-missing"));
}

#[tokio::test]
async fn a_firewall_is_told_without_azures_text() {
    let broker = Broker::start(Setup::default()).await;
    let machine = broker.portal().register().await;
    for network in [Network::FirewallDenies, Network::PublicAccessDisabled] {
        azure().change_settings(&broker.key_vault, |settings| settings.network = network).unwrap();
        let refused = broker.helpdesk().retrieve(machine.id()).await;
        assert_eq!(refused.problem(), (502, "key-vault-firewall"), "{}", refused.text);
        tells_nothing_of_azure(&refused);
    }
}

#[tokio::test]
async fn throttling_is_passed_on_with_its_retry_after_capped() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    for (said, told) in [("45", "45"), ("86400", "600")] {
        let effect = Effect::Throttle { retry_after: Some(said.to_owned()) };
        let _fault = broker.fault("get_secret", machine.field("secretName"), effect);
        let refused = broker.helpdesk().retrieve(machine.id()).await;
        assert_eq!(refused.problem(), (503, "key-vault-throttled"), "{}", refused.text);
        assert_eq!(refused.header("retry-after"), told);
        assert_eq!(refused.body["retryable"], true);
        tells_nothing_of_azure(&refused);
    }
}

#[tokio::test]
async fn a_moments_throttling_is_waited_out() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let effect = Effect::Throttle { retry_after: None };
    let fault = broker.fault_once("get_secret", machine.field("secretName"), effect);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!((retrieved.status, fault.hits()), (201, 1), "{}", retrieved.text);
}

#[tokio::test]
async fn an_answer_of_key_vault_that_cannot_be_believed_releases_nothing() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    for effect in
        [Effect::Garbage, Effect::Oversize { bytes: 2_000_000 }, Effect::refuse(500, "no")]
    {
        let _fault = broker.fault("get_secret", machine.field("secretName"), effect.clone());
        let refused = broker.helpdesk().retrieve(machine.id()).await;
        assert_eq!(refused.problem(), (503, "key-vault-unavailable"), "{effect:?}");
        assert!(!refused.text.contains(machine.field("passphrase")));
    }
}

#[tokio::test]
async fn a_ticket_is_required_and_has_its_form_when_so_configured() {
    let environment =
        [("TICKET_REQUIRED", "true".to_owned()), ("TICKET_PATTERN", "INC[0-9]{7}".to_owned())];
    let broker = Broker::start(Setup { environment: environment.into(), ..Setup::default() }).await;
    let machine = broker.portal().register().await;
    let path = format!("/v1/machines/{}/retrievals", machine.id());
    let ask = async |ticket: Value| {
        let body =
            json!({"reason": "audit", "justification": "the auditors asked", "ticket": ticket});
        broker.helpdesk().post(&path, body).await
    };
    for wrong in [
        Value::Null,
        json!(""),
        json!("  "),
        json!("INC1"),
        json!("INC00123456"),
        json!("xINC0012345"),
        json!("INC0012345 ; and more"),
        json!("inc0012345"),
    ] {
        assert_eq!(ask(wrong.clone()).await.problem(), (422, "ticket-invalid"), "{wrong}");
    }
    assert_eq!(ask(json!(" INC0012345 ")).await.status, 201);
    let events = broker.auditor().events("action=retrieve_passphrase&outcome=released").await;
    assert_eq!((events.len(), &events[0]["ticket"]), (1, &json!("INC0012345")));
}

#[tokio::test]
async fn a_version_in_force_that_cannot_be_read_is_told_beside_its_candidates() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let rotation = agent.rotate(machine.id()).await;
    let (name, version) = (machine.field("secretName"), machine.field("currentVersion"));
    azure().set_enabled(&broker.key_vault, name, version, false).unwrap();
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!((retrieved.status, retrieved.field("status")), (201, "unconfirmed"));
    assert_eq!(retrieved.field("passphrase"), rotation.field("passphrase"));
    let missing = &retrieved.body["unreadableCandidates"][0];
    assert_eq!(
        (missing["version"].as_str(), missing["status"].as_str()),
        (Some(version), Some("current"))
    );
}

#[tokio::test]
async fn a_confirmation_in_the_middle_of_a_retrieval_does_not_hide_the_passphrase_in_use() {
    let broker = Broker::shared().await;
    for table in ["machines", "rotations"] {
        let agent = broker.agent();
        let machine = broker.portal().register_for(&agent).await;
        let rotation = agent.rotate(machine.id()).await;
        let written =
            azsim::SecretSpec::new(machine.field("secretName"), rotation.field("passphrase"));
        let version = azure().put_secret(&broker.key_vault, written).unwrap();
        let mut owner = broker.database.superuser().await;
        let confirm = format!(
            "begin; lock table {table} in access exclusive mode; select pg_sleep(0.4);
             update rotations set state = 'confirmed', confirmed_version = '{version}', closed_at = now()
                 where id = '{}';
             update machines set current_version = '{version}', current_version_since = now(), state = 'active',
                 current_rotation_sequence = (select sequence from rotations where id = '{}')
                 where id = '{}';
             commit",
            rotation.id(), rotation.id(), machine.id()
        );
        let confirmation = async { owner.execute(sqlx::AssertSqlSafe(confirm)).await.unwrap() };
        let helpdesk = broker.helpdesk();
        let retrieval = async {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            helpdesk.retrieve(machine.id()).await
        };
        let (_, retrieved) = tokio::join!(confirmation, retrieval);
        assert!(
            retrieved.text.contains(rotation.field("passphrase")),
            "{table}: {}",
            retrieved.text
        );
    }
}
