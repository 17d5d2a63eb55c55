//! A string value with its part of the store's digest. Must never let the digest depend on how the
//! bytes came to be there.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A string. It remembers the hash of its whole words, so that appending to a long value costs only
/// what is appended.
#[derive(Debug, Default)]
pub struct Value {
    bytes: Vec<u8>,
    words: u64,
}

impl Value {
    /// The string.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the string; keeps its memory where the new one is of about its size.
    pub fn set(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() > 64 + 2 * bytes.len() || self.bytes.capacity() < bytes.len() {
            self.bytes = bytes.to_vec();
        } else {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
        }
        self.words = hash_words(0, bytes);
    }

    /// Adds to its end.
    pub fn append(&mut self, bytes: &[u8]) {
        let hashed = self.bytes.len() / 8 * 8;
        self.bytes.extend_from_slice(bytes);
        self.words = hash_words(self.words, &self.bytes[hashed..]);
    }

    /// The digest of this value under `key`.
    pub fn digest_with(&self, key: &[u8]) -> u64 {
        let key = finish(hash_words(MULTIPLIER, key), key);
        fold(key, finish(self.words, &self.bytes))
    }
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

fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_add(MULTIPLIER).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}
