//! Goal B5: one key makes one thing, however often and wherever it is sent, for every POST that writes; and the
//! keys of what settles a rotation or a machine.

use azsim::Effect;
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Actor, Answer, Broker, Setup, full_size_or, secret_name_of};

async fn keyed(actor: &Actor, path: &str, key: &str, body: Option<&Value>) -> Answer {
    let request = actor.request(Method::POST, path).header("idempotency-key", key);
    Answer::of(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

/// Sent until the first request with this key has ended.
async fn patiently(actor: &Actor, path: &str, key: &str, body: Option<&Value>) -> Answer {
    loop {
        let answer = keyed(actor, path, key, body).await;
        if answer.problem() != (409, "idempotency-in-progress") {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Five at once, over all replicas. Answers what they all say; one of them may have a passphrase besides.
async fn five(replicas: &[Broker], actor: &Actor, path: &str, body: Option<&Value>) -> Value {
    let key = Uuid::new_v4().to_string();
    let at: Vec<Actor> = (0..5).map(|n| actor.at(&replicas[n % replicas.len()])).collect();
    let answers = join_all(at.iter().map(|at| patiently(at, path, &key, body))).await;
    let given = answers.iter().filter(|answer| answer.body.get("passphrase").is_some()).count();
    let replayed = answers.iter().filter(|answer| answer.body["passphraseOmitted"] == true).count();
    assert!(given + replayed == 0 || (given, replayed) == (1, 4), "{given} {replayed}");
    let mut told: Vec<(u16, Value)> =
        answers.into_iter().map(|answer| (answer.status, answer.body)).collect();
    for (status, body) in &mut told {
        assert!([200, 201].contains(status), "{status} {body}");
        for differs in ["passphrase", "passphraseOmitted"] {
            body.as_object_mut().unwrap().remove(differs);
        }
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    told.pop().unwrap().1
}

/// Four keys: a registration, a rotation, its confirmation and the machine's retirement. Answers how many versions
/// the two secrets have.
async fn life(replicas: &[Broker], portal: &Actor) -> (usize, usize) {
    let agent = replicas[0].agent();
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["agentObjectId"] = json!(agent.object_id);
    let machine = five(replicas, portal, "/v1/machines", Some(&body)).await;
    let machine = format!("/v1/machines/{}", machine["id"].as_str().unwrap());
    let generated = json!({"passphrase": {"source": "generated"}});
    let path = format!("{machine}/rotations");
    let rotation = five(replicas, &agent, &path, Some(&generated)).await;
    let path = format!("{path}/{}/confirm", rotation["id"].as_str().unwrap());
    let confirmed = five(replicas, &agent, &path, None).await;
    assert_eq!(confirmed["state"], "confirmed");
    let retired = five(replicas, portal, &format!("{machine}/retire"), None).await;
    assert_eq!(retired["state"], "retired");
    let (own, broker) = (secret_name_of(&body), &replicas[0]);
    let escrow = own.replacen("AzBackup-", "AzBackupPending-", 1);
    (broker.versions(&own).len(), broker.versions(&escrow).len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_sends_of_each_key_over_three_replicas_make_one_thing() {
    let first = Broker::start(Setup::default()).await;
    let (second, third) = tokio::join!(first.replica(&[]), first.replica(&[]));
    let replicas = [first, second, third];
    let portal = replicas[0].portal();
    let lives = full_size_or(250, 5);
    let versions: Vec<_> = stream::iter((0..lives).map(|_| life(&replicas, &portal)))
        .buffer_unordered(4)
        .collect()
        .await;
    assert!(versions.iter().all(|versions| *versions == (2, 1)), "{versions:?}");
    println!(
        "{} keys, 5 sends each over 3 replicas: {} versions, identical answers",
        4 * lives,
        3 * lives
    );
}

/// A rotation that is as far as `how` needs it, by somebody who may do everything.
async fn stage(how: &str) -> (&'static Broker, Actor, String, String) {
    let broker = Broker::shared().await;
    let roles =
        ["Machines.Read", "Machines.Register", "Passphrases.Rotate", "Passphrases.Retrieve"];
    let (person, portal) = (broker.user(&roles), broker.portal());
    let machine = portal.register().await;
    let path = format!("/v1/machines/{}", machine.id());
    if how == "retire" {
        return (broker, person, format!("{path}/retire"), machine.id().to_owned());
    }
    let rotation = portal.rotate(machine.id()).await;
    if how == "confirm" {
        person.settle(machine.id(), rotation.id(), "collect").await;
    }
    let path = format!("{path}/rotations/{}/{how}", rotation.id());
    (broker, person, path, machine.id().to_owned())
}

#[tokio::test]
async fn what_settles_a_rotation_or_a_machine_is_done_once_for_a_key() {
    for how in ["collect", "confirm", "fail", "abandon", "retire"] {
        let (broker, person, path, machine) = stage(how).await;
        let key = Uuid::new_v4().to_string();
        let first = keyed(&person, &path, &key, None).await;
        assert_eq!(first.status, 200, "{how}: {}", first.text);
        let again = keyed(&person, &path, &key, None).await;
        assert_eq!((again.status, &again.body["state"]), (200, &first.body["state"]), "{how}");
        assert!(again.body.get("passphrase").is_none(), "{how}");
        assert_eq!(again.body.get("passphraseOmitted").is_some(), how == "collect");
        let events = broker.auditor().events(&format!("machineId={machine}")).await;
        assert_eq!(events[0]["details"]["replayed"], "true", "{how}");
        let (_, _, other, _) = stage(how).await;
        let reused = keyed(&person, &other, &key, None).await;
        assert_eq!(reused.problem(), (422, "idempotency-key-reused"), "{how}");
    }
}

#[tokio::test]
async fn a_key_of_a_confirmation_with_another_body_is_refused() {
    let (_, person, path, _) = stage("confirm").await;
    let key = Uuid::new_v4().to_string();
    let said = json!({"agentVersion": "2.0.9262.0"});
    assert_eq!(keyed(&person, &path, &key, Some(&said)).await.status, 200);
    let other = json!({"agentVersion": "2.0.9263.0"});
    let refused = keyed(&person, &path, &key, Some(&other)).await;
    assert_eq!(refused.problem(), (422, "idempotency-key-reused"), "{}", refused.text);
}

#[tokio::test]
async fn a_key_of_a_confirmation_that_is_running_is_told_so() {
    let (broker, person, path, machine) = stage("confirm").await;
    let shown = person.get(&format!("/v1/machines/{machine}")).await;
    let fault = broker.fault_once("set_secret", shown.field("secretName"), Effect::HoldBefore);
    let key = Uuid::new_v4().to_string();
    let first = keyed(&person, &path, &key, None);
    let second = async {
        fault.reached(1).await;
        let early = keyed(&person, &path, &key, None).await;
        fault.release();
        early
    };
    let (first, early) = tokio::join!(first, second);
    assert_eq!(early.problem(), (409, "idempotency-in-progress"), "{}", early.text);
    assert_eq!((first.status, first.field("state")), (200, "confirmed"), "{}", first.text);
}

#[tokio::test]
async fn a_confirmation_that_waits_for_mars_looks_again_with_the_same_key() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let path = format!("/v1/machines/{}/rotations", machine.id());
    let body = json!({"passphrase": {"source": "generated"}, "writer": "agent"});
    let rotation = agent.post(&path, body).await;
    assert_eq!(rotation.status, 201, "{}", rotation.text);
    let (path, key) = (format!("{path}/{}/confirm", rotation.id()), Uuid::new_v4().to_string());
    assert_eq!(keyed(&agent, &path, &key, None).await.status, 202);
    let written = azsim::SecretSpec::new(machine.field("secretName"), rotation.field("passphrase"));
    crate::harness::azure().put_secret(&broker.key_vault, written).unwrap();
    let confirmed = keyed(&agent, &path, &key, None).await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
}
