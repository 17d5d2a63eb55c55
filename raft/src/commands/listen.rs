//! What a node listens on, before it does: addresses, descriptors, and what an operator should know
//! about them.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use raft::config::Config;
use raft::exit::{self, Failure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but clients: log, peers, listeners, what libraries hold.
const RESERVED: u64 = 128;

/// The socket address of a `HOST:PORT` to listen on.
pub fn resolve(key: &str, address: &str) -> Result<SocketAddr, Failure> {
    let wrong = |why: String| {
        let text = format!("{key} = \"{address}\": {why}; expected an address of this machine");
        Failure::new(exit::CONFIGURATION, text)
    };
    let mut found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("no address of that name".into()))
}

/// Listens for clients.
pub fn for_clients(address: &str) -> Result<TcpListener, Failure> {
    let socket = resolve("client.listen", address)?;
    let listener = TcpListener::bind(socket).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {} is in use; stop what listens there, or change client.listen",
                socket.port()
            ),
            _ => format!("{error}; change client.listen"),
        };
        Failure::new(exit::FAILED, format!("cannot listen for clients at {address}: {why}"))
    })
}

/// One warning if somebody on another machine could reach this node.
pub fn warn_if_exposed(config: &Config) {
    let mut exposed = Vec::new();
    if !is_loopback(&config.client_listen) {
        exposed.push(format!("clients at {} need no password", config.client_listen));
    }
    if !is_loopback(&config.peer_listen) {
        exposed.push(format!("peers at {} are neither encrypted nor checked", config.peer_listen));
    }
    if !exposed.is_empty() {
        let exposed = exposed.join(", and ");
        log::warn!("listening beyond this machine: {exposed}; keep others out by other means");
    }
}

fn is_loopback(address: &str) -> bool {
    let Ok(mut found) = address.to_socket_addrs() else { return false };
    found.all(|socket| socket.ip().is_loopback())
}

/// How many clients fit beside log and peers, after asking the system for enough descriptors.
pub fn reserve_descriptors(max_clients: u64) -> u64 {
    let wanted = max_clients + RESERVED;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        // Refused: then the limit stays as it is, and is looked at again.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
    let fitting = getrlimit(Resource::Nofile)
        .current
        .map_or(max_clients, |current| max_clients.min(current.saturating_sub(RESERVED).max(1)));
    if fitting < max_clients {
        log::warn!(
            "room for {fitting} clients, not {max_clients}: raise the limit of open files (ulimit -n)"
        );
    }
    fitting
}
