//! The one place that reads the tree's hashes from the database.

use sqlx::PgExecutor;

use super::{
    proof::{Leaves, subtrees},
    tree::{self, Hash},
};

/// The root of the tree over each of these ranges of leaves, from one query: log(n) rows for each. Of
/// `0..size` that is the root of the log when it had that size.
///
/// They are what was stored when the events were appended; nothing is hashed anew but the joints.
pub(super) async fn roots(
    database: impl PgExecutor<'_>,
    ranges: &[Leaves],
) -> Result<Vec<Hash>, sqlx::Error> {
    let wanted = ranges.iter().flat_map(subtrees);
    let (last, height): (Vec<i64>, Vec<i32>) =
        wanted.map(|subtree| (subtree.last.cast_signed(), subtree.height.cast_signed())).unzip();
    let stored = sqlx::query_scalar!(
        r#"select substr(hashes, 1 + 32 * height, 32) as "hash!"
           from unnest($1::bigint[], $2::int[]) with ordinality as wanted (last, height, position)
           join audit_tree on sequence = last order by position"#,
        &last,
        &height
    )
    .fetch_all(database)
    .await?;
    let hashes = stored.into_iter().map(|hash| Hash::try_from(hash).ok());
    let hashes: Vec<Hash> = hashes.collect::<Option<_>>().ok_or(sqlx::Error::RowNotFound)?;
    if hashes.len() != last.len() {
        return Err(sqlx::Error::RowNotFound);
    }
    let mut rest = hashes.as_slice();
    let root = |range| {
        let (its, others) = rest.split_at(subtrees(range).count());
        rest = others;
        tree::root(its)
    };
    Ok(ranges.iter().map(root).collect())
}
