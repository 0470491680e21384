//! Ports for what has to be found where it was, after a restart.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the ports that Linux gives to whoever asks for any (`ip_local_port_range`): one of those may belong to
/// another test before its first owner is back.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port that nobody listens on and that no other test of this process gets.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two processes that run side by side begin at different places.
    let beginning = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let next = beginning.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
