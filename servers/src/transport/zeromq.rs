//! Frames between nodes over ZeroMQ, which nothing but this and `link` (one lane to a peer) knows of. Must never send on the ROUTER
//! (which loses without an error), and never queue for a peer that is not connected.
//!
//! **Simplex lanes.** One ROUTER receives; for each peer and lane one DEALER sends. So each pair of
//! nodes has two connections a lane, one each way; a full lane is seen by its sender alone, and
//! nothing ever arrives on a socket that sends.
//!
//! **Order.** Each DEALER gives itself a name (routing id), for its node and lane. When it connects
//! again, the ROUTER gives the name to the new connection, and to the old one, of which frames may
//! still wait unread, a number. Frames with a number for a name are dropped: they are stale, or of
//! somebody who is no node. So order holds across reconnects. (No proof of identity: anybody can
//! take any name.)
//!
//! **Wake-ups.** The ROUTER's descriptor only says "something happened", once; any call on the
//! socket may swallow that. So [`poll_readable`](Transport::poll_readable) sleeps only if, after the
//! descriptor's readiness was cleared, `ZMQ_EVENTS` shows nothing. DEALERs are not polled at all:
//! each send looks at `ZMQ_EVENTS` first, which also brings the socket up to date.
//!
//! **Full, or not connected?** ZeroMQ answers both with EAGAIN, but they differ: what a connected
//! peer cannot take yet waits in a bounded backlog; for a peer that is away nothing may wait, or it
//! would reach it stale when it comes back. A monitor tells the two apart. It is read when a lane
//! has no room, and one lane a turn besides, so that events never pile up. When a connection is
//! lost, the backlog goes, as does (`ZMQ_IMMEDIATE`) what ZeroMQ itself still held.
//!
//! **Lost and found.** The monitors of the control lanes are watched as the ROUTER is, so that a node
//! learns at once that a peer's process has ended. What a monitor shows is told only after the ROUTER
//! was found empty: ZeroMQ's I/O thread had handed over by then what it had read before. A lane that
//! is opened anew has not been found until it stands.
//!
//! **Given up.** ZeroMQ reconnects after a connection was lost, but never after a peer broke the
//! protocol (another service on that port, for a moment, is enough). The monitor shows that too: a
//! lost connection without a retry. Such a lane is opened anew after some frames found it so;
//! counting frames paces this without a clock.
//!
//! Bounds a peer, whatever it does: outbound `HIGH_WATER` frames and `BACKLOG_BYTES` a lane; inbound
//! `INBOUND_HIGH_WATER` frames a connection, none above [`MAX_FRAME`]. A connection that is full and
//! not read for about a second is cut by ZeroMQ's own heartbeats. ZeroMQ limits neither the number of
//! connections nor that of the *parts* of one message: the port is for nodes only, which a firewall
//! has to see to.
//!
//! **Full or followed by another, and reset.** ZeroMQ (4.3.4) aborts the process when a PING or PONG is
//! to leave on a connection that was reset after its frames found no room (`Assertion failed:
//! !_io_error`). They find none where a node slept, or on an old connection whose name a new one has.
//! So DEALERs alone send PINGs, which tell the ROUTER, too, when to give up; and more frames fit in
//! than honest peers send until they notice that nobody answers. What is left: a peer that fills a
//! connection faster than it is read, with a PING behind, and resets it.

mod link;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use messages::NodeId;
use tokio::io::unix::AsyncFd;
use zmq::{DONTWAIT, Message, POLLIN, Socket, SocketType};

use self::link::{Descriptor, Link, Names, common_options, watch};
use super::{Change, Counts, Lane, MAX_FRAME, OpenError, Record, Sent, Transport};

/// The same for an inbound one.
const INBOUND_HIGH_WATER: i32 = 1_024;
/// Malformed messages skipped in one call of `receive`, so that a flood of them cannot hold a turn.
const SKIPPED_AT_ONCE: u32 = 64;
/// Received frames up to this size are copied: they share ZeroMQ's buffers, which they would pin.
const COPIED_BELOW: usize = 4096;

/// One node's end. Must be opened within a tokio runtime with I/O, and stay on its thread's runtime.
// Fields are dropped in this order: the descriptor's registration before its socket, sockets before
// the context, whose drop waits for them.
pub struct ZeroMq {
    readiness: AsyncFd<Descriptor>,
    router: Socket,
    links: BTreeMap<(Lane, NodeId), Link>,
    /// The link whose monitor is read at the next flush.
    next_followed: usize,
    record: Record,
    _context: zmq::Context,
}

