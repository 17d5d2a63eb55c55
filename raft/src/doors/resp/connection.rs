//! One client's connection: collects a batch, has it executed, answers all of it with one write. Must
//! never have two batches in flight, and never close because an outcome is unknown.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use servers::host::{Batch, Outcome};
use states::{Micros, Time};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::own::Told;
use super::replies::{self, Asked, Replies};
use super::requests::{Requests, Slot};
use super::session::{Node, Session};
use super::{Backend, Door, Place};
use crate::store::reply;

/// Bytes that are read ahead while a batch is in flight.
const MAX_AHEAD: usize = 256 << 10;

/// Bytes that are read ahead while the client takes no replies: many clients send a pipeline to its
/// end before they read, and would wait for us as we for them.
const MAX_AHEAD_UNREAD: usize = 16 << 20;

/// Reads that come sooner after each other count as one arrival.
const SAME_ARRIVAL: Micros = Micros(1000);

/// Memory for replies that is kept for the next batch.
const KEPT: usize = 16 << 10;

/// How long, and how many bytes, a client is listened to after it was told that the connection
/// closes: closing at once would take the reason from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 20;

/// One client.
pub struct Connection<B> {
    stream: TcpStream,
    place: Place,
    backend: Rc<B>,
    session: Session,
    requests: Requests,
    ahead: Ahead,
    /// The client sends no more.
    ended: bool,
    out: Vec<u8>,
}

/// What arrived while a batch was in flight, by time of arrival.
#[derive(Default)]
struct Ahead {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

struct Piece {
    at: Time,
    bytes: Vec<u8>,
    read: usize,
}

impl Ahead {
    fn push(&mut self, at: Time, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(last) if at - last.at < SAME_ARRIVAL => last.bytes.extend_from_slice(bytes),
            _ => self.pieces.push_back(Piece { at, bytes: bytes.to_vec(), read: 0 }),
        }
    }

