//! Random requests with transactions in them, over several connections.

use crate::door::{Random, request};

/// Connections that take part.
pub const CONNECTIONS: usize = 2;

const KEYS: [&str; 4] = ["a", "b", "ab", ""];

/// A connection, and requests that it sends in one piece.
pub type Step = (usize, Vec<Vec<u8>>);

/// Words as one request.
fn words(line: &[&str]) -> Vec<u8> {
    request(line)
}

/// A request that is queued, run or refused, as it comes; `other` makes those of other kinds.
fn some_request(random: &mut Random, other: fn(&mut Random) -> Vec<u8>) -> Vec<u8> {
    let (key, more) = (random.pick(&KEYS), random.pick(&KEYS));
    match random.below(40) {
        0..=3 => words(&["multi"]),
        4..=7 => words(&["exec"]),
        8..=11 => words(&["watch", key]),
        12 => words(&["WATCH", key, more, key]),
        13 => words(&["unwatch"]),
        14 => words(&["discard"]),
        15 => words(&[random.pick(&["multi", "exec", "discard", "unwatch", "reset"]), "x"]),
        16 => words(&["watch"]),
        17 => words(&["nosuch", key]),
        18 => words(&["flushall"]),
        19 => words(&["ping"]),
        20 => words(&["echo", key, more][..2 + random.below(2)]),
        21 => words(&["client", random.pick(&["getname", "nosuch", "setname"])]),
        22 => words(&["reset"]),
        23..=27 => words(&["del", key]),
        28..=30 => words(&["set", key, random.pick(&["1", "x", ""])]),
        31 => words(&["incr", key]),
        32 => words(&["hello", random.pick(&["2", "3"])]),
        _ => other(random),
    }
}

/// Some of these in a row.
pub fn some_step(random: &mut Random, other: fn(&mut Random) -> Vec<u8>) -> Step {
    let count = if random.below(3) == 0 { 1 + random.below(12) } else { 1 };
    (random.below(CONNECTIONS), (0..count).map(|_| some_request(random, other)).collect())
}
