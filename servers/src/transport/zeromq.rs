//! Frames between nodes over ZeroMQ. The only file that knows of it. Must never send on the ROUTER
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

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use messages::NodeId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zmq::{DONTWAIT, Message, POLLIN, POLLOUT, Socket, SocketEvent, SocketType};

use super::{Counts, Lane, MAX_FRAME, OpenError, Sent, Transport};

/// Frames that ZeroMQ holds for one outbound connection.
const HIGH_WATER: i32 = 64;
/// The same for an inbound one.
const INBOUND_HIGH_WATER: i32 = 1_024;
/// What waits for one lane beyond that, bytes.
const BACKLOG_BYTES: usize = MAX_FRAME;
/// A lane that ZeroMQ gave up is opened anew after so many frames found it so.
const REOPEN_AFTER: u32 = 16;
/// Malformed messages skipped in one call of `receive`, so that a flood of them cannot hold a turn.
const SKIPPED_AT_ONCE: u32 = 64;
/// Received frames up to this size are copied: they share ZeroMQ's buffers, which they would pin.
const COPIED_BELOW: usize = 4096;

const HANDSHAKE_MILLIS: i32 = 2_000;
const CONNECT_MILLIS: i32 = 1_000;
const RECONNECT_MILLIS: i32 = 50;
const RECONNECT_MAX_MILLIS: i32 = 500;
const HEARTBEAT_MILLIS: i32 = 250;
const HEARTBEAT_TIMEOUT_MILLIS: i32 = 750;
const SEND_BUFFER: i32 = 256 << 10;

/// One node's end. Must be opened within a tokio runtime with I/O, and stay on its thread's runtime.
// Fields are dropped in this order: the descriptor's registration before its socket, sockets before
// the context, whose drop waits for them.
pub struct ZeroMq {
    readiness: AsyncFd<Descriptor>,
    router: Socket,
    links: BTreeMap<(Lane, NodeId), Link>,
    /// The link whose monitor is read at the next flush.
    next_followed: usize,
    counts: Counts,
    _context: zmq::Context,
}

/// The ROUTER's descriptor; ZeroMQ owns it.
struct Descriptor(RawFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// One lane to one peer.
// The socket is dropped before the monitor's receiving end.
struct Link {
    dealer: Socket,
    monitor: Socket,
    standing: Standing,
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    context: zmq::Context,
    names: Names,
    /// How often it was opened before.
    reopened: u32,
}

/// What a link's sockets are called.
#[derive(Clone)]
struct Names {
    /// At the peer: this node and the lane.
    own: String,
    /// In this process: the peer and the lane.
    peer: String,
    /// Where the peer listens, `host:port`.
    address: String,
}

/// What is known of a link's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// ZeroMQ tries to connect.
    Connecting,
    Connected,
    /// Lost, and ZeroMQ is not known to try again; so many frames were dropped since.
    Lost {
        dropped: u32,
    },
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
            for lane in [Lane::Control, Lane::Log] {
                let names = Names {
                    own: format!("{node} {lane:?}"),
                    peer: format!("{peer} {lane:?}"),
                    address: address.clone(),
                };
                let link = Link::open(&context, names, 0).map_err(|error| {
                    let (address, error) = (address.clone(), error.into());
                    OpenError::Peer { peer, address, error }
                })?;
                links.insert((lane, peer), link);
            }
        }
        let readiness = watch(&router)?;
        let counts = Counts::default();
        Ok(ZeroMq { readiness, router, links, next_followed: 0, counts, _context: context })
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
            self.counts.oversize += 1;
            return Sent::Dropped;
        }
        match self.links.get_mut(&(lane, to)) {
            Some(link) => link.send(frame, &mut self.counts),
            None => {
                self.counts.unconnected += 1;
                Sent::Dropped
            }
        }
    }

    fn receive(&mut self) -> Option<Bytes> {
        for _ in 0..SKIPPED_AT_ONCE {
            let routing_id = self.receive_part()?;
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
                _ if !is_named => self.counts.unnamed += 1,
                Some(frame) if parts == 1 => return Some(into_bytes(frame)),
                _ => self.counts.malformed += 1,
            }
        }
        None
    }

    fn flush(&mut self) -> bool {
        let counts = &mut self.counts;
        let mut left = false;
        for link in self.links.values_mut().filter(|link| !link.backlog.is_empty()) {
            link.flush(counts);
            left |= !link.backlog.is_empty();
        }
        if !self.links.is_empty() {
            self.next_followed = (self.next_followed + 1) % self.links.len();
            if let Some(link) = self.links.values_mut().nth(self.next_followed) {
                link.follow(counts);
            }
        }
        left
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
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
        self.counts
    }
}

impl Link {
    fn open(context: &zmq::Context, names: Names, reopened: u32) -> zmq::Result<Link> {
        if names.address.contains('\0') {
            return Err(zmq::Error::EINVAL); // the binding would panic
        }
        let dealer = context.socket(SocketType::DEALER)?;
        let monitor = context.socket(SocketType::PAIR)?;
        let endpoint = format!("inproc://{} {reopened}", names.peer);
        let events = [
            SocketEvent::HANDSHAKE_SUCCEEDED,
            SocketEvent::DISCONNECTED,
            SocketEvent::CONNECT_RETRIED,
        ];
        let events = events.into_iter().fold(0, |all, event| all | i32::from(event.to_raw()));
        dealer.monitor(&endpoint, events)?;
        monitor.set_linger(0)?;
        // Without a limit: at one, ZeroMQ would block its own I/O thread.
        monitor.set_rcvhwm(0)?;
        monitor.connect(&endpoint)?;

        dealer_options(&dealer, &names)?;
        dealer.connect(&format!("tcp://{}", names.address))?;
        Ok(Link {
            dealer,
            monitor,
            standing: Standing::Connecting,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            context: context.clone(),
            names,
            reopened,
        })
    }

