//! A server with the agent's script, the Azure Arc agent and a stand-in for MARS: what `deploy/agent` is installed on.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use azsim::{Machine, MachineKind};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{AUDIENCE, Actor, Answer, Broker, azure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/agent/rotate-passphrase.sh");

pub struct Server {
    pub machine: Answer,
    pub directory: PathBuf,
    name: String,
}

/// What a run of the script came to.
#[derive(Debug)]
pub struct Run {
    /// None: it was killed.
    pub status: Option<i32>,
    pub told: String,
}

impl Server {
    /// Registered, with an identity that is bound to it.
    pub async fn set_up(broker: &Broker) -> Self {
        let name = format!("srv-{}", Uuid::new_v4().simple());
        let mut machine = Machine::new(&name, MachineKind::Arc);
        let identity = machine.system_assigned.as_mut().unwrap();
        identity.app_roles.insert(AUDIENCE.to_owned(), vec!["Agent".to_owned()]);
        let object_id = json!(identity.principal_id);
        azure().add_machine(machine.clone());
        azure().add_machine(Machine { kind: MachineKind::VirtualMachine, ..machine });
        let mut body = Actor::registration(&json!({"source": "generated"}));
        body["agentObjectId"] = object_id;
        let machine = broker.portal().post("/v1/machines", body).await;
        assert_eq!(machine.status, 201, "{}", machine.text);
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let server = Self { machine, directory, name };
        server.install(broker);
        server
    }

    fn install(&self, broker: &Broker) {
        fs::create_dir_all(self.directory.join("bin")).unwrap();
        for tool in ["curl", "mv", "rm"] {
            let stand_in = format!("tool={tool}\n{}\nrun_tool \"$@\"\n", include_str!("tool.sh"));
            self.write_program(tool, &stand_in);
            self.write_program(&format!("{tool}_real"), &format!("exec /usr/bin/{tool} \"$@\"\n"));
        }
        self.write_program("mars.sh", include_str!("mars.sh"));
        let count = format!("{}\ncount \"$1\"\n", include_str!("tool.sh"));
        self.write_program("count", &count);
        for file in ["steps", "calls", "arguments", "plan", "mars"] {
            self.write(file, "");
        }
        self.write("applied", self.machine.field("passphrase"));
        self.write("broker", &broker.process_id().to_string());
    }

    fn write_program(&self, name: &str, text: &str) {
        let path = self.directory.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    /// The passphrase that the server uses.
    pub fn applied(&self) -> String {
        self.read("applied")
    }

    /// How many things have happened: calls of tools, and MARS before and after it applied.
    pub fn steps(&self) -> usize {
        self.read("steps").lines().count()
    }

    /// What the next run of the script meets, such as `3 script` or `2 during`.
    pub fn plan(&self, plan: &str) {
        self.write("plan", plan);
        self.write("steps", "");
        self.write("calls", "");
    }

    pub fn arc_endpoint(&self) -> String {
        azure().arc_endpoint().replace("/metadata", &format!("/machines/{}/metadata", self.name))
    }

    pub fn imds_url(&self) -> String {
        format!("{}/machines/{}", azure().imds_url(), self.name)
    }

    pub fn environment(&self, broker: &Broker) -> BTreeMap<&'static str, String> {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let secrets = format!("{}/key-vaults/{}/secrets", azure().control_url(), broker.key_vault);
        BTreeMap::from([
            ("PATH", format!("{}:/usr/bin:/bin", path("bin"))),
            ("DIRECTORY", path("")),
            ("SECRET_NAME", self.machine.field("secretName").to_owned()),
            ("SECRETS_URL", secrets),
            ("BROKER_URL", broker.url.clone()),
            ("BROKER_RESOURCE", format!("api://{AUDIENCE}")),
            ("MARS_COMMAND", "mars.sh".to_owned()),
            ("STATE_DIRECTORY", path("state")),
            ("ARC_ENDPOINT", self.arc_endpoint()),
            ("ARC_KEY_DIRECTORY", azure().arc_key_directory().display().to_string()),
            ("RETRY_FOR_SECONDS", "60".to_owned()),
            ("RETRY_DELAY_SECONDS", "1".to_owned()),
        ])
    }

    /// Runs the script with `--now`.
    pub async fn rotate(&self, broker: &Broker) -> Run {
        self.run_in(&self.environment(broker)).await
    }

    pub async fn run_in(&self, environment: &BTreeMap<&'static str, String>) -> Run {
        self.run(&["sh", SCRIPT, "--now"], environment).await
    }

    /// Runs the script as cron does.
    pub async fn obey(&self, broker: &Broker) -> Run {
        self.run(&["sh", SCRIPT], &self.environment(broker)).await
    }

    /// Runs it with some settings changed, and this shell.
    pub async fn run_with(
        &self,
        broker: &Broker,
        shell: &[&str],
        changes: &[(&'static str, &str)],
    ) -> Run {
        let mut environment = self.environment(broker);
        environment.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let arguments = [shell, &[SCRIPT, "--now"]].concat();
        self.run(&arguments, &environment).await
    }

    /// In a process group of its own, so that a stand-in can kill it whole.
    async fn run(&self, arguments: &[&str], environment: &BTreeMap<&'static str, String>) -> Run {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).env_clear().envs(environment).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Run { status: output.status.code(), told }
    }

    /// What a person is shown.
    pub async fn shown(&self, broker: &Broker) -> Vec<String> {
        let retrieved = broker.helpdesk().retrieve(self.machine.id()).await;
        assert_eq!(retrieved.status, 201, "{}", retrieved.text);
        let others = retrieved.body["otherCandidates"].as_array().unwrap().clone();
        let others = others.iter().map(|other| other["passphrase"].as_str().unwrap().to_owned());
        [retrieved.field("passphrase").to_owned()].into_iter().chain(others).collect()
    }

    /// The passphrase that the server uses is in force or a candidate.
    pub async fn assert_retrievable(&self, broker: &Broker, context: &str) {
        let shown = self.shown(broker).await;
        assert!(shown.contains(&self.applied()), "{context}: lost");
    }

    /// The passphrase that the server uses is in force, there is no other one to try, and nothing is left to do.
    pub async fn assert_settled(&self, broker: &Broker, context: &str) {
        assert_eq!(self.shown(broker).await, [self.applied()], "{context}");
        assert!(!self.state_file().exists(), "{context}");
    }

    /// Those of its rotations, the latest first.
    pub async fn states(&self, broker: &Broker) -> Vec<String> {
        let path = format!("/v1/machines/{}/rotations", self.machine.id());
        let rotations = broker.portal().get(&path).await.body["items"].clone();
        let states = rotations.as_array().unwrap().iter();
        states.map(|rotation| rotation["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The deadline of its rotations passes.
    pub async fn expire(&self, broker: &Broker) {
        let past =
            "requested_at = now() - interval '2 hours', expires_at = now() - interval '1 second'";
        let machine = self.machine.id();
        let statement = format!("update rotations set {past} where machine_id = '{machine}'");
        broker.database.execute(&statement).await;
    }

    pub fn state_file(&self) -> PathBuf {
        self.directory.join("state/state")
    }

    /// Everything that the script and the tools around it left on the disk, but what MARS keeps.
    pub fn files(&self) -> String {
        let mut text = String::new();
        for directory in [self.directory.join("state"), self.directory.clone()] {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                if entry.path().is_file() && entry.file_name() != "applied" {
                    text += &String::from_utf8_lossy(&fs::read(entry.path()).unwrap());
                }
            }
        }
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(Path::new(&self.directory)));
        }
    }
}
