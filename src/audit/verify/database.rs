//! Reads the log out of PostgreSQL, in one snapshot and without ever holding more than a few rows.

use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection};
use thiserror::Error;

use super::{
    Evidence, Report,
    row::Row,
    verifier::{Head, Verifier},
};
use crate::audit::tree::Frontier;

#[derive(Debug, Error)]
pub enum VerifyError {
    #[error("the audit log is not readable")]
    Database(#[from] sqlx::Error),
    #[error("the database has no audit log")]
    NoHead,
}

/// Verifies the log at `url`, whose role needs no more than SELECT. `progress` hears how many of how
/// many events are done.
pub async fn database(
    url: &str,
    evidence: Evidence,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut connection = PgConnection::connect(url).await?;
    // The head and the events of one moment, though others append meanwhile.
    let mut snapshot =
        connection.begin_with("begin isolation level repeatable read read only").await?;
    // The service's own role may not take as long as this takes.
    sqlx::query!("set local statement_timeout = 0").execute(&mut *snapshot).await?;
    let head = sqlx::query!("select size, frontier from audit_head where id = 1")
        .fetch_optional(&mut *snapshot)
        .await?
        .ok_or(VerifyError::NoHead)?;
    let size = u64::try_from(head.size).unwrap_or_default();
    let head = Head { size, frontier: Some(head.frontier) };
    let mut verifier = Verifier::new(evidence, Frontier::default());
    let mut rows = sqlx::query_as!(
        Row,
        "select sequence, body, recorded_at, leaf, nodes, fingerprint, event_id, operation_id, action, outcome,
                actor_tenant_id, actor_object_id, machine_id
         from audit_events order by sequence"
    )
    .fetch(&mut *snapshot);
    let mut done = 0;
    while let Some(row) = rows.try_next().await? {
        verifier.take(row.leaf());
        done += 1;
        progress(done, head.size);
    }
    Ok(verifier.finish(&head))
}
