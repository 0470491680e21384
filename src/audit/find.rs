//! One event of the log, with what decides who may see it.

use uuid::Uuid;

use super::{AuditLog, ListError, list::in_time};

#[derive(Debug)]
pub struct FoundEvent {
    /// The exact bytes.
    pub body: Vec<u8>,
    /// Tenant and object id. None: nobody in particular.
    pub actor: Option<(Uuid, Uuid)>,
    /// Whether it is one of those that the tenant's auditors see, as in [`super::EventFilter`].
    pub visible: bool,
}

struct Row {
    body: Vec<u8>,
    actor_tenant_id: Option<Uuid>,
    actor_object_id: Option<Uuid>,
    visible: bool,
}

impl AuditLog {
    pub async fn find(
        &self,
        sequence: u64,
        tenant_id: Uuid,
    ) -> Result<Option<FoundEvent>, ListError> {
        let Ok(sequence) = i64::try_from(sequence) else { return Ok(None) };
        let found = sqlx::query_as!(
            Row,
            r#"select body, actor_tenant_id, actor_object_id,
                   (actor_tenant_id = $1 or (actor_tenant_id is null and not exists
                       (select from machines m where m.id = machine_id and m.tenant_id <> $1))) as "visible!"
               from audit_events where sequence = $2"#,
            tenant_id,
            sequence
        );
        let event = |row: Row| FoundEvent {
            body: row.body,
            actor: row.actor_tenant_id.zip(row.actor_object_id),
            visible: row.visible,
        };
        Ok(in_time(found.fetch_optional(&self.pool)).await?.map(event))
    }
}
