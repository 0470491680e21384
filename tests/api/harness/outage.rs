//! A PostgreSQL that a test may stop, freeze and crash, and start again with what it had.
//!
//! Its data lie in a directory that outlives the server, and its port stays the same, so that a broker
//! finds it again.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Database,
    database::{Server, start},
    free_port,
};

pub struct Postgres {
    arguments: Vec<String>,
    directory: PathBuf,
    running: Mutex<Option<Server>>,
}

impl Postgres {
    /// `durability` is `--durable` or `--fast`, which is the same for data that are kept.
    pub fn start(durability: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("passphrase-broker-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let port = free_port();
        let text = directory.display().to_string();
        let arguments = [durability, "--directory", &text, "-c", &format!("port={port}")];
        let arguments = arguments.map(str::to_owned).to_vec();
        let postgres = Self { arguments, directory, running: Mutex::new(None) };
        postgres.start_again();
        postgres
    }

    /// The URL of a server that was given its port names another one: the port of ours is known.
    pub async fn database(&self) -> Database {
        let port = self.arguments.last().unwrap().trim_start_matches("port=").to_owned();
        Database::create_on(&format!("postgres://postgres@127.0.0.1:{port}/postgres"), None).await
    }

    pub fn start_again(&self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        *self.running.lock().unwrap() = Some(start(&arguments));
    }

    /// Copies what a server that is stopped has.
    pub fn back_up(&self) {
        copy(&self.directory, &self.directory.with_extension("backup"));
    }

    /// Puts the copy in its place.
    pub fn restore(&self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
        copy(&self.directory.with_extension("backup"), &self.directory);
    }

    /// A fast shutdown.
    pub fn stop(&self) {
        let postmaster = self.postmaster();
        drop(self.running.lock().unwrap().take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while lives(postmaster) || self.directory.join("postmaster.pid").exists() {
            assert!(Instant::now() < deadline, "PostgreSQL does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every process of it stands still; connections stay open.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// All its processes but the first die, and the server throws all connections away and recovers from its
    /// log: what an immediate restart does.
    pub fn crash(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        // Not in the middle of the last one: a server whose recovery dies gives up for good.
        while self.children().into_iter().any(recovers) {
            assert!(Instant::now() < deadline, "PostgreSQL does not recover");
            std::thread::sleep(Duration::from_millis(20));
        }
        // One death would do, but the newest process may be about to end by itself, which is no crash.
        let all = self.children();
        signal("KILL", &all);
        while all.iter().any(|process| lives(*process)) {
            assert!(Instant::now() < deadline, "a killed process of PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal_all(&self, name: &str) {
        // The one that makes new ones comes first.
        signal(name, &[self.postmaster()]);
        signal(name, &self.children());
    }

    fn postmaster(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().trim().parse().unwrap()
    }

    fn children(&self) -> Vec<u32> {
        let postmaster = self.postmaster();
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut children: Vec<u32> = pids.filter(|pid| parent(*pid) == Some(postmaster)).collect();
        children.sort_unstable();
        children
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.directory.join("postmaster.pid").exists() {
            self.thaw();
            self.stop();
        }
        drop(std::fs::remove_dir_all(&self.directory));
        drop(std::fs::remove_dir_all(self.directory.with_extension("backup")));
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold blanks.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Whether it is the process that recovers, by the title that PostgreSQL gives it.
fn recovers(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|it| it.contains("startup"))
}

fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids)
        .stderr(std::process::Stdio::null())
        .status();
    // One that has ended by now is no failure.
    status.unwrap();
}
