//! Connections from others: taken, named by their preambles, read. Must never hold more for a peer
//! than one frame and one reading of its socket, nor read on for one whose frames nobody takes.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use log::{debug, warn};
use messages::NodeId;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::preamble::{self, Preamble};
use super::{Record, keep_alive};
use crate::transport::{Lane, MAX_FRAME};

/// Connections that have not said their preamble; for one more, the oldest goes.
const MOST_UNNAMED: usize = 64;
/// Connections of nodes that this one does not know; one more is refused.
const MOST_UNKNOWN: usize = 16;
/// Connections taken at once.
const ACCEPTED_AT_ONCE: usize = 16;
/// Without a descriptor for the next one: until the next try.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that has not said its preamble by then is closed.
const PREAMBLE_LIMIT: Duration = Duration::from_millis(2_000);

/// What one connection may give before the next one's turn: frames, and bytes.
const TAKEN_AT_ONCE: (u32, usize) = (64, 256 << 10);
/// Bytes read of one connection before the next one's turn.
const READ_AT_ONCE: usize = 1 << 20;
/// The usual size of a buffer, and the least room for a reading.
const BUFFER: usize = 64 << 10;
const LEAST_ROOM: usize = 16 << 10;
/// Received frames up to this size are copied: larger ones share the buffer, which they pin.
const COPIED_BELOW: usize = 4096;

/// All connections from others.
pub struct Inbound {
    own: NodeId,
    /// Who is known.
    peers: BTreeSet<NodeId>,
    listener: TcpListener,
    pause: Option<Pin<Box<Sleep>>>,
    /// Connections taken so far.
    accepted: u64,
    unnamed: VecDeque<Unnamed>,
    named: Vec<Connection>,
    /// Whose turn it is among the named ones, and what that one has given in this turn.
    turn: usize,
    taken: (u32, usize),
    /// Whether a refusal was told of already.
    warned: bool,
}

/// A connection of somebody.
struct Unnamed {
    stream: TcpStream,
    accepted: u64,
    bytes: [u8; preamble::LENGTH],
    got: usize,
    limit: Pin<Box<Sleep>>,
}

/// A connection of a node, for a lane.
struct Connection {
    stream: TcpStream,
    accepted: u64,
    preamble: Preamble,
    buffer: BytesMut,
    /// Whether the buffer has become larger than usual.
    has_grown: bool,
    /// Nothing more will be read, and no whole frame is left: closed by the other end, or not worth
    /// reading.
    ended: bool,
}

/// What stands first in a buffer.
enum Next {
    /// A whole frame of so many bytes.
    Frame(usize),
    /// Part of one; so many bytes are missing, as far as is known.
    Missing(usize),
    /// No frame.
    Oversize,
}

/// How a reading ended.
enum Reading {
    /// A whole frame is there.
    Frame,
    /// None, and the socket is empty or closed.
    Dry,
    /// None yet, but it is another connection's turn.
    Enough,
}

impl Inbound {
    /// Of node `own`, which knows these peers.
    pub fn new(own: NodeId, peers: BTreeSet<NodeId>, listener: TcpListener) -> Inbound {
        Inbound {
            own,
            peers,
            listener,
            pause: None,
            accepted: 0,
            unnamed: VecDeque::new(),
            named: Vec::new(),
            turn: 0,
            taken: (0, 0),
            warned: false,
        }
    }

    /// Where it listens.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next frame that was received.
    pub fn receive(&mut self, record: &mut Record) -> Option<Bytes> {
        // All of them, the first one twice: what it may give at once may be used up.
        for _ in 0..self.named.len() + 2 {
            let Some(connection) = self.named.get_mut(self.turn) else {
                self.turn = 0;
                continue;
            };
            let (frames, bytes) = self.taken;
            let has_more = frames < TAKEN_AT_ONCE.0 && bytes < TAKEN_AT_ONCE.1;
            if has_more && let Some(frame) = connection.take(record) {
                self.taken = (frames + 1, bytes + frame.len());
                return Some(frame);
            }
            self.taken = (0, 0);
            if connection.ended {
                self.named.remove(self.turn);
            } else {
                self.turn += 1;
            }
        }
        None
    }

