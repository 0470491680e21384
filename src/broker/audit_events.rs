//! Reading the log, which is itself on record.

use super::{Broker, Error};
use crate::{
    audit::{EventFilter, StoredEvent},
    domain::{audit_event::Outcome, caller::Caller},
};

impl Broker {
    /// At most `limit` events, newest first. The reading is on record before it happens, and not in its
    /// own page.
    pub async fn list_audit_events(
        &self,
        caller: &Caller,
        mut filter: EventFilter,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, Error> {
        let mut event = self.event(caller, Outcome::Succeeded);
        if let Some(id) = filter.machine_id {
            event = event.on_machine(id);
        }
        if let Some(actor) = filter.actor {
            event = event.with("actorFilter", actor.to_string());
        }
        let reading = self.audit.record(event).await?.sequence;
        filter.before = Some(filter.before.map_or(reading, |before| before.min(reading)));
        Ok(self.audit.list(filter, limit).await?)
    }
}
