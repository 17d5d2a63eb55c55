//! The key-value machine: the state that the log replicates when no library user brings another.
//! A command or a query is a list of arguments ([`arguments`]), its reply is RESP2. Must never read
//! a clock, a random number or the order of its hash map: replicas would come apart.
//!
//! - [`arguments`]: how a request is spelt in the log;
//! - [`commands`]: the one table of what there is;
//! - [`strings`], [`keys`]: what the commands do, a file for each type of data;
//! - [`reply`]: RESP2 replies, and the words of Redis for what was wrong;
//! - [`value`]: a string and its part of the digest; [`glob`]: patterns of `KEYS`.

pub mod arguments;
pub mod commands;
pub mod glob;
mod keys;
pub mod reply;
mod strings;
mod value;

use std::collections::HashMap;

use servers::machine::{Applied, StateMachine};

use arguments::Arguments;
use commands::{Action, Command};
use value::Value;

/// The longest string that a key may hold, bytes. The same on every node of every version, as it
/// decides what a command does.
pub const MAX_VALUE: usize = 4 << 20;

/// The longest reply to one query, bytes: `MGET` of one long value ten thousand times is refused. A
/// pipeline whose replies have grown so long gets no more of them.
pub const MAX_REPLY: usize = 64 << 20;

/// Keys and their values.
///
/// The map's hasher is seeded at random, so that no client can pick keys that collide. Its order
/// therefore must show nowhere: whatever walks over it sorts.
#[derive(Debug, Default)]
pub struct Store {
    map: HashMap<Box<[u8]>, Value>,
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
        self.map.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Writes all keys, sorted, that `wanted` says yes to.
    fn sorted_keys(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<&[u8]> {
        let mut keys: Vec<&[u8]> =
            self.map.keys().map(|key| &**key).filter(|k| wanted(k)).collect();
        keys.sort_unstable();
        keys
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(Value::bytes)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.map.contains_key(key)
    }

    /// Changes the value of `key`, which begins empty where there was none. All changes of values
    /// go through here: it keeps the digest.
    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut Value)) {
        match self.map.get_mut(key) {
            Some(value) => {
                let before = value.digest_with(key);
                change(value);
                let after = value.digest_with(key);
                self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
            }
            None => {
                let mut value = Value::default();
                change(&mut value);
                self.digest = self.digest.wrapping_add(value.digest_with(key));
                self.map.insert(key.into(), value);
            }
        }
    }

    fn set(&mut self, key: &[u8], bytes: &[u8]) {
        self.change(key, |value| value.set(bytes));
    }

    fn remove(&mut self, key: &[u8]) -> Option<Value> {
        let value = self.map.remove(key)?;
        self.digest = self.digest.wrapping_sub(value.digest_with(key));
        Some(value)
    }

    fn clear(&mut self) {
        self.map = HashMap::new();
        self.digest = 0;
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
