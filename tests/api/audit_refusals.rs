//! How each operation of the document is brought to each refusal that the document names for it.

use reqwest::{RequestBuilder, header};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit_coverage::{Operation, Stage, body},
    harness::{Actor, Answer, Broker},
};

/// A call that is refused, and what the log says of it.
pub struct Refusal {
    pub request: RequestBuilder,
    pub code: &'static str,
    pub outcome: &'static str,
    /// The machine in the path; empty when there is none.
    pub machine: String,
    /// Who refuses it, when it is not the stage's.
    pub broker: Option<Broker>,
}

/// None for what is proven elsewhere or cannot be asked for.
pub async fn refused(stage: &Stage, operation: &Operation, status: u16) -> Option<Refusal> {
    let with_body = |actor: &Actor, machine: &str| {
        let request = stage.call_on(actor, operation, machine);
        match body(&operation.id) {
            Some(body) => request.json(&body),
            None => request,
        }
    };
    let json = |text: String| {
        let request = stage.call(&stage.person, operation);
        request.header(header::CONTENT_TYPE, "application/json").body(text)
    };
    let mut machine =
        if operation.path.contains("{machineId}") { stage.machine.clone() } else { String::new() };
    let (request, code) = match status {
        400 => (malformed(stage, operation)?, "invalid-request"),
        401 => (with_body(&stage.broker.nobody(), &machine), "unauthenticated"),
        403 => (with_body(&stage.broker.user(&[]), &machine), "role-missing"),
        404 if operation.id == "get_audit_checkpoint" => {
            let without_key = stage.broker.replica(&[("AUDIT_SIGNING_KEY", "")]).await;
            let request = stage.call(&stage.person.at(&without_key), operation);
            let (code, outcome, broker) = ("no-signing-key", "denied", Some(without_key));
            return Some(Refusal { request, code, outcome, machine, broker });
        }
        // With no key and no checkpoint at all: `audit_receipts.rs` has that one.
        404 if operation.id == "prove_audit_consistency" => return None,
        404 if operation.path.contains("{sequence}") => {
            let path = operation.path.replace("{sequence}", "999999999");
            (stage.person.request(operation.method.clone(), &path), "not-found")
        }
        404 => {
            machine = Uuid::new_v4().to_string();
            (with_body(&stage.person, &machine), "not-found")
        }
        // A body that never comes takes ten seconds: `edge.rs` has that one.
        // And for 424 Azure has to be in a bad state: `preflight/obstacles.rs`.
        408 | 424 => return None,
        // Two at once: `idempotency.rs` has that one.
        409 if operation.id == "accept_adoptions" => return None,
        413 => (json(format!("{{\"x\": \"{}\"}}", "a".repeat(70_000))), "payload-too-large"),
        415 => {
            let request = stage.call(&stage.person, operation);
            (
                request.header(header::CONTENT_TYPE, "text/plain").body("{}"),
                "unsupported-media-type",
            )
        }
        409 if operation.id == "retrieve_passphrase" => {
            let empty = Actor::registration(&json!({"source": "none"}));
            stage.person.post("/v1/machines", empty).await.id().clone_into(&mut machine);
            (with_body(&stage.person, &machine), "key-vault-secret-missing")
        }
        502 => (with_body(&stage.person, &machine), "broker-permission-missing"),
        other => of_its_own(stage, operation, other).await,
    };
    let outcome = if status == 502 { "failed" } else { "denied" };
    Some(Refusal { request, code, outcome, machine, broker: None })
}

fn malformed(stage: &Stage, operation: &Operation) -> Option<RequestBuilder> {
    let actor = if operation.id == "list_agent_tasks" { &stage.agent } else { &stage.person };
    let request = stage.call(actor, operation);
    if operation.has_body {
        return Some(request.header(header::CONTENT_TYPE, "application/json").body("{"));
    }
    match operation.id.as_str() {
        "run_machine_preflight" => Some(request.query(&[("failOn", "pass")])),
        "show_coverage" | "list_machines" | "list_versions" | "list_rotations"
        | "list_audit_events" => Some(request.query(&[("pageSize", "0")])),
        "prove_audit_event" => Some(request.query(&[("size", "-1")])),
        "prove_audit_consistency" => Some(request.query(&[("to", "many")])),
        "export_audit_events" => Some(request.query(&[("from", "yesterday")])),
        // Nothing of these is parsed but ids in the path, and a wrong one is 404.
        "get_machine"
        | "get_rotation"
        | "list_agent_tasks"
        | "get_audit_checkpoint"
        | "issue_audit_receipt"
        | "show_caller" => None,
        // But the header of the key.
        "recover_secret" | "retire_machine" | "collect_passphrase" | "abandon_rotation" => {
            Some(request.header("idempotency-key", ""))
        }
        other => panic!("how is {other} asked wrongly? It has no row here"),
    }
}

