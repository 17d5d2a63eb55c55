//! A key with its string, in one piece of memory: who has found the key has the string at hand. Must
//! never let the digest depend on how the bytes came to be there, but for the stamp of the last change.

use super::deadline::Deadline;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A key and its string. It remembers the hash of the string's whole words, so that appending to a
/// long one costs only what is appended.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The key, then the string.
    bytes: Vec<u8>,
    key_length: usize,
    words: u64,
    /// Until when the key is there; most have none.
    pub deadline: Option<Deadline>,
    /// The stamp of the command that last changed it.
    pub version: u64,
}

impl Pair {
    /// A key with an empty string and no deadline; there is room for one of so many bytes.
    pub fn new(key: &[u8], room: usize) -> Pair {
        let mut bytes = Vec::with_capacity(key.len() + room);
        bytes.extend_from_slice(key);
        Pair { bytes, key_length: key.len(), words: 0, deadline: None, version: 0 }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_length]
    }

    /// The string.
    pub fn string(&self) -> &[u8] {
        &self.bytes[self.key_length..]
    }

    /// Replaces the string; keeps its memory where the new one is of about its size.
    pub fn set(&mut self, string: &[u8]) {
        let length = self.key_length + string.len();
        self.bytes.truncate(self.key_length);
        if self.bytes.capacity() > 64 + 2 * length {
            self.bytes.shrink_to(length);
        }
        self.bytes.reserve_exact(string.len());
        self.bytes.extend_from_slice(string);
        self.words = hash_words(0, string);
    }

    /// Adds to the string's end.
    pub fn append(&mut self, more: &[u8]) {
        let hashed = self.key_length + self.string().len() / 8 * 8;
        self.bytes.extend_from_slice(more);
        self.words = hash_words(self.words, &self.bytes[hashed..]);
    }

    /// Stands for key, string, deadline and version.
    pub fn digest(&self) -> u64 {
        let pair =
            fold(fold(hash_key(self.key()), finish(self.words, self.string())), self.version);
        self.deadline.map_or(pair, |deadline| fold(pair, deadline.millis() as u64))
    }
}

/// The same on every node of every version, as it decides in which bucket a removal is noted.
pub fn hash_key(key: &[u8]) -> u64 {
    finish(hash_words(MULTIPLIER, key), key)
}

/// Mixes the whole 8-byte words of `bytes` into `hash`.
fn hash_words(hash: u64, bytes: &[u8]) -> u64 {
    bytes.as_chunks().0.iter().fold(hash, |hash, word| fold(hash, u64::from_le_bytes(*word)))
}

/// Mixes what is left behind the whole words, and the length.
fn finish(hash: u64, bytes: &[u8]) -> u64 {
    let mut tail = [0; 8];
    let rest = bytes.as_chunks::<8>().1;
    tail[..rest.len()].copy_from_slice(rest);
    fold(fold(hash, u64::from_le_bytes(tail)), bytes.len() as u64)
}

/// Mixes one word into `hash`.
pub fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_add(MULTIPLIER).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}
