//! Several commands as one, and whether keys that were watched are still what they were. What clients
//! send as `EXEC` is another thing: the door spells a transaction out. Must never run a part of one, and
//! never take a key for unchanged that was changed.

use super::arguments::{self, Arguments};
use super::{Store, reply};

/// What a transaction begins with.
const EXEC: &[u8] = b"exec";
/// What a question for versions begins with: keys follow.
const WATCH: &[u8] = b"watch";
/// What stands before the stamp in the version of an absent key.
const ABSENT: u8 = b'!';

/// The reply of a transaction with a watched key that has changed.
pub const CHANGED: &[u8] = b"*-1\r\n";

/// Spells a transaction: keys that are watched, a version behind each, and commands, as the log spells
/// them. Without a key and a command that writes it may be executed as a query. Its reply is an
/// array of the commands' replies, or [`CHANGED`].
pub fn spell<'a>(watched: Vec<&'a [u8]>, commands: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let watched = if watched.is_empty() { Vec::new() } else { arguments::encode(watched) };
    let mut parts = vec![EXEC, &watched];
    for command in commands {
        parts.push(command);
    }
    arguments::encode(parts)
}

/// Commands to be executed in one piece, unless a watched key has changed.
pub struct Transaction<'a> {
    watched: &'a [u8],
    commands: Arguments<'a>,
}

impl<'a> Transaction<'a> {
    /// Reads a transaction; `None` for anything else.
    pub fn decode(bytes: &'a [u8]) -> Option<Transaction<'a>> {
        let mut commands = named(bytes, EXEC)?;
        let watched = commands.next()?;
        Some(Transaction { watched, commands })
    }

    /// The keys that are watched.
    pub fn watched(&self) -> impl Iterator<Item = &'a [u8]> {
        Arguments::decode(self.watched).into_iter().flatten().step_by(2)
    }

    /// The commands, as the log spells them.
    pub fn commands(&self) -> impl Iterator<Item = &'a [u8]> {
        self.commands.clone()
    }

    /// Executes all of it, or nothing.
    pub fn apply(self, store: &mut Store, reply: &mut Vec<u8>) {
        if self.begin(store, reply) {
            self.commands.for_each(|command| store.execute(command, reply));
        }
    }

    /// The same of a transaction that only reads.
    pub fn query(self, store: &Store, reply: &mut Vec<u8>) {
        if self.begin(store, reply) {
            self.commands.for_each(|command| store.look(command, reply));
        }
    }

    /// Opens the reply; false when that is all there is to say.
    fn begin(&self, store: &Store, reply: &mut Vec<u8>) -> bool {
        let unchanged = are_unchanged(store, self.watched);
        match unchanged {
            Some(true) => reply::array(reply, self.commands.len()),
            Some(false) => reply.extend_from_slice(CHANGED),
            None => reply::error(reply, "ERR what is watched is not a list of keys and versions"),
        }
        unchanged == Some(true)
    }
}

/// The keys whose versions a query asks for, as `WATCH` is spelt; `None` for anything else.
pub fn watched_keys(query: &[u8]) -> Option<Arguments<'_>> {
    named(query, WATCH)
}

/// Answers a question for versions: an array, of what [`spell`] takes behind each key.
pub fn put_versions(store: &Store, keys: Arguments, reply: &mut Vec<u8>) {
    reply::array(reply, keys.len());
    for key in keys {
        let version = match store.pair(key) {
            Some(pair) => pair.version.to_string(),
            None => format!("{}{}", char::from(ABSENT), store.stamp),
        };
        reply::bulk(reply, version.as_bytes());
    }
}

/// Whether each key still is what its version says; `None` where there are none.
fn are_unchanged(store: &Store, watched: &[u8]) -> Option<bool> {
    if watched.is_empty() {
        return Some(true);
    }
    let mut watched = Arguments::decode(watched)?;
    let mut unchanged = true;
    while let Some(key) = watched.next() {
        unchanged &= is_unchanged(store, key, watched.next()?)?;
    }
    Some(unchanged)
}

/// An absent key has changed if it is there now, and if it was there in between.
fn is_unchanged(store: &Store, key: &[u8], version: &[u8]) -> Option<bool> {
    let stamp = |digits: &[u8]| str::from_utf8(digits).ok()?.parse::<u64>().ok();
    let pair = store.pair(key);
    Some(match version {
        [ABSENT, since @ ..] => {
            let since = stamp(since)?;
            pair.is_none() && !store.removals.may_hold(key, since)
        }
        version => {
            let version = stamp(version)?;
            pair.is_some_and(|pair| pair.version == version)
        }
    })
}

/// The arguments behind that name, which costs little to see is not there.
fn named<'a>(bytes: &'a [u8], name: &[u8]) -> Option<Arguments<'a>> {
    let mut arguments = Arguments::are_named(bytes, name).then(|| Arguments::decode(bytes))??;
    arguments.next();
    Some(arguments)
}
