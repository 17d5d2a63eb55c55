//! Commands on keys of any type. Must never show the order in which the map holds them.

use super::arguments::Arguments;
use super::reply::{self, SYNTAX_ERROR};
use super::{MAX_REPLY, Store, glob};

pub fn exists(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    reply::count(reply, arguments.filter(|key| store.contains(key)).count());
}

pub fn del(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    reply::count(reply, arguments.filter(|key| store.remove(key).is_some()).count());
}

pub fn type_of(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let name = if store.contains(arguments.shift()) { "string" } else { "none" };
    reply::status(reply, name);
}

pub fn dbsize(store: &Store, _: &mut Arguments, reply: &mut Vec<u8>) {
    reply::count(reply, store.len());
}

/// `KEYS`: sorted, which Redis does not promise.
pub fn keys(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let pattern = arguments.shift();
    let all = pattern == b"*";
    let keys = store.sorted_keys(|key| all || glob::matches(pattern, key));
    if keys.iter().map(|key| key.len() + 16).sum::<usize>() > MAX_REPLY {
        return reply::error(reply, "ERR reply exceeds 64 MiB: use a narrower pattern");
    }
    reply::array(reply, keys.len());
    for key in keys {
        reply::bulk(reply, key);
    }
}

/// Whether nothing follows, or one word that says when memory is freed (which is at once).
fn is_flush_mode(arguments: &mut Arguments) -> bool {
    let mode = arguments.next();
    let known = mode.is_none_or(|mode| {
        mode.eq_ignore_ascii_case(b"SYNC") || mode.eq_ignore_ascii_case(b"ASYNC")
    });
    known && arguments.len() == 0
}

/// `FLUSHALL` and `FLUSHDB`: there is one database.
pub fn flush(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    if !is_flush_mode(arguments) {
        return reply::error(reply, SYNTAX_ERROR);
    }
    store.clear();
    reply::ok(reply);
}

/// `FUNCTION FLUSH`, which test suites send between tests: there are no functions to flush.
pub fn function(_: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let subcommand = arguments.shift();
    if !subcommand.eq_ignore_ascii_case(b"FLUSH") {
        return reply::unknown_subcommand(reply, "FUNCTION", subcommand);
    }
    if arguments.len() > 1 {
        let text = [b"ERR unknown subcommand or wrong number of arguments for '", subcommand];
        return reply::error_bytes(reply, &[&text.concat()[..], b"'. Try FUNCTION HELP."].concat());
    }
    if is_flush_mode(arguments) {
        reply::ok(reply);
    } else {
        reply::error(reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    }
}
