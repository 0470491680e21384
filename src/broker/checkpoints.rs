//! Checkpoints of the log, signed and kept outside the database, and the watch that compares it with them.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{Broker, Error};
use crate::{
    audit::{
        CheckpointError, StoredCheckpoint,
        note::{Checkpoint, SigningKeys},
        report_anchor,
    },
    domain::{audit_event::Outcome, caller::Caller, service_secret::ServiceSecret},
};

/// What the configuration says of checkpoints.
#[derive(Debug, Clone)]
pub struct CheckpointRules {
    /// Holds the signing keys. None: they are in the configuration, or there are none.
    pub signing_secret: Option<ServiceSecret>,
    /// Each checkpoint of the schedule becomes a version of it.
    pub kept_in: Option<ServiceSecret>,
    pub every: Duration,
}

impl Broker {
    /// A signed note that covers everything recorded before the call, and the event of this call itself.
    pub async fn get_audit_checkpoint(&self, caller: &Caller) -> Result<StoredCheckpoint, Error> {
        if !self.audit.signs() {
            return Err(Error::NoSigningKey);
        }
        self.audit.record(self.event(caller, Outcome::Succeeded)).await?;
        Ok(self.audit.sign_checkpoint().await?)
    }

    /// The keys that verify checkpoints, former ones too.
    pub fn list_audit_public_keys(&self) -> Vec<String> {
        self.audit.public_keys()
    }

    /// One round of the watch. Answers whether the log was compared and agrees.
    pub async fn watch_audit_log(&self) -> bool {
        self.refresh_signing_keys().await;
        if let Err(error) = self.audit.refresh_public_keys().await {
            tracing::warn!(%error, "the public keys of the audit log were not refreshed");
        }
        let elsewhere = self.kept_checkpoint().await;
        if let Err(error) = self.audit.compare(elsewhere.clone()).await {
            tracing::warn!(%error, "the audit log could not be compared with its anchors");
            return false;
        }
        if self.audit_log_is_read_only() {
            return false;
        }
        self.keep_newest(elsewhere.map_or(0, |kept| kept.size)).await;
        true
    }

    /// Whether nothing is recorded at the moment: whoever found that out, an append or a signature as well.
    pub fn audit_log_is_read_only(&self) -> bool {
        self.audit.read_only().is_some()
    }

    /// Signs a checkpoint when one is due, and keeps it. Answers whether nothing failed.
    pub async fn sign_due_checkpoint(&self) -> bool {
        match self.audit.sign_if_due(self.rules.checkpoints.every).await {
            Ok(None) => true,
            Ok(Some(signed)) => {
                self.keep(&signed).await;
                true
            }
            Err(error) => {
                metrics::counter!("passphrase_broker_audit_checkpoint_failures_total").increment(1);
                tracing::warn!(%error, "no checkpoint of the audit log was signed");
                false
            }
        }
    }

    /// Key Vault's newest keys sign from now on. While they cannot be read, those that were read last do.
    async fn refresh_signing_keys(&self) {
        let Some(secret) = &self.rules.checkpoints.signing_secret else { return };
        let request_id = Uuid::new_v4().to_string();
        let problem = match self.key_vault.read_document(&request_id, secret).await {
            Ok(Some(text)) => match SigningKeys::parse(&text) {
                Ok(keys) => return self.audit.sign_with(Some(Arc::new(keys))),
                Err(invalid) => invalid.to_string(),
            },
            Ok(None) => "there is no such secret".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!(%secret, problem, "the signing keys of the audit log cannot be read");
    }

    /// The anchor in Key Vault. One that cannot be read is told of, and does not stop the service.
    async fn kept_checkpoint(&self) -> Option<Checkpoint> {
        let secret = self.rules.checkpoints.kept_in.as_ref()?;
        let request_id = Uuid::new_v4().to_string();
        let kept = match self.key_vault.read_document(&request_id, secret).await {
            Ok(Some(note)) => self.audit.open_checkpoint(&note),
            Ok(None) => {
                report_anchor("key_vault", true);
                return None;
            }
            Err(error) => {
                tracing::error!(%secret, %error, "the checkpoint in Key Vault cannot be read");
                None
            }
        };
        report_anchor("key_vault", kept.is_some());
        kept
    }

    /// Writes again what a crash, or Key Vault, has lost.
    async fn keep_newest(&self, kept_size: u64) {
        if self.rules.checkpoints.kept_in.is_none() || !self.audit.signs() {
            return;
        }
        match self.audit.newest_signed().await {
            Ok(Some(newest)) if newest.size > kept_size => self.keep(&newest).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the newest checkpoint could not be read"),
        }
    }

    async fn keep(&self, checkpoint: &StoredCheckpoint) {
        let Some(secret) = &self.rules.checkpoints.kept_in else { return };
        let request_id = Uuid::new_v4().to_string();
        let root = STANDARD.encode(checkpoint.root);
        let tags = [("size", checkpoint.size.to_string()), ("root", root)];
        let note = &checkpoint.note;
        let kept = self.key_vault.write_document(&request_id, secret, note, &tags).await;
        if let Err(error) = kept {
            metrics::counter!("passphrase_broker_audit_checkpoint_failures_total").increment(1);
            tracing::error!(%secret, size = checkpoint.size, %error, "the checkpoint was not kept in Key Vault");
        }
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::NoKey => Self::NoSigningKey,
            other => {
                tracing::warn!(error = %other, "no checkpoint could be made");
                Self::AuditUnavailable
            }
        }
    }
}
