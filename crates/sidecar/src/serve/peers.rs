//! How much each of those who connect may have of a listener, so that none of them keeps it from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::Limits;

/// Peers whose calls are remembered before those that have not called lately are forgotten.
const REMEMBERED_LEN_MAX: usize = 1024;

/// Who connects, as far as that is known before anything is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// The user of a process of this machine.
    Uid(u32),
    /// Where a connection over the network comes from.
    Address(IpAddr),
    /// Everybody on this machine, over loopback.
    Anybody,
}

/// The peers of one listener.
#[derive(Debug)]
pub(super) struct Peers {
    connections_max: usize,
    connections: Mutex<HashMap<Peer, usize>>,
    calls: DefaultKeyedRateLimiter<Peer>,
}

/// Room for one connection of a peer, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Arc<Peers>,
    peer: Peer,
}

impl Peers {
    pub(super) fn new(limits: &Limits) -> Self {
        let per_second = NonZeroU32::new(limits.peer_calls_per_sec_max).unwrap_or(NonZeroU32::MIN);
        Self {
            connections_max: limits.connections_per_peer_max,
            connections: Mutex::default(),
            calls: RateLimiter::keyed(Quota::per_second(per_second)),
        }
    }

    /// Room for one more connection, if the peer may have it. Over loopback nobody is told from anybody else.
    pub(super) fn seat(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let held = connections.get(&peer).copied().unwrap_or(0);
        if held >= self.connections_max && peer != Peer::Anybody {
            return None;
        }
        connections.insert(peer, held.saturating_add(1));
        Some(Seat { peers: self.clone(), peer })
    }

    /// Whether the peer may call once more now. Over loopback one would take the calls of all.
    pub(super) fn may_call(&self, peer: Peer) -> bool {
        if peer == Peer::Anybody {
            return true;
        }
        if self.calls.len() > REMEMBERED_LEN_MAX {
            self.calls.retain_recent();
        }
        self.calls.check_key(&peer).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connections = self.peers.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match connections.get_mut(&self.peer) {
            Some(held) if *held > 1 => *held = held.saturating_sub(1),
            Some(_) | None => drop(connections.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(peer_calls_per_sec_max: u32) -> Arc<Peers> {
        Arc::new(Peers::new(&Limits {
            connections_per_peer_max: 2,
            peer_calls_per_sec_max,
            ..Limits::default()
        }))
    }

    #[test]
    fn one_peer_takes_no_room_from_another() {
        let (peers, here) = (peers(1), Peer::Address(IpAddr::from([127, 0, 0, 1])));
        let first = peers.seat(Peer::Uid(1)).unwrap();
        let _second = peers.seat(Peer::Uid(1)).unwrap();
        assert!(peers.seat(Peer::Uid(1)).is_none());
        let _others = [Peer::Uid(2), here].map(|peer| peers.seat(peer).unwrap());
        drop(first);
        let _third = peers.seat(Peer::Uid(1)).unwrap();
        assert!(peers.seat(Peer::Uid(1)).is_none());
        let anybody: Vec<_> = (0..10).filter_map(|_| peers.seat(Peer::Anybody)).collect();
        assert_eq!(anybody.len(), 10);
        drop(anybody);
        assert_eq!(peers.connections.lock().unwrap().len(), 3, "nobody is remembered without a connection");
    }

    #[test]
    fn one_peer_takes_no_calls_from_another() {
        let peers = peers(3);
        let taken = (0..10).filter(|_| peers.may_call(Peer::Uid(1))).count();
        assert!((3..10).contains(&taken), "{taken}");
        assert!(peers.may_call(Peer::Uid(2)));
        assert!((0..100).all(|_| peers.may_call(Peer::Anybody)));
    }

    #[test]
    fn who_has_not_called_lately_is_forgotten() {
        // Whoever called a microsecond ago may call as often as whoever never did.
        let peers = peers(1_000_000);
        for uid in 0..10_000 {
            assert!(peers.may_call(Peer::Uid(uid)));
        }
        assert!(peers.calls.len() <= REMEMBERED_LEN_MAX + 1, "{}", peers.calls.len());
    }
}
