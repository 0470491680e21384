//! Nothing takes the broker's memory away (reliability goal E3): no core file, no other process of the same user.
//!
//! Each fact has its counterpart with a process that is not hardened, so that none passes on a host where it is moot.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Broker, Setup};

/// A directory that user nobody may write to.
fn open_directory() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("broker-dumps-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).unwrap();
    assert!(Command::new("chmod").arg("777").arg(&directory).status().unwrap().success());
    directory
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// With unlimited core files and, when this is root, as user nobody.
fn as_nobody() -> Vec<String> {
    let unlimited = "prlimit --core=unlimited:unlimited --";
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --pdeathsig KILL --";
    let words = if is_root() { format!("{unlimited} {nobody}") } else { unlimited.to_owned() };
    words.split(' ').map(str::to_owned).collect()
}

async fn start(directory: &Path) -> Broker {
    // A copy, because nobody cannot reach everybody's target directory.
    let program = directory.with_extension("program");
    std::fs::copy(env!("CARGO_BIN_EXE_passphrase-broker"), &program).unwrap();
    let mut launch = as_nobody();
    launch.push(program.display().to_string());
    let directory = Some(directory.to_owned());
    let broker = Broker::start(Setup { launch, directory, ..Setup::default() }).await;
    std::fs::remove_file(&program).unwrap();
    broker
}

/// Rust's own handler lets the first SIGSEGV pass that no instruction caused.
fn kill(broker: &Broker, signal: &str) {
    let status = format!("/proc/{}/status", broker.process_id());
    while !std::fs::read_to_string(&status).unwrap().contains("State:\tZ") {
        broker.signal(signal);
    }
}

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core_file() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for signal in ["ABRT", "SEGV"] {
        let directory = open_directory();
        let broker = start(&directory).await;
        kill(&broker, signal);
        let status = broker.wait();
        assert!(status.signal().is_some() && !status.core_dumped(), "{status}");
        assert_eq!(files_in(&directory), 0);
        std::fs::remove_dir_all(directory).unwrap();
    }
    let directory = open_directory();
    let words = [as_nobody(), vec!["sh".into(), "-c".into(), "kill -ABRT $$".into()]].concat();
    let control = Command::new(&words[0]).args(&words[1..]).current_dir(&directory).status();
    let dumped = control.unwrap().core_dumped();
    std::fs::remove_dir_all(directory).unwrap();
    assert!(dumped || pattern.starts_with('|'), "this host writes no core files at all");
    println!("0 core files after SIGABRT and SIGSEGV; core_pattern is {:?}", pattern.trim());
}

/// Whether somebody of the same user can open a file of the process.
fn opens(process: u32, file: &str) -> bool {
    let script = format!(": < /proc/{process}/{file}");
    let words = [as_nobody(), vec!["sh".into(), "-c".into(), script]].concat();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stderr(Stdio::null()).status().unwrap().success()
}

/// Opening `mem` asks the kernel the same question as attaching a debugger.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_same_user_cannot_look_inside() {
    let directory = open_directory();
    let broker = start(&directory).await;
    let words = [as_nobody(), vec!["sleep".into(), "60".into()]].concat();
    let mut control = Command::new(&words[0]).args(&words[1..]).spawn().unwrap();
    while !std::fs::read(format!("/proc/{}/cmdline", control.id())).unwrap().starts_with(b"sleep") {
        std::thread::yield_now();
    }
    let files = ["environ", "mem", "auxv", "maps"];
    let control_opens = files.map(|file| opens(control.id(), file));
    control.kill().unwrap();
    control.wait().unwrap();
    for file in files {
        assert!(!opens(broker.process_id(), file), "{file}");
    }
    // Where a debugger is restricted anyway, `mem` is no counterpart.
    assert!(control_opens[0] && control_opens[3], "{control_opens:?}");
    println!(
        "0 of {files:?} can be opened by the same user; of another process: {control_opens:?}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}
