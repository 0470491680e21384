//! `/v1/machines/{machineId}/versions`: what Key Vault holds, without a value.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Broker, azure};

#[tokio::test]
async fn versions_are_listed_newest_first_and_no_value_is_read() {
    let broker = Broker::shared().await;
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let secret = machine.field("secretName");
    // Key Vault's clock has whole seconds.
    let created = broker.versions(secret)[0].created;
    let foreign = azsim::SecretSpec::new(secret, "written-by-somebody-else");
    let deadline = Instant::now() + Duration::from_secs(5);
    while broker.versions(secret).last().unwrap().created == created {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
        azure().put_secret(&broker.key_vault, foreign.clone()).unwrap();
    }
    let listed = broker.portal().get(&format!("/v1/machines/{}/versions", machine.id())).await;
    let items = listed.body["items"].as_array().unwrap();
    assert_eq!(items.len(), broker.versions(secret).len());
    let (newest, oldest) = (&items[0], &items[items.len() - 1]);
    assert_eq!((&newest["status"], &newest["writtenHere"]), (&"superseded".into(), &false.into()));
    let shown =
        items.iter().find(|item| item["version"] == machine.body["currentVersion"]).unwrap();
    assert_eq!((&shown["status"], &shown["writtenHere"]), (&"current".into(), &true.into()));
    assert!(newest["createdAt"].as_str() > oldest["createdAt"].as_str());
    assert!(!listed.text.contains("written-by-somebody-else"));
    assert!(broker.requests_on(secret).iter().all(|seen| seen.operation != "key_vault.get_secret"));
}

#[tokio::test]
async fn sixty_versions_are_paged_without_gaps() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    let secret = azsim::SecretSpec::new(machine.field("secretName"), "written-by-somebody-else");
    for _ in 0..59 {
        azure().put_secret(&broker.key_vault, secret.clone()).unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/machines/{}/versions?pageSize=25{cursor}", machine.id());
        let page = broker.portal().get(&path).await;
        let version = |item: &Value| item["version"].as_str().unwrap().to_owned();
        seen.extend(page.body["items"].as_array().unwrap().iter().map(version));
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut known: Vec<String> = broker
        .versions(machine.field("secretName"))
        .into_iter()
        .map(|version| version.id)
        .collect();
    seen.sort_unstable();
    known.sort_unstable();
    assert_eq!((seen.len(), seen), (60, known));
}