/// Refusals that only some operations have.
async fn of_its_own(
    stage: &Stage,
    operation: &Operation,
    status: u16,
) -> (RequestBuilder, &'static str) {
    let call = || stage.call(&stage.person, operation);
    match (operation.id.as_str(), status) {
        ("register_machine", 409) => {
            let body = Actor::registration(&json!({"source": "none"}));
            assert_eq!(stage.person.post("/v1/machines", body.clone()).await.status, 201);
            (call().json(&body), "machine-exists")
        }
        ("register_machine", 422) => {
            let source = json!({"source": "provided", "value": "short"});
            (call().json(&Actor::registration(&source)), "passphrase-policy-violation")
        }
        ("update_machine", 409) => {
            let other = stage.broker.agent();
            stage.person.register_for(&other).await;
            (call().json(&json!({"agentObjectId": other.object_id})), "agent-binding-mismatch")
        }
        ("update_machine", 412) => {
            let path = format!("/v1/machines/{}", stage.machine);
            let request =
                stage.person.request(operation.method.clone(), &path).header("if-match", "\"77\"");
            (request.json(&json!({"tags": {}})), "precondition-failed")
        }
        ("update_machine", 428) => {
            let path = format!("/v1/machines/{}", stage.machine);
            let request = stage.person.request(operation.method.clone(), &path);
            (request.json(&json!({"tags": {}})), "precondition-required")
        }
        ("accept_adoptions", 422) => {
            let key = Uuid::new_v4().to_string();
            let mut other = body("accept_adoptions").unwrap();
            other["items"][0]["fqdn"] = json!("another");
            let first = call().header("idempotency-key", &key).json(&other);
            assert_eq!(Answer::of(first).await.status, 201);
            (
                call().header("idempotency-key", key).json(&body("accept_adoptions")),
                "idempotency-key-reused",
            )
        }
        ("recover_secret", 409) => (call(), "secret-not-deleted"),
        ("recover_secret", 422) => {
            let other = stage.person.register().await;
            let key = Uuid::new_v4().to_string();
            stage.broker.soft_delete(other.field("secretName")).await;
            let path = format!("/v1/machines/{}/recover", other.id());
            let first = stage.person.request(operation.method.clone(), &path);
            let first = Answer::of(first.header("idempotency-key", &key)).await;
            assert_eq!(first.status, 200, "{}", first.text);
            (call().header("idempotency-key", key), "idempotency-key-reused")
        }
        (
            "collect_passphrase" | "confirm_rotation" | "fail_rotation" | "abandon_rotation"
            | "retire_machine",
            422,
        ) => (used_key(stage, operation, call()).await, "idempotency-key-reused"),
        ("retire_machine", 409) => (call(), "rotation-in-progress"),
        ("request_rotation", 409) => {
            (call().json(&body("request_rotation")), "rotation-in-progress")
        }
        ("request_rotation", 422) => {
            let body = json!({"passphrase": {"source": "provided", "value": "short"}});
            (call().json(&body), "passphrase-policy-violation")
        }
        ("collect_passphrase" | "confirm_rotation" | "fail_rotation" | "abandon_rotation", 409) => {
            // Failed: what was collected can still be confirmed, so that one is abandoned instead.
            let ending = if operation.id == "abandon_rotation" { "fail" } else { "abandon" };
            let ended = stage.person.settle(&stage.machine, &stage.rotation, ending).await;
            assert_eq!(ended.status, 200, "{}", ended.text);
            (call(), "invalid-rotation-state")
        }
        ("collect_passphrase" | "confirm_rotation" | "fail_rotation" | "abandon_rotation", 410) => {
            let past =
                "requested_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'";
            let update = format!("update rotations set {past} where id = '{}'", stage.rotation);
            stage.broker.database.execute(&update).await;
            (call(), "rotation-expired")
        }
        ("retrieve_passphrase", 422) => {
            (call().json(&json!({"reason": "audit", "justification": "short"})), "reason-required")
        }
        (other, status) => panic!("how is {other} refused with {status}? It has no row here"),
    }
}

/// The key was used for another machine.
async fn used_key(stage: &Stage, operation: &Operation, call: RequestBuilder) -> RequestBuilder {
    let (portal, key) = (stage.broker.portal(), Uuid::new_v4().to_string());
    let other = portal.register().await;
    let mut path = operation.path.replace("{machineId}", other.id());
    if path.contains("{rotationId}") {
        let rotation = portal.rotate(other.id()).await;
        if operation.id == "confirm_rotation" {
            stage.person.settle(other.id(), rotation.id(), "collect").await;
        }
        path = path.replace("{rotationId}", rotation.id());
    }
    let first = stage.person.request(operation.method.clone(), &path);
    let first = Answer::of(first.header("idempotency-key", &key)).await;
    assert_eq!(first.status, 200, "{}", first.text);
    call.header("idempotency-key", key)
}
