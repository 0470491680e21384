//! What a case needs: a machine and its agent as far as the story goes before the crash, and the replica that
//! will fail.

use azsim::{Effect, FaultGuard};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{Actor, Broker, Setup, full_size_or, secret_name_of},
    invariants::Given,
};

/// What the replica does when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Register,
    /// The agent rotates.
    Rotate,
    /// The portal rotates, and may not collect.
    Prepare,
    /// The agent collects what the portal had prepared.
    Collect,
    /// The agent comes back without its memory and rotates again.
    Resume {
        applied: bool,
    },
    Confirm,
    Fail {
        applied: bool,
    },
    /// The reconciler closes a rotation whose deadline has passed.
    Expire,
    Retrieve,
    /// The reconciler finishes what a replica before it did not.
    FinishRotation,
    FinishConfirmation,
    FinishRegistration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Exit,
    Error,
    Panic,
    Delay,
}

impl Action {
    pub const ALL: [Self; 4] = [Self::Exit, Self::Error, Self::Panic, Self::Delay];

    fn text(self) -> String {
        match self {
            Self::Exit => "exit".to_owned(),
            Self::Error => "error".to_owned(),
            Self::Panic => "panic".to_owned(),
            Self::Delay => format!("delay:{}", full_size_or(20_000, 1_500)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    NeverArrives,
    AnswerLost,
    ArrivesLate,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub at: &'static str,
    pub flow: Flow,
    pub point: &'static str,
    pub wire: Option<Wire>,
}

impl Row {
    pub fn of((at, flow, point, wire): (&'static str, Flow, &'static str, Option<Wire>)) -> Self {
        Self { at, flow, point, wire }
    }
}

/// Before the crash.
pub struct Stage {
    /// The other replica; in the reconciler's flows it has died, and only its world is left.
    pub broker: Broker,
    pub agent: Actor,
    pub portal: Actor,
    pub helpdesk: Actor,
    pub given: Given,
    pub registration: Value,
    pub machine: Option<String>,
    pub rotation: Option<String>,
    /// What the machine uses.
    pub applied: Option<String>,
    /// What was handed out after all that.
    pub late: Option<String>,
}

impl Flow {
    /// Where the replica before the failing one dies, for the flows in which the reconciler fails.
    fn earlier_death(self) -> Option<&'static str> {
        match self {
            Self::FinishRotation => Some("put.after escrow=exit"),
            Self::FinishConfirmation => Some("get.after escrow=exit"),
            Self::FinishRegistration => Some("put.after own=exit"),
            _ => None,
        }
    }

    /// Whether the reconciler fails, and nobody else may be quicker.
    pub fn is_of_reconciler(self) -> bool {
        self.earlier_death().is_some() || self == Self::Expire
    }
}

impl Stage {
    pub async fn set(flow: Flow) -> Self {
        let mut environment = environment(flow.is_of_reconciler());
        if let Some(point) = flow.earlier_death() {
            environment.push(("FAIL_POINT", point));
        }
        let environment =
            environment.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let broker = Broker::start(Setup { environment, ..Setup::default() }).await;
        let (agent, portal, helpdesk) = (broker.agent(), broker.portal(), broker.helpdesk());
        let mut registration = Actor::registration(&json!({"source": "generated"}));
        registration["agentObjectId"] = json!(agent.object_id);
        let given = Given::default();
        let (machine, rotation, applied, late) = (None, None, None, None);
        let mut stage = Self {
            broker,
            agent,
            portal,
            helpdesk,
            given,
            registration,
            machine,
            rotation,
            applied,
            late,
        };
        stage.play(flow).await;
        stage
    }

    /// What happens before the crash.
    async fn play(&mut self, flow: Flow) {
        if flow == Flow::Register {
            return;
        }
        if flow == Flow::FinishRegistration {
            return self.dies(self.request(flow, &self.broker).unwrap()).await;
        }
        let registered = self.portal.post("/v1/machines", self.registration.clone()).await;
        self.given.note(&self.portal, &registered);
        self.machine = Some(registered.id().to_owned());
        self.applied = Some(registered.field("passphrase").to_owned());
        match flow {
            Flow::Collect => {
                let prepared = self.portal.rotate(registered.id()).await;
                self.rotation = Some(prepared.id().to_owned());
            }
            Flow::Resume { .. } | Flow::Confirm | Flow::Fail { .. } | Flow::Expire => {
                self.collects(!matches!(
                    flow,
                    Flow::Resume { applied: false } | Flow::Fail { applied: false }
                ))
                .await;
            }
            Flow::FinishRotation => self.dies(self.request(flow, &self.broker).unwrap()).await,
            Flow::FinishConfirmation => {
                self.collects(true).await;
                self.dies(self.request(flow, &self.broker).unwrap()).await;
            }
            _ => {}
        }
        if flow == Flow::Expire {
            let overdue = "update rotations set expires_at = now() + interval '4 seconds', requested_at = now() - interval '2 hours'";
            self.broker.database.execute(overdue).await;
        }
    }

    async fn collects(&mut self, applies: bool) {
        let rotation = self.agent.rotate(self.machine.as_deref().unwrap()).await;
        self.given.note(&self.agent, &rotation);
        self.rotation = Some(rotation.id().to_owned());
        if applies {
            self.applied = Some(rotation.field("passphrase").to_owned());
        }
    }

    async fn dies(&self, request: RequestBuilder) {
        assert!(request.send().await.is_err(), "{}", self.broker.log());
        self.broker.wait();
    }

    /// The replica that will fail at this row's point.
    pub async fn victim(&self, row: &Row, action: Action) -> Broker {
        let point = format!("{}={}", row.point, action.text());
        let mut environment = environment(false);
        environment.push(("FAIL_POINT", &point));
        if action == Action::Delay && !row.flow.is_of_reconciler() {
            environment.push(("REQUEST_TIMEOUT_SECONDS", "60"));
        }
        self.broker.replica(&environment).await
    }

    pub fn wire(&self, row: &Row) -> Option<FaultGuard> {
        let effect = match row.wire? {
            Wire::NeverArrives => Effect::DropBefore,
            Wire::AnswerLost => Effect::DropAfter,
            Wire::ArrivesLate => Effect::HoldBefore,
        };
        let secret = self.secret(row);
        Some(self.broker.fault_once("set_secret", &secret, effect))
    }

    pub fn secret(&self, row: &Row) -> String {
        let own = secret_name_of(&self.registration);
        if row.point.ends_with("escrow") {
            own.replacen("AzBackup-", "AzBackupPending-", 1)
        } else {
            own
        }
    }

    /// What the failing replica is asked; none when its reconciler acts by itself.
    pub fn request(&self, flow: Flow, at: &Broker) -> Option<RequestBuilder> {
        let machine = self.machine.as_deref().unwrap_or_default();
        let rotation = self.rotation.as_deref().unwrap_or_default();
        let rotations = format!("/v1/machines/{machine}/rotations");
        let generated = json!({"passphrase": {"source": "generated"}});
        let (actor, path, body) = match flow {
            Flow::Register | Flow::FinishRegistration => {
                (&self.portal, "/v1/machines".to_owned(), self.registration.clone())
            }
            Flow::Rotate | Flow::Resume { .. } | Flow::FinishRotation => {
                (&self.agent, rotations, generated)
            }
            Flow::Prepare => (&self.portal, rotations, generated),
            Flow::Collect => (&self.agent, format!("{rotations}/{rotation}/collect"), Value::Null),
            Flow::Confirm | Flow::FinishConfirmation => {
                (&self.agent, format!("{rotations}/{rotation}/confirm"), json!({}))
            }
            Flow::Fail { .. } => (&self.agent, format!("{rotations}/{rotation}/fail"), json!({})),
            Flow::Retrieve => {
                let body =
                    json!({"reason": "restoreDrill", "justification": "the yearly restore drill"});
                (&self.helpdesk, format!("/v1/machines/{machine}/retrievals"), body)
            }
            Flow::Expire => return None,
        };
        let request = actor.at(at).request(Method::POST, &path);
        Some(if body.is_null() { request } else { request.json(&body) })
    }

    /// Who sends it.
    pub fn sender(&self, flow: Flow) -> &Actor {
        match flow {
            Flow::Register | Flow::Prepare => &self.portal,
            Flow::Retrieve => &self.helpdesk,
            _ => &self.agent,
        }
    }
}

/// The defaults, but for the period; in the usual size time is moved, in the full one it passes.
pub fn environment(idle: bool) -> Vec<(&'static str, &'static str)> {
    let period = if idle { "3600" } else { "1" };
    vec![("RECONCILE_SECONDS", period), ("REGISTRATION_ABANDONED_AFTER_SECONDS", "20")]
}
