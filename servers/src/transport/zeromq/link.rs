//! One lane to one peer: a DEALER that sends, and the monitor that tells how its connection stands.
//! Must never queue for a peer that is not connected, nor leave its monitor unread: what piles up there
//! would block ZeroMQ's I/O thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll};

use messages::NodeId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zmq::{DONTWAIT, POLLOUT, Socket, SocketEvent, SocketType};

use crate::transport::{Change, MAX_FRAME, Record, Sent};

/// Frames that ZeroMQ holds for one outbound connection.
const HIGH_WATER: i32 = 64;
/// What waits for one lane beyond that, bytes.
const BACKLOG_BYTES: usize = MAX_FRAME;
/// A lane that ZeroMQ gave up is opened anew after so many frames found it so.
const REOPEN_AFTER: u32 = 16;
const HANDSHAKE_MILLIS: i32 = 2_000;
const CONNECT_MILLIS: i32 = 1_000;
const RECONNECT_MILLIS: i32 = 50;
const RECONNECT_MAX_MILLIS: i32 = 500;
const HEARTBEAT_MILLIS: i32 = 250;
const HEARTBEAT_TIMEOUT_MILLIS: i32 = 750;
const SEND_BUFFER: i32 = 256 << 10;

/// One lane to one peer.
// The socket is dropped before the monitor's receiving end, and that after its registration.
pub(super) struct Link {
    dealer: Socket,
    /// The monitor's readiness, where somebody waits for what it shows.
    watch: Option<AsyncFd<Descriptor>>,
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
pub(super) struct Names {
    /// Whose changes are told; that of one of the lanes to a peer.
    pub watched: Option<NodeId>,
    /// At the peer: this node and the lane.
    pub own: String,
    /// In this process: the peer and the lane.
    pub peer: String,
    /// Where the peer listens, `host:port`.
    pub address: String,
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

impl Link {
    pub fn open(context: &zmq::Context, names: Names, reopened: u32) -> io::Result<Link> {
        if names.address.contains('\0') {
            return Err(zmq::Error::EINVAL.into()); // the binding would panic
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
        let watch = names.watched.map(|_| watch(&monitor)).transpose()?;
        // Who has never looked in vain is not signalled: ZeroMQ takes it to be awake.
        let _ = monitor.recv_msg(DONTWAIT);
        dealer.connect(&format!("tcp://{}", names.address))?;
        Ok(Link {
            dealer,
            watch,
            monitor,
            standing: Standing::Connecting,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            context: context.clone(),
            names,
            reopened,
        })
    }

    pub fn send(&mut self, frame: Vec<u8>, record: &mut Record) -> Sent {
        if !self.backlog.is_empty() {
            self.flush(record);
        }
        if self.backlog.is_empty() && self.has_room() {
            return self.hand_over(frame, record);
        }
        self.follow(record);
        if self.standing != Standing::Connected {
            record.counts.unconnected += 1;
            self.missed();
            return Sent::Dropped;
        }
        if self.backlog_bytes + frame.len() > BACKLOG_BYTES {
            record.counts.full += 1;
            return Sent::Dropped;
        }
        self.backlog_bytes += frame.len();
        self.backlog.push_back(frame);
        Sent::Queued
    }

    /// Sends of the backlog what finds room.
    pub fn flush(&mut self, record: &mut Record) {
        self.follow(record);
        while !self.backlog.is_empty() && self.has_room() {
            if let Some(frame) = self.backlog.pop_front() {
                self.backlog_bytes -= frame.len();
                let lost = self.hand_over(frame, record) == Sent::Dropped;
                record.counts.lost += u64::from(lost);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.dealer.get_events().is_ok_and(|events| events.contains(POLLOUT))
    }

    /// Gives a frame to ZeroMQ, which had room a moment ago: if it has none now, the connection has
    /// gone, and the frame with it.
    fn hand_over(&self, frame: Vec<u8>, record: &mut Record) -> Sent {
        match self.dealer.send(frame, DONTWAIT) {
            Ok(()) => Sent::Queued,
            Err(_) => {
                record.counts.unconnected += 1;
                Sent::Dropped
            }
        }
    }

    /// Learns from the monitor what became of the connection.
    pub fn follow(&mut self, record: &mut Record) {
        while let Ok(event) = self.monitor.recv_msg(DONTWAIT) {
            if !event.get_more() {
                continue; // the endpoint, second part of each event
            }
            let Some(kind) = event.first_chunk().map(|kind| u16::from_ne_bytes(*kind)) else {
                continue;
            };
            if kind == SocketEvent::HANDSHAKE_SUCCEEDED.to_raw() {
                self.standing = Standing::Connected;
                self.tell(Change::Found, record);
            } else if kind == SocketEvent::CONNECT_RETRIED.to_raw() {
                self.standing = Standing::Connecting;
            } else {
                if self.standing == Standing::Connected {
                    self.tell(Change::Lost, record);
                }
                self.standing = Standing::Lost { dropped: 0 };
                record.counts.lost += self.backlog.len() as u64;
                self.backlog.clear();
                self.backlog_bytes = 0;
            }
        }
    }

    /// Learns what became of the connection as soon as it happens, if that is to be told; otherwise
    /// wakes the task later.
    pub fn poll_changes(&mut self, context: &mut Context<'_>, record: &mut Record) {
        while let Some(watch) = &self.watch
            && let Poll::Ready(Ok(mut guard)) = watch.poll_read_ready(context)
        {
            guard.clear_ready(); // before the look: what happens after it is told again
            drop(guard);
            self.follow(record);
        }
    }

    fn tell(&self, change: fn(NodeId) -> Change, record: &mut Record) {
        if let Some(peer) = self.names.watched {
            record.changes.tell(change(peer));
        }
    }

    /// Whether frames wait for room.
    pub fn holds_frames(&self) -> bool {
        !self.backlog.is_empty()
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

/// The ROUTER's descriptor; ZeroMQ owns it.
pub(super) struct Descriptor(RawFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// Registers a socket's descriptor with the runtime.
#[expect(
    deprecated,
    reason = "its successor is an unsafe function, for whose condition (the descriptor outlives \
              the registration) the order of the fields of `ZeroMq` and `Link` stands here"
)]
pub(super) fn watch(socket: &Socket) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::with_interest(Descriptor(socket.get_fd()?), Interest::READABLE)
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
pub(super) fn common_options(socket: &Socket) -> zmq::Result<()> {
    socket.set_linger(0)?;
    socket.set_maxmsgsize(MAX_FRAME as i64)?;
    socket.set_handshake_ivl(HANDSHAKE_MILLIS)?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(30)?;
    socket.set_tcp_keepalive_intvl(5)?;
    socket.set_tcp_keepalive_cnt(3)
}
