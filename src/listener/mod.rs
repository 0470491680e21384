//! The accept loop: connections in, requests to the router, and a bound on everything a peer may
//! keep open.
//!
//! `axum::serve` sets no timer, so a client that stops in the middle of its headers stays connected
//! for ever; and no server library closes a connection that says nothing at all. Here every
//! connection is watched (`activity`) and counted (`slots`). A body that stops half-way is the
//! concern of the routes, which know how long a request may take.

mod activity;
mod connection;
mod line_ends;
#[cfg(test)]
mod raw_requests;
mod shutdown;
mod slots;
#[cfg(test)]
mod tests;

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use shutdown::{Shutdown, Signals};

use crate::config::Config;
use connection::Connections;

/// Long enough for other connections to end, short enough that nobody notices.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(200);

/// What a peer may take, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    /// Per IPv4 address or IPv6 /64; zero means no limit.
    pub max_connections_per_peer: usize,
    /// From the first byte to the end of the headers; of a new connection, from its beginning.
    pub header_read_timeout: Duration,
    /// Between two requests. Longer than an ingress keeps an idle connection, or it would now and
    /// then send a request into one that is being closed.
    pub keep_alive: Duration,
    /// A peer that takes nothing of an answer for so long is gone.
    pub write_timeout: Duration,
    /// After the shutdown began, for the requests that are being worked on.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_connections_per_peer: 32,
            header_read_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(25),
        }
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_connections: config.max_connections,
            max_connections_per_peer: config.max_connections_per_peer,
            shutdown_grace: config.shutdown_grace,
            ..Self::default()
        }
    }
}

/// A bound socket. Binding is apart from serving so that a start fails before anything else runs,
/// and so that tests learn their port.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until the `shutdown` begins, then lets what is in flight finish within the grace time. Handlers
    /// find their peer as `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, app: Router, limits: Limits, shutdown: Shutdown) {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let connections = Arc::new(Connections::new(app, limits, shutdown.clone(), abort.clone()));
        while let Some((stream, peer)) = self.accept(&shutdown).await {
            match connections.slots.take(peer.ip()) {
                Ok(slot) => drop(tasks.spawn(Arc::clone(&connections).run(stream, peer, slot))),
                Err(full) => {
                    let reason = full.as_str();
                    metrics::counter!("passphrase_broker_connections_refused_total", "reason" => reason)
                        .increment(1);
                    tracing::debug!(%peer, reason, "connection refused");
                }
            }
        }
        drop(self);
        tasks.close();
        if timeout(limits.shutdown_grace, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "closing connections that are still busy");
            abort.cancel();
            tasks.wait().await;
        }
    }

    /// The next connection, or `None` when the shutdown has begun.
    async fn accept(&self, shutdown: &Shutdown) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.begun.cancelled() => return None,
                accepted = self.0.accept() => accepted,
            };
            let error = match accepted {
                Ok(connection) => return Some(connection),
                Err(error) => error,
            };
            // The peer's own doing; the next connection may be a good one.
            if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
                continue;
            }
            // Out of file descriptors, most likely. The listener stays readable: without a pause
            // this loop would spin, and ending it would end the service.
            tracing::error!(%error, "no connection could be accepted");
            tokio::select! {
                () = shutdown.begun.cancelled() => return None,
                () = tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT) => {}
            }
        }
    }
}
