//! Frames between nodes over plain TCP, on the caller's thread and without a task of its own. Must
//! never queue for a peer that has not taken the connection.
//!
//! **Simplex lanes.** A node listens at one address, where it only receives; for each peer and lane
//! it opens one connection, on which it only sends. So a full lane is seen by its sender alone. A
//! connection begins with a [preamble], which its receiver answers when it takes it; from then on it
//! stands, and carries frames, each after its length. Anything else closes it.
//!
//! **Order.** Connections of one process and lane are numbered. A later one takes the place of an
//! earlier one, of which nothing is delivered any more. (No proof of identity: anybody can take any
//! name.)
//!
//! **Sending** is one system call a frame, at once. What the kernel does not take waits in a bounded
//! backlog, which goes with its connection.
//!
//! **Wake-ups.** Every socket has the waker of the task that last waited, so that each call may go on
//! with whatever can go on; a wait is over when a whole frame is there, or a change to tell.
//!
//! **Gone.** A peer's process that ends closes the connections to it, which is seen at once, as it is
//! read there. A host that falls silent acknowledges nothing for [`outbound`]'s limit, or no
//! keep-alive; a process that stands still takes nothing of a backlog. Until then what was sent to it
//! waits in its kernel, and it will read that when it goes on: late, but in order.
//!
//! Bounds a peer, whatever it does: outbound `BACKLOG_BYTES` a lane and the kernel's buffer; inbound
//! one frame and one reading a connection, and few connections of unknown nodes.

mod inbound;
mod outbound;
mod preamble;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use messages::NodeId;
use rand::Rng;
use rustix::net::sockopt;
use tokio::net::TcpStream;

use self::inbound::Inbound;
use self::outbound::Link;
use self::preamble::Preamble;
use super::{Change, Counts, Lane, MAX_FRAME, OpenError, Record, Sent, Transport};

/// One node's end. Must be opened within a tokio runtime with I/O and time, and stay on its thread's
/// runtime.
pub struct Tcp {
    inbound: Inbound,
    links: BTreeMap<(Lane, NodeId), Link>,
    record: Record,
    /// Of the task that last waited.
    waker: Waker,
}

impl Tcp {
    /// Opens the end of `node`: listens for peers at `listen` and connects to `peers`, each
    /// `host:port`.
    ///
    /// # Errors
    /// If the address cannot be listened at, one of a peer makes no sense, or there are no more
    /// descriptors. A peer that does not answer is no error.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn open(
        node: NodeId,
        listen: &str,
        peers: impl IntoIterator<Item = (NodeId, String)>,
    ) -> Result<Tcp, OpenError> {
        let listener = open_listener(listen)?;
        let start = rand::rng().next_u64();
        let mut links = BTreeMap::new();
        for (peer, address) in peers {
            if !is_address(&address) {
                let error = io::ErrorKind::InvalidInput.into();
                return Err(OpenError::Peer { peer, address, error });
            }
            for lane in [Lane::Control, Lane::Log, Lane::Bulk] {
                let preamble = Preamble { lane, from: node, to: peer, start, number: 0 };
                links.insert((lane, peer), Link::new(address.clone(), preamble));
            }
        }
        let known = links.keys().map(|(_, peer)| *peer).collect();
        let inbound = Inbound::new(node, known, listener);
        let waker = Waker::noop().clone();
        Ok(Tcp { inbound, links, record: Record::default(), waker })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.inbound.local_address()
    }

    /// Goes on with everything but the frames that arrive.
    fn progress(&mut self, context: &mut Context<'_>) {
        self.inbound.poll_new(context, &mut self.record);
        for link in self.links.values_mut() {
            link.poll(context, &mut self.record);
        }
    }
}

impl Transport for Tcp {
    fn send(&mut self, to: NodeId, lane: Lane, frame: Vec<u8>) -> Sent {
        let counts = &mut self.record.counts;
        if frame.len() > MAX_FRAME {
            counts.oversize += 1;
            return Sent::Dropped;
        }
        match self.links.get_mut(&(lane, to)) {
            Some(link) => link.send(frame, &mut self.record),
            None => {
                counts.unconnected += 1;
                Sent::Dropped
            }
        }
    }

    fn receive(&mut self) -> Option<Bytes> {
        let frame = self.inbound.receive(&mut self.record);
        if frame.is_none() {
            self.record.changes.ripen();
        }
        frame
    }

    fn change(&mut self) -> Option<Change> {
        self.record.changes.next()
    }

    fn flush(&mut self) -> bool {
        let waker = self.waker.clone();
        self.progress(&mut Context::from_waker(&waker));
        self.links.values().any(Link::has_backlog)
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.clone_from(context.waker());
        self.progress(context);
        let is_frame = self.inbound.poll_frame(context, &mut self.record);
        let is_news = self.record.changes.take_news();
        if is_frame || is_news { Poll::Ready(()) } else { Poll::Pending }
    }

    fn counts(&self) -> Counts {
        self.record.counts
    }
}

fn open_listener(listen: &str) -> Result<tokio::net::TcpListener, OpenError> {
    let resolve = |error| OpenError::Resolve { address: listen.to_owned(), error };
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = listen.to_socket_addrs().map_err(resolve)?;
    let address = addresses.next().ok_or_else(nothing).map_err(resolve)?;
    let listener = TcpListener::bind(address)
        .map_err(|error| OpenError::Listen { address: listen.to_owned(), error })?;
    listener.set_nonblocking(true).map_err(OpenError::Sockets)?;
    tokio::net::TcpListener::from_std(listener).map_err(OpenError::Sockets)
}

/// Whether this is `host:port`, the host in brackets if it has colons.
fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || (c == ':' && !is_bracketed);
    !host.is_empty() && !host.contains(is_odd) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// How the length of a frame travels.
fn prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("no frame is larger than MAX_FRAME").to_le_bytes()
}

/// Has the kernel look whether the other host is there while nothing is said.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(5))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_keepcnt(stream, 5)?;
    Ok(())
}
