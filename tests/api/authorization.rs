//! Who may do what: reliability goal C4, every operation of the OpenAPI document for every identity.
//!
//! A cell that changes nothing is tried on two machines that all cells share; one that must succeed and
//! changes something gets a machine of its own, in the state that the operation needs.

mod expectations;

use std::collections::BTreeSet;

use expectations::{Expected, IDENTITIES, Kind, Row, rows};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker, Setup};

/// A machine with an agent and an open rotation, and its agent.
struct Place {
    agent: Actor,
    machine: String,
    rotation: String,
    etag: String,
}

struct Route {
    method: Method,
    path: String,
    success: u16,
}

/// The operations of the published document that need a token.
fn published() -> Vec<(String, Route)> {
    let document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, methods)| {
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (path, method, operation))
    });
    let with_token = methods.filter(|(_, _, operation)| operation.get("security").is_some());
    with_token
        .map(|(path, method, operation)| {
            let codes = operation["responses"].as_object().unwrap().keys();
            let success = codes.filter_map(|code| code.parse().ok()).min().unwrap();
            let method = method.to_uppercase().parse().unwrap();
            let route = Route { method, path: path.clone(), success };
            (operation["operationId"].as_str().unwrap().to_owned(), route)
        })
        .collect()
}

async fn place(broker: &Broker, operation: &str) -> Place {
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let id = machine.id().to_owned();
    let idle = ["request_rotation", "retire_machine", "update_machine"].contains(&operation);
    let rotation = if idle {
        uuid::Uuid::new_v4().to_string()
    } else {
        broker.portal().rotate(&id).await.id().to_owned()
    };
    if operation == "recover_secret" {
        broker.soft_delete(machine.field("secretName")).await;
    }
    if operation == "confirm_rotation" {
        assert_eq!(agent.settle(&id, &rotation, "collect").await.status, 200);
    }
    Place { agent, machine: id, rotation, etag: machine.header("etag").to_owned() }
}

fn body(operation: &str) -> Option<Value> {
    let generated = json!({"source": "generated"});
    match operation {
        "register_machine" => Some(Actor::registration(&generated)),
        "update_machine" => Some(json!({"tags": {"owner": "team-a"}})),
        "request_rotation" => Some(json!({"passphrase": generated})),
        "run_preflight" => Some(json!({"keyVaultUri": "https://kv-mars.vault.azure.net/"})),
        "accept_adoptions" => crate::audit_coverage::body(operation),
        "retrieve_passphrase" => {
            Some(json!({"reason": "restoreDrill", "justification": "the yearly restore drill"}))
        }
        _ => None,
    }
}

