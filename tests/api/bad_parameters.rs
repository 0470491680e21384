//! Bad paths, queries, cursors and headers, in the room of `bad_input`.

use reqwest::Method;
use serde_json::json;

use crate::{
    bad_input::Room,
    harness::{Actor, Answer, unique_fqdn},
};

const INVALID: (u16, &str) = (400, "invalid-request");

#[tokio::test]
async fn ids_of_somebody_else_or_of_nothing_are_not_found() {
    let room = Room::open().await;
    let (portal, nothing) = (room.broker.portal(), uuid::Uuid::new_v4());
    let (mine, other, rotation) = (room.machine.id(), room.other.id(), room.rotation.id());
    for how in ["", "/confirm", "/fail", "/abandon"] {
        let method = if how.is_empty() { Method::GET } else { Method::POST };
        for path in [
            format!("/v1/machines/{other}/rotations/{rotation}{how}"),
            format!("/v1/machines/{mine}/rotations/{nothing}{how}"),
            format!("/v1/machines/{mine}/rotations/{mine}{how}"),
            format!("/v1/machines/{nothing}/rotations/{rotation}{how}"),
            format!("/v1/machines/{mine}/rotations/x{how}"),
        ] {
            let answer = Answer::of(portal.request(method.clone(), &path)).await;
            room.refused(&path, &answer, (404, "not-found")).await;
        }
    }
    let person = room.broker.user(&["Passphrases.Rotate", "Passphrases.Retrieve"]);
    let path = format!("/v1/machines/{other}/rotations/{rotation}/collect");
    room.refused(&path, &person.act(&path).await, (404, "not-found")).await;
    for id in [nothing.to_string(), "x".to_owned(), "1".repeat(400), "null".to_owned()] {
        let answer = room.broker.helpdesk().retrieve(&id).await;
        room.refused(&id, &answer, (404, "not-found")).await;
    }
}

#[tokio::test]
async fn an_agent_finds_no_machine_but_its_own() {
    let room = Room::open().await;
    let agent = room.broker.agent();
    let rotation = room.path(&format!("/rotations/{}", room.rotation.id()));
    for path in [room.path(""), room.path("/rotations"), rotation.clone()] {
        room.refused(&path, &agent.get(&path).await, (404, "not-found")).await;
    }
    for how in ["collect", "confirm", "fail"] {
        let path = format!("{rotation}/{how}");
        room.refused(&path, &agent.act(&path).await, (404, "not-found")).await;
    }
    let asked = agent.rotate(room.machine.id()).await;
    room.refused("rotate", &asked, (404, "not-found")).await;
}

#[tokio::test]
async fn query_parameters_are_known_single_and_in_range() {
    let room = Room::open().await;
    let reader = room.broker.user(&["Machines.Read", "Audit.Read"]);
    for query in [
        "colour=red",
        "pageSize=0",
        "pageSize=201",
        "pageSize=abc",
        "pageSize=-1",
        "pageSize=1.5",
        "pageSize=",
        "pageSize=99999999999999999999",
        "pageSize=1&pageSize=2",
        "PAGESIZE=1",
        "q=ab",
        "state=gone",
        "state=Active",
        "recoveryServicesVaultId=x",
        "cursor=AAAA",
        "cursor=",
        "cursor=%00",
    ] {
        let answer = reader.get(&format!("/v1/machines?{query}")).await;
        room.refused(query, &answer, INVALID).await;
    }
    let path = room.path("/rotations?pageSize=0");
    room.refused(&path, &reader.get(&path).await, INVALID).await;
    let path = room.path("/versions?pageSize=201");
    room.refused(&path, &reader.get(&path).await, INVALID).await;
    for query in [
        "pageSize=0",
        "from=yesterday",
        "to=2026-13-01T00:00:00Z",
        "outcome=good",
        "actor=me",
        "machineId=x",
    ] {
        let answer = reader.get(&format!("/v1/audit/events?{query}")).await;
        room.refused(query, &answer, INVALID).await;
    }
}

#[tokio::test]
async fn a_cursor_that_was_changed_or_is_of_another_list_is_refused() {
    let room = Room::open().await;
    let reader = room.broker.user(&["Machines.Read"]);
    let cursor = reader.get("/v1/machines?pageSize=1").await.field("nextCursor").to_owned();
    let mut wrong: Vec<String> = (0..cursor.len())
        .map(|place| {
            let mut bytes = cursor.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'g' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    wrong.extend([cursor[..cursor.len() - 1].to_owned(), format!("{cursor}A"), "x".repeat(5000)]);
    for cursor in &wrong {
        let answer = reader.get(&format!("/v1/machines?pageSize=1&cursor={cursor}")).await;
        assert_eq!(answer.problem(), INVALID, "{cursor}");
    }
    let elsewhere = reader.get(&room.path(&format!("/rotations?cursor={cursor}"))).await;
    room.refused("another list", &elsewhere, INVALID).await;
    let next = reader.get(&format!("/v1/machines?pageSize=1&cursor={cursor}")).await;
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn headers_are_checked_like_everything_else() {
    let room = Room::open().await;
    let portal = room.broker.portal();
    let body = Actor::registration(&json!({"source": "generated"}));
    for key in ["", " ", "two words", &"k".repeat(256), "tab\tinside"] {
        let request = portal.request(Method::POST, "/v1/machines").header("idempotency-key", key);
        let answer = Answer::of(request.json(&body)).await;
        room.refused(key, &answer, INVALID).await;
    }
    for tag in ["*", "1", "W/\"1\"", "\"x\"", "\"\"", "\"1\", \"2\""] {
        let answer = portal.patch(&room.path(""), tag, json!({"tags": {"a": "b"}})).await;
        room.refused(tag, &answer, (412, "precondition-failed")).await;
    }
}

#[tokio::test]
async fn a_patch_names_known_members_of_the_right_kind() {
    let room = Room::open().await;
    for body in [
        json!({"fqdn": unique_fqdn()}),
        json!({"state": "active"}),
        json!({"tags": {"a": 1}}),
        json!({"tags": "a"}),
        json!({"tags": {"a\nb": "c"}}),
        json!({"agentObjectId": "me"}),
        json!({"agentVersion": "latest"}),
        json!({"secretName": "sql-admin-password"}),
        json!([]),
    ] {
        let portal = room.broker.portal();
        let etag = portal.get(&room.path("")).await.header("etag").to_owned();
        let answer = portal.patch(&room.path(""), &etag, body.clone()).await;
        room.refused(&body.to_string(), &answer, INVALID).await;
    }
}
