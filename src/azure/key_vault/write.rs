//! Writing a secret, once.
//!
//! A `PUT` makes a new version each time it arrives, so one whose answer was lost is never
//! repeated: this looks for the version with the operation's tag instead. What that version holds
//! is read back, because another replica may have written for the same operation.

use std::time::Duration;

use reqwest::Method;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    KeyVault, KeyVaultError, KeyVaultFacts, SetError,
    call::{Answer, Call, Deadline, Effect, Repeat},
    url, wire,
};
#[cfg(debug_assertions)]
use super::{kind, unavailable};
use crate::{
    azure::sealed::{Entry, SealedPassphrases},
    domain::{
        key_vault_id::{KeyVaultUri, SecretIdentifier},
        passphrase::Passphrase,
        secret_name::SecretName,
    },
};

/// For everything, looking included.
const SET_BUDGET: Duration = Duration::from_secs(9);
/// A write that succeeds does so in this; the rest of the budget is for looking.
const PUT_BUDGET: Duration = Duration::from_secs(5);
/// Before each look. A request that we gave up on may still be on its way.
const LOOKS: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_millis(2_500)];

/// What a version says of its origin. Microsoft may copy tags around the world, so: two ids of ours
/// and nothing of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretTags {
    pub operation: Uuid,
    pub machine: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredHow {
    Written,
    /// The answer was lost; looking found the version.
    FoundAfterLostReply,
}

/// A version that Key Vault has acknowledged.
pub struct Stored {
    /// This version, and no other.
    pub sealed: SealedPassphrases,
    pub identifier: SecretIdentifier,
    pub created_at: OffsetDateTime,
    pub outcome: StoredHow,
}

impl KeyVault {
    pub async fn set_secret(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        passphrase: Passphrase,
        tags: &SecretTags,
    ) -> Result<Stored, SetError> {
        let write = Write { request_id, key_vault, name, tags };
        self.write(write, passphrase, Deadline::after(SET_BUDGET)).await
    }

    /// Writes what `from` holds as a new version of `to`, in the same Key Vault. Nobody sees it.
    pub async fn copy_version(
        &self,
        request_id: &str,
        from: &SecretIdentifier,
        to: &SecretName,
        tags: &SecretTags,
    ) -> Result<Stored, SetError> {
        let deadline = Deadline::after(SET_BUDGET);
        let entry = self
            .read(request_id, from, deadline.earlier_of(super::GET_BUDGET))
            .await
            .map_err(SetError::Refused)?;
        let write = Write { request_id, key_vault: &from.key_vault, name: to, tags };
        self.write(write, entry.passphrase, deadline).await
    }

    async fn write(
        &self,
        write: Write<'_>,
        passphrase: Passphrase,
        deadline: Deadline,
    ) -> Result<Stored, SetError> {
        let Some(body) = wire::setting(&passphrase, write.tags) else {
            return Err(SetError::Refused(KeyVaultError::Refused(KeyVaultFacts::default())));
        };
        fail_point!(("put.before {}", kind(write.name)), Err(SetError::Refused(unavailable())));
        let call = Call {
            operation: "set_secret",
            request_id: write.request_id,
            method: Method::PUT,
            key_vault: write.key_vault,
            url: url(write.key_vault, &format!("/{}", write.name), ""),
            body: Some(body),
            limit: wire::VALUE_LIMIT,
        };
        let budget = deadline.earlier_of(PUT_BUDGET);
        let lost = match self.send(call, Repeat::IfWithoutEffect, budget).await {
            Ok(answer) => match write.acknowledged(&answer, &passphrase) {
                Some(entry) => {
                    fail_point!(
                        ("put.after {}", kind(write.name)),
                        Err(SetError::OutcomeUnknown(unavailable()))
                    );
                    return Ok(self.stored(entry, StoredHow::Written));
                }
                None => KeyVaultError::InvalidAnswer(answer.facts),
            },
            Err(failure) if failure.effect == Effect::Never => {
                return Err(SetError::Refused(failure.error));
            }
            Err(failure) => failure.error,
        };
        fail_point!(
            ("put.lost {}", kind(write.name)),
            Err(SetError::OutcomeUnknown(unavailable()))
        );
        self.look(write, &passphrase, lost, deadline).await
    }

    /// The answer to a write was lost: has it happened? A version of the same operation that holds another
    /// passphrase is somebody else's, or an earlier attempt's that came late.
    async fn look(
        &self,
        write: Write<'_>,
        passphrase: &Passphrase,
        lost: KeyVaultError,
        deadline: Deadline,
    ) -> Result<Stored, SetError> {
        let Write { request_id, key_vault, name, tags } = write;
        for pause in LOOKS {
            if deadline.left() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
            let found = self.find(request_id, key_vault, name, tags.operation, deadline).await;
            for version in found.unwrap_or_default() {
                let version = &version.identifier;
                let read = self.read(request_id, version, deadline).await;
                if let Some(entry) = read.ok().filter(|entry| entry.passphrase.same_as(passphrase))
                {
                    tracing::info!(request_id, %version, "found after a lost reply");
                    return Ok(self.stored(entry, StoredHow::FoundAfterLostReply));
                }
            }
        }
        Err(SetError::OutcomeUnknown(lost))
    }

    fn stored(&self, entry: Entry, outcome: StoredHow) -> Stored {
        Stored {
            identifier: entry.identifier.clone(),
            created_at: entry.created_at.unwrap_or_else(|| self.clock.now()),
            sealed: SealedPassphrases::seal(vec![entry]),
            outcome,
        }
    }
}

struct Write<'a> {
    request_id: &'a str,
    key_vault: &'a KeyVaultUri,
    name: &'a SecretName,
    tags: &'a SecretTags,
}

impl Write<'_> {
    /// What the answer acknowledges, if it is this write.
    fn acknowledged(&self, answer: &Answer, passphrase: &Passphrase) -> Option<Entry> {
        let bundle = wire::Bundle::parse(&answer.body)?;
        let identifier =
            bundle.identifier(self.key_vault).filter(|found| found.name == *self.name)?;
        let stored = bundle.value.filter(|stored| stored.same_as(passphrase))?;
        let created_at = bundle.attributes.created_at();
        Some(Entry { identifier, created_at, passphrase: stored })
    }
}
