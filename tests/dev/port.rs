//! A port for the broker that no other `make dev` takes as long as this one lives, also while its
//! broker is dead for a moment and the port is free.
//!
//! What is claimed is a name in Linux's abstract socket namespace: where there is a port there is
//! such a name, for every user; it leaves no file behind, and goes when this process does, however it ends.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// Claimed until it is dropped.
pub(crate) struct Port {
    pub number: u16,
    /// Closed on exec: what is started here does not hold it.
    _claim: UnixListener,
}

impl Port {
    /// 8080 first. The others are below the range that the kernel hands out to clients: nobody takes
    /// one of them by chance while the broker is started again.
    pub(crate) fn free() -> impl Iterator<Item = Self> {
        let claimed = std::iter::once(8080).chain(18_080..18_280).filter_map(Self::claim);
        claimed.filter(Self::is_free)
    }

    fn claim(number: u16) -> Option<Self> {
        let name = format!("passphrase-broker-dev-{number}");
        let address = SocketAddr::from_abstract_name(name).ok()?;
        Some(Self { number, _claim: UnixListener::bind_addr(&address).ok()? })
    }

    /// Others take ports, too.
    pub(crate) fn is_free(&self) -> bool {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, self.number));
        !matches!(bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}
