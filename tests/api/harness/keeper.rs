//! Starts child processes that the kernel kills when this test process ends, however it ends.
//!
//! `--pdeathsig` watches the *thread* that started the child, and a test's thread ends with the test:
//! so one thread that never ends starts them all.

use std::{
    process::{Child, Command},
    sync::{LazyLock, Mutex, mpsc},
};

type Request = (Command, mpsc::Sender<std::io::Result<Child>>);

static KEEPER: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
    let (requests, waiting) = mpsc::channel::<Request>();
    std::thread::spawn(move || {
        for (mut command, reply) in waiting {
            drop(reply.send(command.spawn()));
        }
    });
    Mutex::new(requests)
});

/// A command that is killed with this process.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

pub(super) fn spawn(command: Command) -> Child {
    let (reply, child) = mpsc::channel();
    KEEPER.lock().unwrap().send((command, reply)).unwrap();
    child.recv().unwrap().unwrap()
}
