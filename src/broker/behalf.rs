//! On whose behalf a use case goes on: a caller's, or that of one who was interrupted. Finishing is the
//! same code; only the log tells the difference.

use std::borrow::Cow;

use uuid::Uuid;

use super::Broker;
use crate::domain::{
    audit_event::{AuditEvent, Outcome},
    caller::Caller,
};

#[derive(Debug, Clone, Copy)]
pub(super) enum Behalf<'a> {
    Caller(&'a Caller),
    /// The reconciler's. All events of one round share the operation's id, which Key Vault is told, too.
    Interrupted {
        action: &'static str,
        operation_id: Uuid,
    },
}

impl Behalf<'_> {
    pub(super) fn interrupted(action: &'static str) -> Self {
        Self::Interrupted { action, operation_id: Uuid::now_v7() }
    }

    /// What Key Vault's own log will call it.
    pub(super) fn request_id(&self) -> Cow<'_, str> {
        match self {
            Self::Caller(caller) => Cow::Borrowed(&caller.request().request_id),
            Self::Interrupted { operation_id, .. } => Cow::Owned(operation_id.to_string()),
        }
    }
}

impl<'a> From<&'a Caller> for Behalf<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self::Caller(caller)
    }
}

impl Broker {
    pub(super) fn event_for(&self, behalf: Behalf<'_>, outcome: Outcome) -> AuditEvent {
        match behalf {
            Behalf::Caller(caller) => self.event(caller, outcome),
            Behalf::Interrupted { action, operation_id } => {
                AuditEvent::by_system(action, outcome, self.clock.now()).of_operation(operation_id)
            }
        }
    }
}
