//! A network that can be cut: what comes in on one port goes on to another address, until it is `down`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

pub struct Relay {
    pub address: SocketAddr,
    down: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Relay {
    /// `to` is `host:port`.
    pub async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (down, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (is_down, is_cut, to) = (Arc::clone(&down), Arc::clone(&cut), to.to_owned());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let (is_cut, to) = (Arc::clone(&is_cut), to.clone());
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(&to).await?;
                    tokio::select! {
                        ended = copy_bidirectional(&mut near, &mut far) => ended.map(drop),
                        () = is_cut.notified() => Ok(()),
                    }
                });
            }
        });
        Self { address, down, cut }
    }

    /// Open connections end, and new ones do at once.
    pub fn down(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    pub fn up(&self) {
        self.down.store(false, Ordering::SeqCst);
    }
}
