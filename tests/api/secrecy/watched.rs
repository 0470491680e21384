//! A broker that is watched: at `LOG_LEVEL=trace`, over a PostgreSQL that logs every statement, with a record of all
//! that it answered. What an answer releases on purpose is taken out of the record and becomes a canary itself.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, sync::Mutex};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

use super::canaries::{self, Search};
use crate::harness::{Actor, Answer, Broker, Database, Setup};

pub(super) struct Watched {
    pub(super) broker: Broker,
    pub(super) portal: Actor,
    pub(super) helpdesk: Actor,
    pub(super) agent: Actor,
    directory: PathBuf,
    canaries: Mutex<Vec<(String, String)>>,
    answers: Mutex<String>,
    errors: Mutex<usize>,
}

impl Watched {
    pub(super) async fn start() -> Self {
        let settings = ["log_statement=all", "log_min_duration_statement=0", "log_connections=on"];
        let mut arguments = vec!["--fast"];
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let database = Database::create_apart(&arguments).await;
        let directory = std::env::temp_dir().join(format!("broker-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let environment = BTreeMap::from([
            ("LOG_LEVEL", "trace".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
            ("TMPDIR", directory.display().to_string()),
        ]);
        let setup = Setup {
            database: Some(database),
            environment,
            directory: Some(directory.clone()),
            ..Setup::default()
        };
        let broker = Broker::start(setup).await;
        let (portal, helpdesk, agent) = (broker.portal(), broker.helpdesk(), broker.agent());
        Self {
            broker,
            portal,
            helpdesk,
            agent,
            directory,
            canaries: Mutex::default(),
            answers: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    /// A passphrase that somebody provides.
    pub(super) fn mint(&self, label: &str) -> String {
        let canary = canaries::mint(label);
        self.canaries.lock().unwrap().push((label.to_owned(), canary.clone()));
        canary
    }

    /// Keeps what may be seen of an answer.
    pub(super) fn see(&self, label: &str, answer: Answer) -> Answer {
        let mut text = answer.text.clone();
        for released in passphrases(&answer.body) {
            let member = format!("\"passphrase\":{}", Value::from(released.clone()));
            text = text.replace(&member, "\"passphrase\":0");
            let mut canaries = self.canaries.lock().unwrap();
            if !canaries.iter().any(|(_, known)| *known == released) {
                canaries.push((label.to_owned(), released));
            }
        }
        let mut answers = self.answers.lock().unwrap();
        write!(answers, "\n== {label}: {}\n", answer.status).unwrap();
        for (name, value) in &answer.headers {
            writeln!(answers, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
        }
        answers.push_str(&text);
        drop(answers);
        answer
    }

    /// The same of an answer that must be an error.
    pub(super) fn see_error(&self, label: &str, answer: Answer) -> Answer {
        assert!(answer.status >= 400, "{label}: {} {}", answer.status, answer.text);
        *self.errors.lock().unwrap() += 1;
        self.see(label, answer)
    }

    pub(super) fn errors(&self) -> usize {
        *self.errors.lock().unwrap()
    }

    pub(super) fn search(&self) -> Search {
        Search::new(&self.canaries.lock().unwrap())
    }

    /// Every place in which a passphrase has no business, by name.
    pub(super) async fn places(&self) -> Vec<(&'static str, Vec<u8>)> {
        self.broker.database.execute("checkpoint").await;
        let process = PathBuf::from(format!("/proc/{}", self.broker.process_id()));
        let read = |name: &str| {
            std::fs::read(process.join(name)).unwrap_or_else(|error| refused_to_us(&error))
        };
        let metrics = self.broker.nobody().get("/metrics").await;
        let (data, log) = self.postgres_files().await;
        let answers = self.answers.lock().unwrap().clone();
        vec![
            ("the broker's output", self.broker.log().into_bytes()),
            ("answers", answers.into_bytes()),
            ("metrics", metrics.text.into_bytes()),
            ("tables", self.tables().await),
            ("PostgreSQL's log", log),
            ("PostgreSQL's files and WAL", data),
            ("temporary files", canaries::files(&self.directory)),
            ("environment", read("environ")),
            ("command line", read("cmdline")),
        ]
    }

    async fn postgres_files(&self) -> (Vec<u8>, Vec<u8>) {
        let mut connection = self.broker.database.superuser().await;
        let data: String =
            sqlx::query_scalar("show data_directory").fetch_one(&mut connection).await.unwrap();
        let data = PathBuf::from(data);
        let log = std::fs::read(data.parent().unwrap().join("log")).unwrap();
        (canaries::files(&data), log)
    }

    /// Every row as text: in the files a long value may be compressed.
    async fn tables(&self) -> Vec<u8> {
        let mut connection = self.broker.database.superuser().await;
        let names = "select format('%I.%I', schemaname, relname) from pg_stat_all_tables
            where schemaname not in ('information_schema', 'pg_toast')";
        let mut all = String::new();
        for table in sqlx::query(names).fetch_all(&mut connection).await.unwrap() {
            let name: String = table.get(0);
            let rows = format!(
                "select coalesce(string_agg(value, e'\\n'), '')
                 from {name} as t, jsonb_each_text(to_jsonb(t)) as members (name, value)"
            );
            let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(rows));
            all.push_str(&rows.fetch_one(&mut connection).await.unwrap());
        }
        all.into_bytes()
    }

    pub(super) fn registration(&self, value: &str) -> Value {
        let mut body = Actor::registration(&json!({"source": "provided", "value": value}));
        body["agentObjectId"] = json!(self.agent.object_id);
        body
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// The values of all members of that name.
fn passphrases(body: &Value) -> Vec<String> {
    match body {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("passphrase", Some(text)) => vec![text.to_owned()],
                _ => passphrases(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(passphrases).collect(),
        _ => Vec::new(),
    }
}

/// Of a process that is not dumpable, only root may read these: to anybody else they are as good as
/// searched.
fn refused_to_us(error: &std::io::Error) -> Vec<u8> {
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
    Vec::new()
}
