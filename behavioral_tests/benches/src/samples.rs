//! What the benchmarks propose, write and ask: values of 64 bytes, as in the tables of other
//! implementations. Must never be the same for all keys, nor need a random generator.

use bytes::Bytes;
use messages::{Entry, Item, LogIndex, LogPosition, LogTime, Payload, Term};
use raft::store::arguments;

/// Bytes of a value, and of a command that only the rules see.
pub const VALUE: usize = 64;

/// A command of 64 bytes, newly allocated, as one that came from a client.
pub fn command() -> Bytes {
    Bytes::copy_from_slice(&[b'v'; VALUE])
}

/// Entries of one such command each, from `first` on, as a leader of term 1 makes them.
pub fn entries(first: u64, count: usize) -> Vec<Entry> {
    let entry = |index| Entry {
        position: LogPosition { term: Term(1), index: LogIndex(index) },
        time: LogTime(1_700_000_000_000_000),
        payload: Payload::Command([Item::Plain(command())].into()),
    };
    (first..first + count as u64).map(entry).collect()
}

/// `SET` of a key of 16 bytes, as the store reads it.
pub fn set(key: u64) -> Bytes {
    arguments::encode([&b"SET"[..], name(key).as_bytes(), &[b'v'; VALUE]]).into()
}

/// `GET` of such a key.
pub fn get(key: u64) -> Bytes {
    arguments::encode([&b"GET"[..], name(key).as_bytes()]).into()
}

/// So many `SET` in a row, as a Redis client spells them.
pub fn pipeline(requests: u64) -> Vec<u8> {
    let request = |key| {
        let value = "v".repeat(VALUE);
        format!("*3\r\n$3\r\nSET\r\n$16\r\n{}\r\n$64\r\n{value}\r\n", name(key)).into_bytes()
    };
    (0..requests).flat_map(request).collect()
}

/// So many keys below `keys`, far from each other in any order: the steps of a Weyl sequence.
pub fn scattered(keys: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |step| step.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys)
}

fn name(key: u64) -> String {
    format!("key:{key:012}")
}
