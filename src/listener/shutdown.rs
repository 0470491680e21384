//! The end, in two stages. First it is announced: `/readyz` says so, and everything is served as before,
//! because a load balancer needs a moment to notice. Then it begins: nothing new is taken, and what runs is
//! finished.

use std::{io, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No more requests on connections that are open: the next one goes to another replica.
    pub announced: CancellationToken,
    /// No new connections.
    pub begun: CancellationToken,
}

impl Shutdown {
    pub fn begin(&self) {
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Waits for the first signal, then for `drain`, or until a second signal says not to wait.
    pub async fn on_signal(self, mut signals: Signals, drain: Duration) {
        signals.next().await;
        tracing::info!(drain_seconds = drain.as_secs(), "stopping");
        self.announced.cancel();
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            () = signals.next() => {}
        }
        self.begin();
    }
}

/// SIGTERM and SIGINT, from when they are listened to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
