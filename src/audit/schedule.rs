//! When a checkpoint is due, and which keys verify those that there are.

use std::{sync::PoisonError, time::Duration};

use super::{
    AuditLog,
    checkpoint::{CheckpointError, StoredCheckpoint},
    list::in_time,
    note::{Checkpoint, VerifierKey, VerifierKeys},
};

/// However young the last checkpoint is, after so many events another one is due.
const MOST_UNSIGNED: u64 = 1_000;

impl AuditLog {
    /// Signs when the log has grown and the newest checkpoint, whichever replica signed it, is this old or far
    /// behind. Two replicas that do so at the same moment write two checkpoints of one log.
    pub async fn sign_if_due(
        &self,
        every: Duration,
    ) -> Result<Option<StoredCheckpoint>, CheckpointError> {
        if !self.signs() || self.read_only().is_some() {
            return Ok(None);
        }
        let newest = self.newest_signed().await?;
        let head = sqlx::query!(
            r#"select size, clock_timestamp() as "now!" from audit_head where id = 1"#
        );
        let head = in_time(head.fetch_one(&self.pool)).await?;
        let size = u64::try_from(head.size).unwrap_or_default();
        let unsigned = size.saturating_sub(newest.as_ref().map_or(0, |newest| newest.size));
        let gauge = f64::from(u32::try_from(unsigned).unwrap_or(u32::MAX));
        metrics::gauge!("passphrase_broker_audit_unsigned_events").set(gauge);
        let old = newest.is_none_or(|newest| head.now - newest.signed_at >= every);
        if unsigned >= MOST_UNSIGNED || (unsigned > 0 && old) {
            return self.sign_checkpoint().await.map(Some);
        }
        Ok(None)
    }

    /// Every key that ever signed, as verifier keys, oldest first: what the last refresh found.
    pub fn public_keys(&self) -> Vec<String> {
        self.public_keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A checkpoint that was kept outside the database, if a key of this log has signed it: a former one will do.
    pub fn open_checkpoint(&self, note: &str) -> Option<Checkpoint> {
        let keys: VerifierKeys =
            self.public_keys().iter().filter_map(|key| key.parse::<VerifierKey>().ok()).collect();
        Checkpoint::open(note, &keys).ok()
    }

    /// Callers without a token ask for the keys, so they are kept in memory.
    pub async fn refresh_public_keys(&self) -> Result<(), CheckpointError> {
        let stored = sqlx::query_scalar!(
            "select verifier_key from audit_verifier_keys order by first_used_at, verifier_key limit 1000"
        );
        let mut keys = in_time(stored.fetch_all(&self.pool)).await?;
        let own = self.signer().map(|signer| signer.verifier_keys());
        let own = own.iter().flat_map(VerifierKeys::iter).map(ToString::to_string);
        keys.extend(own.filter(|key| !keys.contains(key)).collect::<Vec<_>>());
        *self.public_keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}
