//! The CONNECT proxy: leads Azure's host names to azsim and refuses every other one.
//!
//! An accepted tunnel is handed to the TLS side as it is, without a second socket. What was asked for is counted, so
//! that a test can prove which hosts a client talks to.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    azure::{Azure, GRAPH_HOST, KEY_VAULT_SUFFIX, LOGIN_HOST, MANAGEMENT_HOST, locked},
    faults::{Effect, Point},
};

const LONGEST_HEAD: u64 = 16 * 1024;

/// Reads the CONNECT request. A stream comes back when it is now a tunnel to an Azure host.
pub(crate) async fn accept(
    azure: &Arc<Azure>,
    stream: TcpStream,
) -> io::Result<Option<BufReader<TcpStream>>> {
    let mut stream = BufReader::new(stream);
    let Some(authority) = read_head(&mut stream).await? else {
        stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(None);
    };
    let (host, port) = authority.rsplit_once(':').unwrap_or((&authority, "443"));
    let host = host.to_ascii_lowercase();
    let known = port == "443" && resolves(azure, &host);
    note(azure, &host, known);
    let key_vault = host.strip_suffix(KEY_VAULT_SUFFIX).unwrap_or_default();
    let point = Point { operation: "proxy.connect", key_vault, ..Point::default() };
    let fault = azure.faults.take(&point);
    match fault.as_ref().map(|active| &active.fault.effect) {
        Some(Effect::Delay { milliseconds }) => {
            tokio::time::sleep(std::time::Duration::from_millis(*milliseconds)).await;
        }
        Some(Effect::HoldBefore) => std::future::pending().await,
        Some(Effect::Refuse { .. }) => return refuse(stream).await,
        Some(_) => return Ok(None),
        None => {}
    }
    if !known {
        return refuse(stream).await;
    }
    stream.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    Ok(Some(stream))
}

async fn refuse(mut stream: BufReader<TcpStream>) -> io::Result<Option<BufReader<TcpStream>>> {
    stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await?;
    Ok(None)
}

fn resolves(azure: &Azure, host: &str) -> bool {
    host == LOGIN_HOST
        || host == MANAGEMENT_HOST
        || host == GRAPH_HOST
        || azure.resolve(host).is_some_and(|key_vault| !key_vault.is_soft_deleted())
}

fn note(azure: &Azure, host: &str, accepted: bool) {
    let mut hosts = locked(&azure.hosts);
    let seen = hosts.entry(host.to_owned()).or_default();
    seen.accepted += u64::from(accepted);
    seen.refused += u64::from(!accepted);
}

/// The `host:port` of a CONNECT, or nothing for any other method.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut authority = None;
    let mut head = stream.take(LONGEST_HEAD);
    for number in 0.. {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if number == 0 {
            let connect = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
            authority = connect.map(str::to_owned);
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    Ok(authority)
}
