//! A broker that dies, or fails, at each step of a recovery and of an adoption: another replica finishes it,
//! nothing is done without its intent on record, and nothing is done twice.

use azsim::SecretSpec;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Broker, RSV, Setup, azure, unique_fqdn};

const RECOVERY: [&str; 7] = [
    "record.before recover_secret.intended",
    "record.after recover_secret.intended",
    "recover.before own",
    "recover.after own",
    "record.before recover_secret.succeeded",
    "record.after recover_secret.succeeded",
    "answer.before recover_secret",
];

const ADOPTION: [&str; 3] = [
    "record.before accept_adoptions.succeeded",
    "record.after accept_adoptions.succeeded",
    "answer.before accept_adoptions",
];

/// Each point, where the broker dies, and where it fails.
fn rows(points: &'static [&'static str]) -> impl Iterator<Item = String> {
    let both = |point: &&'static str| [format!("{point}=exit"), format!("{point}=error")];
    points.iter().flat_map(both)
}

async fn failing(row: &str) -> Broker {
    let environment = [("FAIL_POINT", row.to_owned()), ("DRIFT_CHECK_EVERY", "off".to_owned())];
    Broker::start(Setup { environment: environment.into(), ..Setup::default() }).await
}

/// Another replica, a while later.
async fn another(broker: &Broker) -> Broker {
    let later = "update machines set recovery_started_at = recovery_started_at - interval '1 hour'";
    broker.database.execute(later).await;
    let replica_of = Some((broker.key_vault.clone(), broker.tenant.clone()));
    let environment = [("DRIFT_CHECK_EVERY", "off".to_owned())].into();
    let database = Some(broker.database.clone());
    Broker::start(Setup { database, environment, replica_of, ..Setup::default() }).await
}

/// Sends it to a broker that may die of it.
async fn attempted(broker: &Broker, path: &str, body: &Value) {
    let request = broker.portal().request(Method::POST, path).json(body);
    drop(request.send().await);
}

async fn recovered_after(row: String) {
    let broker = failing(&row).await;
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    broker.soft_delete(secret).await;
    let path = format!("/v1/machines/{}/recover", machine.id());
    attempted(&broker, &path, &json!(null)).await;
    let replica = another(&broker).await;
    let again = replica.portal().act(&path).await;
    assert!(
        matches!(again.problem(), (200, _) | (409, "secret-not-deleted")),
        "{row}: {}",
        again.text
    );
    let retrieved = replica.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"), "{row}");
    let asked = broker.requests_on(secret);
    let asked = asked
        .iter()
        .filter(|seen| seen.operation == "key_vault.recover_secret" && seen.status == 200);
    assert_eq!(asked.count(), 1, "{row}");
    let intended = "action = 'recover_secret' and outcome = 'intended'";
    let ended = "action in ('recover_secret', 'finish_recovery') and outcome <> 'intended'";
    let (intended, ended) =
        (replica.database.logged(intended).await, replica.database.logged(ended).await);
    assert!(!intended.is_empty() && !ended.is_empty(), "{row}: {intended:?} {ended:?}");
    let open =
        "select count(*) from machines where recovery_operation is not null or state <> 'active'";
    assert_eq!(replica.database.count(open).await, 0, "{row}");
}

async fn adopted_after(row: String) {
    let broker = failing(&row).await;
    let items: Vec<Value> = (0..2).map(|_| saved(&broker)).collect();
    let body = json!({"items": items});
    attempted(&broker, "/v1/adoptions", &body).await;
    let replica = another(&broker).await;
    let again: Answer = replica.portal().post("/v1/adoptions", body).await;
    for outcome in again.body["items"].as_array().unwrap() {
        assert!(matches!(outcome["status"].as_u64(), Some(200 | 201)), "{row}: {outcome}");
        let id = outcome["machine"]["id"].as_str().unwrap();
        let adopted = format!("machine_id = '{id}' and event #>> '{{details,source}}' = 'adopted'");
        assert_eq!(replica.database.logged(&adopted).await.len(), 1, "{row}");
        assert_eq!(
            replica.helpdesk().retrieve(id).await.field("passphrase"),
            "what-mars-uses",
            "{row}"
        );
    }
    assert_eq!(replica.database.count("select count(*) from machines").await, 2, "{row}");
}

fn saved(broker: &Broker) -> Value {
    let fqdn = unique_fqdn();
    let secret = format!("AzBackup-{}-rsv-prod", fqdn.replace('.', "-"));
    azure().put_secret(&broker.key_vault, SecretSpec::new(&secret, "what-mars-uses")).unwrap();
    json!({"secretName": secret, "fqdn": fqdn, "recoveryServicesVaultId": RSV})
}

#[tokio::test]
async fn a_recovery_is_finished_whatever_happens_at_each_of_its_steps() {
    stream::iter(rows(&RECOVERY)).map(recovered_after).buffer_unordered(4).collect::<()>().await;
}

#[tokio::test]
async fn adoptions_are_finished_whatever_happens_at_each_of_their_steps() {
    stream::iter(rows(&ADOPTION)).map(adopted_after).buffer_unordered(4).collect::<()>().await;
}
