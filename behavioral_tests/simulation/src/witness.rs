//! A user's machine with a witness beside it: a list that only grows, of all commands and what they
//! were answered. Every answer tells how long the list is and a hash of all of it, so that one number
//! orders everything that clients see, whatever the machine does. Must never change what the machine
//! is given or gives.

use bytes::Bytes;
use messages::LogTime;
use servers::machine::{Applied, Pieces, StateMachine, Unreadable};

/// Bytes at the beginning of a command: its number, and how much padding follows them.
const NUMBER: usize = 8;
const HEAD: usize = NUMBER + 4;
/// Bytes before the machine's in a reply: what was seen.
const SEEN: usize = 16;

/// A machine, and the list of what it executed, known by length and hash.
#[derive(Debug)]
pub struct Witness<M> {
    seen: Seen,
    machine: M,
    /// It has taken its own piece of a snapshot; what follows is the machine's.
    restored: bool,
}

/// What was seen, then the machine's pieces.
struct WitnessPieces {
    seen: Option<Seen>,
    machine: Box<dyn Pieces>,
}

impl Pieces for WitnessPieces {
    fn next(&mut self) -> Option<Vec<u8>> {
        match self.seen.take() {
            Some(seen) => Some(seen.encode().to_vec()),
            None => self.machine.next(),
        }
    }
}

/// What an operation saw: the list right after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Commands in the list.
    pub length: u64,
    /// Hash of all of them and their replies, in order.
    pub hash: u64,
}

impl Seen {
    /// The empty list.
    pub const EMPTY: Seen = Seen { length: 0, hash: 0 };

    /// The list with one more command (its number included) and what the machine replied.
    pub fn then(self, command: &[u8], reply: &[u8]) -> Seen {
        Seen { length: self.length + 1, hash: chain(chain(self.hash, command), reply) }
    }

    fn decode(bytes: &[u8]) -> Option<Seen> {
        let (length, hash) = bytes.split_at_checked(8)?;
        Some(Seen {
            length: u64::from_le_bytes(length.try_into().ok()?),
            hash: u64::from_le_bytes(hash.try_into().ok()?),
        })
    }

    fn encode(self) -> [u8; SEEN] {
        let mut bytes = [0; SEEN];
        bytes[..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..].copy_from_slice(&self.hash.to_le_bytes());
        bytes
    }
}

/// A reply of a witness: what was seen, and the machine's own part.
pub fn decode_reply(reply: &Bytes) -> Option<(Seen, Bytes)> {
    let (seen, _) = reply.split_at_checked(SEEN)?;
    Some((Seen::decode(seen)?, reply.slice(SEEN..)))
}

/// A user's command with its number, and so many bytes that mean nothing.
pub fn numbered(number: u64, padding: usize, command: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEAD + padding + command.len());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&(padding as u32).to_le_bytes());
    bytes.resize(HEAD + padding, 0);
    bytes.extend_from_slice(command);
    bytes.into()
}

/// Where the user's part of a command begins.
fn own_start(command: &[u8]) -> usize {
    let padding = command.get(NUMBER..HEAD).and_then(|bytes| bytes.first_chunk());
    let padding = padding.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    (HEAD + padding as usize).min(command.len())
}

/// The number with which every simulated command begins.
pub fn number_of(command: &[u8]) -> u64 {
    command.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What the user's machine gets of a command.
pub fn own_part(command: &Bytes) -> Bytes {
    command.slice(own_start(command)..)
}

impl<M: StateMachine> Witness<M> {
    /// Beside a machine to which nothing was applied.
    pub fn new(machine: M) -> Witness<M> {
        Witness { seen: Seen::EMPTY, machine, restored: false }
    }

    /// The list after the last command.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The machine itself.
    pub fn machine(&self) -> &M {
        &self.machine
    }
}

impl<M: StateMachine> StateMachine for Witness<M> {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        let place = reply.len();
        reply.extend_from_slice(&[0; SEEN]);
        self.machine.apply(at, &command[own_start(command)..], reply);
        assert!(reply.len() >= place + SEEN, "a machine only appends to its replies");
        self.seen = self.seen.then(command, &reply[place + SEEN..]);
        reply[place..place + SEEN].copy_from_slice(&self.seen.encode());
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.seen.encode());
        self.machine.query(query, reply);
    }

    fn advance(&mut self, at: Applied) {
        self.machine.advance(at);
    }

    fn next_due(&self) -> Option<LogTime> {
        self.machine.next_due()
    }

    fn is_due(&self, query: &[u8], now: LogTime) -> bool {
        self.machine.is_due(query, now)
    }

    fn fresh(&self) -> Witness<M> {
        Witness::new(self.machine.fresh())
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        Box::new(WitnessPieces { seen: Some(self.seen), machine: self.machine.snapshot() })
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        if self.restored {
            return self.machine.restore(piece);
        }
        self.seen = Seen::decode(piece).ok_or(Unreadable("what was seen"))?;
        self.restored = true;
        Ok(())
    }

    fn digest(&self) -> u64 {
        chain(self.seen.hash, &self.machine.digest().to_le_bytes())
    }
}

/// Adds bytes to a running hash: a rotation and a product for each eight of them.
pub fn chain(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let ends = [u64::from_le_bytes(last), bytes.len() as u64];
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain(ends);
    words.fold(hash, |hash, word| (hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