async fn call(actor: &Actor, operation: &str, route: &Route, place: &Place) -> Answer {
    let path = route.path.replace("{machineId}", &place.machine);
    let path = path.replace("{rotationId}", &place.rotation).replace("{sequence}", "0");
    let request = actor.request(route.method.clone(), &path).header("if-match", &place.etag);
    let request = crate::audit_coverage::with_query(request, operation);
    Answer::of(match body(operation) {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn actor(broker: &Broker, kind: Kind, roles: &[&str], bound: &Place) -> Actor {
    match kind {
        Kind::None => broker.nobody(),
        Kind::User => broker.user(roles),
        Kind::Application => broker.application(roles),
        Kind::Agent => bound.agent.at(broker),
    }
}

/// On the machine in its path.
fn changes_something(row: &Row, route: &Route) -> bool {
    route.method != Method::GET
        && ![
            "register_machine",
            "retrieve_passphrase",
            "run_preflight",
            "run_machine_preflight",
            "scan_adoptions",
            "accept_adoptions",
        ]
        .contains(&row.operation)
}

/// One cell, for the agent's own machine or another. Answers what differs.
async fn try_cell(
    broker: &Broker,
    row: &Row,
    route: &Route,
    (identity, kind, roles): (&str, Kind, &[&str]),
    shared: &[Place; 2],
    other: bool,
) -> Option<String> {
    let expected = row.cell(identity)[usize::from(other)];
    let fresh;
    let (bound, place) = if expected == Expected::Yes && changes_something(row, route) {
        fresh = place(broker, row.operation).await;
        (&fresh, &fresh)
    } else {
        (&shared[0], &shared[usize::from(other)])
    };
    let actor = actor(broker, kind, roles, bound);
    let answer = call(&actor, row.operation, route, place).await;
    let difference = difference(row, route, expected, roles, &answer)?;
    let machine = if other { "another machine" } else { "the own machine" };
    Some(format!("{} by {identity} on {machine}: {difference}", row.operation))
}

fn difference(
    row: &Row,
    route: &Route,
    expected: Expected,
    roles: &[&str],
    answer: &Answer,
) -> Option<String> {
    let (status, code, challenge) = match expected {
        Expected::Yes => (route.success, "no problem", ""),
        Expected::RoleMissing => (403, "role-missing", "Bearer error=\"insufficient_scope\""),
        Expected::NotFound => (404, "not-found", ""),
        Expected::Unauthenticated => (401, "unauthenticated", "Bearer"),
    };
    let names_the_role = expected != Expected::RoleMissing
        || answer.body["detail"] == format!("the token lacks {}", row.missing(roles));
    let fits = answer.problem() == (status, code)
        && answer.header("www-authenticate") == challenge
        && names_the_role;
    (!fits).then(|| format!("expected {status} {challenge}, got {} {}", answer.status, answer.text))
}

#[test]
fn every_published_operation_has_a_row() {
    let published: BTreeSet<String> = published().into_iter().map(|(id, _)| id).collect();
    let rows: BTreeSet<String> = rows().iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(published, rows);
}

#[tokio::test]
async fn every_identity_may_do_what_the_table_says_and_nothing_else() {
    let broker = Broker::start(Setup::default()).await;
    let shared = [place(&broker, "get_rotation").await, place(&broker, "get_rotation").await];
    let (rows, routes) = (rows(), published());
    let (broker, shared) = (&broker, &shared);
    let cells = rows.iter().flat_map(|row| {
        let (_, route) = routes.iter().find(|(id, _)| id == row.operation).unwrap();
        IDENTITIES.iter().flat_map(move |identity| {
            [false, true].map(|other| try_cell(broker, row, route, *identity, shared, other))
        })
    });
    let cells: Vec<_> = cells.collect();
    let count = cells.len();
    let outcomes: Vec<_> = stream::iter(cells).buffer_unordered(4).collect().await;
    let differences: Vec<String> = outcomes.into_iter().flatten().collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{count} cells, 0 differences");
    assert_refusals_are_on_record(broker, &rows).await;
}

/// The refusals of audited operations, by their code, are exactly those that the table has.
async fn assert_refusals_are_on_record(broker: &Broker, rows: &[Row]) {
    let cells = |wanted: Expected| {
        let audited = rows.iter().filter(|row| row.audited);
        let cells = audited.flat_map(|row| IDENTITIES.map(|(identity, ..)| row.cell(identity)));
        cells.flatten().filter(|expected| *expected == wanted).count()
    };
    for (problem, expected) in [
        ("role-missing", cells(Expected::RoleMissing)),
        ("not-found", cells(Expected::NotFound)),
        ("unauthenticated", cells(Expected::Unauthenticated)),
    ] {
        let query = format!(
            "select coalesce(sum(coalesce((event ->> 'count')::bigint, 1)), 0)::bigint
             from (select convert_from(body, 'UTF8')::jsonb as event from audit_events) as events
             where event ->> 'outcome' = 'denied' and event ->> 'problem' = '{problem}'"
        );
        let recorded = broker.database.count(&query).await;
        assert_eq!(usize::try_from(recorded).unwrap(), expected, "{problem}");
    }
}

/// Open to every token, whatever machine it is bound to.
const OF_NO_MACHINE: [&str; 2] = ["show_caller", "issue_audit_receipt"];

#[tokio::test]
async fn me_tells_what_the_table_says() {
    let broker = Broker::shared().await;
    let bound = place(broker, "get_machine").await;
    for (identity, kind, roles) in IDENTITIES.into_iter().filter(|it| it.1 != Kind::None) {
        let me = actor(broker, kind, roles, &bound).get("/v1/me").await;
        for row in rows() {
            let told = me.body["operations"].as_array().unwrap().iter();
            let mut told = told.filter(|told| told["operation"] == row.operation);
            let told = told.next().unwrap();
            let agents = identity.ends_with("agent");
            let permitted = match row.cell(identity) {
                [Expected::RoleMissing, _] => "no",
                _ if agents && !OF_NO_MACHINE.contains(&row.operation) => "own",
                _ => "any",
            };
            assert_eq!(told["permitted"], permitted, "{identity}: {told}");
        }
    }
}

/// A tenant is a wall: whatever the roles, nothing of another tenant's machines is there.
#[tokio::test]
async fn all_roles_in_one_tenant_are_none_in_another() {
    let key_vault = crate::harness::azure().add_key_vault(azsim::KeyVaultSpec::default()).unwrap();
    let host = key_vault.trim_start_matches("https://").split('.').next().unwrap().to_owned();
    let [home, abroad] = [0; 2].map(|_| crate::harness::azure().add_tenant().unwrap());
    let environment = [("ENTRA_TENANT_IDS", format!("{home},{abroad}"))].into();
    let replica_of = Some((host, home));
    let broker = Broker::start(Setup { environment, replica_of, ..Setup::default() }).await;
    let there = place(&broker, "get_rotation").await;
    let everything: Vec<&str> =
        IDENTITIES.iter().flat_map(|(_, _, roles)| *roles).copied().collect();
    let spec = azsim::TokenSpec::user(crate::harness::AUDIENCE, uuid::Uuid::new_v4());
    let spec = spec.in_tenant(abroad).roles(&everything);
    let stranger = broker.bearer(&crate::harness::azure().mint(&spec).unwrap());
    for (operation, route) in published() {
        let answer = call(&stranger, &operation, &route, &there).await;
        let seen = answer.text.contains(&there.machine) || answer.text.contains(&there.rotation);
        assert!(!seen, "{operation}: {}", answer.text);
        if route.path.contains("{machineId}") {
            assert_eq!(answer.problem(), (404, "not-found"), "{operation}");
        }
    }
}
