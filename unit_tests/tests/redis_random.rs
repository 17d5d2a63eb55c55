//! Long random sequences of commands on few keys, to a Redis 7.0 that runs and to our door: every
//! reply must be the same. Times to live are far ahead or long over, so that nothing depends on which
//! of the two is asked first. Needs `redis-server` 7.0 in the path.
//!
//! A family of commands is a [`Maker`]; [`MAKERS`] lists them all.

#[path = "support/door.rs"]
mod door;
#[path = "support/redis.rs"]
mod redis;

use door::{Random, open, request};
use redis::{Redis, in_order};

/// Commands of each seed.
const COMMANDS: usize = 5_000;
const SEEDS: u64 = 4;

/// Connections that commands may come over.
const CONNECTIONS: usize = 2;

/// One command.
struct Made {
    words: Vec<String>,
    /// The connection that it comes over.
    connection: usize,
    /// By how much large numbers in the two replies may differ: the clock goes on in between.
    slack: u64,
}

/// Draws one command, or a few that belong together.
type Maker = fn(&mut Random) -> Vec<Made>;

/// Each with how often it is drawn.
const MAKERS: [(usize, Maker); 5] = [
    (30, some_string),
    (35, some_deadline),
    (25, some_question),
    (10, some_set),
    (12, some_transaction),
];

fn made(words: &[&str], slack: u64) -> Vec<Made> {
    let words = words.iter().map(|word| word.to_string()).collect();
    vec![Made { words, connection: 0, slack }]
}

/// Deadlines of these are given as times.
const BY_TIME: [&str; 2] = ["a", "b"];
/// Deadlines of these are given as spans, which begin when the server is asked.
const BY_SPAN: [&str; 2] = ["c", "d"];
const KEYS: [&str; 5] = ["a", "b", "c", "d", "never-with-a-deadline"];
const VALUES: [&str; 7] = ["1", "-5", "x", "", "9223372036854775807", "07", "some longer text"];

/// Numbers that are no time, or one that is over.
const ODD: [&str; 9] = [
    "0",
    "-1",
    "x",
    "",
    "1.5",
    "9223372036854775808",
    "-9223372036854775808",
    "9223372036854776",
    "-9223372036854776",
];

fn in_any_case(random: &mut Random, word: &str) -> String {
    if random.below(3) == 0 { word.to_uppercase() } else { word.to_owned() }
}

/// A time, or a span if `by_span`: far ahead and so random that no two compare otherwise a moment
/// later; at times over, or none at all. Never a span that ends while the sequence runs.
fn some_number(random: &mut Random, by_span: bool, in_seconds: bool) -> String {
    match random.below(6) {
        0 => random.pick(&ODD).to_owned(),
        1 if !by_span => "1".to_owned(),
        1 => "9223372036854775807".to_owned(),
        _ => {
            let begin = if by_span { 100_000 } else { 4_000_000_000 };
            let millis = begin * 1000 + random.below(50_000_000_000);
            if in_seconds { (millis / 1000).to_string() } else { millis.to_string() }
        }
    }
}

/// A key, the option or command that gives it a deadline, and the number.
fn some_time(random: &mut Random, names: [&str; 4]) -> [String; 3] {
    let by_span = random.below(2) == 0;
    let in_seconds = random.below(2) == 0;
    let key = random.pick(if by_span { &BY_SPAN } else { &BY_TIME });
    let name = names[2 * usize::from(!by_span) + usize::from(!in_seconds)];
    let number = some_number(random, by_span, in_seconds);
    [key.to_owned(), in_any_case(random, name), number]
}

const OPTIONS: [&str; 4] = ["ex", "px", "exat", "pxat"];

