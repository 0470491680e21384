//! Bytes over TCP, for what no HTTP library would send.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::broker::Broker;

impl Broker {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    /// A new connection on which these bytes were sent.
    pub async fn send_raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        // It may be closed before all is sent.
        drop(stream.write_all(bytes).await);
        stream
    }
}

/// Everything that comes until the other side closes, and how long that took; none when it does not close in time.
pub async fn until_closed(stream: &mut TcpStream, limit: Duration) -> Option<(String, Duration)> {
    let (start, mut bytes, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    let reading = async {
        // A reset is a way of closing, too.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::time::timeout(limit, reading).await.ok()?;
    Some((String::from_utf8_lossy(&bytes).into_owned(), start.elapsed()))
}
