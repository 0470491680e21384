//! PostgreSQL, except the audit log: machines, rotations and idempotency keys.
//!
//! Reads take the [`Store`]; every change takes a connection, because it is made in the transaction of
//! the audit event that tells of it (`AuditLog::record_with`).

pub mod coverage;
pub mod idempotency;
pub mod machines;
pub mod recovery_services_vaults;
pub mod rotations;

use std::time::Duration;

use sqlx::PgPool;
use thiserror::Error;
use time::OffsetDateTime;

/// A stopped or unreachable PostgreSQL is told from a slow one by this: nobody waits longer to learn
/// that nothing can be looked up.
const DEADLINE: Duration = Duration::from_millis(1_200);

#[derive(Clone)]
pub struct Store {
    pool: PgPool,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    Late,
    /// A row that the migrations' checks should not have let in.
    #[error("{table}.{column} holds something that cannot be")]
    Corrupt { table: &'static str, column: &'static str },
}

impl Error {
    /// The unique index that a row would have broken.
    fn violated(&self) -> Option<&str> {
        match self {
            Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                error.constraint()
            }
            Self::Database(_) | Self::Late | Self::Corrupt { .. } => None,
        }
    }
}

impl Store {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// PostgreSQL's clock, if it answers and has our tables: what `/readyz` asks.
    pub async fn clock(&self) -> Option<OffsetDateTime> {
        let there = sqlx::query_scalar!(
            "select clock_timestamp() where to_regclass('idempotency_keys') is not null"
        );
        within_deadline(there.fetch_optional(&self.pool)).await.ok()??
    }
}

async fn within_deadline<T>(
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, query)
        .await
        .map_err(|_elapsed| Error::Late)?
        .map_err(Error::from)
}
