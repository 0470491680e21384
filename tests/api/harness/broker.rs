//! A broker process, and the Azure that it sees.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use azsim::{Azsim, KeyVaultSpec, World};
use tokio::sync::OnceCell;

use super::{actor::Actor, database::Database, keeper};

/// The client id of the broker's app registration.
pub const AUDIENCE: &str = "6f1d2c3b-4a59-4e68-8f70-112233445566";
/// What the audit log is called, and its keys. Made up for the tests.
pub const LOG_NAME: &str = "audit.test.example/passphrase-broker";
pub const SIGNING_KEY: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";
pub const PUBLIC_KEY: &str =
    "audit.test.example/passphrase-broker+0ad5dbde+AcBRghVS87D9jhB2fVDD2w9OzAReSJtBNZW1ucyf1If9";
pub const RSV: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rsv-prod";

/// Azure, for all tests of this process.
pub fn azure() -> &'static Azsim {
    static AZURE: LazyLock<Azsim> = LazyLock::new(|| Azsim::start(World::default()).unwrap());
    &AZURE
}

/// The certificate of [`azure`]'s authority, written once: brokers start side by side.
fn ca_file() -> &'static PathBuf {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let name = format!("passphrase-broker-test-{}.pem", std::process::id());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, azure().ca_pem()).unwrap();
        file
    });
    &FILE
}

/// What differs from the default. `environment` overrides single variables.
#[derive(Default)]
pub struct Setup {
    pub database: Option<Database>,
    pub environment: BTreeMap<&'static str, String>,
    /// Another broker's Key Vault and tenant: a second replica.
    pub replica_of: Option<(String, String)>,
    /// The program and what runs it, such as `prlimit --core=0 --`; when empty, the production binary.
    pub launch: Vec<String>,
    /// Not waited for: something that it needs is down.
    pub unready: bool,
    /// Where it is started; when none, here.
    pub directory: Option<PathBuf>,
}

pub struct Broker {
    pub url: String,
    pub database: Database,
    /// The name of its Key Vault.
    pub key_vault: String,
    pub tenant: String,
    process: Mutex<Child>,
    log: Arc<Mutex<String>>,
}

static SHARED: OnceCell<Broker> = OnceCell::const_new();

