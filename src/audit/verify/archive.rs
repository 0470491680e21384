//! Events whose partition went to the archive: their hashes are in the tree's own table. That a partition went is
//! an event itself; what is gone without one is missing.

use futures_util::TryStreamExt;
use serde::Deserialize;
use sqlx::PgConnection;

use super::{
    row::Row,
    verifier::{Leaf, Verifier},
};

/// The partitions that the database says are in the archive, by their first sequence and the first after them.
pub(super) struct Archive(Vec<(i64, i64)>);

#[derive(Deserialize)]
struct Announcement {
    details: Range,
}

#[derive(Deserialize)]
struct Range {
    first: String,
    end: String,
}

/// Which partition went, when that is what this event tells.
pub(super) fn announcement(row: &Row) -> Option<(i64, i64)> {
    if row.action != "archive_audit_events" {
        return None;
    }
    let Range { first, end } = serde_json::from_slice::<Announcement>(&row.body).ok()?.details;
    Some((first.parse().ok()?, end.parse().ok()?))
}

impl Archive {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let archived = sqlx::query!(
            "select first_sequence, end_sequence from audit_partitions where archived_at is not null
             order by first_sequence"
        );
        let archived = archived.fetch_all(connection).await?;
        let range = archived.into_iter().map(|range| (range.first_sequence, range.end_sequence));
        Ok(Self(range.collect()))
    }

    /// The hashes that were kept.
    pub(super) async fn take(
        &self,
        connection: &mut PgConnection,
        verifier: &mut Verifier,
    ) -> Result<(), sqlx::Error> {
        let Some((_, end)) = self.0.last() else { return Ok(()) };
        let mut kept = sqlx::query!(
            "select sequence, hashes from audit_tree where sequence < $1 order by sequence",
            end
        )
        .fetch(connection);
        while let Some(row) = kept.try_next().await? {
            let sequence = u64::try_from(row.sequence).unwrap_or_default();
            let (hash, nodes) = row.hashes.split_first_chunk().unwrap_or((&[0; 32], &[]));
            verifier.take_archived(Leaf { sequence, hash: *hash, nodes, problems: Vec::new() });
        }
        Ok(())
    }

    pub(super) fn were_announced(&self, announced: &[(i64, i64)], verifier: &mut Verifier) {
        for range in &self.0 {
            if !announced.contains(range) {
                let first = u64::try_from(range.0).unwrap_or_default();
                let problem = "a partition is gone, and no event says that it went to the archive";
                verifier.missing(first, problem.to_owned());
            }
        }
    }
}
