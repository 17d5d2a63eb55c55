//! Commands on strings. Must never allocate where a value can be changed in place.

use super::arguments::Arguments;
use super::expiry::{Form, Lasting};
use super::pair::Pair;
use super::reply::{self, DECIMAL, NOT_AN_INTEGER, SYNTAX_ERROR};
use super::{Lifetime, MAX_REPLY, MAX_VALUE, Store};

const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

pub fn get(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    reply::optional_bulk(reply, store.get(arguments.shift()));
}

pub fn strlen(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    reply::count(reply, store.get(arguments.shift()).map_or(0, <[u8]>::len));
}

pub fn mget(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let begin = reply.len();
    reply::array(reply, arguments.len());
    for key in arguments {
        reply::optional_bulk(reply, store.get(key));
        if reply.len() - begin > MAX_REPLY {
            reply.truncate(begin);
            return reply::error(reply, "ERR reply exceeds 64 MiB: ask for fewer keys at a time");
        }
    }
}

/// When `SET` sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

impl Condition {
    fn holds(self, present: bool) -> bool {
        match self {
            Condition::Always => true,
            Condition::IfAbsent => !present,
            Condition::IfPresent => present,
        }
    }
}

/// What may follow key and value of `SET`.
struct SetOptions<'a> {
    condition: Condition,
    wants_old: bool,
    lasting: Lasting<'a>,
}

impl SetOptions<'_> {
    /// `None` is a syntax error, which any unknown option is.
    fn read<'a>(mut options: Arguments<'a>) -> Option<SetOptions<'a>> {
        let mut read =
            SetOptions { condition: Condition::Always, wants_old: false, lasting: Lasting::Unsaid };
        while let Some(option) = options.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"NX") && read.condition != Condition::IfPresent {
                read.condition = Condition::IfAbsent;
            } else if is(b"XX") && read.condition != Condition::IfAbsent {
                read.condition = Condition::IfPresent;
            } else if is(b"GET") {
                read.wants_old = true;
            } else if is(b"KEEPTTL") {
                read.lasting = read.lasting.and(Lasting::AsBefore)?;
            } else {
                let number = Lasting::For(Form::named(option)?, options.next()?);
                read.lasting = read.lasting.and(number)?;
            }
        }
        Some(read)
    }
}

pub fn set(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let (key, value) = (arguments.shift(), arguments.shift());
    let Some(options) = SetOptions::read(arguments.clone()) else {
        return reply::error(reply, SYNTAX_ERROR);
    };
    if value.len() > MAX_VALUE {
        return reply::error(reply, TOO_LONG);
    }
    let Some(lifetime) = options.lasting.lifetime(store.now, "set", reply) else { return };
    if options.wants_old {
        reply::optional_bulk(reply, store.get(key));
    }
    let condition = options.condition;
    let sets = condition == Condition::Always || condition.holds(store.contains(key));
    if sets {
        store.set(key, value, lifetime);
    }
    match (options.wants_old, sets) {
        (true, _) => {}
        (false, true) => reply::ok(reply),
        (false, false) => reply::null(reply),
    }
}

pub fn setex(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_for(store, arguments, reply, "setex", Form::SECONDS);
}

pub fn psetex(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_for(store, arguments, reply, "psetex", Form::MILLISECONDS);
}

fn set_for(
    store: &mut Store,
    arguments: &mut Arguments,
    reply: &mut Vec<u8>,
    name: &str,
    form: Form,
) {
    let (key, number, value) = (arguments.shift(), arguments.shift(), arguments.shift());
    if value.len() > MAX_VALUE {
        return reply::error(reply, TOO_LONG);
    }
    let lasting = Lasting::For(form, number);
    let Some(lifetime) = lasting.lifetime(store.now, name, reply) else { return };
    store.set(key, value, lifetime);
    reply::ok(reply);
}

pub fn setnx(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let (key, value) = (arguments.shift(), arguments.shift());
    if value.len() > MAX_VALUE {
        return reply::error(reply, TOO_LONG);
    }
    let sets = !store.contains(key);
    if sets {
        store.set(key, value, Lifetime::Endless);
    }
    reply::boolean(reply, sets);
}

pub fn getset(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let (key, value) = (arguments.shift(), arguments.shift());
    if value.len() > MAX_VALUE {
        return reply::error(reply, TOO_LONG);
    }
    reply::optional_bulk(reply, store.get(key));
    store.set(key, value, Lifetime::Endless);
}

pub fn getdel(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let old = store.remove(arguments.shift());
    reply::optional_bulk(reply, old.as_ref().map(Pair::string));
}

/// Whether keys and values come in pairs; answers where they do not, or a value is too long.
fn are_pairs(pairs: &Arguments, name: &str, reply: &mut Vec<u8>) -> bool {
    if !pairs.len().is_multiple_of(2) {
        reply::wrong_arity(reply, name);
        return false;
    }
    if pairs.clone().skip(1).step_by(2).any(|value| value.len() > MAX_VALUE) {
        reply::error(reply, TOO_LONG);
        return false;
    }
    true
}

fn set_pairs(store: &mut Store, pairs: &mut Arguments) {
    while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
        store.set(key, value, Lifetime::Endless);
    }
}

pub fn mset(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    if are_pairs(arguments, "mset", reply) {
        set_pairs(store, arguments);
        reply::ok(reply);
    }
}

pub fn msetnx(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    if are_pairs(arguments, "msetnx", reply) {
        let sets = !arguments.clone().step_by(2).any(|key| store.contains(key));
        if sets {
            set_pairs(store, arguments);
        }
        reply::boolean(reply, sets);
    }
}

pub fn append(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let (key, more) = (arguments.shift(), arguments.shift());
    let length = store.get(key).map_or(0, <[u8]>::len) + more.len();
    if length > MAX_VALUE {
        return reply::error(reply, TOO_LONG);
    }
    store.change(key, more.len(), |pair| pair.append(more));
    reply::count(reply, length);
}

pub fn incr(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    add(store, arguments.shift(), 1, reply);
}

pub fn decr(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    add(store, arguments.shift(), -1, reply);
}

pub fn incrby(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let key = arguments.shift();
    match reply::parse_decimal(arguments.shift()) {
        Some(by) => add(store, key, by, reply),
        None => reply::error(reply, NOT_AN_INTEGER),
    }
}

pub fn decrby(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let key = arguments.shift();
    match reply::parse_decimal(arguments.shift()) {
        Some(i64::MIN) => reply::error(reply, "ERR decrement would overflow"),
        Some(by) => add(store, key, -by, reply),
        None => reply::error(reply, NOT_AN_INTEGER),
    }
}

fn add(store: &mut Store, key: &[u8], by: i64, reply: &mut Vec<u8>) {
    let Some(old) = store.get(key).map_or(Some(0), reply::parse_decimal) else {
        return reply::error(reply, NOT_AN_INTEGER);
    };
    let Some(new) = old.checked_add(by) else {
        return reply::error(reply, "ERR increment or decrement would overflow");
    };
    let mut digits = [0; DECIMAL];
    store.set(key, reply::decimal(new, &mut digits), Lifetime::AsBefore);
    reply::integer(reply, new);
}
