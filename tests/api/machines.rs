//! `/v1/machines`: list, search, change, retire.

use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, RSV, Setup};

fn items(page: &Answer) -> Vec<Value> {
    page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.text)).clone()
}

async fn found(reader: &Actor, query: &str) -> Vec<String> {
    let page = reader.get(&format!("/v1/machines?{query}")).await;
    items(&page).iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_machine_is_found_by_a_part_of_its_name_its_secret_and_its_tags() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let mut body = Actor::registration(&json!({"source": "none"}));
    let mark = uuid::Uuid::new_v4().simple().to_string();
    body["tags"] = json!({"owner": format!("team-{mark}")});
    body["secretName"] = json!(format!("AzBackup-Other-{}", &mark[..8]));
    let machine = portal.post("/v1/machines", body).await;
    let host = &machine.field("fqdn")[4..16];
    for q in [
        host.to_owned(),
        host.to_uppercase(),
        format!("other-{}", &mark[..8]),
        format!("owner=team-{mark}"),
        format!("TEAM-{}", &mark[..20]),
        format!("{host}.corp.con"),
    ] {
        assert_eq!(found(&portal, &format!("q={q}")).await, [machine.id()], "{q}");
    }
    // A line break parts what is searched in; it is no part of a name.
    let refused = portal.get(&format!("/v1/machines?q={host}%0aAzBackup")).await;
    assert_eq!(refused.problem(), (400, "invalid-request"));
}

#[tokio::test]
async fn nothing_that_is_searched_for_is_special() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let mut ids = Vec::new();
    for value in ["100%_a\\b", "100x_a\\b", "100%xa\\b", "100%_a/b"] {
        let mut body = Actor::registration(&json!({"source": "none"}));
        body["tags"] = json!({"note": format!("{mark}{value}")});
        ids.push(portal.post("/v1/machines", body).await.id().to_owned());
    }
    assert_eq!(found(&portal, &format!("q={mark}100%25_a%5Cb")).await, ids[..1]);
    assert_eq!(found(&portal, &format!("q={mark}100%25_")).await, [&ids[0][..], &ids[3]]);
    assert_eq!(found(&portal, &format!("q={mark}")).await, ids);
    assert_eq!(found(&portal, "q=%25%25%25").await.len(), 0);
}

#[tokio::test]
async fn paging_shows_each_of_120_machines_once_and_in_order() {
    let broker = Broker::start(Setup::default()).await;
    let portal = broker.portal();
    for _ in 0..12 {
        let bodies = (0..10).map(|_| Actor::registration(&json!({"source": "none"})));
        let made = bodies.map(|body| portal.post("/v1/machines", body));
        assert!(futures_util::future::join_all(made).await.iter().all(|made| made.status == 201));
    }
    let (mut seen, mut pages, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = portal.get(&format!("/v1/machines?pageSize=50{cursor}")).await;
        seen.extend(items(&page).iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages.push(items(&page).len());
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, [50, 50, 20]);
    let (mut sorted, all) = (seen.clone(), seen.len());
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((sorted.len(), sorted == seen), (all, true));
    assert_eq!(found(&portal, "pageSize=200").await, seen);
    assert_eq!(found(&portal, "").await.len(), 50);
}

#[tokio::test]
async fn filters_go_together() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let (mark, mut ids) = (uuid::Uuid::new_v4().simple().to_string(), Vec::new());
    let other = RSV.replace("rsv-prod", "rsv-other");
    for (rsv, source) in [(RSV, "none"), (RSV, "generated"), (&other, "none")] {
        let mut body = Actor::registration(&json!({"source": source}));
        body["recoveryServicesVaultId"] = json!(rsv);
        body["tags"] = json!({"mark": mark});
        ids.push(portal.post("/v1/machines", body).await.id().to_owned());
    }
    let q = format!("q={mark}");
    assert_eq!(
        found(&portal, &format!("{q}&state=awaitingPassphrase")).await,
        [&ids[0][..], &ids[2]]
    );
    assert_eq!(found(&portal, &format!("{q}&state=active")).await, ids[1..2]);
    assert_eq!(found(&portal, &format!("{q}&state=retired")).await.len(), 0);
    let upper = other.to_uppercase();
    assert_eq!(found(&portal, &format!("{q}&recoveryServicesVaultId={upper}")).await, ids[2..]);
    let both = format!("{q}&state=awaitingPassphrase&recoveryServicesVaultId={RSV}");
    assert_eq!(found(&portal, &both).await, ids[..1]);
}

#[tokio::test]
async fn a_change_needs_the_machine_as_it_is_now() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let path = format!("/v1/machines/{}", machine.id());
    let etag = portal.get(&path).await.header("etag").to_owned();
    let body = json!({"agentVersion": "2.0.9262.0"});
    let request = portal.request(reqwest::Method::PATCH, &path).json(&body);
    assert_eq!(Answer::of(request).await.problem(), (428, "precondition-required"));
    let changed = portal.patch(&path, &etag, body.clone()).await;
    assert_eq!((changed.status, changed.field("agentVersion")), (200, "2.0.9262.0"));
    assert_ne!(changed.header("etag"), etag);
    let late = portal.patch(&path, &etag, json!({"agentVersion": "1.0"})).await;
    assert_eq!(late.problem(), (412, "precondition-failed"));
    let shown = portal.get(&path).await;
    assert_eq!(shown.field("agentVersion"), "2.0.9262.0");
    assert_eq!(shown.header("etag"), changed.header("etag"));
}

