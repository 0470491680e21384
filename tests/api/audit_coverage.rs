//! Every operation of the OpenAPI document and every refusal that it names: what each leaves in the log.
//!
//! An operation, or a status of one, that has no row here fails the suite: whoever adds one decides what
//! it leaves.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit_refusals::refused,
    harness::{Actor, Answer, Broker, RSV, Setup, azure, refusal},
};

/// Operations that only read: they leave nothing, refused or not.
const SILENT: [&str; 11] = [
    "run_preflight",
    "run_machine_preflight",
    "list_machines",
    "get_machine",
    "list_versions",
    "list_rotations",
    "get_rotation",
    "list_agent_tasks",
    "scan_adoptions",
    "show_coverage",
    "show_caller",
];

const SAVED_BY_MARS: &str = "AzBackup-saved-rsv-prod";

/// An operation of the document that needs a token.
pub struct Operation {
    pub id: String,
    pub method: Method,
    pub path: String,
    pub statuses: Vec<u16>,
    pub has_body: bool,
}

pub fn documented() -> Vec<Operation> {
    let document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, found)| (path, method, found))
    });
    let with_token = operations.filter(|(_, _, found)| found.get("security").is_some());
    let operation = |(path, method, found): (&String, &String, &Value)| Operation {
        id: found["operationId"].as_str().unwrap().to_owned(),
        method: method.to_uppercase().parse().unwrap(),
        path: path.clone(),
        statuses: found["responses"]
            .as_object()
            .unwrap()
            .keys()
            .map(|key| key.parse().unwrap())
            .collect(),
        has_body: found.get("requestBody").is_some(),
    };
    with_token.map(operation).collect()
}

/// Who plays, and a machine with a rotation for each to act on.
pub struct Stage {
    pub broker: Broker,
    pub person: Actor,
    pub agent: Actor,
    pub machine: String,
    pub rotation: String,
    pub etag: String,
}

impl Stage {
    pub async fn set() -> Self {
        let broker = Broker::start(Setup::default()).await;
        let person = broker.user(&[
            "Machines.Read",
            "Machines.Register",
            "Passphrases.Rotate",
            "Passphrases.Retrieve",
            "Audit.Read",
            "Preflight.Run",
        ]);
        let agent = broker.agent();
        let (machine, rotation, etag) = Default::default();
        let mut stage = Self { broker, person, agent, machine, rotation, etag };
        stage.renew().await;
        stage
    }

    /// Another machine, with a prepared rotation.
    pub async fn renew(&mut self) {
        self.agent = self.broker.agent();
        self.person.register_for(&self.agent).await.id().clone_into(&mut self.machine);
        // Without the role to collect it stays prepared.
        self.broker.portal().rotate(&self.machine).await.id().clone_into(&mut self.rotation);
        let shown = self.person.get(&format!("/v1/machines/{}", self.machine)).await;
        shown.header("etag").clone_into(&mut self.etag);
    }

    /// Key Vault refuses this service whatever it asks.
    fn key_vault_refuses(&self) -> azsim::FaultGuard {
        let effect = refusal(403, "Forbidden", "ForbiddenByRbac");
        azure().inject(azsim::Fault::new("key_vault.", effect).key_vault(&self.broker.key_vault))
    }

    /// A call as the document has it, with this stage's machine and rotation in the path.
    pub fn call(&self, actor: &Actor, operation: &Operation) -> RequestBuilder {
        self.call_on(actor, operation, &self.machine)
    }

    pub fn call_on(&self, actor: &Actor, operation: &Operation, machine: &str) -> RequestBuilder {
        let path =
            operation.path.replace("{machineId}", machine).replace("{rotationId}", &self.rotation);
        let path = path.replace("{sequence}", "0");
        let request = actor.request(operation.method.clone(), &path);
        let request = with_query(request, &operation.id);
        if operation.id == "update_machine" {
            request.header("if-match", &self.etag)
        } else {
            request
        }
    }
}

/// What an operation does not go without.
pub fn with_query(request: RequestBuilder, operation: &str) -> RequestBuilder {
    if operation == "prove_audit_consistency" { request.query(&[("from", "1")]) } else { request }
}

/// A body that is right, for operations that have one.
pub fn body(operation: &str) -> Option<Value> {
    match operation {
        "register_machine" => Some(Actor::registration(&json!({"source": "generated"}))),
        "run_preflight" => Some(json!({"keyVaultUri": "https://kv-mars.vault.azure.net/"})),
        "update_machine" => Some(json!({"tags": {"owner": "team-a"}})),
        "accept_adoptions" => Some(json!({"items": [{
            "secretName": SAVED_BY_MARS, "fqdn": "saved", "recoveryServicesVaultId": RSV}]})),
        "request_rotation" => Some(json!({"passphrase": {"source": "generated"}})),
        "retrieve_passphrase" => {
            Some(json!({"reason": "audit", "justification": "the yearly audit"}))
        }
        _ => None,
    }
}

