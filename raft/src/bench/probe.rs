//! How soon a cluster takes writes again after a fault: a fresh write at a fixed rate to each server
//! that is left, each on a connection that waits for no other, until one is acknowledged. Must never
//! count a write that was sent before the fault.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Lost};
use super::descriptors;
use super::replies::Outcome;
use super::requests::{MOST_KEYS, Operation, Requests};

/// From one write to the next.
const GAP: Duration = Duration::from_millis(5);
/// Connections to each server that are open before the fault; more are opened when all wait.
const READY: usize = 64;
/// As many may wait in all as a node holds a write back for, 2.5 s, at two servers; and as many again.
const MOST: usize = 2_000;
/// How long opening one may take.
const CONNECT: Duration = Duration::from_secs(1);

/// Connections to the servers that will be left.
#[derive(Debug)]
pub struct Probe {
    servers: Vec<Server>,
    /// All connections; `None` where one was lost.
    connections: Vec<Option<(usize, Connection)>>,
    requests: Requests,
    poll: Poll,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Its connections that wait for nothing.
    idle: Vec<usize>,
}

impl Probe {
    /// Connects to the servers. `seed` is for the keys that are written.
    ///
    /// # Errors
    /// If one does not take connections.
    pub fn open(addresses: &[SocketAddr], seed: u64) -> io::Result<Probe> {
        // With fewer descriptors fewer writes wait at the same time: still a measurement.
        let _ = descriptors::allow(MOST, String::new);
        let server = |address: &SocketAddr| Server { address: *address, idle: Vec::new() };
        let mut probe = Probe {
            servers: addresses.iter().map(server).collect(),
            connections: Vec::new(),
            requests: Requests::new(Operation::Set, MOST_KEYS, 8, seed),
            poll: Poll::new()?,
        };
        for server in 0..addresses.len() {
            for _ in 0..READY {
                probe.connect(server)?;
            }
        }
        Ok(probe)
    }

    /// Writes until a write is acknowledged, and returns when that was; `None` if none is in time. To
    /// be called after the fault.
    ///
    /// # Errors
    /// If sockets cannot be waited for.
    pub fn first_acknowledged(mut self, patience: Duration) -> io::Result<Option<Instant>> {
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; 4 << 10];
        let begin = Instant::now();
        let mut next = begin;
        while begin.elapsed() < patience {
            if Instant::now() >= next {
                (0..self.servers.len()).for_each(|server| self.write(server));
                next += GAP;
            }
            let wait = next.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                if self.is_acknowledged(event.token().0, &mut buffer) {
                    return Ok(Some(Instant::now()));
                }
            }
        }
        Ok(None)
    }

    fn connect(&mut self, server: usize) -> io::Result<()> {
        let address = self.servers[server].address;
        let mut connection = Connection::open(address, 1, &self.requests, CONNECT)?;
        let number = self.connections.len();
        let registry = self.poll.registry();
        registry.register(&mut connection.stream, Token(number), Interest::READABLE)?;
        self.connections.push(Some((server, connection)));
        self.servers[server].idle.push(number);
        Ok(())
    }

    /// Sends a write to a server; one that takes no more connections is given up for this time.
    fn write(&mut self, server: usize) {
        if self.servers[server].idle.is_empty() && self.connect(server).is_err() {
            return;
        }
        let Some(number) = self.servers[server].idle.pop() else { return };
        let Some((_, connection)) = &mut self.connections[number] else { return };
        connection.add(&mut self.requests, 0);
        if connection.flush().is_err() {
            self.connections[number] = None;
        }
    }

    /// Reads what a connection has, and whether that is an acknowledgement.
    fn is_acknowledged(&mut self, number: usize, buffer: &mut [u8]) -> bool {
        let Some((server, connection)) = &mut self.connections[number] else { return false };
        let mut done = false;
        let read = connection.read(buffer, |_, outcome| done |= outcome == Outcome::Done);
        match read {
            Ok(()) if connection.has_room() => self.servers[*server].idle.push(number),
            Ok(()) => (),
            Err(Lost(_)) => self.connections[number] = None,
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers every request with this.
    fn server(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    while stream.read(&mut [0; 1_024]).is_ok_and(|count| count > 0) {
                        let _ = stream.write_all(reply);
                    }
                });
            }
        });
        address
    }

    fn acknowledged(servers: &[SocketAddr], patience: Duration) -> Option<Instant> {
        let probe = Probe::open(servers, 1).expect("they take connections");
        probe.first_acknowledged(patience).expect("sockets can be waited for")
    }

    #[test]
    fn an_error_is_no_acknowledgement() {
        let refuses = server(b"-CLUSTERDOWN no leader\r\n");
        let patience = Duration::from_millis(50);
        assert_eq!(acknowledged(&[refuses], patience), None);
        let takes = server(b"+OK\r\n");
        assert!(acknowledged(&[refuses, takes], Duration::from_secs(30)).is_some());
    }
}
