//! The key-value machine: the state that the log replicates when no library user brings another.
//! A command or a query is a list of arguments ([`arguments`]), its reply is RESP2. Must never read
//! a clock, a random number or the order of its hash map: replicas would come apart.
//!
//! - [`arguments`]: how a request is spelt in the log;
//! - [`commands`]: the one table of what there is;
//! - [`strings`], [`keys`], [`expiry`]: what the commands do, a file for each type of data, and one
//!   for times to live;
//! - [`deadline`]: until when keys are there, by log time, and which goes first;
//! - [`reply`]: RESP2 replies, and the words of Redis for what was wrong;
//! - [`transactions`]: several commands as one, and the versions of watched keys;
//! - [`table`]: where keys are found; can be copied while it changes, for snapshots;
//! - [`pair`]: a key with its string, and their part of the digest; [`removals`]: when keys went;
//!   [`pieces`]: snapshots; [`glob`]: patterns of `KEYS`.

pub mod arguments;
pub mod commands;
mod deadline;
mod expiry;
pub mod glob;
mod keys;
mod pair;
mod pieces;
mod removals;
pub mod reply;
mod strings;
pub mod table;
pub mod transactions;

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;

use messages::LogTime;
use servers::machine::{Applied, FORESEEN, Pieces, StateMachine, Unreadable};

use arguments::Arguments;
use commands::{Action, Command};
use deadline::{Deadline, Deadlines};
use pair::Pair;
use pieces::StorePieces;
use removals::Removals;
use table::Table;
use transactions::Transaction;

/// The longest string that a key may hold, bytes. The same on every node of every version, as it
/// decides what a command does.
pub const MAX_VALUE: usize = 4 << 20;

/// The longest reply to one query, bytes: `MGET` of one long value ten thousand times is refused. A
/// pipeline whose replies have grown so long gets no more of them.
pub const MAX_REPLY: usize = 64 << 20;

/// Keys that one log entry removes because their time is over, at most.
pub const EXPIRED_AN_ENTRY: usize = 64;

/// Keys and their values. A key whose deadline is over by the log time applied counts as absent, be
/// it removed already or not: only [`len`](Store::len) counts it until then.
///
/// The table's hasher is seeded at random, so that no client can pick keys that collide. Its order
/// therefore must show nowhere: whatever walks over it sorts.
#[derive(Debug, Default)]
pub struct Store {
    pairs: Table<Pair>,
    hasher: RandomState,
    /// The deadlines of all pairs that have one.
    deadlines: Deadlines,
    /// The log time of the last entry that came.
    now: LogTime,
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

