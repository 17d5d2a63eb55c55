//! The same bytes to a Redis 7.0 that runs and to our door: the replies must be equal, byte for byte.
//! Needs `redis-server` 7.0 in the path.

#[path = "support/door.rs"]
mod door;
#[path = "support/redis.rs"]
mod redis;

use std::io::Write;

use door::{Open, Random, open, pipeline, request};
use redis::Redis;

/// Redis does not order keys.
fn in_order(sent: &[u8], reply: Vec<u8>) -> Vec<u8> {
    if !sent.to_ascii_lowercase().windows(10).any(|part| part == b"$4\r\nkeys\r\n") {
        return reply;
    }
    let text: String = reply.iter().map(|&byte| char::from(byte)).collect();
    let mut parts: Vec<&str> = text.split("\r\n$").collect();
    parts[1..].sort_unstable();
    let joined = parts.join("\r\n$");
    let mut letters: Vec<u8> = joined.chars().map(|letter| letter as u8).collect();
    letters.sort_unstable();
    letters
}

/// Sends requests to both, in pipelines of the given length, and compares each reply.
fn compare(redis: &mut Redis, ours: &Open, requests: &[Vec<u8>], pipelined: usize) {
    let (mut theirs, mut ours) = (redis.connect(), ours.connect());
    for piece in requests.chunks(pipelined) {
        theirs.send(&piece.concat());
        ours.send(&piece.concat());
        for request in piece {
            let expected = in_order(request, theirs.reply()).escape_ascii().to_string();
            let reply = in_order(request, ours.reply()).escape_ascii().to_string();
            assert_eq!(reply, expected, "reply to {}", request.escape_ascii());
        }
    }
}

/// Lines that are requests of words; `_` is an empty word and `~` a space in a word.
fn requests(lines: &str) -> Vec<Vec<u8>> {
    let lines = lines.lines().map(str::trim_start).filter(|line| !line.is_empty());
    let word = |word: &str| if word == "_" { String::new() } else { word.replace('~', " ") };
    lines.map(|line| request(&line.split(' ').map(word).collect::<Vec<_>>())).collect()
}

const SCRIPT: &str = "
    flushall
    get a
    set a 1
    get a
    set a 2 nx
    set a 2 xx
    set a 3 get
    set b 3 nx get
    set b 4 NX GET
    set b 4 xx GET
    set b 4 nx nx
    set b 4 xx nx
    set b 4 foo
    set b 4 nx foo
    set b
    set
    SeT b _
    get b
    strlen b
    append b x~y
    append nothing _
    exists nothing
    strlen b
    type a
    type nosuch
    keys *
    keys ?
    keys [
    keys nosuch
    keys a b
    dbsize
    dbsize x
    del a b a c
    del
    exists
    exists nothing nothing
    mget a nothing b
    mget
    mset
    mset a
    mset a 1 b
    mset a 1 b 2 a 3
    msetnx a 1 b
    msetnx a 1
    msetnx p 1 q 2
    mget a b p q
    getset p 5
    getset nosuch2 5
    getdel p
    getdel p
    getdel
    incr n
    incr n x
    incrby n 5
    incrby n -7
    incrby n +7
    incrby n ~7
    incrby n 07
    incrby n _
    incrby n 1.5
    incrby n 9223372036854775807
    incrby n 9223372036854775808
    decrby n -9223372036854775808
    decrby n -9223372036854775807
    decrby n x
    incrby n 9223372036854775807
    incr n
    set n 9223372036854775807
    incr n
    incrby n 1
    decrby n -1
    set n -9223372036854775808
    decr n
    incrby n -1
    decrby n 1
    set n ~5
    incr n
    set n 5~
    incr n
    set n +5
    incr n
    set n 05
    incr n
    set n -0
    incr n
    set n 00000000000000000000001
    incr n
    set n abc
    incrby n abc
    decr n
    set n _
    incr n
    ping
    ping x
    ping x y
    echo
    echo x
    echo x y
    select 0
    select -1
    select 99
    select x
    select
    select 0 0
    select 4294967296
    select -2147483649
    client
    client nosuch
    client nosuch x
    client getname
    client getname x
    client setname
    client setname a~b
    client setname a
    client getname
    client setname _
    client getname
    client setname a b
    client id x
    CLIENT NOSUCH
    config
    config nosuch
    config get
    config get save
    config get SAVE
    config get save save
    config get sav?
    config get maxmemory
    config get maxmemory maxmemory
    config get maxmemory-polic[xy]
    config get nosuch
    config get nosuch*
    command nosuch
    command count x
    command docs nosuch
    time x
    hello x
    hello 1
    hello 4
    hello 02
    hello 2 nosuch
    hello 3 auth
    hello 3 auth default
    hello 3 auth x y
    hello 3 setname
    hello 2 setname a~b
    hello 3 setname a~b
    hello 99999999999999999999
    readonly x
    readwrite x
    function
    function nosuch
    function flush
    function flush sync
    FUNCTION FLUSH ASYNC
    function flush x
    function flush sync x
    flushall x
    flushall sync x
    flushdb sync
    FLUSHDB ASYNC
    flushdb x
    nosuch
    nosuch x y~z
    NOSUCH a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q
    _
    _ a";

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn each_command_is_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    let mut script = requests(SCRIPT);
    let long = ["x".repeat(127), "y".repeat(300), "z".into()];
    script.push(request(&[&long[1], &long[0], &long[1], &long[2]]));
    script.push(request(&["nosuch", &long[0], &long[1], &long[2]]));
    script.push(request(&["nosuch", &long[1], &long[2]]));
    script.push(request(&[b"no\r\nsuch\0x", &b"a\r\n"[..], b"b\0c", b"\xff\xfe"]));
    script.push(request(&[b"client", &b"no\r\nsuch"[..]]));
    script.push(request(&[b"hello", &b"2"[..], b"no\nsuch\0x"]));
    script.push(request(&[b"set", &b"\0\r\n\xff"[..], b"\0\r\n\xff"]));
    script.push(request(&[b"get", &b"\0\r\n\xff"[..]]));
    for pipelined in [1, 1000] {
        compare(&mut redis, &ours, &script, pipelined);
        compare_resp3(&mut redis, &ours, &script, pipelined);
    }
}

