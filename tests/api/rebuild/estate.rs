//! Machines in every state that one may be in when PostgreSQL is lost.

use std::collections::BTreeSet;

use azsim::SecretSpec;
use serde_json::json;

use crate::harness::{Actor, Answer, Broker, azure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Registered,
    Confirmed,
    /// In escrow, and nobody has seen it.
    Prepared,
    Collected,
    Failed,
    /// Two were collected; the first one's deadline has passed.
    Indeterminate,
    ConfirmedAndCollected,
    /// Somebody else wrote a version during a rotation, which was confirmed.
    ForeignAndConfirmed,
    /// MARS wrote by itself, twice, and another one was collected.
    OfMars,
    /// MARS saved another passphrase than was handed out.
    Different,
    /// Adopted from MARS, then collected.
    Adopted,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Registered,
        Self::Confirmed,
        Self::Prepared,
        Self::Collected,
        Self::Failed,
        Self::Indeterminate,
        Self::ConfirmedAndCollected,
        Self::ForeignAndConfirmed,
        Self::OfMars,
        Self::Different,
        Self::Adopted,
    ];
}

/// What was known of a machine.
pub struct Known {
    pub kind: Kind,
    pub fqdn: String,
    pub agent: Actor,
    pub machine: String,
    /// The last one, and its passphrase.
    pub rotation: String,
    pub newest: String,
    pub candidates: BTreeSet<String>,
    secret: String,
}

impl Known {
    pub async fn live(broker: &Broker, rsv: &str, fqdn: &str, kind: Kind) -> Self {
        let agent = broker.agent();
        let source = if kind == Kind::Adopted { "adopted" } else { "generated" };
        let name = rsv.rsplit('/').next().unwrap();
        let secret = format!("AzBackup-{}-{name}", fqdn.replace('.', "-"));
        if kind == Kind::Adopted {
            let saved = SecretSpec::new(&secret, format!("saved-by-mars-for-{fqdn}"));
            azure().put_secret(&broker.key_vault, saved).unwrap();
        }
        let body = json!({"fqdn": fqdn, "recoveryServicesVaultId": rsv,
            "agentObjectId": agent.object_id, "passphrase": {"source": source}});
        let machine = broker.portal().post("/v1/machines", body).await;
        assert_eq!(machine.status, 201, "{}", machine.text);
        let mut known = Self {
            kind,
            fqdn: fqdn.to_owned(),
            agent,
            machine: machine.id().to_owned(),
            rotation: String::new(),
            newest: String::new(),
            candidates: BTreeSet::new(),
            secret,
        };
        known.grow(broker).await;
        let retrieved = broker.helpdesk().retrieve(&known.machine).await;
        known.candidates = crate::invariants::passphrases(&retrieved.body).into_iter().collect();
        known
    }

    async fn grow(&mut self, broker: &Broker) {
        match self.kind {
            Kind::Registered => {}
            Kind::Confirmed => self.confirmed("broker").await,
            Kind::Prepared => drop(broker.portal().rotate(&self.machine).await),
            Kind::Collected | Kind::Adopted => self.collected("broker").await,
            Kind::Failed => {
                self.collected("broker").await;
                self.agent.settle(&self.machine, &self.rotation, "fail").await;
            }
            Kind::Indeterminate => {
                self.collected("broker").await;
                let past = "requested_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'";
                let rotation = &self.rotation;
                let overdue = format!("update rotations set {past} where id = '{rotation}'");
                broker.database.execute(&overdue).await;
                self.collected("broker").await;
            }
            Kind::ConfirmedAndCollected => {
                self.confirmed("broker").await;
                self.collected("broker").await;
            }
            Kind::ForeignAndConfirmed => {
                self.collected("broker").await;
                self.mars_writes(broker, "written by somebody else");
                self.confirm(200).await;
            }
            Kind::OfMars => {
                for _ in 0..2 {
                    self.collected("agent").await;
                    let newest = self.newest.clone();
                    self.mars_writes(broker, &newest);
                    self.confirm(200).await;
                    broker.another_second(&self.secret).await;
                }
                self.collected("agent").await;
            }
            Kind::Different => {
                self.collected("agent").await;
                self.mars_writes(broker, "another passphrase of MARS");
                self.confirm(409).await;
            }
        }
    }

    fn mars_writes(&self, broker: &Broker, value: &str) {
        let spec = SecretSpec::new(&self.secret, value);
        azure().put_secret(&broker.key_vault, spec).unwrap();
    }

    async fn collected(&mut self, writer: &str) {
        let body = json!({"passphrase": {"source": "generated"}, "writer": writer});
        let path = format!("/v1/machines/{}/rotations", self.machine);
        let rotation: Answer = self.agent.post(&path, body).await;
        assert_eq!(rotation.status, 201, "{}", rotation.text);
        rotation.id().clone_into(&mut self.rotation);
        rotation.field("passphrase").clone_into(&mut self.newest);
    }

    async fn confirm(&self, status: u16) {
        let confirmed = self.agent.settle(&self.machine, &self.rotation, "confirm").await;
        assert_eq!(confirmed.status, status, "{}", confirmed.text);
    }

    async fn confirmed(&mut self, writer: &str) {
        self.collected(writer).await;
        self.confirm(200).await;
    }
}