impl ZeroMq {
    /// Opens the end of `node`: listens for peers at `listen` and connects to `peers`, each
    /// `host:port`.
    ///
    /// # Errors
    /// If the address cannot be listened at, one of a peer makes no sense, or there are no more
    /// descriptors. A peer that does not answer is no error.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn open(
        node: NodeId,
        listen: &str,
        peers: impl IntoIterator<Item = (NodeId, String)>,
    ) -> Result<ZeroMq, OpenError> {
        let context = zmq::Context::new();
        context.set_io_threads(1).map_err(sockets)?;
        let router = open_router(&context, listen)?;
        let mut links = BTreeMap::new();
        for (peer, address) in peers {
            for lane in [Lane::Control, Lane::Log, Lane::Bulk] {
                let names = Names {
                    watched: (lane == Lane::Control).then_some(peer),
                    own: format!("{node} {lane:?}"),
                    peer: format!("{peer} {lane:?}"),
                    address: address.clone(),
                };
                let link = Link::open(&context, names, 0).map_err(|error| {
                    let address = address.clone();
                    OpenError::Peer { peer, address, error }
                })?;
                links.insert((lane, peer), link);
            }
        }
        let readiness = watch(&router).map_err(OpenError::Sockets)?;
        let record = Record::default();
        Ok(ZeroMq { readiness, router, links, next_followed: 0, record, _context: context })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If ZeroMQ does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let endpoint = self.router.get_last_endpoint()?.unwrap_or_default();
        let address = endpoint.strip_prefix("tcp://").unwrap_or(&endpoint);
        address.parse().map_err(|_| io::Error::other(format!("no address: {endpoint:?}")))
    }

    /// The next part of a message, if there is one.
    fn receive_part(&self) -> Option<Message> {
        loop {
            match self.router.recv_msg(DONTWAIT) {
                Ok(part) => return Some(part),
                Err(zmq::Error::EINTR) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Transport for ZeroMq {
    fn send(&mut self, to: NodeId, lane: Lane, frame: Vec<u8>) -> Sent {
        if frame.len() > MAX_FRAME {
            self.record.counts.oversize += 1;
            return Sent::Dropped;
        }
        match self.links.get_mut(&(lane, to)) {
            Some(link) => link.send(frame, &mut self.record),
            None => {
                self.record.counts.unconnected += 1;
                Sent::Dropped
            }
        }
    }

    fn receive(&mut self) -> Option<Bytes> {
        for _ in 0..SKIPPED_AT_ONCE {
            let Some(routing_id) = self.receive_part() else {
                self.record.changes.ripen();
                return None;
            };
            // Numbers begin with a zero byte, which no name does.
            let is_named = routing_id.first().is_some_and(|byte| *byte != 0);
            let mut more = routing_id.get_more();
            let mut frame = None;
            let mut parts = 0_u32;
            while more {
                let part = self.receive_part()?;
                more = part.get_more();
                parts = parts.saturating_add(1);
                frame = Some(part);
            }
            match frame {
                _ if !is_named => self.record.counts.unnamed += 1,
                Some(frame) if parts == 1 => return Some(into_bytes(frame)),
                _ => self.record.counts.malformed += 1,
            }
        }
        None
    }

    fn change(&mut self) -> Option<Change> {
        self.record.changes.next()
    }

    fn flush(&mut self) -> bool {
        let record = &mut self.record;
        let mut left = false;
        for link in self.links.values_mut().filter(|link| link.holds_frames()) {
            link.flush(record);
            left |= link.holds_frames();
        }
        if !self.links.is_empty() {
            self.next_followed = (self.next_followed + 1) % self.links.len();
            if let Some(link) = self.links.values_mut().nth(self.next_followed) {
                link.follow(record);
            }
        }
        left
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for link in self.links.values_mut() {
            link.poll_changes(context, &mut self.record);
        }
        if self.record.changes.take_news() {
            return Poll::Ready(());
        }
        // An error is left for `receive` to meet; to sleep on it would be to sleep for ever.
        while self.router.get_events().is_ok_and(|events| !events.contains(POLLIN)) {
            match ready!(self.readiness.poll_read_ready(context)) {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    fn counts(&self) -> Counts {
        self.record.counts
    }
}

fn open_router(context: &zmq::Context, listen: &str) -> Result<Socket, OpenError> {
    let resolve = |error| OpenError::Resolve { address: listen.to_owned(), error };
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = listen.to_socket_addrs().map_err(resolve)?;
    let address = addresses.next().ok_or_else(nothing).map_err(resolve)?;

    let router = context.socket(SocketType::ROUTER).map_err(sockets)?;
    router_options(&router, address).map_err(sockets)?;
    match router.bind(&format!("tcp://{address}")) {
        Ok(()) => Ok(router),
        Err(error) => Err(OpenError::Listen { address: listen.to_owned(), error: error.into() }),
    }
}

fn router_options(router: &Socket, address: SocketAddr) -> zmq::Result<()> {
    common_options(router)?;
    router.set_rcvhwm(INBOUND_HIGH_WATER)?;
    router.set_sndhwm(1)?;
    // The latest connection of a name has it.
    router.set_router_handover(true)?;
    router.set_router_mandatory(true)?;
    router.set_backlog(128)?;
    router.set_ipv6(address.is_ipv6())
}

fn sockets(error: zmq::Error) -> OpenError {
    OpenError::Sockets(error.into())
}

/// The bytes of a received part.
fn into_bytes(part: Message) -> Bytes {
    struct Part(Message);
    impl AsRef<[u8]> for Part {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    if part.len() < COPIED_BELOW {
        Bytes::copy_from_slice(&part)
    } else {
        Bytes::from_owner(Part(part))
    }
}