/// As [`compare`], after `HELLO 3`, whose own reply differs by the connection's number.
fn compare_resp3(redis: &mut Redis, ours: &Open, requests: &[Vec<u8>], pipelined: usize) {
    let (mut theirs, mut own) = (redis.connect(), ours.connect());
    let hello = |reply: Vec<u8>| {
        let text = String::from_utf8(reply).expect("text");
        let (before, after) = text.split_once("$2\r\nid\r\n:").expect("an id").to_owned();
        let after = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
        format!("{before}id{after}")
    };
    assert_eq!(hello(own.call("hello 3")), hello(theirs.call("hello 3")));
    for piece in requests.chunks(pipelined) {
        theirs.send(&piece.concat());
        own.send(&piece.concat());
        for request in piece {
            let expected = in_order(request, theirs.reply()).escape_ascii().to_string();
            let reply = in_order(request, own.reply()).escape_ascii().to_string();
            assert_eq!(reply, expected, "RESP3 reply to {}", request.escape_ascii());
        }
    }
    assert_eq!(hello(own.call("hello")), hello(theirs.call("hello")));
    assert_eq!(hello(own.call("hello 2")), hello(theirs.call("hello 2")));
}

/// A request that may have too many or too few arguments, in any case, of values that matter.
fn some_request(random: &mut Random) -> Vec<u8> {
    const NAMES: [(&str, usize); 22] = [
        ("append", 2),
        ("dbsize", 0),
        ("decr", 1),
        ("decrby", 2),
        ("del", 2),
        ("exists", 3),
        ("flushdb", 0),
        ("get", 1),
        ("getdel", 1),
        ("getset", 2),
        ("incr", 1),
        ("incrby", 2),
        ("keys", 1),
        ("mget", 3),
        ("mset", 4),
        ("msetnx", 4),
        ("set", 2),
        ("set", 3),
        ("set", 4),
        ("setnx", 2),
        ("strlen", 1),
        ("type", 1),
    ];
    const WORDS: [&str; 24] = [
        "a",
        "b",
        "c",
        "ab",
        "",
        "1",
        "-1",
        "0",
        "10",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775800",
        "nx",
        "XX",
        "get",
        "exx",
        "*",
        "a*",
        "?",
        "[^a]",
        "x y",
        "\r\n",
        "07",
        "\\",
    ];
    const KEYS: [&str; 4] = ["a", "b", "ab", ""];
    let (name, count) = NAMES[random.below(NAMES.len())];
    let name = if random.below(3) == 0 { name.to_uppercase() } else { name.to_string() };
    let count = match random.below(12) {
        0 => count + 1,
        1 => count.saturating_sub(1),
        _ => count,
    };
    let mut words = vec![name];
    for at in 0..count {
        let key = at == 0 && random.below(8) > 0;
        words.push(if key { random.pick(&KEYS) } else { random.pick(&WORDS) }.to_string());
    }
    request(&words)
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn random_commands_are_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    for seed in 1..=6 {
        let mut random = Random(seed);
        let mut script: Vec<Vec<u8>> = (0..1500).map(|_| some_request(&mut random)).collect();
        script.insert(0, pipeline("flushall"));
        let pipelined = 1 + random.below(100);
        if seed % 2 == 0 {
            compare(&mut redis, &ours, &script, pipelined);
        } else {
            compare_resp3(&mut redis, &ours, &script, pipelined);
        }
    }
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn random_patterns_match_as_in_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    let mut random = Random(3);
    let letters = [b'a', b'b', b'c', b'-', b'[', b']', b'^', b'\\', b'*', b'?', 0x80, 0xff];
    let word = |random: &mut Random, length| -> Vec<u8> {
        (0..length).map(|_| letters[random.below(letters.len())]).collect()
    };
    let mut script = Vec::new();
    for _ in 0..300 {
        let length = 1 + random.below(4);
        script.push(request(&[&b"set"[..], &word(&mut random, length), b"1"]));
    }
    for _ in 0..3000 {
        let length = random.below(8);
        script.push(request(&[&b"keys"[..], &word(&mut random, length)]));
    }
    compare(&mut redis, &ours, &script, 50);
}

