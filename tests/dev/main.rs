//! `make dev`: PostgreSQL, azsim and the broker on this machine, and a walk through the main job.
//!
//! Everything runs on one thread: the kernel kills the broker when the *thread* that started it
//! ends. Whatever is started stops when it is dropped, so every way out of [`work`], a signal too,
//! leaves nothing behind but files in `.dev/`. Against SIGKILL: the broker is killed by the kernel,
//! PostgreSQL ends when its standard input closes, azsim lives in this process.

mod calls;
mod directory;
mod env_file;
mod hints;
mod port;
mod process;
mod samples;
mod supervisor;
mod walkthrough;
mod world;

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};

use crate::{
    calls::Calls, directory::Directory, env_file::EnvFile, supervisor::Supervisor, world::World,
};

/// PostgreSQL, a stand-in for Azure and the broker, with a walk through the main job.
#[derive(Parser)]
struct Arguments {
    /// End after the walk.
    #[arg(long)]
    once: bool,
    /// Where the files go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.dev"))]
    directory: PathBuf,
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "make dev: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // First: from here on a signal is an orderly end.
        let stopped = stop_signal()?;
        allow_many_connections()?;
        let directory = Directory::lock(&arguments.directory)?;
        tokio::select! {
            outcome = work(arguments, &directory, begin) => outcome,
            () = stopped => Ok(()),
        }
    })?;
    say("Stopped; nothing is left running.");
    Ok(())
}

async fn work(arguments: &Arguments, directory: &Directory, begin: Instant) -> anyhow::Result<()> {
    say("Starting PostgreSQL, azsim and the broker.");
    let mut world = World::start(directory).await?;
    let mut supervisor = Supervisor::start(&world, directory).await?;
    let ready = begin.elapsed().as_secs_f64();
    let mut env_file = EnvFile::new(&world, &supervisor, directory);
    let tokens = world.tokens()?;
    let calls = Calls::new(&supervisor.url, &tokens)?;
    env_file.sample_machine_id =
        walkthrough::walk(&world, directory, &supervisor.program, calls).await?;
    env_file.write(directory, &tokens)?;
    say(format!(
        "\nReady after {ready:.1} s, walked after {:.1} s.",
        begin.elapsed().as_secs_f64()
    ));
    if arguments.once {
        return Ok(());
    }
    say(hints::text(&supervisor, directory, world.server.id()));
    supervisor.supervise(&mut world, directory, &env_file).await
}

/// Ctrl-C, the end of the terminal, or of make (which the Makefile's `setpriv --pdeathsig` tells us).
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind: SignalKind| signal(kind).context("signals cannot be listened to");
    let mut interrupt: Signal = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            () = terminal_gone() => {}
        }
        say("\nStopping.");
    })
}

/// Only the session's leader is told, and when that is make (`ssh -t host make dev`), it waits for us.
async fn terminal_gone() {
    let terminals = || {
        let streams = [io::stdin().is_terminal(), io::stdout().is_terminal()];
        streams.into_iter().filter(|terminal| *terminal).count()
    };
    let (at_first, mut ticks) = (terminals(), interval(Duration::from_secs(1)));
    while terminals() == at_first {
        ticks.tick().await;
    }
}

/// For load tests: the broker inherits it, and often it is 1024.
fn allow_many_connections() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.map_or(65_536, |maximum| maximum.min(65_536));
    if limit.current.is_some_and(|current| current < enough) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum: limit.maximum })
            .context("the limit of open files cannot be raised")?;
    }
    Ok(())
}

/// Prints a line. That nobody reads is no reason to fail; if the terminal is gone, a signal tells.
fn say(text: impl Display) {
    drop(writeln!(io::stdout(), "{text}"));
}
