//! The key-value machine: the state that the log replicates when no library user brings another.
//! A command or a query is a list of arguments ([`arguments`]), its reply is RESP2. Must never read
//! a clock, a random number or the order of its hash map: replicas would come apart.
//!
//! - [`arguments`]: how a request is spelt in the log;
//! - [`commands`]: the one table of what there is;
//! - [`strings`], [`keys`]: what the commands do, a file for each type of data;
//! - [`reply`]: RESP2 replies, and the words of Redis for what was wrong;
//! - [`table`]: where keys are found; can be copied while it changes, for snapshots;
//! - [`pair`]: a key with its string, and their part of the digest; [`glob`]: patterns of `KEYS`.

pub mod arguments;
pub mod commands;
pub mod glob;
mod keys;
mod pair;
pub mod reply;
mod strings;
pub mod table;

use std::hash::{BuildHasher, RandomState};
use std::iter::Peekable;

use servers::machine::{Applied, Pieces, StateMachine, Unreadable};

use arguments::Arguments;
use commands::{Action, Command};
use pair::Pair;
use table::{Frozen, Table};

/// The longest string that a key may hold, bytes. The same on every node of every version, as it
/// decides what a command does.
pub const MAX_VALUE: usize = 4 << 20;

/// The longest reply to one query, bytes: `MGET` of one long value ten thousand times is refused. A
/// pipeline whose replies have grown so long gets no more of them.
pub const MAX_REPLY: usize = 64 << 20;

/// Keys and their values.
///
/// The table's hasher is seeded at random, so that no client can pick keys that collide. Its order
/// therefore must show nowhere: whatever walks over it sorts.
#[derive(Debug, Default)]
pub struct Store {
    pairs: Table<Pair>,
    hasher: RandomState,
    /// Sum of the digests of all pairs: the same whatever order they came in.
    digest: u64,
}

impl Store {
    /// A store without keys.
    pub fn new() -> Store {
        Store::default()
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Writes all keys, sorted, that `wanted` says yes to.
    fn sorted_keys(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<&[u8]> {
        let mut keys: Vec<&[u8]> = self.pairs.iter().map(Pair::key).filter(|k| wanted(k)).collect();
        keys.sort_unstable();
        keys
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.pairs.find(self.hasher.hash_one(key), |pair| pair.key() == key).map(Pair::string)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Changes the string of `key`, which begins empty, with room for `room` bytes, where there was
    /// none. All changes of strings go through here: it keeps the digest.
    fn change(&mut self, key: &[u8], room: usize, change: impl FnOnce(&mut Pair)) {
        let hash = self.hasher.hash_one(key);
        let pair = match self.pairs.find_mut(hash, |pair| pair.key() == key) {
            Some(pair) => {
                self.digest = self.digest.wrapping_sub(pair.digest());
                pair
            }
            None => self
                .pairs
                .insert(hash, Pair::new(key, room), |pair| self.hasher.hash_one(pair.key())),
        };
        change(pair);
        self.digest = self.digest.wrapping_add(pair.digest());
    }

    fn set(&mut self, key: &[u8], string: &[u8]) {
        self.change(key, string.len(), |pair| pair.set(string));
    }

    fn remove(&mut self, key: &[u8]) -> Option<Pair> {
        let hash = |key: &[u8]| self.hasher.hash_one(key);
        let is_it = |pair: &Pair| pair.key() == key;
        let pair = self.pairs.remove(hash(key), is_it, |pair| hash(pair.key()))?;
        self.digest = self.digest.wrapping_sub(pair.digest());
        Some(pair)
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.digest = 0;
    }
}

/// Bytes of pairs in a piece of a snapshot, if there are several.
const PIECE: usize = 64 << 10;

/// A store's pairs, on their way into a snapshot.
struct StorePieces {
    pairs: Peekable<Frozen<Pair>>,
}

impl Pieces for StorePieces {
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = vec![self.pairs.next()?];
        let mut size = 0;
        let mut fits = |pair: &Pair| {
            size += pair.key().len() + pair.string().len() + 8;
            size <= PIECE
        };
        if fits(&piece[0]) {
            piece.extend(std::iter::from_fn(|| self.pairs.next_if(|pair| fits(pair))));
        }
        let parts: Vec<&[u8]> = piece.iter().flat_map(|pair| [pair.key(), pair.string()]).collect();
        Some(arguments::encode(parts))
    }
}

impl StateMachine for Store {
    fn apply(&mut self, _: Applied, command: &[u8], reply: &mut Vec<u8>) {
        let Some((command, mut arguments)) = understand(command, reply) else { return };
        match command.action {
            Action::Write(handler) => handler(self, &mut arguments, reply),
            Action::Read(handler) => handler(self, &mut arguments, reply),
        }
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        if reply.len() > MAX_REPLY {
            return reply::error(reply, "ERR replies exceed 64 MiB: ask for less at a time");
        }
        let Some((command, mut arguments)) = understand(query, reply) else { return };
        match command.action {
            Action::Write(_) => reply::error(reply, "ERR a query must not write"),
            Action::Read(handler) => handler(self, &mut arguments, reply),
        }
    }

    fn fresh(&self) -> Store {
        Store::new()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        Box::new(StorePieces { pairs: self.pairs.freeze().peekable() })
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let unreadable = Unreadable("keys, each with its string");
        let mut pairs = Arguments::decode(piece).ok_or(unreadable)?;
        while let Some(key) = pairs.next() {
            self.set(key, pairs.next().ok_or(unreadable)?);
        }
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

/// Finds the command that `request` names, and its arguments; answers what cannot be executed.
fn understand<'a>(
    request: &'a [u8],
    reply: &mut Vec<u8>,
) -> Option<(&'static Command, Arguments<'a>)> {
    let Some(mut arguments) = Arguments::decode(request) else {
        reply::error(reply, "ERR the request is not a list of arguments");
        return None;
    };
    let Some(command) = arguments.clone().next().and_then(commands::find) else {
        reply::unknown_command(reply, arguments);
        return None;
    };
    if !command.takes(arguments.len()) {
        reply::wrong_arity(reply, command.name);
        return None;
    }
    arguments.next();
    Some((command, arguments))
}