#[tokio::test]
async fn of_changes_at_the_same_time_one_is_made() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let path = format!("/v1/machines/{}", portal.register().await.id());
    let etag = portal.get(&path).await.header("etag").to_owned();
    let changes = (0..10).map(|n| {
        let (portal, path, etag) = (&portal, &path, &etag);
        async move { portal.patch(path, etag, json!({"tags": {"n": n.to_string()}})).await }
    });
    let answers = futures_util::future::join_all(changes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 9);
}

#[tokio::test]
async fn tags_are_merged_and_null_takes_away() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let mut body = Actor::registration(&json!({"source": "none"}));
    body["tags"] = json!({"a": "1", "b": "2"});
    let mut machine = portal.post("/v1/machines", body).await;
    let path = format!("/v1/machines/{}", machine.id());
    for (patch, expected) in [
        (json!({"tags": {"b": "3", "c": "4"}}), json!({"a": "1", "b": "3", "c": "4"})),
        (json!({"tags": {"a": null, "unknown": null}}), json!({"b": "3", "c": "4"})),
        (json!({}), json!({"b": "3", "c": "4"})),
        (json!({"tags": null}), json!({})),
    ] {
        machine = portal.patch(&path, machine.header("etag"), patch.clone()).await;
        assert_eq!((machine.status, &machine.body["tags"]), (200, &expected), "{patch}");
    }
}

#[tokio::test]
async fn an_agent_that_is_unbound_is_refused_from_its_next_call_on() {
    let broker = Broker::shared().await;
    let (portal, agent, next) = (broker.portal(), broker.agent(), broker.agent());
    let machine = portal.register_for(&agent).await;
    let path = format!("/v1/machines/{}", machine.id());
    assert_eq!(agent.get(&path).await.status, 200);
    let body = json!({"agentObjectId": next.object_id});
    let changed = portal.patch(&path, machine.header("etag"), body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(agent.get(&path).await.status, 404);
    assert_eq!(next.get(&path).await.status, 200);
    let unbound = portal.patch(&path, changed.header("etag"), json!({"agentObjectId": null})).await;
    assert!(unbound.body.get("agentObjectId").is_none(), "{}", unbound.text);
    assert_eq!(next.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_secret_is_renamed_only_while_it_holds_nothing() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let empty = portal.post("/v1/machines", Actor::registration(&json!({"source": "none"}))).await;
    let path = format!("/v1/machines/{}", empty.id());
    let name = format!("AzBackup-renamed-{}", &empty.id()[24..]);
    let renamed = portal.patch(&path, empty.header("etag"), json!({"secretName": name})).await;
    assert_eq!((renamed.status, renamed.field("secretName")), (200, name.as_str()));
    let full = portal.register().await;
    let path = format!("/v1/machines/{}", full.id());
    let refused =
        portal.patch(&path, full.header("etag"), json!({"secretName": format!("{name}-2")})).await;
    assert_eq!(refused.problem(), (409, "secret-name-taken"));
    let taken = portal.post("/v1/machines", Actor::registration(&json!({"source": "none"}))).await;
    let path = format!("/v1/machines/{}", taken.id());
    let refused = portal
        .patch(
            &path,
            taken.header("etag"),
            json!({"secretName": name.to_uppercase().replace("AZBACKUP", "AzBackup")}),
        )
        .await;
    assert_eq!(refused.problem(), (409, "secret-name-taken"));
}

#[tokio::test]
async fn a_machine_with_an_open_rotation_is_not_retired() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let machine = portal.register().await;
    let rotation = portal.rotate(machine.id()).await;
    let retire = format!("/v1/machines/{}/retire", machine.id());
    assert_eq!(portal.act(&retire).await.problem(), (409, "rotation-in-progress"));
    portal.settle(machine.id(), rotation.id(), "abandon").await;
    let retired = portal.act(&retire).await;
    assert_eq!((retired.status, retired.field("state")), (200, "retired"));
    let again = portal.act(&retire).await;
    assert_eq!((again.status, &again.body), (200, &retired.body));
    assert_eq!(portal.rotate(machine.id()).await.problem(), (409, "invalid-rotation-state"));
}

#[tokio::test]
async fn a_retired_machines_secret_stays_and_its_name_is_free() {
    let broker = Broker::shared().await;
    let (portal, agent) = (broker.portal(), broker.agent());
    let machine = portal.register_for(&agent).await;
    portal.act(&format!("/v1/machines/{}/retire", machine.id())).await;
    assert_eq!(agent.get(&format!("/v1/machines/{}", machine.id())).await.status, 404);
    let retrieved = broker.helpdesk().retrieve(machine.id()).await;
    assert_eq!(retrieved.field("passphrase"), machine.field("passphrase"));
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body["fqdn"] = machine.body["fqdn"].clone();
    let refused = portal.post("/v1/machines", body.clone()).await;
    assert_eq!(refused.problem(), (409, "secret-name-taken"), "{}", refused.text);
    assert!(refused.field("detail").contains("choose another secretName"));
    body["secretName"] = json!(format!("{}-2", machine.field("secretName")));
    let reborn = portal.post("/v1/machines", body).await;
    assert_eq!(reborn.status, 201, "{}", reborn.text);
    assert_eq!(broker.versions(machine.field("secretName")).len(), 1);
    let older =
        broker.helpdesk().retrieve_version(machine.id(), machine.field("currentVersion")).await;
    assert_eq!(older.field("passphrase"), machine.field("passphrase"));
}
