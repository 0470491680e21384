//! How many connections are open, in all and per peer.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug)]
pub(super) struct Slots {
    max_total: usize,
    max_per_peer: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Peer,
}

impl Full {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Peer => "peer",
        }
    }
}

/// One open connection; dropping it frees its place.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    peer: IpAddr,
}

impl Slots {
    /// `max_per_peer` of zero means no limit.
    pub(super) fn new(max_total: usize, max_per_peer: usize) -> Arc<Self> {
        let max_per_peer = if max_per_peer == 0 { usize::MAX } else { max_per_peer };
        Arc::new(Self { max_total, max_per_peer, open: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Slot, Full> {
        let peer = network(peer);
        let mut open = self.lock();
        if open.total >= self.max_total {
            return Err(Full::Total);
        }
        let of_peer = open.by_peer.entry(peer).or_default();
        if *of_peer >= self.max_per_peer {
            return Err(Full::Peer);
        }
        *of_peer += 1;
        open.total += 1;
        drop(open);
        Ok(Slot { slots: Arc::clone(self), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.lock();
        open.total -= 1;
        if let Some(of_peer) = open.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Whoever has one IPv6 address has the other 2^64 of its network too.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_closed_connection_frees_its_place() {
        let slots = Slots::new(3, 2);
        let first = slots.take(ip("192.0.2.1")).unwrap();
        let second = slots.take(ip("192.0.2.1")).unwrap();
        assert_eq!(slots.take(ip("192.0.2.1")).err(), Some(Full::Peer));
        let other = slots.take(ip("192.0.2.2")).unwrap();
        assert_eq!(slots.take(ip("192.0.2.3")).err(), Some(Full::Total));
        drop(first);
        let third = slots.take(ip("192.0.2.1")).unwrap();
        drop((second, other, third));
        let open = slots.lock();
        assert_eq!((open.total, open.by_peer.len()), (0, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::ffff:1")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn zero_means_no_limit_per_peer() {
        let slots = Slots::new(100, 0);
        let open: Vec<_> = (0..100).map(|_| slots.take(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(open.len(), 100);
        assert_eq!(slots.take(ip("192.0.2.1")).err(), Some(Full::Total));
    }
}
