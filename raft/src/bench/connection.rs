//! One connection to a server: requests that wait to be sent, those under way, their replies. Must
//! never block, and never allocate per request.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::numbering::Numbering;
use super::replies::{Outcome, Replies};
use super::requests::Requests;
use crate::{client, render};

/// Requests of one connection take so many bytes at most, or one request's.
const MOST_BYTES: usize = 64 << 10;

/// A connection. It may have `pipeline` requests under way.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for whoever waits for it.
    pub stream: mio::net::TcpStream,
    pipeline: usize,
    replies: Replies,
    /// Its session, if its requests are numbered.
    numbering: Option<Numbering>,
    /// Bytes of the longest request.
    longest: usize,
    /// Requests in a row, of which `filled` bytes are to be sent and `sent` are.
    slots: Vec<u8>,
    filled: usize,
    sent: usize,
    /// When each request without an answer was due, the oldest first.
    due: VecDeque<u64>,
}

/// The connection is of no more use: the server has closed it, or it broke, or what came was no
/// reply. Says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub String);

impl Connection {
    /// Connects and, if requests are numbered, opens a session; waits for that.
    pub fn open(
        address: SocketAddr,
        pipeline: usize,
        requests: &Requests,
        patience: Duration,
    ) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        let numbered = requests.are_numbered();
        let numbering = numbered.then(|| Numbering::open(&stream, patience)).transpose()?;
        stream.set_nonblocking(true)?;
        let longest = requests.length() + numbering.as_ref().map_or(0, Numbering::longest);
        let count = (MOST_BYTES / longest).clamp(1, pipeline);
        let slots = if numbered { vec![0; longest * count] } else { requests.slots(count) };
        Ok(Connection {
            stream: mio::net::TcpStream::from_std(stream),
            pipeline,
            replies: Replies::default(),
            numbering,
            longest,
            slots,
            filled: 0,
            sent: 0,
            due: VecDeque::with_capacity(pipeline),
        })
    }

    /// Whether one more request may be added now.
    pub fn has_room(&self) -> bool {
        self.due.len() < self.pipeline && self.filled + self.longest <= self.slots.len()
    }

    /// Adds a request that was due at this time; to be sent by [`Connection::flush`].
    pub fn add(&mut self, requests: &mut Requests, due: u64) {
        let free = &mut self.slots[self.filled..];
        let length = requests.length();
        self.filled += match &mut self.numbering {
            Some(numbering) => {
                let begin = numbering.spell(free);
                requests.spell(&mut free[begin..begin + length]);
                begin + length
            }
            None => {
                requests.draw(&mut free[..length]);
                length
            }
        };
        self.due.push_back(due);
    }

    /// Sends what was added, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<(), Lost> {
        while self.sent < self.filled {
            match self.stream.write(&self.slots[self.sent..self.filled]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(Lost(client::reason(&error))),
            }
        }
        self.filled = 0;
        self.sent = 0;
        Ok(())
    }

    /// Reads what is there, through `buffer`, and tells of each reply and when its request was due.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut answered: impl FnMut(u64, Outcome<'_>),
    ) -> Result<(), Lost> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(Lost("closed by the server".into())),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Lost(client::reason(&error))),
            };
            let due = &mut self.due;
            let mut unasked = None;
            let fed = self.replies.feed(&buffer[..count], |outcome| match due.pop_front() {
                Some(due) => answered(due, outcome),
                None => unasked = Some(unasked_text(outcome)),
            });
            if fed.is_err() {
                return Err(Lost("it sent what is no reply of the Redis protocol".into()));
            }
            if let Some(text) = unasked {
                return Err(Lost(text));
            }
            // Less than there was room for: the socket is empty, and tells when it is not.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// When each request that has no answer was due.
    pub fn unanswered(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.due.iter().copied()
    }
}

fn unasked_text(outcome: Outcome<'_>) -> String {
    match outcome {
        Outcome::Refused(text) => render::plain(&String::from_utf8_lossy(text)),
        Outcome::Done | Outcome::Nothing => "it sent a reply that nobody asked for".into(),
    }
}
