//! The same transactions to a Redis 7.0 that runs and to our door: the replies must be equal, byte for
//! byte. Needs `redis-server` 7.0 in the path.

#[path = "support/door.rs"]
mod door;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/steps.rs"]
mod steps;

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use door::{Client, Open, Random, open, pipeline, request};
use redis::Redis;
use steps::{CONNECTIONS, Step, some_step};

/// Connections to both, of the same numbers.
struct Both {
    theirs: Vec<Client<UnixStream>>,
    ours: Vec<Client<TcpStream>>,
}

impl Both {
    /// To empty stores, all of this protocol.
    fn connect(redis: &mut Redis, ours: &Open, protocol: usize) -> Both {
        let mut both = Both {
            theirs: (0..CONNECTIONS).map(|_| redis.connect()).collect(),
            ours: (0..CONNECTIONS).map(|_| ours.connect()).collect(),
        };
        for connection in 0..CONNECTIONS {
            both.step(&(connection, vec![pipeline(&format!("hello {protocol}"))]));
        }
        both.step(&(0, vec![pipeline("flushall")]));
        both
    }

    /// Sends requests on one connection, and compares each reply.
    fn step(&mut self, (connection, requests): &Step) {
        let (theirs, ours) = (&mut self.theirs[*connection], &mut self.ours[*connection]);
        theirs.send(&requests.concat());
        ours.send(&requests.concat());
        for request in requests {
            let [expected, reply] = [shown(theirs.reply()), shown(ours.reply())];
            assert_eq!(reply, expected, "{connection}: reply to {}", request.escape_ascii());
        }
    }
}

/// A reply to be read by people, without the connection's number that is in each `HELLO`.
fn shown(reply: Vec<u8>) -> String {
    let text = reply.escape_ascii().to_string();
    let mut parts = text.split("\\r\\nid\\r\\n:");
    let first = parts.next().expect("one at least").to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|end: char| end.is_ascii_digit()))
}

/// Lines of `connection words`; `_` is an empty word.
fn steps(lines: &str) -> Vec<Step> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let step = |line: &str| {
        let (connection, words) = line.split_once(' ').expect("a connection and words");
        let words = words.split(' ').map(|word| if word == "_" { "" } else { word });
        let connection = connection.parse().expect("a number");
        (connection, vec![request(&words.collect::<Vec<_>>())])
    };
    lines.map(step).collect()
}

/// The words themselves, in and out of `MULTI`.
const WORDS: &str = "
    0 exec
    0 exec x
    0 discard
    0 discard x
    0 multi x
    0 watch
    0 unwatch
    0 unwatch x
    0 reset x
    0 multi
    0 multi
    0 watch a
    0 SET a 1
    0 Exec
    0 multi
    0 nosuch
    0 set
    0 get a
    0 exec
    0 exec
    0 multi
    0 multi x
    0 exec
    0 multi
    0 discard x
    0 exec
    0 multi
    0 watch
    0 exec
    0 multi
    0 unwatch x
    0 exec
    0 multi
    0 reset x
    0 exec
    0 multi
    0 exec x
    0 exec
    0 multi
    0 exec
    0 multi
    0 set a 5
    0 discard
    0 get a
    0 multi
    0 multi
    0 unwatch
    0 get a
    0 incr a
    0 set a x
    0 incr a
    0 get a
    0 getset a y
    0 mget a nosuch a
    0 get nosuch
    0 hello 2
    0 mget a nosuch a
    0 hello 3
    0 set nosuch 1 xx
    0 keys nosuch
    0 ping x y
    0 ping x
    0 echo y
    0 select 99
    0 select 0
    0 client getname
    0 client setname bob
    0 client getname
    0 client setname _
    0 config get save
    0 hello 5
    0 hello 3 a b
    0 command docs nosuch
    0 function flush sync x
    0 function flush
    0 exec
    0 get a
    0 multi
    0 function nosuch
    0 exec
    0 multi
    0 client
    0 exec
    0 multi
    0 client nosuch
    0 exec
    0 multi
    0 config get
    0 exec
    0 multi
    0 client setname a b
    0 exec
    0 multi
    0 command nosuch
    0 exec
    0 multi
    0 set a 5
    0 reset
    0 get a
    0 get nosuch
    0 exec
    0 multi
    0 quit";

/// What counts as a change of a watched key.
const WATCHED: [(&str, &str); 3] = [
    (
        "set q 1",
        "get q|set q 2|set q 1|set q 3 xx|set q 3 nx|setnx q 3|append q _|append q x|incr q|\
      incrby q 0|incr q x|del q|del other|getdel q|getset q 1|flushall|flushdb async|flushall x|\
      mset other 1 q 1|msetnx other 1 q 1|multi;set q 1;exec|multi;set q 1;discard|keys *|\
      del q;set q 1|set other 1|strlen q",
    ),
    ("set q x", "incr q|decrby q x|set q y get|getdel q;set q x"),
    (
        "del q",
        "get q|set q 1|set q 1;del q|set q 1 xx|del q|getdel q|flushall|set q 1;flushall|\
      append q _|append q _;getdel q|setnx q 1|msetnx q 1 r 1|mset r 1|incr q|incr q x|\
      set other 1;del other|watch r|multi;set q 1;del q;exec|multi;set q 1;nosuch;exec",
    ),
];

/// How a watching connection goes on.
const ENDS: [&str; 6] = [
    "multi|exec|multi|exec",
    "multi|get q|set q 9|exec|get q",
    "multi|nosuch|exec|multi|exec",
    "unwatch|multi|ping|exec",
    "multi|discard|multi|exec",
    "watch q|multi|unwatch|exec",
];

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn the_words_are_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    for protocol in [2, 3] {
        let mut both = Both::connect(&mut redis, &ours, protocol);
        steps(WORDS).iter().for_each(|step| both.step(step));
        assert_eq!(both.ours[0].rest(), b"", "QUIT closes at once");
        let all: Vec<Vec<u8>> = steps(WORDS).into_iter().flat_map(|(_, words)| words).collect();
        both.step(&(1, all));
    }
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn what_changes_a_watched_key_is_what_redis_says() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    for (before, changes) in WATCHED {
        for change in changes.split('|') {
            for (end, meddler) in ENDS.iter().flat_map(|end| [(end, 0), (end, 1)]) {
                let mut both = Both::connect(&mut redis, &ours, 2);
                let change = change.replace(';', &format!("\n{meddler} "));
                let end = end.replace('|', "\n0 ");
                let script = format!("1 {before}\n0 watch q\n{meddler} {change}\n0 {end}");
                steps(&script).iter().for_each(|step| both.step(step));
            }
        }
    }
}

/// Strings and their keys, without the answers whose order Redis leaves open.
fn some_other(random: &mut Random) -> Vec<u8> {
    let key = random.pick(&["a", "b", "ab", ""]);
    let line: &[&[&str]] = &[
        &["get", key],
        &["mget", "a", key, "b"],
        &["append", key, "1"],
        &["setnx", key, "2"],
        &["set", key, "3", "xx"],
        &["set", key, "4", "get"],
        &["getdel", key],
        &["exists", key],
        &["msetnx", key, "1", "b", "2"],
        &["dbsize"],
        &["get"],
    ];
    request(line[random.below(line.len())])
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn random_transactions_over_two_connections_are_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut both = Both::connect(&mut redis, &ours, 2 + seed as usize % 2);
        for _ in 0..2000 {
            both.step(&some_step(&mut random, some_other));
        }
    }
}
