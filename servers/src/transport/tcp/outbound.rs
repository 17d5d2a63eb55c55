//! The connection over which one lane to one peer is sent. Must never keep a frame for a connection
//! other than the one that stood when it was handed over, nor wait for the peer.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use log::debug;
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

use super::preamble::{ANSWER, Preamble};
use super::{Record, keep_alive, prefix};
use crate::transport::{Change, Lane, MAX_FRAME, Sent};

/// What waits for one connection beyond what the kernel holds, bytes.
const BACKLOG_BYTES: usize = MAX_FRAME;
/// What a waiting frame takes besides its bytes.
const FRAME_OVERHEAD: usize = 64;
/// What the kernel holds; it reckons generously.
const SEND_BUFFER: u32 = 256 << 10;
/// Frames handed over to the kernel at once.
const GATHERED: usize = 32;

const CONNECT_LIMIT: Duration = Duration::from_millis(1_000);
/// Until the peer must have answered the preamble.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_000);
/// Between two attempts: at first, and at most.
const REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_millis(500);
/// A host that acknowledges nothing for so long is taken for dead.
const HOST_LIMIT: Duration = Duration::from_millis(3_000);
/// A peer that takes nothing of a backlog for so long is given up.
const STALL_LIMIT: Duration = Duration::from_millis(5_000);

/// One lane to one peer.
pub struct Link {
    /// Where the peer listens, `host:port`.
    address: String,
    /// How the next connection begins.
    preamble: Preamble,
    state: State,
    /// The rest after the next attempt that fails.
    rest: Duration,
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum State {
    /// Before the next attempt.
    Resting(Pin<Box<Sleep>>),
    Connecting(Attempt),
    Standing(Connection),
}

/// A connection that the peer has taken.
struct Connection {
    stream: TcpStream,
    backlog: VecDeque<Waiting>,
    /// Of the backlog, overheads included.
    bytes: usize,
    /// Of the first of the backlog, its length before it included.
    written: usize,
    /// Runs while there is a backlog, from the last byte that was taken.
    stall: Option<Pin<Box<Sleep>>>,
}

struct Waiting {
    prefix: [u8; 4],
    frame: Vec<u8>,
}

impl Link {
    /// To the peer that the preamble names and that listens at `address`.
    pub fn new(address: String, preamble: Preamble) -> Link {
        let state = State::Connecting(attempt(address.clone(), preamble));
        Link { address, preamble, state, rest: REST }
    }

    /// Sends a frame, which is not too large.
    pub fn send(&mut self, frame: Vec<u8>, record: &mut Record) -> Sent {
        let State::Standing(connection) = &mut self.state else {
            record.counts.unconnected += 1;
            return Sent::Dropped;
        };
        match connection.send(frame) {
            Ok(sent) => {
                record.counts.full += u64::from(sent == Sent::Dropped);
                sent
            }
            Err(error) => {
                record.counts.unconnected += 1;
                self.lose(&error, record);
                Sent::Dropped
            }
        }
    }

    /// Goes on with whatever can go on, and has the task woken when more can.
    pub fn poll(&mut self, context: &mut Context<'_>, record: &mut Record) {
        loop {
            match &mut self.state {
                State::Resting(rest) => match rest.as_mut().poll(context) {
                    Poll::Ready(()) => {
                        self.preamble.number += 1;
                        let attempt = attempt(self.address.clone(), self.preamble);
                        self.state = State::Connecting(attempt);
                    }
                    Poll::Pending => return,
                },
                State::Connecting(attempt) => match attempt.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => {
                        self.state = State::Standing(Connection::new(stream));
                        self.rest = REST;
                        self.tell(Change::Found(self.preamble.to), record);
                    }
                    Poll::Ready(Err(error)) => self.rest(&error),
                    Poll::Pending => return,
                },
                State::Standing(connection) => match connection.poll(context) {
                    Ok(()) => return,
                    Err(error) => self.lose(&error, record),
                },
            }
        }
    }

    /// Whether frames wait.
    pub fn has_backlog(&self) -> bool {
        matches!(&self.state, State::Standing(connection) if !connection.backlog.is_empty())
    }

    fn lose(&mut self, error: &io::Error, record: &mut Record) {
        if let State::Standing(connection) = &self.state {
            record.counts.lost += connection.backlog.len() as u64;
            self.tell(Change::Lost(self.preamble.to), record);
        }
        self.rest(error);
    }

    fn rest(&mut self, error: &io::Error) {
        let (peer, lane, rest) = (self.preamble.to, self.preamble.lane, self.rest);
        debug!("no connection to {peer} at {} for {lane:?}: {error}", self.address);
        self.state = State::Resting(Box::pin(sleep(rest)));
        self.rest = (rest * 2).min(LONGEST_REST);
    }

