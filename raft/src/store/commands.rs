//! The one table of the store's commands. Must never hold what a command does.

use super::arguments::Arguments;
use super::{Store, expiry, keys, reply, strings};

/// A command of the store.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name in lower case, as error replies print it.
    pub name: &'static str,
    /// Its arguments, the name included: exactly so many, or at least so many where negative.
    pub arity: i32,
    /// What executes it.
    pub action: Action,
}

/// What executes a command. It gets the arguments after the name, appends exactly one reply, and
/// may rely on the arity.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Changes the store: enters the log.
    Write(fn(&mut Store, &mut Arguments, &mut Vec<u8>)),
    /// Only looks.
    Read(fn(&Store, &mut Arguments, &mut Vec<u8>)),
}

use Action::{Read, Write};

const COMMANDS: [Command; 34] = [
    command("append", 3, Write(strings::append)),
    command("dbsize", 1, Read(keys::dbsize)),
    command("decr", 2, Write(strings::decr)),
    command("decrby", 3, Write(strings::decrby)),
    command("del", -2, Write(keys::del)),
    command("exists", -2, Read(keys::exists)),
    command("expire", -3, Write(expiry::expire)),
    command("expireat", -3, Write(expiry::expireat)),
    command("expiretime", 2, Read(expiry::expiretime)),
    command("flushall", -1, Write(keys::flush)),
    command("flushdb", -1, Write(keys::flush)),
    command("function", -2, Write(keys::function)),
    command("get", 2, Read(strings::get)),
    command("getdel", 2, Write(strings::getdel)),
    command("getex", -2, Write(expiry::getex)),
    command("getset", 3, Write(strings::getset)),
    command("incr", 2, Write(strings::incr)),
    command("incrby", 3, Write(strings::incrby)),
    command("keys", 2, Read(keys::keys)),
    command("mget", -2, Read(strings::mget)),
    command("mset", -3, Write(strings::mset)),
    command("msetnx", -3, Write(strings::msetnx)),
    command("persist", 2, Write(expiry::persist)),
    command("pexpire", -3, Write(expiry::pexpire)),
    command("pexpireat", -3, Write(expiry::pexpireat)),
    command("pexpiretime", 2, Read(expiry::pexpiretime)),
    command("psetex", 4, Write(strings::psetex)),
    command("pttl", 2, Read(expiry::pttl)),
    command("set", -3, Write(strings::set)),
    command("setex", 4, Write(strings::setex)),
    command("setnx", 3, Write(strings::setnx)),
    command("strlen", 2, Read(strings::strlen)),
    command("ttl", 2, Read(expiry::ttl)),
    command("type", 2, Read(keys::type_of)),
];

const fn command(name: &'static str, arity: i32, action: Action) -> Command {
    Command { name, arity, action }
}

/// Slots of the lookup: a power of two, well above the number of commands.
const SLOTS: usize = 128;
const FREE: u8 = u8::MAX;
const LONGEST: usize = 11;

static TABLE: [Command; COMMANDS.len()] = COMMANDS;
static INDEX: [u8; SLOTS] = index();

/// Hashes a name without regard to case.
const fn slot(name: &[u8]) -> usize {
    let last = name[name.len() - 1] | 0x20;
    let middle = name[name.len() / 2] | 0x20;
    let first = name[0] | 0x20;
    (first as usize * 7 + middle as usize * 31 + last as usize * 3 + name.len() * 11) % SLOTS
}

const fn index() -> [u8; SLOTS] {
    let mut index = [FREE; SLOTS];
    let mut at = 0;
    while at < COMMANDS.len() {
        let name = COMMANDS[at].name.as_bytes();
        assert!(name.len() <= LONGEST);
        let mut slot = slot(name);
        while index[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = at as u8;
        at += 1;
    }
    index
}

/// The command of that name in any case.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let mut slot = slot(name);
    while INDEX[slot] != FREE {
        let command = &TABLE[usize::from(INDEX[slot])];
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// The keys that a query names, perhaps with arguments that are none; `None` if it shows all keys.
pub fn keys_of(query: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut arguments = Arguments::decode(query)?;
    let command = find(arguments.shift())?;
    (command.name != "keys").then_some(arguments)
}

/// All commands.
pub fn all() -> &'static [Command] {
    &TABLE
}

/// Whether an arity, as Redis states it, allows `count` arguments.
pub fn takes(arity: i32, count: usize) -> bool {
    let least = arity.unsigned_abs() as usize;
    if arity < 0 { count >= least } else { count == least }
}

impl Command {
    /// Whether it takes `count` arguments, its name included.
    pub fn takes(&self, count: usize) -> bool {
        takes(self.arity, count)
    }

    /// Whether it has this subcommand, if it is one that has some.
    pub fn has_subcommand(&self, name: &[u8]) -> bool {
        self.name != "function" || name.eq_ignore_ascii_case(b"flush")
    }

    /// Answers a request for it that it does not take, or whose subcommand it has not.
    pub fn refuse(&self, mut request: Arguments, reply: &mut Vec<u8>) {
        if self.takes(request.len()) {
            request.next();
            reply::unknown_subcommand(reply, &self.name.to_uppercase(), request.shift());
        } else {
            reply::wrong_arity(reply, self.name);
        }
    }

    /// Whether it changes the store.
    pub fn is_write(&self) -> bool {
        matches!(self.action, Write(_))
    }
}
