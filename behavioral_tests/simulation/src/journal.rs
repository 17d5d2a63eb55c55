//! The machine that simulated clusters run: a list that only grows. Every answer tells how long the
//! list is and a hash of all of it, so that one number orders everything that clients see.

use messages::LogIndex;
use servers::machine::{Applied, StateMachine};

/// A list of commands, known by its length and hash.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    length: u64,
    hash: u64,
}

/// What an operation saw: the list right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Commands in the list.
    pub length: u64,
    /// Hash of all of them in order.
    pub hash: u64,
}

impl Seen {
    /// Reads a reply of the journal.
    pub fn decode(reply: &[u8]) -> Option<Seen> {
        let (length, hash) = reply.split_at_checked(8)?;
        Some(Seen {
            length: u64::from_le_bytes(length.try_into().ok()?),
            hash: u64::from_le_bytes(hash.try_into().ok()?),
        })
    }

    /// The empty list.
    pub const EMPTY: Seen = Seen { length: 0, hash: 0 };

    /// The list with one more command.
    pub fn then(self, command: &[u8]) -> Seen {
        Seen { length: self.length + 1, hash: chain(self.hash, command) }
    }
}

impl StateMachine for Journal {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        assert!(at.index > LogIndex(0), "entries are counted from one");
        let seen = Seen { length: self.length, hash: self.hash }.then(command);
        (self.length, self.hash) = (seen.length, seen.hash);
        self.query(&[], reply);
    }

    fn query(&self, _query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.length.to_le_bytes());
        reply.extend_from_slice(&self.hash.to_le_bytes());
    }

    fn digest(&self) -> u64 {
        self.hash
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