    /// The control lane speaks for the peer.
    fn tell(&self, change: Change, record: &mut Record) {
        if self.preamble.lane == Lane::Control {
            record.changes.tell(change);
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection { stream, backlog: VecDeque::new(), bytes: 0, written: 0, stall: None }
    }

    /// Writes a frame at once, or what the kernel takes of it: frames of one turn to one peer and
    /// lane are one already, so that gathering them would delay more than it saves.
    fn send(&mut self, frame: Vec<u8>) -> io::Result<Sent> {
        self.write_backlog()?;
        let waiting = Waiting { prefix: prefix(frame.len()), frame };
        if self.backlog.is_empty() {
            let written =
                self.write(&[IoSlice::new(&waiting.prefix), IoSlice::new(&waiting.frame)])?;
            if written == waiting.length() {
                return Ok(Sent::Queued);
            }
            self.written = written;
            self.stall = Some(Box::pin(sleep(STALL_LIMIT)));
        } else if self.bytes + waiting.cost() > BACKLOG_BYTES {
            return Ok(Sent::Dropped);
        }
        self.bytes += waiting.cost();
        self.backlog.push_back(waiting);
        Ok(Sent::Queued)
    }

    /// Writes of the backlog what the kernel takes.
    fn write_backlog(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let first = self.backlog.iter().take(GATHERED);
            let mut slices: Vec<IoSlice<'_>> = first
                .flat_map(|waiting| [IoSlice::new(&waiting.prefix), IoSlice::new(&waiting.frame)])
                .collect();
            let mut slices = &mut slices[..];
            IoSlice::advance_slices(&mut slices, self.written);
            let written = self.write(slices)?;
            if written == 0 {
                return Ok(());
            }
            self.forget(written);
        }
        Ok(())
    }

    /// So many bytes more of the backlog are written.
    fn forget(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.backlog.front().filter(|first| first.length() <= self.written)
        {
            self.written -= first.length();
            self.bytes -= first.cost();
            self.backlog.pop_front();
        }
        let left = !self.backlog.is_empty();
        self.stall = left.then(|| Box::pin(sleep(STALL_LIMIT)));
    }

    /// How many bytes the kernel takes.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.stream.try_write_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Fails when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(ready) = self.stream.poll_read_ready(context) {
            ready?;
            match self.stream.try_read(&mut [0]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Err(io::Error::other("the peer has nothing to say here")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        while !self.backlog.is_empty() {
            match self.stream.poll_write_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            }
            self.write_backlog()?;
        }
        let stalled = |stall: &mut Pin<Box<Sleep>>| stall.as_mut().poll(context).is_ready();
        match self.stall.as_mut().is_some_and(stalled) {
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")),
            false => Ok(()),
        }
    }
}

impl Waiting {
    /// As it travels, bytes.
    fn length(&self) -> usize {
        self.prefix.len() + self.frame.len()
    }

    /// In memory, bytes.
    fn cost(&self) -> usize {
        self.frame.len() + FRAME_OVERHEAD
    }
}

/// One attempt to have a connection that the peer takes.
fn attempt(address: String, preamble: Preamble) -> Attempt {
    Box::pin(async move {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in resolve(address).await? {
            match connect(address, preamble).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    })
}

/// A name is asked for on a thread of its own, which nobody waits for at the end.
async fn resolve(address: String) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (sender, resolved) = oneshot::channel();
    std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let addresses = address.to_socket_addrs().map(Iterator::collect);
        let _ = sender.send(addresses); // nobody may wait any longer
    })?;
    resolved.await.map_err(io::Error::other)?
}

async fn connect(address: SocketAddr, preamble: Preamble) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let mut stream = timeout(CONNECT_LIMIT, socket.connect(address)).await??;
    // Where nobody listens, the kernel may have met its own attempt.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    sockopt::set_tcp_user_timeout(&stream, HOST_LIMIT.as_millis() as u32)?;
    timeout(ANSWER_LIMIT, greet(&mut stream, preamble)).await??;
    Ok(stream)
}

/// Says the preamble and hears the answer to it.
async fn greet(stream: &mut TcpStream, preamble: Preamble) -> io::Result<()> {
    stream.write_all(&preamble.bytes()).await?;
    let mut answer = [0; ANSWER];
    stream.read_exact(&mut answer).await?;
    if answer != preamble.answer() {
        return Err(io::Error::other("what listens there is another program, or another node"));
    }
    Ok(())
}