fn some_set(random: &mut Random) -> Vec<Made> {
    let [key, option, number] = some_time(random, OPTIONS);
    let mut words = vec!["set", &key, random.pick(&VALUES)];
    for _ in 0..random.below(3) {
        words.push(random.pick(&["nx", "XX", "get", "GET", "keepttl", "persist"]));
    }
    if random.below(3) > 0 {
        words.extend([&option[..], &number]);
    }
    if random.below(8) == 0 {
        words.push(random.pick(&["nx", "get", "KEEPTTL", "ex", "soon"]));
    }
    made(&words, 0)
}

fn some_deadline(random: &mut Random) -> Vec<Made> {
    let value = random.pick(&VALUES);
    match random.below(12) {
        0 => {
            let in_seconds = random.below(2) == 0;
            let name = if in_seconds { "setex" } else { "psetex" };
            let number = some_number(random, true, in_seconds);
            made(&[name, random.pick(&BY_SPAN), &number, value], 0)
        }
        1 | 2 => {
            let [key, option, number] = some_time(random, OPTIONS);
            match random.below(5) {
                0 => made(&["getex", &key], 0),
                1 => made(&["getex", &key, random.pick(&["persist", "PERSIST", "keepttl"])], 0),
                2 => made(&["getex", &key, "persist", &option, &number], 0),
                _ => made(&["getex", &key, &option, &number], 0),
            }
        }
        3 => made(&["persist", random.pick(&KEYS)], 0),
        _ => {
            let names = ["expire", "pexpire", "expireat", "pexpireat"];
            let [key, name, number] = some_time(random, names);
            let mut words = vec![&name[..], &key, &number];
            for _ in 0..random.below(8).saturating_sub(5) {
                words.push(random.pick(&["nx", "xx", "gt", "lt", "GT", "LT", "never"]));
            }
            if random.below(2) == 0 {
                words.push(random.pick(&["nx", "xx", "gt", "lt"]));
            }
            made(&words, 0)
        }
    }
}

/// Questions after deadlines: a deadline given as a time is known exactly, the rest to ten seconds.
fn some_question(random: &mut Random) -> Vec<Made> {
    let by_time = random.below(2) == 0;
    let key = random.pick(if by_time { &BY_TIME } else { &BY_SPAN });
    let (name, slack) =
        [("ttl", 10), ("pttl", 10_000), ("expiretime", 10), ("pexpiretime", 10_000)]
            [random.below(4)];
    let exact = by_time && name.ends_with("time");
    made(&[name, key], if exact { 0 } else { slack })
}

fn some_string(random: &mut Random) -> Vec<Made> {
    let (key, other) = (random.pick(&KEYS), random.pick(&KEYS));
    let (value, more) = (random.pick(&VALUES), random.pick(&VALUES));
    let words: &[&str] = match random.below(20) {
        0 | 1 => &["set", key, value],
        2 => &["setnx", key, value],
        3 => &["getset", key, value],
        4 => &["getdel", key],
        5 => &["del", key, other],
        6 => &["mset", key, value, other, more],
        7 => &["msetnx", key, value, other, more],
        8 => &["append", key, value],
        9 | 10 => &["incr", key],
        11 => &["decrby", key, "3"],
        12 => &["mget", key, other, key],
        13 => &["exists", key, other],
        14 => &["strlen", key],
        15 => &["type", key],
        16 => &["keys", "*"],
        17 if random.below(10) == 0 => &["flushall"],
        _ => &["get", key],
    };
    made(words, 0)
}

