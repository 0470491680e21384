//! PostgreSQL: one private server for the test process, one database for each broker.

use std::{
    io::{BufRead, BufReader},
    process::{ChildStdin, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

use super::keeper;

/// A server that ends when its standard input closes.
pub(super) struct Server {
    superuser_url: String,
    _open: ChildStdin,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| start(&["--fast"]));

#[expect(clippy::zombie_processes, reason = "it ends when its standard input closes, with us")]
pub(super) fn start(arguments: &[&str]) -> Server {
    let mut command = Command::new("tests/postgres/run.sh");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut child = keeper::spawn(command);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Server { superuser_url: line.trim().to_owned(), _open: child.stdin.take().unwrap() }
}

/// A migrated database of its own.
#[derive(Clone)]
pub struct Database {
    pub superuser_url: String,
    pub service_url: String,
    /// Holds a server of its own open.
    _server: Option<std::sync::Arc<Server>>,
}

impl Database {
    pub async fn create() -> Self {
        Self::create_on(&SERVER.superuser_url, None).await
    }

    /// On a server of its own, for tests that stop it or read its files.
    pub async fn create_apart(arguments: &[&str]) -> Self {
        let server = std::sync::Arc::new(start(arguments));
        let url = server.superuser_url.clone();
        Self::create_on(&url, Some(server)).await
    }

    pub(super) async fn create_on(
        server_url: &str,
        server: Option<std::sync::Arc<Server>>,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server_url).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        let (base, _) = server_url.rsplit_once('/').unwrap();
        let superuser_url = format!("{base}/{name}");
        let config = passphrase_broker::config::MigrationConfig {
            database_url: SecretString::from(superuser_url.clone()),
            log_level: "warn".to_owned(),
        };
        passphrase_broker::server::apply_migrations(&config.database_url).await.unwrap();
        let service_url =
            superuser_url.replace("postgres://postgres@", "postgres://passphrase_broker@");
        Self { superuser_url, service_url, _server: server }
    }

    /// A connection of the owner.
    pub async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.superuser_url).await.unwrap()
    }

    /// A connection of the service's own role.
    pub async fn service(&self) -> PgConnection {
        let options: PgConnectOptions = self.service_url.parse().unwrap();
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Runs a statement as the owner.
    pub async fn execute(&self, statement: &str) {
        let mut connection = self.superuser().await;
        connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
    }

    /// Asks for one column of text as the owner.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut connection = self.superuser().await;
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    /// Asks for one number as the owner.
    pub async fn count(&self, query: &str) -> i64 {
        let mut connection = self.superuser().await;
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}
