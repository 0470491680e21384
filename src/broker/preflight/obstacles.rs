//! What would stop a registration or a rotation, in the words of preflight: the same facts, the same checks, the
//! same codes.

use std::time::Duration;

use crate::{
    azure::{Deadline, KeyVaultError},
    broker::{Broker, Error},
    domain::{
        caller::Caller,
        machine::Machine,
        preflight::{
            self, Status,
            facts::{Seen, Subject},
        },
    },
};

/// A person waits who was refused already: only to tell them why.
const TO_EXPLAIN: Duration = Duration::from_millis(2_500);

/// What stops MARS, or this service, from saving a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    KeyVaultSoftDeleted,
    IdentityMissing,
    PermissionMissing,
    SecretSoftDeleted,
}

const CHECKED: [(&str, Obstacle); 4] = [
    ("PF-05", Obstacle::KeyVaultSoftDeleted),
    ("PF-07", Obstacle::IdentityMissing),
    ("PF-09", Obstacle::PermissionMissing),
    ("PF-13", Obstacle::SecretSoftDeleted),
];

impl Broker {
    /// For a passphrase that MARS is to save by itself: refused when it is proved that it cannot. What could not be
    /// seen stops nobody. (What this service writes, it writes as itself: the Recovery Services vault needs no right
    /// for that, and is not asked to have one.)
    pub(in crate::broker) async fn require_that_mars_can_save(
        &self,
        caller: &Caller,
        machine: &Machine,
    ) -> Result<(), Error> {
        let facts = Box::pin(self.look(caller, Subject::of(machine), Some(machine))).await;
        let report = preflight::report(&facts, self.clock.now());
        let failed = |id: &str| {
            report.checks.iter().find(|check| check.id == id && check.status == Status::Fail)
        };
        let stopped = CHECKED.into_iter().find_map(|(id, obstacle)| {
            let check = failed(id)?;
            let detail = check.cause.clone().unwrap_or_default();
            Some(Error::Obstacle { obstacle, detail })
        });
        stopped.map_or(Ok(()), Err)
    }

    /// The host of a soft-deleted Key Vault does not resolve, so it looks like one that is out of reach: ARM knows
    /// the difference.
    pub(in crate::broker) async fn explain(
        &self,
        caller: &Caller,
        machine: &Machine,
        error: KeyVaultError,
    ) -> Error {
        let silent = matches!(&error, KeyVaultError::Unavailable(facts) if facts.status.is_none());
        if !silent {
            return error.into();
        }
        let request_id = caller.request().request_id.as_str();
        let subject = Subject::of(machine);
        let deadline = Deadline::after(TO_EXPLAIN);
        let looking = self.locate(request_id, &subject, &machine.key_vault_uri, deadline);
        match looking.await.deleted {
            Seen::Found(..) => Error::Obstacle {
                obstacle: Obstacle::KeyVaultSoftDeleted,
                detail: "The Key Vault is soft-deleted. Recover it, and give its roles again: preflight has the commands."
                    .to_owned(),
            },
            _ => error.into(),
        }
    }
}
