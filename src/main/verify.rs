//! `audit verify`: reads what it is given, has it verified, and says what was found. Without the service,
//! and for a receipt or an export without a database.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{ArgGroup, Args, ValueEnum};
use passphrase_broker::audit::{
    Receipt, ReceiptError,
    note::{Checkpoint, VerifierKeys},
    verify::{self, Evidence, Report},
};

use super::{Failure, block_on, complain, print};

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("log").args(["database_url", "export"])),
    group(ArgGroup::new("subject").args(["database_url", "export", "receipt"]).multiple(true).required(true))
)]
pub(super) struct Verify {
    #[arg(long, value_name = "URL", help = "The database; its role needs SELECT only")]
    database_url: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Instead of the database, what GET /v1/audit/export gave; - is standard input"
    )]
    export: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["public_key", "log"],
        help = "A signed checkpoint that was kept elsewhere"
    )]
    checkpoint: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        requires = "public_key",
        help = "An event's receipt that was kept elsewhere; by itself it is verified offline"
    )]
    receipt: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        help = "The log's verifier keys, present and former: name+hash+key, one a line"
    )]
    public_key: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(arguments: &Verify) -> Result<(), Failure> {
    let (report, event) = arguments.report().map_err(Failure::NotVerified)?;
    let text = match arguments.format {
        Format::Text => format!("{report}{}", event.unwrap_or_default()),
        Format::Json => serde_json::to_string(&report).unwrap_or_default(),
    };
    print(&text).map_err(Failure::NotVerified)?;
    if report.is_good() { Ok(()) } else { Err(Failure::BadLog) }
}

impl Verify {
    /// With what a receipt says, when that is all that was to verify.
    fn report(&self) -> anyhow::Result<(Report, Option<String>)> {
        let keys: Option<VerifierKeys> = match &self.public_key {
            Some(file) => Some(read(file)?.parse().with_context(|| file.display().to_string())?),
            None => None,
        };
        let mut evidence = Evidence::default();
        if let (Some(file), Some(keys)) = (&self.checkpoint, &keys) {
            let opened = Checkpoint::open(&read(file)?, keys);
            evidence =
                evidence.with_checkpoint(&opened.with_context(|| file.display().to_string())?);
        }
        if let (Some(file), Some(keys)) = (&self.receipt, &keys) {
            let opened = Receipt::open(&read(file)?, keys);
            if self.database_url.is_none() && self.export.is_none() {
                return alone(&opened).with_context(|| file.display().to_string());
            }
            // One that is false says nothing of the log.
            evidence = evidence.with_receipt(&opened.with_context(|| file.display().to_string())?);
        }
        let mut told = Instant::now();
        let progress = |done: u64, of: u64| {
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                complain(&format!("{done} of {of} events"));
            }
        };
        let report = match (&self.export, &self.database_url) {
            (Some(file), _) => verify::export(open(file)?, evidence, keys.as_ref(), progress)
                .with_context(|| file.display().to_string())?,
            (None, url) => {
                let url = url.as_deref().unwrap_or_default();
                block_on(async { Ok(verify::database(url, evidence, progress).await?) })?
            }
        };
        Ok((report, None))
    }
}

/// A receipt that is false is what was looked for; one that is none cannot be looked at.
fn alone(opened: &Result<Receipt, ReceiptError>) -> anyhow::Result<(Report, Option<String>)> {
    if let Err(error @ (ReceiptError::Malformed | ReceiptError::NoEvent)) = opened {
        return Err(anyhow::Error::new(*error));
    }
    let event = opened.as_ref().ok().map(|receipt| {
        format!("event {:<7} {}\n", receipt.index, String::from_utf8_lossy(&receipt.body))
    });
    Ok((verify::receipt(opened), event))
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    Ok(Box::new(BufReader::with_capacity(256 * 1024, opened)))
}
