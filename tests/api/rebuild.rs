//! Goal B7: PostgreSQL and every backup of it are gone. A scan and an adoption on an empty database give every
//! machine back with all the passphrases that it may use: Key Vault's versions and our tags on them are enough.

mod estate;

use std::collections::BTreeSet;

use azsim::SecretSpec;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    adoption_scan::{readable, scan_all},
    harness::{Broker, Database, RSV, Setup, azure, full_size_or},
    invariants::passphrases,
};
use estate::{Kind, Known};

/// The service again, with an empty database.
async fn with_nothing(broker: &Broker) -> Broker {
    Broker::start(Setup {
        database: Some(Database::create().await),
        replica_of: Some((broker.key_vault.clone(), broker.tenant.clone())),
        ..Setup::default()
    })
    .await
}

async fn candidates(broker: &Broker, machine: &str) -> BTreeSet<String> {
    let retrieved = broker.helpdesk().retrieve(machine).await;
    assert_eq!(retrieved.status, 201, "{}", retrieved.text);
    passphrases(&retrieved.body).into_iter().collect()
}

/// Accepts what the scan is sure of, each with the agent that the operator binds to it. Answers the machines.
async fn adopt_all(broker: &Broker, rsv: &str, known: &[Known]) -> Vec<Value> {
    let (proposals, _, _) = scan_all(broker, json!({"recoveryServicesVaultIds": [rsv]})).await;
    let items: Vec<Value> = proposals
        .iter()
        .map(|proposal| {
            assert_eq!(proposal["confidence"], "high", "{proposal}");
            let of = known.iter().find(|known| proposal["fqdn"] == known.fqdn.as_str()).unwrap();
            json!({"secretName": proposal["secretName"], "fqdn": of.fqdn,
                "recoveryServicesVaultId": proposal["recoveryServicesVaultId"],
                "agentObjectId": of.agent.object_id})
        })
        .collect();
    let mut machines = Vec::new();
    for some in items.chunks(100) {
        let answer = broker.portal().post("/v1/adoptions", json!({"items": some})).await;
        for outcome in answer.body["items"].as_array().unwrap() {
            assert_eq!(outcome["status"], 201, "{outcome}");
            machines.push(outcome["machine"].clone());
        }
    }
    machines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_filled_again_with_every_candidate() {
    let broker = Broker::start(Setup::default()).await;
    let count = full_size_or(1_000, 50);
    let names: Vec<String> = (0..count).map(|n| format!("srv-{n:04}.corp.contoso.com")).collect();
    let name_refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let rsv = readable("rsv-rebuild", &name_refs).resource_id();
    let known: Vec<Known> = stream::iter(names.iter().zip(Kind::ALL.into_iter().cycle()))
        .map(|(fqdn, kind)| Known::live(&broker, &rsv, fqdn, kind))
        .buffered(8)
        .collect()
        .await;
    let rebuilt = with_nothing(&broker).await;
    let machines = adopt_all(&rebuilt, &rsv, &known).await;
    assert_eq!(machines.len(), known.len());
    let mut more = 0;
    for known in &known {
        let machine = machines.iter().find(|it| it["fqdn"] == known.fqdn.as_str()).unwrap();
        let after = candidates(&rebuilt, machine["id"].as_str().unwrap()).await;
        assert!(known.candidates.is_subset(&after), "{:?}: {machine}", known.kind);
        more += after.difference(&known.candidates).count();
    }
    let per_kind = Kind::ALL.len();
    println!(
        "{count} of {count} machines in {per_kind} states rebuilt: no candidate is missing, {more} more than there were"
    );
}

#[tokio::test]
async fn an_agent_that_comes_back_confirms_a_rotation_that_no_database_knew() {
    let broker = Broker::start(Setup::default()).await;
    let fqdn = crate::harness::unique_fqdn();
    let rsv = readable("rsv-rebuild-one", &[&fqdn]).resource_id();
    let known = Known::live(&broker, &rsv, &fqdn, Kind::Collected).await;
    let rebuilt = with_nothing(&broker).await;
    let machine = adopt_all(&rebuilt, &rsv, std::slice::from_ref(&known)).await.remove(0);
    assert_eq!(
        (&machine["id"], &machine["state"]),
        (&json!(known.machine), &json!("indeterminate"))
    );
    let agent = known.agent.at(&rebuilt);
    let confirmed = agent.settle(&known.machine, &known.rotation, "confirm").await;
    assert_eq!((confirmed.status, confirmed.field("state")), (200, "confirmed"));
    let expected = BTreeSet::from([known.newest]);
    assert_eq!(candidates(&rebuilt, &known.machine).await, expected);
}

/// Nothing was in force yet, so a scan does not see it: somebody names its secret.
#[tokio::test]
async fn a_first_passphrase_that_nobody_confirmed_is_found_by_its_secrets_name() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let mut body = crate::harness::Actor::registration(&json!({"source": "none"}));
    body["agentObjectId"] = json!(agent.object_id);
    let machine = broker.portal().post("/v1/machines", body.clone()).await;
    let rotation = agent.rotate(machine.id()).await;
    let rebuilt = with_nothing(&broker).await;
    body["passphrase"] = json!({"source": "adopted"});
    body["secretName"] = machine.body["secretName"].clone();
    let again = rebuilt.portal().post("/v1/machines", body).await;
    assert_eq!((again.status, again.id()), (201, machine.id()), "{}", again.text);
    let expected = BTreeSet::from([rotation.field("passphrase").to_owned()]);
    assert_eq!(candidates(&rebuilt, machine.id()).await, expected);
}

/// Its escrow secret has a shortened name, which leads back to nothing: the tags do.
#[tokio::test]
async fn a_machine_whose_secret_has_the_longest_name_is_rotated_and_rebuilt() {
    let broker = Broker::start(Setup::default()).await;
    let agent = broker.agent();
    let fqdn = crate::harness::unique_fqdn();
    let secret = format!("AzBackup-{:x<118}", fqdn.replace('.', "-"));
    let saved = SecretSpec::new(&secret, "saved-by-mars-in-time");
    azure().put_secret(&broker.key_vault, saved).unwrap();
    let items = json!({"items": [{"secretName": secret, "fqdn": fqdn,
        "recoveryServicesVaultId": RSV, "agentObjectId": agent.object_id}]});
    let adopted = broker.portal().post("/v1/adoptions", items.clone()).await;
    let machine = adopted.body["items"][0]["machine"]["id"].as_str().expect(&adopted.text);
    let rotation = agent.rotate(machine).await;
    let escrow = rotation.field("escrowSecretIdentifier").split('/').nth(4).unwrap().to_owned();
    assert!(escrow.starts_with("AzBackupPending-") && escrow.len() == 127, "{escrow}");
    let rebuilt = with_nothing(&broker).await;
    let again = rebuilt.portal().post("/v1/adoptions", items).await;
    let known = &again.body["items"][0]["machine"];
    assert_eq!((&known["id"], &known["state"]), (&json!(machine), &json!("indeterminate")));
    let handed_out = rotation.field("passphrase").to_owned();
    let both = BTreeSet::from(["saved-by-mars-in-time".to_owned(), handed_out.clone()]);
    assert_eq!(candidates(&rebuilt, machine).await, both);
    let confirmed = agent.at(&rebuilt).settle(machine, rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    assert_eq!(candidates(&rebuilt, machine).await, BTreeSet::from([handed_out]));
    assert!(rebuilt.versions(&escrow).iter().all(|version| !version.enabled), "{escrow}");
}