    /// Takes connections and hears their preambles.
    pub fn poll_new(&mut self, context: &mut Context<'_>, record: &mut Record) {
        self.accept(context);
        let mut place = 0;
        while let Some(unnamed) = self.unnamed.get_mut(place) {
            let Poll::Ready(said) = unnamed.poll(context) else {
                place += 1;
                continue;
            };
            if let Some(unnamed) = self.unnamed.remove(place)
                && let Err(why) = self.name(unnamed, said, record)
            {
                record.counts.unnamed += 1;
                self.warn(why);
            }
        }
    }

    /// Whether a whole frame is there; has the task woken when one may be.
    pub fn poll_frame(&mut self, context: &mut Context<'_>, record: &mut Record) -> bool {
        let mut is_there = false;
        for connection in &mut self.named {
            is_there |= connection.poll_frame(context, record);
        }
        self.named.retain(|connection| !connection.ended);
        is_there
    }

    fn accept(&mut self, context: &mut Context<'_>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return;
            }
            self.pause = None;
        }
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listener.poll_accept(context) {
                Poll::Ready(Ok((stream, _))) => {
                    self.accepted += 1;
                    if self.unnamed.len() == MOST_UNNAMED {
                        self.unnamed.pop_front();
                    }
                    self.unnamed.push_back(Unnamed::new(stream, self.accepted));
                }
                Poll::Ready(Err(error)) => {
                    debug!("a connection could not be taken: {error}");
                    let mut pause = Box::pin(sleep(PAUSE));
                    if pause.as_mut().poll(context).is_pending() {
                        self.pause = Some(pause);
                    }
                    return;
                }
                Poll::Pending => return,
            }
        }
        context.waker().wake_by_ref();
    }

    /// Gives a connection the name that it claims, or says why not.
    fn name(
        &mut self,
        unnamed: Unnamed,
        said: Option<Preamble>,
        record: &mut Record,
    ) -> Result<(), &'static str> {
        let Some(preamble) = said else {
            // Who never said anything asked whether somebody listens.
            return if unnamed.got == 0 { Ok(()) } else { Err("it speaks another protocol") };
        };
        if preamble.to != self.own {
            return Err("it is meant for another node");
        }
        if preamble.from == self.own {
            return Err("it claims to come from this very node");
        }
        let connection = Connection::new(unnamed.stream, unnamed.accepted, preamble);
        let name = connection.name();
        let place = self.named.iter().position(|other| other.name() == name);
        match place {
            Some(place) if !connection.follows(&self.named[place]) => {
                return Err("a later one of the same node and lane is there");
            }
            None if self.is_crowded(preamble.from) => {
                return Err("too many unknown nodes are connected");
            }
            Some(_) | None => {}
        }
        if !connection.answer() {
            return Err("it took no answer");
        }
        match place {
            Some(place) => {
                let old = std::mem::replace(&mut self.named[place], connection);
                record.counts.unnamed += old.unread();
            }
            None => self.named.push(connection),
        }
        Ok(())
    }

    /// Whether there is no room for a node, because it is one of too many that nobody knows.
    fn is_crowded(&self, node: NodeId) -> bool {
        let is_unknown = |node: NodeId| !self.peers.contains(&node);
        let unknown = self.named.iter().filter(|other| is_unknown(other.preamble.from));
        is_unknown(node) && unknown.count() >= MOST_UNKNOWN
    }

    /// Tells of the first refusal only: others may be as many as somebody likes.
    fn warn(&mut self, why: &str) {
        match std::mem::replace(&mut self.warned, true) {
            false => warn!("refused a connection from a peer: {why}; more are counted, not told"),
            true => debug!("refused a connection from a peer: {why}"),
        }
    }
}

impl Unnamed {
    fn new(stream: TcpStream, accepted: u64) -> Unnamed {
        let limit = Box::pin(sleep(PREAMBLE_LIMIT));
        Unnamed { stream, accepted, bytes: [0; preamble::LENGTH], got: 0, limit }
    }

    /// Ready with what was said; with `None` if that is no preamble, or took too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Preamble>> {
        loop {
            if self.got == self.bytes.len() {
                return Poll::Ready(Preamble::read(&self.bytes));
            }
            if !preamble::may_begin(&self.bytes[..self.got]) {
                return Poll::Ready(None);
            }
            if self.stream.poll_read_ready(context).is_pending() {
                break;
            }
            match self.stream.try_read(&mut self.bytes[self.got..]) {
                Ok(count) if count > 0 => self.got += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return Poll::Ready(None),
            }
        }
        self.limit.as_mut().poll(context).map(|()| None)
    }
}