/// What a success leaves.
fn outcomes(operation: &str) -> &'static [&'static str] {
    match operation {
        "register_machine" | "request_rotation" => &["intended", "released"],
        "confirm_rotation" | "recover_secret" => &["intended", "succeeded"],
        "collect_passphrase" | "retrieve_passphrase" => &["released"],
        "update_machine"
        | "retire_machine"
        | "fail_rotation"
        | "abandon_rotation"
        | "accept_adoptions"
        | "list_audit_events"
        | "get_audit_checkpoint"
        | "prove_audit_event"
        | "issue_audit_receipt"
        | "prove_audit_consistency"
        | "export_audit_events" => &["succeeded"],
        silent if SILENT.contains(&silent) => &[],
        other => panic!("what does a success of {other} leave in the log? It has no row here"),
    }
}

/// Brings the machine of the stage into the state that the operation needs.
async fn make_ready(stage: &Stage, operation: &str) {
    match operation {
        "confirm_rotation" => {
            let collected = stage.person.settle(&stage.machine, &stage.rotation, "collect").await;
            assert_eq!(collected.status, 200, "{}", collected.text);
        }
        "accept_adoptions" => {
            let secret = azsim::SecretSpec::new(SAVED_BY_MARS, "what-mars-saved");
            azure().put_secret(&stage.broker.key_vault, secret).unwrap();
        }
        "recover_secret" => {
            let shown = stage.person.get(&format!("/v1/machines/{}", stage.machine)).await;
            stage.broker.soft_delete(shown.field("secretName")).await;
        }
        "request_rotation" | "retire_machine" => {
            let gone = stage.person.settle(&stage.machine, &stage.rotation, "abandon").await;
            assert_eq!(gone.status, 200, "{}", gone.text);
        }
        _ => {}
    }
}

/// The open rotation would come before Key Vault is asked.
async fn make_ready_for(stage: &Stage, operation: &str, status: u16) {
    if status == 502 {
        make_ready(stage, operation).await;
    }
}

/// Sends with a request id of its own, and answers what the log holds under it: action, outcome, problem.
pub async fn sent(stage: &Stage, request: RequestBuilder) -> (Answer, Vec<[String; 4]>) {
    let id = Uuid::new_v4().to_string();
    let answer = Answer::of(request.header("x-request-id", &id)).await;
    let logged = stage.broker.database.events_of(&id).await;
    let line = |event: crate::harness::Logged| {
        let why = event.text("/problem") + &event.text("/details/keyVault");
        [event.action.clone(), event.outcome.clone(), why, event.text("/machineId")]
    };
    (answer, logged.into_iter().map(line).collect())
}

#[tokio::test]
async fn every_documented_success_leaves_exactly_its_events() {
    let mut stage = Stage::set().await;
    for operation in documented() {
        stage.renew().await;
        make_ready(&stage, &operation.id).await;
        let actor = if operation.id == "list_agent_tasks" { &stage.agent } else { &stage.person };
        let mut request = stage.call(actor, &operation);
        if let Some(body) = body(&operation.id) {
            request = request.json(&body);
        }
        let (answer, logged) = sent(&stage, request).await;
        assert!(matches!(answer.status, 200 | 201), "{}: {}", operation.id, answer.text);
        let expected = outcomes(&operation.id);
        assert_eq!(
            logged.iter().map(|line| &line[1]).collect::<Vec<_>>(),
            expected,
            "{}",
            operation.id
        );
        for [action, _, problem, machine] in &logged {
            assert_eq!((action.as_str(), problem.as_str()), (operation.id.as_str(), ""));
            let named = operation.path.contains("{machineId}").then_some(stage.machine.as_str());
            assert!(named.is_none_or(|named| named == machine), "{}: {logged:?}", operation.id);
        }
    }
}

/// 500 cannot be asked for; 503 are the log's own faults, in `audit_faults.rs`.
fn is_refusal(status: u16) -> bool {
    status >= 400 && status != 500 && status != 503
}

#[tokio::test]
async fn every_documented_refusal_leaves_exactly_one_event_with_its_code() {
    let mut stage = Stage::set().await;
    let mut pairs = 0;
    for operation in documented() {
        for status in operation.statuses.iter().copied().filter(|status| is_refusal(*status)) {
            stage.renew().await;
            make_ready_for(&stage, &operation.id, status).await;
            let Some(refusal) = refused(&stage, &operation, status).await else { continue };
            let fault = (status == 502).then(|| stage.key_vault_refuses());
            let (answer, mut logged) = sent(&stage, refusal.request).await;
            drop((fault, refusal.broker));
            assert_eq!(answer.problem(), (status, refusal.code), "{}", operation.id);
            let mut code = refusal.code;
            // Told of by the use case itself, in the transaction that ends the rotation.
            if status == 502 && operation.id == "request_rotation" {
                assert_eq!(logged.remove(0)[1], "intended");
                code = "permission_missing";
            }
            let line = [&operation.id, refusal.outcome, code, refusal.machine.as_str()];
            let silent = SILENT.contains(&operation.id.as_str());
            let expected: &[[&str; 4]] = if silent { &[] } else { &[line] };
            assert_eq!(logged, expected, "{} {status}", operation.id);
            pairs += 1;
        }
    }
    assert!(pairs >= 60, "only {pairs} pairs of an operation and a refusal");
    println!("{pairs} pairs of an operation and a refusal");
}
