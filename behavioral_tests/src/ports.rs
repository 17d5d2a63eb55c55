//! Ports for the nodes of a test. Must never hand out a port that another test or program uses, nor
//! one of those that the system hands out itself (32768 and up).

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Ten client ports in a row, with the peer ports above them; nobody else's while this lives.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    _claim: UnixListener,
}

impl Ports {
    /// The next free ones.
    pub fn claim() -> Ports {
        (11_000..21_000).step_by(10).find_map(Ports::claim_from).expect("ten free ports in a row")
    }

    /// The client port of this number, 0 to 9.
    pub fn port(&self, number: u16) -> u16 {
        assert!(number < 10);
        self.first + number
    }

    /// That client port on the loopback address.
    pub fn address(&self, number: u16) -> std::net::SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(number)).into()
    }

    fn claim_from(first: u16) -> Option<Ports> {
        let name = format!("raft process tests {first}");
        let name = SocketAddr::from_abstract_name(name).expect("a short name");
        let claim = UnixListener::bind_addr(&name).ok()?;
        let all_free = (first..first + 10).all(|port| is_free(port) && is_free(port + 10_000));
        all_free.then_some(Ports { first, _claim: claim })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