impl Connection {
    fn new(stream: TcpStream, accepted: u64, preamble: Preamble) -> Connection {
        let buffer = BytesMut::new();
        Connection { stream, accepted, preamble, buffer, has_grown: false, ended: false }
    }

    /// Whose it is, and what for.
    fn name(&self) -> (NodeId, Lane) {
        (self.preamble.from, self.preamble.lane)
    }

    /// Whether it was opened after another one of the same name.
    fn follows(&self, other: &Connection) -> bool {
        match self.preamble.start == other.preamble.start {
            true => self.preamble.number > other.preamble.number,
            false => self.accepted > other.accepted,
        }
    }

    /// Tells the other end that the connection stands.
    fn answer(&self) -> bool {
        let answer = self.preamble.answer();
        let written = rustix::io::write(&self.stream, &answer);
        keep_alive(&self.stream).is_ok() && written.is_ok_and(|count| count == answer.len())
    }

    /// The next frame, read if need be.
    fn take(&mut self, record: &mut Record) -> Option<Bytes> {
        if !matches!(self.next(), Next::Frame(_)) {
            self.read(record);
        }
        let Next::Frame(length) = self.next() else { return None };
        self.buffer.advance(4);
        Some(if length < COPIED_BELOW {
            let frame = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            frame
        } else {
            self.buffer.split_to(length).freeze()
        })
    }

    /// Whole frames that are there, not in the kernel.
    fn unread(mut self) -> u64 {
        let mut frames = 0;
        while let Next::Frame(length) = self.next() {
            self.buffer.advance(4 + length);
            frames += 1;
        }
        frames
    }

    fn poll_frame(&mut self, context: &mut Context<'_>, record: &mut Record) -> bool {
        loop {
            match self.read(record) {
                Reading::Frame => return true,
                Reading::Enough => {
                    context.waker().wake_by_ref();
                    return false;
                }
                Reading::Dry => {
                    if self.ended || self.stream.poll_read_ready(context).is_pending() {
                        return false;
                    }
                }
            }
        }
    }

    fn next(&self) -> Next {
        match self.buffer.first_chunk() {
            None => Next::Missing(4 - self.buffer.len()),
            Some(prefix) => match u32::from_le_bytes(*prefix) as usize {
                length if length > MAX_FRAME => Next::Oversize,
                length if self.buffer.len() < 4 + length => {
                    Next::Missing(4 + length - self.buffer.len())
                }
                length => Next::Frame(length),
            },
        }
    }

    /// Reads until a whole frame is there, or there is nothing to read.
    fn read(&mut self, record: &mut Record) -> Reading {
        let mut left = READ_AT_ONCE;
        loop {
            let missing = match self.next() {
                Next::Frame(_) => return Reading::Frame,
                Next::Missing(missing) => missing,
                Next::Oversize => {
                    record.counts.malformed += 1;
                    self.buffer = BytesMut::new();
                    self.ended = true;
                    return Reading::Dry;
                }
            };
            if self.ended {
                return Reading::Dry;
            }
            if left == 0 {
                return Reading::Enough;
            }
            match self.read_once(missing) {
                Ok(0) => self.ended = true,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Reading::Dry,
                Err(_) => self.ended = true,
            }
        }
    }

    fn read_once(&mut self, missing: usize) -> io::Result<usize> {
        self.make_room(missing);
        let room = self.buffer.capacity() - self.buffer.len();
        let count = self.stream.try_read_buf(&mut self.buffer)?;
        if count < room && count > 0 {
            // The socket is empty: what comes next is announced, so that no reading has to find out.
            let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = self.stream.try_io(Interest::READABLE, empty);
        }
        Ok(count)
    }

    /// Makes room for more of a frame: never for more than once again what is there, whatever length
    /// the other end claims.
    fn make_room(&mut self, missing: usize) {
        if self.buffer.is_empty() && self.has_grown {
            self.buffer = BytesMut::new();
            self.has_grown = false;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(BUFFER);
        } else if missing > BUFFER {
            self.buffer.reserve(missing.min(self.buffer.len().max(BUFFER)));
            self.has_grown = true;
        } else {
            self.buffer.reserve(missing.max(LEAST_ROOM));
        }
    }
}
