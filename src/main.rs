//! `serve | migrate | openapi | check-config | audit verify | audit keygen`; nothing else.
//!
//! Exit code 2 means that the configuration is wrong: every mistake is on standard error then, one
//! a line. Exit code 1 is any other failure. `audit verify` says 1 for a log that is not as it should be
//! and 2 when it could not look.

#[path = "main/verify.rs"]
mod verify;

use std::{
    alloc::System,
    fmt::Display,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use passphrase_broker::{
    audit,
    config::{Config, MigrationConfig, Mistake},
    http, process, server,
};
use zeroizing_alloc::ZeroAlloc;

/// Wipes every block when it is freed: libraries make copies of passphrases that no type of ours
/// guards (measured: 6 to 10 of 200 are found in memory without this, none with it).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Keeps, rotates and releases the passphrases of Azure Backup's MARS agents",
    after_help = "Configuration comes from environment variables alone; the README lists them."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = "Serve the API until SIGTERM or SIGINT (the default)")]
    Serve,
    #[command(about = "Bring the database to this version, as the role of MIGRATION_DATABASE_URL")]
    Migrate,
    #[command(about = "Print the OpenAPI document")]
    Openapi,
    #[command(about = "Check the configuration and print what is in effect, without secrets")]
    CheckConfig,
    #[command(subcommand, about = "What others do with the audit log, without the service")]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
enum Audit {
    #[command(about = "Check that no event was altered, and none is missing up to a checkpoint")]
    Verify(verify::Verify),
    #[command(about = "Make a key pair for checkpoints: the public key is printed")]
    Keygen(Keygen),
}

#[derive(Debug, Args)]
struct Keygen {
    #[arg(long, help = "What the log is called, such as audit.contoso.com/passphrase-broker")]
    name: String,
    #[arg(long, value_name = "FILE", help = "Where the private key is written; it must not exist")]
    private_key: PathBuf,
}

enum Failure {
    /// `audit verify` found something, and has said what.
    BadLog,
    /// `audit verify` could not look.
    NotVerified(anyhow::Error),
    Configuration(Vec<Mistake>),
    Other(anyhow::Error),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(mistakes)) => {
            mistakes.iter().for_each(complain);
            ExitCode::from(2)
        }
        Err(Failure::BadLog) => ExitCode::FAILURE,
        Err(Failure::NotVerified(error)) => {
            complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve => serve(),
        Command::Migrate => migrate(),
        Command::Openapi => Ok(print(&http::openapi_json())?),
        Command::CheckConfig => Ok(print(&Config::from_env()?.describe())?),
        Command::Audit(Audit::Verify(arguments)) => verify::run(&arguments),
        Command::Audit(Audit::Keygen(arguments)) => Ok(keygen(&arguments)?),
    }
}

fn serve() -> Result<(), Failure> {
    harden()?;
    let config = Config::from_env()?;
    arm_fail_point()?;
    Ok(block_on(server::serve(config))?)
}

/// A release build has none.
#[cfg_attr(not(debug_assertions), expect(clippy::unnecessary_wraps, reason = "nothing to arm"))]
fn arm_fail_point() -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some(text) = passphrase_broker::config::fail_point() {
        let armed = passphrase_broker::fail_point::arm(&text);
        armed.map_err(|problem| anyhow::anyhow!("FAIL_POINT {problem}"))?;
    }
    Ok(())
}

fn migrate() -> Result<(), Failure> {
    harden()?;
    let config = MigrationConfig::from_env()?;
    Ok(block_on(server::migrate(&config))?)
}

fn keygen(arguments: &Keygen) -> anyhow::Result<()> {
    harden()?;
    let (private, public) = audit::note::generate(&arguments.name)
        .context("a log's name has neither blanks nor plus signs")?;
    let path = &arguments.private_key;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    writeln!(file, "{}", *private).with_context(|| path.display().to_string())?;
    print(&public.to_string())
}

/// Before the configuration is read: from then on there are secrets in memory.
fn harden() -> anyhow::Result<()> {
    process::harden().map(drop).context("the process could not be hardened")
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?
        .block_on(work)
        // The log is read where standard error is not.
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "stopped"))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end()).context("standard output is closed")
}

/// A closed standard error must not hide the exit code behind a panic, as `eprintln` would.
fn complain<T: Display + ?Sized>(complaint: &T) {
    drop(writeln!(io::stderr(), "passphrase-broker: {complaint}"));
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Vec<Mistake>> for Failure {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self::Configuration(mistakes)
    }
}