#[test]
#[ignore = "needs redis-server; .ci/run installs it and runs this"]
fn what_breaks_the_protocol_is_answered_as_by_redis() {
    let mut redis = Redis::start();
    let ours = open(|_| {});
    for bytes in [
        &b"*x\r\n"[..],
        b"PING\r\n*x\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n",
        b"*+1\r\n",
        b"*01\r\n",
        b"*\r\n",
        b"*1 \r\n",
        b"*9223372036854775808\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$4294967296\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\nx\r\n",
        b"*1\r\n\xff\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\\\r\n",
        b"*1\r\n\"\r\n",
        b"*0\r\nQUIT\r\n",
        b"*-1\r\nQUIT\r\n",
        b"*1\r\n$4\r\nPINGxxQUIT\r\n",
        b"*1\rX$4\rYQUIT\r\n",
        b"\r\n  \r\nPING\nQUIT x\r\n",
        b"PING\r\r\nQUIT\n",
        b"PING\rx\r\nQUIT\n",
        b"PING \x0b x\r\nQUIT\r\n",
        b"PING 'a\\'b\\n'\r\nQUIT\r\n",
        b"PING \"a\\x41\\n\\r\\t\\a\\b\\q\\\\\\\"\\xg\"\r\nQUIT\r\n",
        b"PING a'b'\r\nQUIT\r\n",
        b"PING a\"b\"c\r\n",
        b"PING \"a\\\r\n",
        b"\"\"\r\nQUIT\r\n",
        b"PING \"a\r\n",
        b"PING 'a\r\n",
        &[b'x'; 100_000],
        &[&b"*"[..], &[b'1'; 100_000]].concat(),
        &[&b"*1\r\n$"[..], &[b'1'; 100_000]].concat(),
        &b"*1\r\n".repeat(1000),
    ] {
        let (mut theirs, mut own) = (redis.connect(), ours.connect());
        // Redis may close before all is written.
        let _ = theirs.stream.write_all(bytes);
        own.send(bytes);
        let shown = bytes[..bytes.len().min(80)].escape_ascii();
        let (expected, reply) = (theirs.rest_or_reset(), own.rest());
        assert_eq!(
            reply.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{shown}"
        );
    }
}