    fn send(&mut self, frame: Vec<u8>, counts: &mut Counts) -> Sent {
        if !self.backlog.is_empty() {
            self.flush(counts);
        }
        if self.backlog.is_empty() && self.has_room() {
            return self.hand_over(frame, counts);
        }
        self.follow(counts);
        if self.standing != Standing::Connected {
            counts.unconnected += 1;
            self.missed();
            return Sent::Dropped;
        }
        if self.backlog_bytes + frame.len() > BACKLOG_BYTES {
            counts.full += 1;
            return Sent::Dropped;
        }
        self.backlog_bytes += frame.len();
        self.backlog.push_back(frame);
        Sent::Queued
    }

    /// Sends of the backlog what finds room.
    fn flush(&mut self, counts: &mut Counts) {
        self.follow(counts);
        while !self.backlog.is_empty() && self.has_room() {
            if let Some(frame) = self.backlog.pop_front() {
                self.backlog_bytes -= frame.len();
                let lost = self.hand_over(frame, counts) == Sent::Dropped;
                counts.lost += u64::from(lost);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.dealer.get_events().is_ok_and(|events| events.contains(POLLOUT))
    }

    /// Gives a frame to ZeroMQ, which had room a moment ago: if it has none now, the connection has
    /// gone, and the frame with it.
    fn hand_over(&self, frame: Vec<u8>, counts: &mut Counts) -> Sent {
        match self.dealer.send(frame, DONTWAIT) {
            Ok(()) => Sent::Queued,
            Err(_) => {
                counts.unconnected += 1;
                Sent::Dropped
            }
        }
    }

    /// Learns from the monitor what became of the connection.
    fn follow(&mut self, counts: &mut Counts) {
        while let Ok(event) = self.monitor.recv_msg(DONTWAIT) {
            if !event.get_more() {
                continue; // the endpoint, second part of each event
            }
            let Some(kind) = event.first_chunk().map(|kind| u16::from_ne_bytes(*kind)) else {
                continue;
            };
            if kind == SocketEvent::HANDSHAKE_SUCCEEDED.to_raw() {
                self.standing = Standing::Connected;
            } else if kind == SocketEvent::CONNECT_RETRIED.to_raw() {
                self.standing = Standing::Connecting;
            } else {
                self.standing = Standing::Lost { dropped: 0 };
                counts.lost += self.backlog.len() as u64;
                self.backlog.clear();
                self.backlog_bytes = 0;
            }
        }
    }

    /// A frame found no connection: if ZeroMQ no longer tries, it is made to, now and then.
    fn missed(&mut self) {
        let Standing::Lost { dropped } = &mut self.standing else { return };
        *dropped += 1;
        if *dropped < REOPEN_AFTER {
            return;
        }
        *dropped = 0;
        // Without descriptors for it the old one stays, and is tried again.
        let reopened = self.reopened.wrapping_add(1);
        if let Ok(link) = Link::open(&self.context, self.names.clone(), reopened) {
            *self = link;
        }
    }
}

impl Drop for Link {
    /// Silences the monitor before its receiving end goes: an event that nobody can receive would
    /// block ZeroMQ's I/O thread. (A second call ends the first monitor; zero asks for no events.)
    fn drop(&mut self) {
        let nowhere = format!("inproc://{} {} end", self.names.peer, self.reopened);
        let _ = self.dealer.monitor(&nowhere, 0);
    }
}

/// Registers the ROUTER's descriptor with the runtime.
#[expect(
    deprecated,
    reason = "its successor is an unsafe function, for whose condition (the descriptor outlives \
              the registration) the order of the fields of `ZeroMq` stands here"
)]
fn watch(router: &Socket) -> Result<AsyncFd<Descriptor>, OpenError> {
    let descriptor = Descriptor(router.get_fd().map_err(sockets)?);
    AsyncFd::with_interest(descriptor, Interest::READABLE).map_err(OpenError::Sockets)
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

fn dealer_options(dealer: &Socket, names: &Names) -> zmq::Result<()> {
    common_options(dealer)?;
    dealer.set_identity(names.own.as_bytes())?;
    dealer.set_immediate(true)?;
    dealer.set_heartbeat_ivl(HEARTBEAT_MILLIS)?;
    dealer.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MILLIS)?;
    dealer.set_heartbeat_ttl(HEARTBEAT_TIMEOUT_MILLIS)?;
    dealer.set_sndhwm(HIGH_WATER)?;
    dealer.set_rcvhwm(1)?;
    dealer.set_sndbuf(SEND_BUFFER)?;
    dealer.set_sndtimeo(0)?;
    dealer.set_rcvtimeo(0)?;
    dealer.set_reconnect_ivl(RECONNECT_MILLIS)?;
    dealer.set_reconnect_ivl_max(RECONNECT_MAX_MILLIS)?;
    dealer.set_connect_timeout(CONNECT_MILLIS)?;
    dealer.set_ipv6(names.address.starts_with('['))
}

/// Options of both kinds of sockets. Must be set before they bind or connect.
fn common_options(socket: &Socket) -> zmq::Result<()> {
    socket.set_linger(0)?;
    socket.set_maxmsgsize(MAX_FRAME as i64)?;
    socket.set_handshake_ivl(HANDSHAKE_MILLIS)?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(30)?;
    socket.set_tcp_keepalive_intvl(5)?;
    socket.set_tcp_keepalive_cnt(3)
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
