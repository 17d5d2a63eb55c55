//! The key-value machine: the state that the log replicates when no library user brings another.
//! A command or a query is a list of arguments ([`arguments`]), its reply is RESP2. Must never read
//! a clock, a random number or the order of its hash map: replicas would come apart.
//!
//! - [`arguments`]: how a request is spelt in the log;
//! - [`commands`]: the one table of what there is;
//! - [`strings`], [`keys`]: what the commands do, a file for each type of data;
//! - [`reply`]: RESP2 replies, and the words of Redis for what was wrong;
//! - [`transactions`]: several commands as one, and the versions of watched keys;
//! - [`pair`]: a key with its string, and their part of the digest; [`removals`]: when keys went;
//!   [`glob`]: patterns of `KEYS`.

pub mod arguments;
pub mod commands;
pub mod glob;
mod keys;
mod pair;
mod removals;
pub mod reply;
mod strings;
pub mod transactions;

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};
use servers::machine::{Applied, Pieces, StateMachine, Unreadable};

use arguments::Arguments;
use commands::{Action, Command};
use pair::Pair;
use removals::Removals;
use transactions::Transaction;

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
    pairs: HashTable<Pair>,
    hasher: RandomState,
    /// Sum of the digests of all pairs: the same whatever order they came in.
    digest: u64,
    /// What was removed, for those who watch absent keys.
    removals: Removals,
    /// Of the command that is being applied, or was last; no version is higher.
    stamp: u64,
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

    fn pair(&self, key: &[u8]) -> Option<&Pair> {
        self.pairs.find(self.hasher.hash_one(key), |pair| pair.key() == key)
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.pair(key).map(Pair::string)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Changes the string of `key`, which begins empty, with room for `room` bytes, where there was
    /// none. All changes of strings go through here: it keeps digest and version.
    fn change(&mut self, key: &[u8], room: usize, change: impl FnOnce(&mut Pair)) {
        let hash = |pair: &Pair| self.hasher.hash_one(pair.key());
        let mut entry =
            match self.pairs.entry(self.hasher.hash_one(key), |pair| pair.key() == key, hash) {
                Entry::Occupied(entry) => {
                    self.digest = self.digest.wrapping_sub(entry.get().digest());
                    entry
                }
                Entry::Vacant(entry) => entry.insert(Pair::new(key, room)),
            };
        let pair = entry.get_mut();
        change(pair);
        pair.version = self.stamp;
        self.digest = self.digest.wrapping_add(entry.get().digest());
    }

    fn set(&mut self, key: &[u8], string: &[u8]) {
        self.change(key, string.len(), |pair| pair.set(string));
    }

    fn remove(&mut self, key: &[u8]) -> Option<Pair> {
        let hash = self.hasher.hash_one(key);
        let entry = self.pairs.find_entry(hash, |pair| pair.key() == key).ok()?;
        let (pair, _) = OccupiedEntry::remove(entry);
        self.digest = self.digest.wrapping_sub(pair.digest());
        self.removals.note(&pair);
        Some(pair)
    }

    fn clear(&mut self) {
        self.pairs.iter().for_each(|pair| self.removals.note(pair));
        self.pairs = HashTable::new();
        self.digest = 0;
    }

    /// Executes one command.
    fn execute(&mut self, request: &[u8], reply: &mut Vec<u8>) {
        let Some((command, mut arguments)) = understand(request, reply) else { return };
        match command.action {
            Action::Write(handler) => handler(self, &mut arguments, reply),
            Action::Read(_) => self.look(request, reply),
        }
    }

    /// Executes one command that only reads.
    fn look(&self, request: &[u8], reply: &mut Vec<u8>) {
        if reply.len() > MAX_REPLY {
            return reply::error(reply, "ERR replies exceed 64 MiB: ask for less at a time");
        }
        let Some((command, mut arguments)) = understand(request, reply) else { return };
        match command.action {
            Action::Write(_) => reply::error(reply, "ERR a query must not write"),
            Action::Read(handler) => handler(self, &mut arguments, reply),
        }
    }
}

/// Bytes of pairs in a piece of a snapshot, if there are several.
const PIECE: usize = 64 << 10;

/// What a piece holds: keys, each with its string and its version.
const PAIRS: &[u8] = b"pairs";
/// What a piece holds: the stamp of the last command, and what was removed.
const REMOVALS: &[u8] = b"removals";

/// A store on its way into a snapshot.
struct StorePieces {
    pairs: Vec<Pair>,
    first: Option<Vec<u8>>,
}

impl Pieces for StorePieces {
    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let mut size = 0;
        let mut fits = |pair: &Pair| {
            size += pair.key().len() + pair.string().len() + 16;
            size <= PIECE
        };
        let count = self.pairs.iter().rev().take_while(|pair| fits(pair)).count().max(1);
        let piece = self.pairs.split_off(self.pairs.len().saturating_sub(count));
        let versions: Vec<_> = piece.iter().map(|pair| pair.version.to_le_bytes()).collect();
        let parts = piece.iter().zip(&versions);
        let parts = parts.flat_map(|(pair, version)| [pair.key(), pair.string(), &version[..]]);
        let parts: Vec<&[u8]> = [PAIRS].into_iter().chain(parts).collect();
        (!piece.is_empty()).then(|| arguments::encode(parts))
    }
}

impl Store {
    /// The first piece of a snapshot.
    fn spell_removals(&self) -> Vec<u8> {
        arguments::encode([REMOVALS, &self.stamp.to_le_bytes(), &self.removals.spell()])
    }

    /// Takes a piece of a snapshot in; `None` if it is none.
    fn read(&mut self, piece: &[u8]) -> Option<()> {
        let stamp = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        let mut arguments = Arguments::decode(piece)?;
        match (arguments.shift(), arguments.len()) {
            (REMOVALS, 2) => {
                self.stamp = stamp(arguments.shift())?;
                self.removals.read(arguments.shift())
            }
            (PAIRS, count) if count.is_multiple_of(3) => {
                let last = self.stamp;
                while let Some(key) = arguments.next() {
                    let string = arguments.shift();
                    self.stamp = stamp(arguments.shift())?;
                    self.set(key, string);
                }
                self.stamp = last;
                Some(())
            }
            _ => None,
        }
    }
}

impl StateMachine for Store {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        self.stamp = at.stamp();
        match Transaction::decode(command) {
            Some(transaction) => transaction.apply(self, reply),
            None => self.execute(command, reply),
        }
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        if let Some(transaction) = Transaction::decode(query) {
            transaction.query(self, reply);
        } else if let Some(keys) = transactions::watched_keys(query) {
            transactions::put_versions(self, keys, reply);
        } else {
            self.look(query, reply);
        }
    }

    fn fresh(&self) -> Store {
        Store::new()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        let first = Some(self.spell_removals());
        Box::new(StorePieces { pairs: self.pairs.iter().cloned().collect(), first })
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.read(piece).ok_or(Unreadable("keys, each with its string and version, or removals"))
    }

    fn digest(&self) -> u64 {
        pair::fold(self.digest.wrapping_add(self.removals.digest()), self.stamp)
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
