//! A child process that is waited for without blocking, and ends when it is dropped.
//!
//! It leads a process group of its own, so that Ctrl-C reaches only us and we stop things in order.

use std::{
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, Signal as Posix, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Process {
    child: Child,
    /// SIGCHLD.
    children: Signal,
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        // Before the child: its end is not missed.
        let children = signal(SignalKind::child())?;
        let program = command.get_program().display().to_string();
        let child = command.process_group(0).spawn();
        Ok(Self { child: child.with_context(|| format!("{program} cannot be started"))?, children })
    }

    /// A command that the kernel kills when this thread ends, the process's main one.
    pub(crate) fn killed_with_us(program: &std::path::Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.children.recv().await;
        }
    }

    /// Whether it ends in time. Blocks: this is for the end, when nothing else is to be done.
    fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that watches its standard input ends by itself; the others are asked to.
        let watched = self.child.stdin.take().is_some();
        if !matches!(self.child.try_wait(), Ok(None)) || watched && self.ends_within(PATIENCE) {
            return;
        }
        // Not waited for yet, so the number is still this process's.
        let asked = kill_process(Pid::from_child(&self.child), Posix::TERM);
        if asked.is_err() || !self.ends_within(PATIENCE) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
