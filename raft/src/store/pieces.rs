//! How a store is spelt in a snapshot, and read again. Must never leave out what commands or time
//! judge by: versions, deadlines, the log's time.
//!
//! The first piece is what the store knows besides its keys, the others are keys.

use std::iter::Peekable;

use messages::LogTime;
use servers::machine::Pieces;

use super::arguments::{self, Arguments};
use super::deadline::Deadline;
use super::table::Frozen;
use super::{Pair, Store};

/// Bytes of pairs in a piece, if there are several.
const PIECE: usize = 64 << 10;

/// What a piece holds: keys, each with its string, its version, and its deadline or nothing.
const PAIRS: &[u8] = b"pairs";
/// What a piece holds: the log's time, the stamp of the last command, and what was removed.
const FIRST: &[u8] = b"first";

/// A store on its way into a snapshot.
pub struct StorePieces {
    first: Option<Vec<u8>>,
    pairs: Peekable<Frozen<Pair>>,
}

impl StorePieces {
    /// Of a store as it is now.
    pub fn of(store: &mut Store) -> StorePieces {
        let (time, stamp) = (store.now.0.to_le_bytes(), store.stamp.to_le_bytes());
        let first = arguments::encode([FIRST, &time, &stamp, &store.removals.spell()]);
        StorePieces { first: Some(first), pairs: store.pairs.freeze().peekable() }
    }
}

impl Pieces for StorePieces {
    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let mut size = 0;
        let mut fits = |pair: &Pair| {
            size += pair.key().len() + pair.string().len() + 24;
            size <= PIECE
        };
        let mut pairs = vec![self.pairs.next()?];
        if fits(&pairs[0]) {
            pairs.extend(std::iter::from_fn(|| self.pairs.next_if(|pair| fits(pair))));
        }
        let numbers: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.version.to_le_bytes(), pair.deadline.map(Deadline::encode)))
            .collect();
        let parts = pairs.iter().zip(&numbers).flat_map(|(pair, (version, deadline))| {
            let deadline = deadline.as_ref().map_or(&[][..], |bytes| bytes);
            [pair.key(), pair.string(), version, deadline]
        });
        let parts: Vec<&[u8]> = [PAIRS].into_iter().chain(parts).collect();
        Some(arguments::encode(parts))
    }
}

/// Takes a piece in; `None` if it is none.
pub fn read(store: &mut Store, piece: &[u8]) -> Option<()> {
    let mut parts = Arguments::decode(piece)?;
    match (parts.shift(), parts.len()) {
        (FIRST, 3) => {
            store.now = LogTime(number(parts.shift())?);
            store.stamp = number(parts.shift())?;
            store.removals.read(parts.shift())
        }
        (PAIRS, count) if count.is_multiple_of(4) => {
            while let Some(key) = parts.next() {
                read_pair(store, key, &mut parts)?;
            }
            Some(())
        }
        _ => None,
    }
}

/// A key may be due already, and nobody has removed it: it is taken in as it is.
fn read_pair(store: &mut Store, key: &[u8], parts: &mut Arguments) -> Option<()> {
    let (string, version) = (parts.shift(), number(parts.shift())?);
    let deadline = match parts.shift() {
        [] => None,
        bytes => Some(Deadline::decode(bytes)?),
    };
    let last = std::mem::replace(&mut store.stamp, version);
    store.change(key, string.len(), |pair| {
        pair.set(string);
        pair.deadline = deadline;
    });
    store.stamp = last;
    Some(())
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
