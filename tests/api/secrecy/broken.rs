//! Key Vault misbehaves while it holds a passphrase, in answers that repeat it wherever they can.

use azsim::{Effect, Fault};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::watched::Watched;
use crate::harness::{Actor, Answer, azure};

/// What goes wrong: name, status and body of the answer, or what happens to it.
fn effects(canary: &str) -> Vec<(&'static str, Effect)> {
    let error = |code: &str, inner: &str| json!({"error": {"code": code, "message": format!("value {canary}"), "innererror": {"code": inner}}});
    let answer = |status: u16, body: Value| {
        let headers = ["x-ms-request-id", "Retry-After", "WWW-Authenticate", "Location"];
        let headers = headers.map(|name| (name.to_owned(), canary.to_owned())).into();
        Effect::Refuse { status, body: body.to_string(), headers }
    };
    vec![
        ("500", answer(500, error("InternalError", canary))),
        ("503", answer(503, Value::from(canary))),
        ("400", answer(400, error("BadParameter", canary))),
        ("400, of a code", answer(400, error(canary, "Inner"))),
        ("401", answer(401, error("Unauthorized", ""))),
        ("403", answer(403, error("Forbidden", "ForbiddenByRbac"))),
        ("403, of no kind", answer(403, error("Forbidden", canary))),
        ("404", answer(404, error("SecretNotFound", ""))),
        ("409", answer(409, error("Conflict", "ObjectIsDeletedButRecoverable"))),
        ("429", answer(429, error("Throttled", ""))),
        ("302", answer(302, Value::Null)),
        ("an id of nothing", answer(200, json!({"id": canary, "value": canary, "attributes": {}}))),
        ("no id", answer(200, json!({"value": canary}))),
        ("a value that is a list", answer(200, json!({"value": [canary], "id": "x"}))),
        ("a value alone", answer(200, Value::from(canary))),
        ("dropped before", Effect::DropBefore),
        ("dropped after", Effect::DropAfter),
        ("truncated", Effect::Truncate),
        ("garbage", Effect::Garbage),
        ("oversize", Effect::Oversize { bytes: 100_000 }),
        ("too late", Effect::Delay { milliseconds: 6_000 }),
    ]
}

impl Watched {
    /// All side by side: each strikes a secret of its own.
    pub(super) async fn suffer_every_fault(&self) {
        let canary = self.mint("Faulty");
        let effects = effects(&canary);
        let reads = effects.iter().cloned().map(|(name, effect)| self.fail_to_read(name, effect));
        let writes = effects.iter().cloned().map(|(name, effect)| self.fail_to_write(name, effect));
        tokio::join!(join_all(reads), join_all(writes));
    }

    async fn fail_to_read(&self, name: &str, effect: Effect) {
        let agent = self.broker.agent();
        let secret = format!("AzBackup-r-{}", uuid::Uuid::new_v4());
        let mut body = self.registration(&self.mint("Unread"));
        body["agentObjectId"] = json!(agent.object_id);
        body["secretName"] = json!(secret);
        let answer = self.portal.post("/v1/machines", body).await;
        let machine = self.expect("unread", answer, 201);
        let fault = Fault::new("key_vault.get_secret", effect);
        let _fault = azure().inject(fault.key_vault(&self.broker.key_vault).secret(&secret));
        let answer = self.helpdesk.retrieve(machine.id()).await;
        assert!(answer.body.get("passphrase").is_none(), "{name}: {}", answer.text);
        self.see_error(&format!("retrieve, {name}"), answer);
    }

    /// A lost answer is looked up, so some of these succeed after all.
    async fn fail_to_write(&self, name: &str, effect: Effect) {
        let secret = format!("AzBackup-w-{}", uuid::Uuid::new_v4());
        let fault = Fault::new("key_vault.set_secret", effect);
        let _fault = azure().inject(fault.key_vault(&self.broker.key_vault).secret(&secret));
        for source in [json!({"source": "generated"}), self.provided("Unwritten")] {
            let mut body = Actor::registration(&source);
            body["secretName"] = json!(secret);
            let answer = self.portal.post("/v1/machines", body).await;
            let label = format!("register, {name}");
            let _: Answer = match answer.status {
                200..400 => self.see(&label, answer),
                _ => self.see_error(&label, answer),
            };
        }
    }

    fn provided(&self, label: &str) -> Value {
        json!({"source": "provided", "value": self.mint(label)})
    }

    /// The passphrase is read, and then the log cannot be written.
    pub(super) async fn lose_the_log(&self) {
        let machine = self.machine_of(&self.broker.agent(), "Unlogged").await;
        let database = &self.broker.database;
        database.execute("alter table audit_events rename to audit_events_gone").await;
        let answer = self.helpdesk.retrieve(&machine).await;
        assert_eq!(answer.problem(), (503, "audit-unavailable"), "{}", answer.text);
        self.see_error("no log", answer);
        let body = self.registration(&self.mint("Unlogged2"));
        let answer = self.portal.post("/v1/machines", body).await;
        self.see_error("no log for a registration", answer);
        database.execute("alter table audit_events_gone rename to audit_events").await;
    }
}