    /// Moves requests into `requests` until that is full.
    fn read(&mut self, requests: &mut Requests) {
        while !requests.is_full() {
            let Some(piece) = self.pieces.front_mut() else { return };
            let mut rest = &piece.bytes[piece.read..];
            let before = rest.len();
            requests.read(&mut rest, piece.at);
            self.bytes -= before - rest.len();
            piece.read = piece.bytes.len() - rest.len();
            if rest.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// Bytes of replies on their way to a client, counted until they are gone.
struct Unsent {
    door: Rc<Door>,
    bytes: usize,
}

impl Unsent {
    fn count(door: &Rc<Door>, bytes: usize) -> Unsent {
        door.unsent.update(|unsent| unsent + bytes);
        Unsent { door: Rc::clone(door), bytes }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.door.unsent.update(|unsent| unsent - self.bytes);
    }
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(stream: TcpStream, place: Place, backend: Rc<B>) -> Connection<B> {
        Connection {
            stream,
            session: Session::new(place.id),
            requests: Requests::new(place.door.settings.max_request),
            place,
            backend,
            ahead: Ahead::default(),
            ended: false,
            out: Vec::new(),
        }
    }

    /// Serves the client until either side ends it.
    pub async fn run(mut self) {
        // Whatever goes wrong on a client's socket is the client's; it is gone.
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            self.collect().await?;
            if self.requests.is_empty() && self.requests.broken.is_none() {
                return Ok(());
            }
            let outcome = match self.requests.batch(self.session.reads_stale) {
                Some(batch) => Some(self.submit(batch).await?),
                None => None,
            };
            if let Some(Outcome::Done { position: Some(position), .. }) = outcome {
                self.session.position = Some(position);
            }
            let told = self.requests.asked().of(&*self.backend).await;
            self.compose(outcome.as_ref(), &told);
            self.requests.clear();
            let last = self.requests.is_empty() && self.requests.broken.is_some();
            if last {
                self.refuse();
            }
            self.write().await?;
            if last || self.session.ends {
                return self.linger().await;
            }
        }
    }

    /// Reads until there is a batch, then on until the socket would block or the batch is full.
    /// Comes back with nothing when there is no more to come.
    async fn collect(&mut self) -> io::Result<()> {
        self.ahead.read(&mut self.requests);
        let door = Rc::clone(&self.place.door);
        let mut stopped = pin!(door.stopped());
        let mut waits = false;
        if door.stopping.get() {
            return Ok(());
        }
        while !self.requests.is_full() && !self.ended {
            if waits && self.requests.is_empty() {
                tokio::select! {
                    biased;
                    read = poll_fn(|cx| self.poll_read(cx, false)) => read?,
                    () = &mut stopped => return Ok(()),
                }
            } else {
                let read = poll_fn(|cx| Poll::Ready(self.poll_read(cx, false))).await;
                match read {
                    Poll::Ready(read) => read?,
                    Poll::Pending if self.requests.is_empty() => waits = true,
                    Poll::Pending => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Reads once, into `requests` as far as those have room and are not in flight, else ahead.
    fn poll_read(&mut self, cx: &mut Context, in_flight: bool) -> Poll<io::Result<()>> {
        let door = &self.place.door;
        let mut buffer = door.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let mut bytes = buffer.filled();
        self.ended = bytes.is_empty();
        let now = (door.settings.clock)();
        if !in_flight {
            self.requests.read(&mut bytes, now);
        }
        if !bytes.is_empty() {
            self.ahead.push(now, bytes);
        }
        Poll::Ready(Ok(()))
    }

    /// Has a batch executed, and reads ahead meanwhile so that what arrives is stamped.
    async fn submit(&mut self, batch: Batch) -> io::Result<Outcome> {
        let backend = Rc::clone(&self.backend);
        let door = Rc::clone(&self.place.door);
        let mut outcome = pin!(backend.submit(batch));
        door.waiting.update(|waiting| waiting + 1);
        let answer = loop {
            let reads = !self.ended && self.ahead.bytes < MAX_AHEAD;
            tokio::select! {
                biased;
                outcome = &mut outcome => break Ok(outcome),
                read = poll_fn(|cx| self.poll_read(cx, true)), if reads => {
                    if let Err(error) = read {
                        break Err(error);
                    }
                }
            }
        };
        door.waiting.update(|waiting| waiting - 1);
        answer
    }

    /// Writes all replies of the batch, in order, into `out`.
    fn compose(&mut self, outcome: Option<&Outcome>, told: &Told) {
        let door = &self.place.door;
        let status = || self.backend.status();
        let describe = |files| self.backend.describe(door, files);
        let node = Node { door, status: &status, describe: &describe, told };
        let mut replies = Replies::new(outcome);
        let mut executed = self.requests.executed();
        let mut watched = None;
        for (slot, request) in self.requests.slots() {
            match slot {
                Slot::Store(command) => {
                    let asked = Asked { name: command.name, writes: command.is_write() };
                    if let Some(reply) = replies.next(asked, &mut self.out) {
                        replies::put(reply, self.session.protocol, &mut self.out);
                    }
                }
                Slot::Local => self.session.execute(&node, request, &mut self.out),
                Slot::Said(reply) => self.out.extend_from_slice(reply),
                Slot::Watch => {
                    let asked = Asked { name: "watch", writes: false };
                    let versions = replies.next(asked, &mut self.out);
                    if versions.is_some() {
                        reply::ok(&mut self.out);
                    }
                    watched = Some((request.to_vec(), versions));
                }
                Slot::Exec => {
                    let transaction = executed.next().expect("one for each EXEC");
                    transaction.answer(&mut replies, &mut self.session, &node, &mut self.out);
                }
                Slot::Once(once) => {
                    replies.put_next_once(once, self.session.protocol, &mut self.out);
                }
            }
        }
        drop(executed);
        if let Some((request, versions)) = watched {
            self.requests.transactions.on_versions(&request, versions.map(|reply| &reply[..]));
        }
    }

    /// Says what broke the protocol.
    fn refuse(&mut self) {
        if let Some(error) = self.requests.broken {
            self.place.door.count_refused();
            reply::error_bytes(&mut self.out, &error.text());
        }
    }

    /// Writes `out`, and reads ahead meanwhile.
    async fn write(&mut self) -> io::Result<()> {
        let stall = self.place.door.settings.write_stall;
        let _counted = Unsent::count(&self.place.door, self.out.len());
        let mut written = match self.stream.try_write(&self.out) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        while written < self.out.len() {
            let step = poll_fn(|cx| self.poll_write(cx, written));
            written += tokio::time::timeout(stall, step).await??;
        }
        self.out.clear();
        self.out.shrink_to(KEPT);
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context, written: usize) -> Poll<io::Result<usize>> {
        let rest = &self.out[written..];
        if let Poll::Ready(wrote) = Pin::new(&mut self.stream).poll_write(cx, rest) {
            return Poll::Ready(wrote);
        }
        while !self.ended && self.ahead.bytes < MAX_AHEAD_UNREAD {
            ready!(self.poll_read(cx, true))?;
        }
        Poll::Pending
    }

    /// Ends the connection so that the client can still read why.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut discarded = 0;
        let drain = poll_fn(|cx| {
            while discarded < LINGER_BYTES {
                let mut buffer = self.place.door.buffer.borrow_mut();
                let mut buffer = ReadBuf::new(&mut buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                match buffer.filled().len() {
                    0 => break,
                    bytes => discarded += bytes,
                }
            }
            Poll::Ready(Ok(()))
        });
        tokio::time::timeout(LINGER, drain).await?
    }
}
