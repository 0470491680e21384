//! What lets others check the log without this service: proofs, receipts and exports. Each is on record
//! before it is given away, like every reading of the log.

use super::{Broker, Error};
use crate::{
    audit::{
        ConsistencyProof, Export, ExportFilter, FoundEvent, InclusionProof, ProofError,
        StoredCheckpoint, TlogProof, note::Checkpoint,
    },
    domain::{audit_event::Outcome, caller::Caller, principal::Role},
};

const NO_SUCH_EVENT: Error = Error::NotFound("audit event");

impl Broker {
    /// That an event is in the tree of the stored checkpoint of that size, or of the newest one.
    pub async fn prove_audit_event(
        &self,
        caller: &Caller,
        sequence: u64,
        size: Option<u64>,
    ) -> Result<(InclusionProof, StoredCheckpoint), Error> {
        // Whatever tenant's it is: hashes tell nobody anything.
        if sequence >= self.audit.size().await? {
            return Err(NO_SUCH_EVENT);
        }
        let checkpoint = match size {
            Some(size) => self.stored_checkpoint("size", size).await?,
            None => self.covering_checkpoint(sequence).await?,
        };
        if checkpoint.size <= sequence {
            let detail = "that checkpoint does not cover the event".to_owned();
            return Err(Error::InvalidRequest { pointer: "size", detail });
        }
        let proof = self.audit.prove_inclusion(sequence, tree(&checkpoint)).await?;
        self.record_reading(caller, sequence).await?;
        Ok((proof, checkpoint))
    }

    /// An event with its proof, to keep. For auditors, and for whoever's act it was.
    pub async fn issue_audit_receipt(
        &self,
        caller: &Caller,
        sequence: u64,
    ) -> Result<TlogProof, Error> {
        let found = self.audit.find(sequence, caller.tenant_id()).await?;
        let found = found.filter(|event| may_have_receipt(caller, event)).ok_or(NO_SUCH_EVENT)?;
        let checkpoint = self.covering_checkpoint(sequence).await?;
        let proof = self.audit.prove_inclusion(sequence, tree(&checkpoint)).await?;
        if !proof.is_of(&found.body) {
            tracing::error!(sequence, "an audit event is not the one that was hashed");
            return Err(Error::Internal("the audit event is not the one that was hashed"));
        }
        self.record_reading(caller, sequence).await?;
        Ok(TlogProof::of(proof, Some(found.body), checkpoint.note))
    }

    /// That the log of `from` events is the beginning of that of `to`, which is a stored checkpoint: the
    /// newest, when it is not named.
    pub async fn prove_audit_consistency(
        &self,
        caller: &Caller,
        from: u64,
        to: Option<u64>,
    ) -> Result<(ConsistencyProof, StoredCheckpoint), Error> {
        let newest = match to {
            Some(size) => self.stored_checkpoint("to", size).await?,
            None => match self.audit.latest_checkpoint().await? {
                Some(newest) => newest,
                None => self.audit.sign_checkpoint().await?,
            },
        };
        if from > newest.size {
            let detail = format!("the log has {} events there", newest.size);
            return Err(Error::InvalidRequest { pointer: "from", detail });
        }
        let before = Checkpoint { size: from, root: self.audit.root_at(from).await? };
        let proof = self.audit.prove_consistency(before, tree(&newest)).await?;
        self.audit.record(self.event(caller, Outcome::Succeeded)).await?;
        Ok((proof, newest))
    }

    /// All events of a time, with all that it takes to verify them.
    pub async fn export_audit_events(
        &self,
        caller: &Caller,
        filter: ExportFilter,
    ) -> Result<Export, Error> {
        self.audit.record(self.event(caller, Outcome::Succeeded)).await?;
        let checkpoint = match self.audit.sign_checkpoint().await {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                tracing::warn!(%error, "an export of the audit log goes without a checkpoint");
                None
            }
        };
        Ok(self.audit.export(filter, checkpoint).await?)
    }

    async fn record_reading(&self, caller: &Caller, sequence: u64) -> Result<(), Error> {
        let event = self.event(caller, Outcome::Succeeded);
        self.audit.record(event.with("sequence", sequence.to_string())).await?;
        Ok(())
    }

    async fn stored_checkpoint(
        &self,
        pointer: &'static str,
        size: u64,
    ) -> Result<StoredCheckpoint, Error> {
        let found = self.audit.checkpoint_at(size).await?;
        found.filter(|checkpoint| checkpoint.size == size).ok_or_else(|| {
            let detail = "there is no checkpoint of that size".to_owned();
            Error::InvalidRequest { pointer, detail }
        })
    }

    async fn covering_checkpoint(&self, sequence: u64) -> Result<StoredCheckpoint, Error> {
        let newest = self.audit.latest_checkpoint().await?;
        match newest.filter(|checkpoint| checkpoint.size > sequence) {
            Some(checkpoint) => Ok(checkpoint),
            None => Ok(self.audit.sign_checkpoint().await?),
        }
    }
}

fn tree(checkpoint: &StoredCheckpoint) -> Checkpoint {
    Checkpoint { size: checkpoint.size, root: checkpoint.root }
}

fn may_have_receipt(caller: &Caller, event: &FoundEvent) -> bool {
    let principal = caller.principal();
    let acted = event.actor == Some((principal.tenant_id, principal.object_id));
    acted || (event.visible && principal.roles.contains(Role::AuditRead))
}

impl From<ProofError> for Error {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Unreadable(error) => Self::AuditUnreadable(error),
            ProofError::Beyond => NO_SUCH_EVENT,
            ProofError::Contradiction => {
                Self::Internal("the audit log is not the one that its checkpoint was made of")
            }
        }
    }
}
