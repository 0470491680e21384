//! The audit log as its owner sees it, past the service.

use serde_json::Value;
use sqlx::{FromRow, postgres::PgRow};

use super::Database;

/// A row of the log, with what the database derived from its body.
#[derive(Debug, FromRow)]
pub struct Logged {
    pub sequence: i64,
    pub bytes: Vec<u8>,
    pub leaf: Vec<u8>,
    pub event_id: String,
    pub operation_id: String,
    pub action: String,
    pub outcome: String,
    pub actor_tenant_id: Option<String>,
    pub actor_object_id: Option<String>,
    pub machine_id: Option<String>,
}

impl Logged {
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// A text of the body by its JSON pointer; empty when there is none.
    pub fn text(&self, pointer: &str) -> String {
        self.body().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Database {
    /// The events that fit a condition, in their order. `event` is the body as JSON.
    pub async fn logged(&self, condition: &str) -> Vec<Logged> {
        let query = format!(
            "select sequence, body as bytes, leaf, event_id::text, operation_id::text, action, outcome,
                 actor_tenant_id::text, actor_object_id::text, machine_id::text
             from (select *, convert_from(body, 'UTF8')::jsonb as event from audit_events) as log
             where {condition} order by sequence"
        );
        let rows: Vec<PgRow> = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut self.superuser().await)
            .await
            .unwrap();
        rows.iter().map(|row| Logged::from_row(row).unwrap()).collect()
    }

    /// Appends made-up events as the owner, through the triggers.
    pub async fn append(&self, events: u32) {
        self.execute(&format!(
            "insert into audit_events (sequence, body)
             select size + i, convert_to('{{\"action\":\"retire_machine\",\"actor\":{{\"kind\":\"system\"}},\"id\":\"' || gen_random_uuid()
                 || '\",\"operationId\":\"' || gen_random_uuid() || '\",\"outcome\":\"denied\"}}', 'UTF8')
             from audit_head, generate_series(0, {events} - 1) i order by i"
        ))
        .await;
    }

    /// Before the first event: partitions of that many events each.
    pub async fn with_partitions_of(self, events: u32) -> Self {
        let drops = "select format('drop table %I', name) from audit_partitions";
        for drop in self.texts(drops).await {
            self.execute(&drop).await;
        }
        self.execute(&format!(
            "delete from audit_partitions; update audit_log_settings set partition_size = {events};
             select make_audit_partitions()"
        ))
        .await;
        self
    }

    /// The events of one request, in their order.
    pub async fn events_of(&self, request_id: &str) -> Vec<Logged> {
        self.logged(&format!("event ->> 'requestId' = '{request_id}'")).await
    }
}