impl Broker {
    /// The one that most tests use.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(Setup::default())).await
    }

    pub async fn start(setup: Setup) -> Self {
        let unready = setup.unready;
        let mut broker = Self::launch(setup).await;
        broker.url = address_in(&broker.log).await;
        if !unready {
            broker.wait_until_ready().await;
        }
        broker
    }

    /// Starts one that refuses, and answers what it has printed.
    pub async fn refuses(setup: Setup) -> String {
        let broker = Self::launch(setup).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !broker.has_ended() {
            assert!(Instant::now() < deadline, "it runs:\n{}", broker.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(broker.wait().code(), Some(1));
        broker.log()
    }

    async fn launch(setup: Setup) -> Self {
        let database = match setup.database {
            Some(database) => database,
            None => Database::create().await,
        };
        let (key_vault, tenant) = setup.replica_of.unwrap_or_else(|| {
            let uri = azure().add_key_vault(KeyVaultSpec::default()).unwrap();
            let host = uri.trim_start_matches("https://").split('.').next().unwrap().to_owned();
            (host, azure().add_tenant().unwrap())
        });
        let mut environment = environment_of(&database, &key_vault, &tenant);
        environment.extend(setup.environment);
        let mut launch = setup.launch;
        if launch.is_empty() {
            launch.push(env!("CARGO_BIN_EXE_passphrase-broker").to_owned());
        }
        let mut command = keeper::command(&launch[0]);
        if let Some(directory) = setup.directory {
            command.current_dir(directory);
        }
        command
            .args(&launch[1..])
            .arg("serve")
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = keeper::spawn(command);
        let log = Arc::new(Mutex::new(String::new()));
        collect(process.stderr.take().unwrap(), &log);
        collect(process.stdout.take().unwrap(), &log);
        let (url, process) = (String::new(), Mutex::new(process));
        Self { url, database, key_vault, tenant, process, log }
    }

    /// Another replica on the same database and Key Vault.
    pub async fn replica(&self, environment: &[(&'static str, &str)]) -> Self {
        let owned = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self::start(Setup {
            database: Some(self.database.clone()),
            replica_of: Some((self.key_vault.clone(), self.tenant.clone())),
            environment: owned.collect(),
            ..Setup::default()
        })
        .await
    }

    async fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.nobody().get("/readyz").await.status != 200 {
            assert!(Instant::now() < deadline, "the broker does not become ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn process_id(&self) -> u32 {
        self.process.lock().unwrap().id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.process_id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&self) -> std::process::ExitStatus {
        let status = self.process.lock().unwrap().wait().unwrap();
        while !self.is_read() {
            std::thread::sleep(Duration::from_millis(5));
        }
        status
    }

    pub fn has_ended(&self) -> bool {
        self.process.lock().unwrap().try_wait().unwrap().is_some() && self.is_read()
    }

    /// Whether everything that it printed is in the log: who reads holds on to it until the end, which comes after
    /// that of the process.
    fn is_read(&self) -> bool {
        Arc::strong_count(&self.log) == 1
    }

    /// Somebody with these roles: `user` or `application`.
    pub fn user(&self, roles: &[&str]) -> Actor {
        Actor::user(self, roles)
    }

    pub fn application(&self, roles: &[&str]) -> Actor {
        Actor::application(self, roles)
    }

    pub fn portal(&self) -> Actor {
        self.application(&[
            "Machines.Read",
            "Machines.Register",
            "Passphrases.Rotate",
            "Preflight.Run",
        ])
    }

    pub fn helpdesk(&self) -> Actor {
        self.user(&["Machines.Read", "Passphrases.Retrieve"])
    }

    pub fn auditor(&self) -> Actor {
        self.user(&["Audit.Read", "Machines.Read"])
    }

    /// An agent that is bound to nothing yet; `agent.object_id` is for the registration.
    pub fn agent(&self) -> Actor {
        self.application(&["Agent"])
    }

    /// A caller without a token.
    pub fn nobody(&self) -> Actor {
        Actor::new(&self.url, None, String::new())
    }

    /// A caller with this very token.
    pub fn bearer(&self, token: &str) -> Actor {
        Actor::new(&self.url, Some(token.to_owned()), String::new())
    }
}

fn environment_of(
    database: &Database,
    key_vault: &str,
    tenant: &str,
) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("LISTEN_ADDRESS", "127.0.0.1:0".to_owned()),
        ("DATABASE_URL", database.service_url.clone()),
        ("KEY_VAULT_URIS", format!("https://{key_vault}.vault.azure.net/")),
        ("ENTRA_TENANT_IDS", tenant.to_owned()),
        ("ENTRA_AUDIENCE", AUDIENCE.to_owned()),
        ("IDENTITY_ENDPOINT", azure().identity_endpoint()),
        ("IDENTITY_HEADER", azure().identity_header().to_owned()),
        ("OUTBOUND_PROXY", azure().proxy_url()),
        ("EXTRA_CA_FILE", ca_file().display().to_string()),
        ("CURSOR_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        ("MAX_CONNECTIONS_PER_PEER", "0".to_owned()),
        ("DRAIN_SECONDS", "0".to_owned()),
        ("AUDIT_SIGNING_KEY", SIGNING_KEY.to_owned()),
    ])
}

impl Drop for Broker {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself, as some tests want.
        drop(process.kill());
        drop(process.wait());
    }
}

fn collect(from: impl std::io::Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

async fn address_in(log: &Arc<Mutex<String>>) -> String {
    for _ in 0..400 {
        let printed = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let line = printed.lines().find(|line| line.contains("\"listening\""));
        if let Some(event) =
            line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        {
            return format!("http://{}", event["address"].as_str().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the broker does not listen:\n{}", log.lock().unwrap());
}