/// `MULTI` to `EXEC` on one connection; often watched keys, and a command of another connection.
fn some_transaction(random: &mut Random) -> Vec<Made> {
    let connection = random.below(CONNECTIONS);
    let mut all = Vec::new();
    if random.below(2) == 0 {
        all.extend(made(&["watch", random.pick(&KEYS), random.pick(&KEYS)], 0));
    }
    if random.below(8) == 0 {
        all.extend(made(&["unwatch"], 0));
    }
    if random.below(3) == 0 {
        all.extend(some_single(random));
    }
    for one in &mut all {
        one.connection = connection;
    }
    if random.below(3) > 0 {
        let mut other = some_single(random);
        other.iter_mut().for_each(|one| one.connection = (connection + 1) % CONNECTIONS);
        all.extend(other);
    }
    let mut piece = made(&["multi"], 0);
    for _ in 0..random.below(6) {
        piece.extend(match random.below(20) {
            0 => made(&["multi"], 0),
            1 => made(&["watch", "a"], 0),
            2 => made(&["nosuch", "a"], 0),
            3 => made(&["expire", "a"], 0),
            _ => some_single(random),
        });
    }
    let end = if random.below(8) == 0 { "discard" } else { "exec" };
    piece.extend(made(&[end], 10_000));
    piece.iter_mut().for_each(|one| one.connection = connection);
    all.extend(piece);
    all
}

/// A command that is no transaction; not `KEYS`, whose order Redis leaves open.
fn some_single(random: &mut Random) -> Vec<Made> {
    let makers: [Maker; 4] = [some_string, some_deadline, some_question, some_set];
    let made = makers[random.below(makers.len())](random);
    if made[0].words[0] == "keys" { some_single(random) } else { made }
}

fn some(random: &mut Random) -> Vec<Made> {
    let mut left = random.below(MAKERS.iter().map(|(weight, _)| weight).sum());
    for (weight, maker) in MAKERS {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return maker(random),
        }
    }
    unreachable!("one of them has the weight")
}

/// Whether the replies are the same, but for numbers from a thousand on, which may differ by `slack`.
fn agree(one: &[u8], other: &[u8], slack: u64) -> bool {
    let lines = |reply: &[u8]| reply.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (lines(one), lines(other));
    let number = |line: &[u8]| -> Option<i64> {
        str::from_utf8(line.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
    };
    one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| match (number(one), number(other)) {
            (Some(one), Some(other)) if one.min(other) >= 1000 => one.abs_diff(other) <= slack,
            _ => one == other,
        })
}

#[test]
fn replies_agree_within_their_slack() {
    for (one, other, slack, expected) in [
        (":5000\r\n", ":5003\r\n", 3, true),
        (":5000\r\n", ":5004\r\n", 3, false),
        (":1\r\n", ":0\r\n", 3, false),
        (":-2\r\n", ":-1\r\n", 3, false),
        ("*2\r\n:5000\r\n$1\r\n5\r\n", "*2\r\n:5001\r\n$1\r\n5\r\n", 1, true),
        ("*2\r\n:5000\r\n$1\r\n5\r\n", "*2\r\n:5001\r\n$1\r\n6\r\n", 1, false),
        ("+OK\r\n", "+OK\r\n", 0, true),
        ("$-1\r\n", ":5000\r\n", 9, false),
    ] {
        assert_eq!(agree(one.as_bytes(), other.as_bytes(), slack), expected, "{one:?} {other:?}");
    }
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn long_random_sequences_are_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    let mut theirs: Vec<_> = (0..CONNECTIONS).map(|_| redis.connect()).collect();
    let mut own: Vec<_> = (0..CONNECTIONS).map(|_| ours.connect()).collect();
    for seed in 1..=SEEDS {
        assert_eq!(theirs[0].text("flushall"), own[0].text("flushall"));
        let mut random = Random(seed);
        let mut before: Vec<String> = Vec::new();
        while before.len() < COMMANDS {
            for Made { words, connection, slack } in some(&mut random) {
                let bytes = request(&words);
                theirs[connection].send(&bytes);
                own[connection].send(&bytes);
                let expected = in_order(&bytes, theirs[connection].reply());
                let reply = in_order(&bytes, own[connection].reply());
                let line = format!("{connection}: {}", words.join(" "));
                assert!(
                    agree(&reply, &expected, slack),
                    "seed {seed}: {line:?}: {:?}, not {:?}, after {:#?}",
                    reply.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    &before[before.len().saturating_sub(30)..],
                );
                before.push(line);
            }
        }
    }
}
