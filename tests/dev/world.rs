//! What is around the broker: a database, azsim, and people and programs with tokens.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use azsim::{Azsim, Identity, Machine, MachineKind, Ports, TokenSpec};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use crate::{
    directory::{ARC_KEYS, AZSIM_CA, Directory},
    process::Process,
    samples,
};

/// The client id of the broker's app registration.
pub(crate) const AUDIENCE: &str = "6f1d2c3b-4a59-4e68-8f70-112233445566";
/// The managed identity of the sample machine.
pub(crate) const AGENT: &str = "0a6e1c55-7d0b-4c3e-9f21-5b8f4d2e7a04";
const DATABASE: &str = "passphrase_broker";

/// Stops when it is dropped: the database first.
pub(crate) struct World {
    /// PostgreSQL's keeper, `tests/postgres/run.sh`.
    pub server: Process,
    pub superuser_url: String,
    pub service_url: String,
    pub azsim: Azsim,
}

/// Somebody's access token, under the name of its variable.
pub(crate) struct Token {
    pub variable: &'static str,
    pub value: String,
}

impl World {
    pub(crate) async fn start(directory: &Directory) -> anyhow::Result<Self> {
        let mut azure = samples::world()?;
        azure.machines.push(sample_machine());
        azure.arc_key_directory = Some(directory.file(ARC_KEYS));
        let azsim = Azsim::start_on(azure, Ports::default()).context("azsim")?;
        directory.write(AZSIM_CA, &azsim.ca_pem())?;
        let (server, server_url) = start_postgresql().await?;
        let superuser_url = create_database(&server_url).await.context("PostgreSQL")?;
        let service_url =
            superuser_url.replace("postgres://postgres@", "postgres://passphrase_broker@");
        Ok(Self { server, superuser_url, service_url, azsim })
    }

    /// The identity endpoint of the administrator; its header is the broker's.
    pub(crate) fn administrators_endpoint(&self) -> String {
        let path = format!("/machines/{}/msi/token", samples::ADMINISTRATORS_MACHINE);
        self.azsim.identity_endpoint().replace("/msi/token", &path)
    }

    /// Fresh ones, of the same people and programs each time.
    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        let user = |id: &str| TokenSpec::user(AUDIENCE, id).lifetime_seconds(2 * 3600);
        let application = |id: &str| TokenSpec::application(AUDIENCE, id).lifetime_seconds(86_400);
        let portal = ["Machines.Read", "Machines.Register", "Passphrases.Rotate", "Preflight.Run"];
        let specs = [
            ("TOKEN_PORTAL", application("0a6e1c55-7d0b-4c3e-9f21-5b8f4d2e7a01").roles(&portal)),
            (
                "TOKEN_HELPDESK",
                user("0a6e1c55-7d0b-4c3e-9f21-5b8f4d2e7a02")
                    .roles(&["Machines.Read", "Passphrases.Retrieve"]),
            ),
            (
                "TOKEN_AUDITOR",
                user("0a6e1c55-7d0b-4c3e-9f21-5b8f4d2e7a03")
                    .roles(&["Audit.Read", "Machines.Read"]),
            ),
            ("TOKEN_AGENT", application(AGENT).roles(&["Agent"])),
            ("TOKEN_NOBODY", user("0a6e1c55-7d0b-4c3e-9f21-5b8f4d2e7a05")),
        ];
        let mint = |(variable, spec): (&'static str, TokenSpec)| {
            Ok(Token { variable, value: self.azsim.mint(&spec)? })
        };
        specs.into_iter().map(mint).collect()
    }
}

/// In Azure Arc, with the identity that is bound to the sample machine.
fn sample_machine() -> Machine {
    let system_assigned = Identity {
        principal_id: AGENT.to_owned(),
        app_roles: [(AUDIENCE.to_owned(), vec!["Agent".to_owned()])].into(),
        ..Identity::default()
    };
    let machine = Machine::new("srv-web01", MachineKind::Arc);
    Machine { system_assigned: Some(system_assigned), ..machine }
}

async fn start_postgresql() -> anyhow::Result<(Process, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/run.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg("--durable").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Process::spawn(command)?;
    let stdout = server.stdout().context("PostgreSQL's standard output")?;
    let (send, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        drop(BufReader::new(stdout).read_line(&mut line));
        drop(send.send(line));
    });
    let line = line.await.unwrap_or_default();
    if line.is_empty() {
        bail!("PostgreSQL did not start ({})", server.ended().await?);
    }
    Ok((server, line.trim().to_owned()))
}

async fn create_database(server_url: &str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(server_url).await?;
    connection.execute("create database passphrase_broker").await?;
    connection.close().await?;
    let (server, _) = server_url.rsplit_once('/').context("a URL without a database")?;
    Ok(format!("{server}/{DATABASE}"))
}
