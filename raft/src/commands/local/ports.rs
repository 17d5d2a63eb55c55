//! Ports for a local cluster's nodes. Must never take a port that somebody listens on.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// The first client port that is tried.
const FIRST: u16 = 7001;
/// The last: its peer port stays below those that the system hands out itself (32768 and up).
const LAST: u16 = 22000;
/// From a client port to the peer port beside it.
pub const PEER_OFFSET: u16 = 10_000;

/// A run of client ports, with the peer ports beside them, that no other local cluster uses while
/// this lives, even while a node of this one is down.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    _claims: Vec<UnixListener>,
}

impl Ports {
    /// The first free run of so many ports, from 7001 on.
    pub fn claim(nodes: u16) -> Option<Ports> {
        (FIRST..=LAST - nodes).find_map(|first| Ports::claim_from(first, nodes))
    }

    fn claim_from(first: u16, nodes: u16) -> Option<Ports> {
        let claims = (first..first + nodes).map(claim_one).collect::<Option<_>>()?;
        Some(Ports { first, _claims: claims })
    }

    /// The first of the run.
    pub fn first(&self) -> u16 {
        self.first
    }
}

/// Both ports must be free, and the claim ours: an abstract socket's name, which the system gives
/// back even after SIGKILL.
fn claim_one(port: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("raft demo {port}")).ok()?;
    let claim = UnixListener::bind_addr(&name).ok()?;
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (free(port) && free(port + PEER_OFFSET)).then_some(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_overlap() {
        let one = Ports::claim(3).expect("free ports");
        let two = Ports::claim(3).expect("free ports");
        let distance = two.first().abs_diff(one.first());
        assert!(distance >= 3, "{one:?} {two:?}");
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let one = Ports::claim(1).expect("free ports");
        let port = one.first();
        let peer = TcpListener::bind((Ipv4Addr::LOCALHOST, port + PEER_OFFSET)).expect("just free");
        drop(one);
        let two = Ports::claim(1).expect("free ports");
        assert_ne!(two.first(), port);
        drop(peer);
    }
}
