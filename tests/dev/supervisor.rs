//! Starts the broker with ordinary settings and nothing else, and again when it dies, as a container
//! platform would: on the same port, after a short while. The end of PostgreSQL or azsim is the end.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_STANDARD};
use passphrase_broker::audit::note;
use tokio::{
    net::TcpStream,
    time::{Instant, interval, sleep},
};

use crate::{
    directory::{AUDIT_PUBLIC_KEY, AZSIM_CA, BROKER_LOG, BROKER_PID, Directory},
    env_file::EnvFile,
    port::Port,
    process::Process,
    samples, say,
    world::{AUDIENCE, World},
};

const LOG_NAME: &str = "localhost/passphrase-broker";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// One that ran this long is started again at once.
const LIVED: Duration = Duration::from_secs(10);

pub(crate) struct Supervisor {
    pub url: String,
    pub program: PathBuf,
    environment: Vec<(&'static str, String)>,
    log: File,
    broker: Process,
    /// Dropped last.
    _port: Port,
}

impl Supervisor {
    /// With the database migrated. Answers when the broker is ready.
    pub(crate) async fn start(world: &World, directory: &Directory) -> anyhow::Result<Self> {
        let program = program()?;
        let log = directory.log(BROKER_LOG)?;
        let migration = vec![("MIGRATION_DATABASE_URL", world.superuser_url.clone())];
        let status = spawn(&program, "migrate", &migration, &log)?.ended().await?;
        if !status.success() {
            bail!("the migrations failed ({status}):\n{}", end_of_log(directory));
        }
        let (signing_key, public_key) = note::generate(LOG_NAME).context("no random numbers")?;
        directory.write(AUDIT_PUBLIC_KEY, &format!("{public_key}\n"))?;
        for port in Port::free() {
            let mut environment = environment(world, directory, port.number)?;
            environment.push(("AUDIT_SIGNING_KEY", signing_key.to_string()));
            let mut broker = spawn(&program, "serve", &environment, &log)?;
            let url = format!("http://127.0.0.1:{}", port.number);
            tokio::select! {
                ready = ready(&url) => {
                    ready.with_context(|| end_of_log(directory))?;
                    let supervisor = Self { url, program, environment, log, broker, _port: port };
                    supervisor.write_pid(directory)?;
                    return Ok(supervisor);
                }
                // Somebody else was faster.
                _ = broker.ended() => if port.is_free() {
                    bail!("the broker did not start:\n{}", end_of_log(directory));
                }
            }
        }
        bail!("no port is free");
    }

    /// Returns only with an error.
    pub(crate) async fn supervise(
        &mut self,
        world: &mut World,
        directory: &Directory,
        env_file: &EnvFile,
    ) -> anyhow::Result<()> {
        let azsim: SocketAddr = world.azsim.control_url().replace("http://", "").parse()?;
        let mut ticks = interval(Duration::from_secs(2));
        let (mut started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            tokio::select! {
                status = self.broker.ended() => {
                    pause = if started.elapsed() > LIVED { FIRST_PAUSE } else { pause };
                    let status = status?;
                    sleep(pause).await;
                    self.broker = spawn(&self.program, "serve", &self.environment, &self.log)?;
                    self.write_pid(directory)?;
                    let id = self.broker.id();
                    say(format!("The broker ended ({status}); started again as process {id}."));
                    (started, pause) = (Instant::now(), (pause * 2).min(LONGEST_PAUSE));
                }
                status = world.server.ended() => bail!("PostgreSQL ended ({})", status?),
                _ = ticks.tick() => {
                    TcpStream::connect(azsim).await.context("azsim ended")?;
                    env_file.renew(world, directory)?;
                }
            }
        }
    }

    fn write_pid(&self, directory: &Directory) -> anyhow::Result<()> {
        directory.write(BROKER_PID, &format!("{}\n", self.broker.id()))
    }
}

/// `target/debug/passphrase-broker`, for this is `target/debug/examples/dev`.
fn program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory = this.parent().and_then(|examples| examples.parent());
    let program = directory.map(|directory| directory.join("passphrase-broker"));
    program.filter(|program| program.exists()).context("the broker is not built; use `make dev`")
}

fn environment(
    world: &World,
    directory: &Directory,
    port: u16,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut key = [0; 32];
    rand::fill(&mut key).context("no random numbers")?;
    Ok(vec![
        ("LISTEN_ADDRESS", format!("127.0.0.1:{port}")),
        ("DATABASE_URL", world.service_url.clone()),
        ("KEY_VAULT_URIS", samples::key_vault_uris()),
        ("ENTRA_TENANT_IDS", world.azsim.tenant_id().to_owned()),
        ("ENTRA_AUDIENCE", AUDIENCE.to_owned()),
        ("IDENTITY_ENDPOINT", world.azsim.identity_endpoint()),
        ("IDENTITY_HEADER", world.azsim.identity_header().to_owned()),
        ("OUTBOUND_PROXY", world.azsim.proxy_url()),
        ("EXTRA_CA_FILE", directory.file(AZSIM_CA).display().to_string()),
        ("CURSOR_KEY", BASE64_STANDARD.encode(key)),
        ("AUDIT_CHECKPOINT_SECRET", samples::checkpoint_secret()),
        ("DRIFT_CHECK_EVERY", "15s".to_owned()),
        // For load tests, which come from one address.
        ("MAX_CONNECTIONS", "8192".to_owned()),
        ("MAX_CONNECTIONS_PER_PEER", "0".to_owned()),
        ("DRAIN_SECONDS", "0".to_owned()),
        ("SHUTDOWN_GRACE_SECONDS", "3".to_owned()),
    ])
}

fn spawn(
    program: &std::path::Path,
    command: &str,
    environment: &[(&'static str, String)],
    log: &File,
) -> anyhow::Result<Process> {
    let mut child: Command = Process::killed_with_us(program);
    child
        .arg(command)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    Process::spawn(child)
}

async fn ready(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the broker does not become ready");
        }
        sleep(Duration::from_millis(25)).await;
    }
}

fn end_of_log(directory: &Directory) -> String {
    let log = fs::read_to_string(directory.file(BROKER_LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