    /// Keys in it, those included whose time is over and that no entry has removed yet.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All keys, sorted, that `wanted` says yes to.
    fn sorted_keys(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<&[u8]> {
        let there = self.pairs.iter().filter(|pair| !is_due(pair, self.now));
        let mut keys: Vec<&[u8]> = there.map(Pair::key).filter(|key| wanted(key)).collect();
        keys.sort_unstable();
        keys
    }

    fn pair(&self, key: &[u8]) -> Option<&Pair> {
        let pair = self.pairs.find(self.hasher.hash_one(key), |pair| pair.key() == key)?;
        (!is_due(pair, self.now)).then_some(pair)
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.pair(key).map(Pair::string)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.pair(key).is_some()
    }

    /// Changes the pair of `key`, which begins empty, with room for `room` bytes, where there was
    /// none. All changes of pairs go through here: it keeps digest, deadlines
    /// and versions.
    fn change(&mut self, key: &[u8], room: usize, change: impl FnOnce(&mut Pair)) {
        let hash = self.hasher.hash_one(key);
        let mut before = None;
        let pair = match self.pairs.find_mut(hash, |pair| pair.key() == key) {
            Some(pair) => {
                self.digest = self.digest.wrapping_sub(pair.digest());
                before = pair.deadline;
                if is_due(pair, self.now) {
                    pair.set(b"");
                    pair.deadline = None;
                }
                pair
            }
            None => self
                .pairs
                .insert(hash, Pair::new(key, room), |pair| self.hasher.hash_one(pair.key())),
        };
        change(pair);
        pair.version = self.stamp;
        self.digest = self.digest.wrapping_add(pair.digest());
        self.deadlines.change(key, before, pair.deadline);
    }

    /// Sets the string of `key`; with a deadline that is over the key is there for no moment, but
    /// who watches it sees a change.
    fn set(&mut self, key: &[u8], string: &[u8], lifetime: Lifetime) {
        self.change(key, string.len(), |pair| {
            pair.set(string);
            match lifetime {
                Lifetime::Endless => pair.deadline = None,
                Lifetime::AsBefore => {}
                Lifetime::Until(deadline) => pair.deadline = Some(deadline),
            }
        });
        if matches!(lifetime, Lifetime::Until(deadline) if deadline.is_over(self.now)) {
            self.remove(key);
        }
    }

    /// Removes a key; gives the pair only if it was there, and not one whose time was over.
    fn remove(&mut self, key: &[u8]) -> Option<Pair> {
        let hash = |key: &[u8]| self.hasher.hash_one(key);
        let is_it = |pair: &Pair| pair.key() == key;
        let pair = self.pairs.remove(hash(key), is_it, |pair| hash(pair.key()))?;
        self.digest = self.digest.wrapping_sub(pair.digest());
        self.removals.note(&pair);
        self.deadlines.change(key, pair.deadline, None);
        (!is_due(&pair, self.now)).then_some(pair)
    }

    /// Removes some of the keys whose time is over: always the same ones.
    fn remove_due(&mut self) {
        for _ in 0..EXPIRED_AN_ENTRY {
            let Some((deadline, key)) = self.deadlines.first() else { return };
            if !deadline.is_over(self.now) {
                return;
            }
            let key = key.to_vec();
            self.remove(&key);
        }
    }

    fn clear(&mut self) {
        self.pairs.iter().for_each(|pair| self.removals.note(pair));
        self.pairs.clear();
        self.deadlines = Deadlines::default();
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

fn is_due(pair: &Pair, now: LogTime) -> bool {
    pair.deadline.is_some_and(|deadline| deadline.is_over(now))
}

/// What becomes of a key's deadline when its string is set.
#[derive(Clone, Copy, Debug)]
enum Lifetime {
    /// It has none from now on.
    Endless,
    /// It stays what it was.
    AsBefore,
    /// It is this one.
    Until(Deadline),
}

impl StateMachine for Store {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        self.now = at.time;
        self.stamp = at.stamp();
        match Transaction::decode(command) {
            Some(transaction) => transaction.apply(self, reply),
            None => self.execute(command, reply),
        }
    }

    /// Most commands have one key, and it comes first.
    fn foresee(&self, commands: &[&[u8]]) {
        let mut hashes = [0; FORESEEN];
        for (hash, command) in hashes.iter_mut().zip(commands) {
            let key = Arguments::first_behind_name(command).unwrap_or_default();
            *hash = self.hasher.hash_one(key);
        }
        let pairs = self.pairs.likely(hashes).into_iter().flatten();
        // Of the memory of key and string, too, something is to be read, and by nobody left out.
        let ends = |pair: &Pair| [pair.key().first().copied(), pair.string().last().copied()];
        black_box(pairs.flat_map(ends).flatten().fold(0, |all, byte| all ^ byte));
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

    fn advance(&mut self, at: Applied) {
        self.now = at.time;
        self.remove_due();
    }

    fn next_due(&self) -> Option<LogTime> {
        self.deadlines.first().map(|(deadline, _)| deadline.over_at())
    }

    fn is_due(&self, query: &[u8], now: LogTime) -> bool {
        let due = self.next_due().is_some_and(|due| due <= now);
        due && commands::keys_of(query).is_none_or(|mut keys| {
            keys.any(|key| self.pair(key).is_some_and(|pair| is_due(pair, now)))
        })
    }

    fn fresh(&self) -> Store {
        Store::new()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        Box::new(StorePieces::of(self))
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        pieces::read(self, piece).ok_or(Unreadable("a piece of a store"))
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
