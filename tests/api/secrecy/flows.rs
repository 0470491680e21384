//! Every flow that touches a passphrase, once, under watch.

use azsim::SecretSpec;
use serde_json::{Value, json};

use super::watched::Watched;
use crate::harness::{Actor, Answer, azure};

impl Watched {
    pub(super) async fn walk_every_flow(&self) {
        let machine = self.register_from_every_source().await;
        self.retrieve(&machine).await;
        self.rotate_and_settle().await;
        self.rotate_as_a_person().await;
        self.replay().await;
        self.read_about(&machine).await;
    }

    pub(super) fn expect(&self, label: &str, answer: Answer, status: u16) -> Answer {
        assert_eq!(answer.status, status, "{label}: {}", answer.text);
        self.see(label, answer)
    }

    /// Answers the id of a machine whose passphrase was provided.
    async fn register_from_every_source(&self) -> String {
        let canary = self.mint("Provided");
        let body = self.registration(&canary);
        let provided = self.expect("provided", self.portal.post("/v1/machines", body).await, 201);
        let generated = Actor::registration(&json!({"source": "generated"}));
        let answer = self.portal.post("/v1/machines", generated).await;
        self.expect("generated", answer, 201);
        let none = Actor::registration(&json!({"source": "none"}));
        self.expect("none", self.portal.post("/v1/machines", none).await, 201);
        let mut adopted = Actor::registration(&json!({"source": "adopted"}));
        adopted["secretName"] = json!("AzBackup-adopted");
        let secret = SecretSpec::new("AzBackup-adopted", self.mint("Adopted"));
        azure().put_secret(&self.broker.key_vault, secret).unwrap();
        let answer = self.portal.post("/v1/machines", adopted).await;
        let adopted = self.expect("adopted", answer, 201);
        self.retrieve(adopted.id()).await;
        provided.id().to_owned()
    }

    async fn retrieve(&self, machine: &str) {
        let answer = self.helpdesk.retrieve(machine).await;
        let answer = self.expect("retrieve", answer, 201);
        let version = answer.field("version").to_owned();
        let answer = self.helpdesk.retrieve_version(machine, &version).await;
        self.expect("retrieve a version", answer, 201);
    }

    pub(super) async fn machine_of(&self, agent: &Actor, label: &str) -> String {
        let mut body = self.registration(&self.mint(label));
        body["agentObjectId"] = json!(agent.object_id);
        let answer = self.portal.post("/v1/machines", body).await;
        self.expect(label, answer, 201).id().to_owned()
    }

    pub(super) fn rotation(&self, label: &str) -> Value {
        json!({"passphrase": {"source": "provided", "value": self.mint(label)}})
    }

    /// An agent, with both sources and every end; in between a person sees the candidates.
    async fn rotate_and_settle(&self) {
        let agent = self.broker.agent();
        let machine = self.machine_of(&agent, "Rotated").await;
        for (label, how) in [("Confirmed", "confirm"), ("Failed", "fail"), ("Last", "confirm")] {
            let path = format!("/v1/machines/{machine}/rotations");
            let answer = agent.post(&path, self.rotation(label)).await;
            let rotation = self.expect(label, answer, 201).id().to_owned();
            self.expect("tasks", agent.get("/v1/agent/tasks").await, 200);
            for _ in 0..2 {
                let answer = agent.settle(&machine, &rotation, "collect").await;
                self.expect("collect", answer, 200);
            }
            self.retrieve(&machine).await;
            self.expect(how, agent.settle(&machine, &rotation, how).await, 200);
            self.expect("again", agent.settle(&machine, &rotation, how).await, 200);
        }
        let rotation = self.expect("rotate", agent.rotate(&machine).await, 201);
        let answer = agent.settle(&machine, rotation.id(), "confirm").await;
        self.expect("confirm a generated one", answer, 200);
    }

    async fn rotate_as_a_person(&self) {
        let machine = self.machine_of(&self.broker.agent(), "OfAPerson").await;
        let path = format!("/v1/machines/{machine}/rotations");
        let answer = self.portal.post(&path, self.rotation("Abandoned")).await;
        let rotation = self.expect("prepared", answer, 201);
        let answer = self.portal.settle(&machine, rotation.id(), "abandon").await;
        self.expect("abandon", answer, 200);
        let answer = self.portal.settle(&machine, rotation.id(), "collect").await;
        self.see_error("collect as a portal", answer);
    }

    async fn replay(&self) {
        let post = |path: &str, key: &str, body: &Value| {
            let request = self.portal.request(reqwest::Method::POST, path);
            Answer::of(request.header("idempotency-key", key).json(body))
        };
        let body = self.registration(&self.mint("Replayed"));
        let mut generated = Actor::registration(&json!({"source": "generated"}));
        for _ in 0..2 {
            let mut body = body.clone();
            body["agentObjectId"] = Value::Null;
            self.expect("replay", post("/v1/machines", "k1", &body).await, 201);
            self.expect("replay", post("/v1/machines", "k2", &generated).await, 201);
        }
        generated["passphrase"] = json!({"source": "provided", "value": self.mint("OtherBody")});
        self.see_error("another body", post("/v1/machines", "k2", &generated).await);
    }

    async fn read_about(&self, machine: &str) {
        let auditor = self.broker.auditor();
        for path in ["", "/versions", "/rotations"] {
            let answer = self.portal.get(&format!("/v1/machines/{machine}{path}")).await;
            self.expect("read", answer, 200);
        }
        for path in ["/v1/machines?pageSize=200", "/v1/audit/events?pageSize=200", "/v1/me"] {
            self.expect("read", auditor.get(path).await, 200);
        }
        for path in ["/readyz", "/livez", "/openapi.json", "/metrics"] {
            self.expect("read", self.broker.nobody().get(path).await, 200);
        }
    }
}
