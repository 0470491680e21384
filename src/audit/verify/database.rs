//! Reads the log out of PostgreSQL, in one snapshot and without ever holding more than a few rows.

use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection};
use thiserror::Error;

use super::{
    Evidence, Report,
    archive::{Archive, announcement},
    recorded_at::RecordedAt,
    row::Row,
    verifier::{Head, Verifier},
};
use crate::audit::tree::Frontier;

#[derive(Debug, Error)]
#[error("the audit log is not readable")]
pub struct VerifyError(#[from] sqlx::Error);

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
        .await?;
    let mut verifier = Verifier::new(evidence, Frontier::default());
    // An empty log has one as well.
    if head.is_none() {
        verifier.altered(None, "the log has no head".to_owned());
    }
    let (size, frontier) = head.map_or((0, None), |head| (head.size, Some(head.frontier)));
    let head = Head { size: u64::try_from(size).unwrap_or_default(), frontier };
    let archived = Archive::read(&mut snapshot).await?;
    archived.take(&mut snapshot, &mut verifier).await?;
    // The tables are read in their order, side by side: a plan that sorts would hold them whole.
    sqlx::query!("set local enable_hashjoin = off").execute(&mut *snapshot).await?;
    sqlx::query!("set local enable_sort = off").execute(&mut *snapshot).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"select sequence, body, e.recorded_at as "recorded_at: RecordedAt", leaf, nodes, fingerprint, e.event_id, operation_id, action, outcome,
                actor_tenant_id, actor_object_id, machine_id,
                (t.hashes = leaf || nodes and t.event_id = e.event_id and t.recorded_at = e.recorded_at) as "fits_tree?"
         from audit_events e left join audit_tree t using (sequence) order by sequence"#
    )
    .fetch(&mut *snapshot);
    let (mut done, mut announced) = (0, Vec::new());
    while let Some(row) = rows.try_next().await? {
        verifier.take(row.leaf());
        announced.extend(announcement(&row));
        done += 1;
        progress(done, head.size);
    }
    archived.were_announced(&announced, &mut verifier);
    drop(rows);
    let beyond =
        sqlx::query_scalar!("select min(sequence) from audit_tree where sequence >= $1", size)
            .fetch_one(&mut *snapshot)
            .await?;
    if let Some(beyond) = beyond.and_then(|sequence| u64::try_from(sequence).ok()) {
        let problem = "the table of the tree has a place beyond the head: nothing can be appended";
        verifier.altered(Some(beyond), problem.to_owned());
    }
    Ok(verifier.finish(&head))
}
