//! Times to live in the key-value machine, at log times of the test's own: replies as Redis 7.0 gives
//! them (`redis_parity` and `redis_random` compare many more), and what replicas must agree on.

use std::collections::BTreeSet;
use std::time::SystemTime;

use messages::{LogIndex, LogTime};
use raft::store::{EXPIRED_AN_ENTRY, Store, arguments};
use servers::machine::{Applied, StateMachine, Unreadable};

/// A store, and the log's time in milliseconds since the UNIX epoch.
struct Log {
    store: Store,
    millis: u64,
    index: u64,
}

/// The ninth of September 2001: no clock of this machine shows it.
const BEGIN: u64 = 1_000_000_000_000;

impl Log {
    fn new() -> Log {
        Log { store: Store::new(), millis: BEGIN, index: 0 }
    }

    /// One entry with one command.
    fn run(&mut self, line: &str) -> String {
        self.index += 1;
        let mut reply = Vec::new();
        enter(&mut self.store, self.index, self.millis, line, &mut reply);
        text(reply)
    }

    /// A blank entry, `millis` later.
    fn blank_after(&mut self, millis: u64) {
        self.index += 1;
        self.millis += millis;
        self.store.advance(at(self.index, self.millis));
    }

    /// A query of what is applied.
    fn ask(&self, line: &str) -> String {
        let mut reply = Vec::new();
        self.store.query(&request(line), &mut reply);
        text(reply)
    }

    /// Lines of `command => reply`; `+500` lets so many milliseconds pass, without an entry.
    fn script(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            if let Some(millis) = line.strip_prefix('+') {
                self.millis += millis.parse::<u64>().expect("milliseconds");
                continue;
            }
            let (command, expected) = line.split_once(" => ").expect("command => reply");
            assert_eq!(self.run(command), expected, "{command}");
        }
    }
}

fn at(index: u64, millis: u64) -> Applied {
    Applied { index: LogIndex(index), place: 0, time: LogTime(millis * 1000) }
}

fn request(line: &str) -> Vec<u8> {
    arguments::encode(line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn enter(store: &mut Store, index: u64, millis: u64, line: &str, reply: &mut Vec<u8>) {
    store.advance(at(index, millis));
    store.apply(at(index, millis), &request(line), reply);
}

fn text(reply: Vec<u8>) -> String {
    String::from_utf8(reply).expect("text").trim_end().replace("\r\n", "|")
}

#[test]
fn a_key_is_there_until_its_time_is_over() {
    Log::new().script(
        "set a 1 px 1500 => +OK
         pttl a => :1500
         ttl a => :2
         +1
         ttl a => :1
         expiretime a => :1000000002
         pexpiretime a => :1000000001500
         +1499
         pttl a => :0
         get a => $1|1
         +1
         get a => $-1
         exists a => :0
         type a => +none
         strlen a => :0
         ttl a => :-2
         pttl a => :-2
         expiretime a => :-2
         pexpiretime a => :-2
         persist a => :0
         expire a 10 => :0
         getex a => $-1
         getdel a => $-1
         del a => :0
         set a 2 xx => $-1
         setnx a 3 => :1
         ttl a => :-1
         get a => $1|3",
    );
}

#[test]
fn a_string_that_begins_anew_has_nothing_of_the_one_whose_time_is_over() {
    for (command, reply, value) in [
        ("append a x", ":1", "$1|x"),
        ("incr a", ":1", "$1|1"),
        ("set a x get", "$-1", "$1|x"),
        ("set a x keepttl", "+OK", "$1|x"),
        ("getset a x", "$-1", "$1|x"),
        ("msetnx a x b y", ":1", "$1|x"),
    ] {
        let mut log = Log::new();
        log.run("set a 41 px 10");
        // The same entry: what `advance` might have removed, a command finds.
        let mut replies = Vec::new();
        log.store.advance(at(2, BEGIN));
        log.store.apply(at(2, BEGIN + 11), &request(command), &mut replies);
        assert_eq!(text(replies), reply, "{command}");
        log.millis += 11;
        assert_eq!(log.run("ttl a"), ":-1", "{command}");
        assert_eq!(log.run("get a"), value, "{command}");
        assert_eq!(log.store.next_due(), None, "{command}");
    }
}

#[test]
fn setting_clears_a_deadline_and_changing_keeps_it() {
    for (command, ttl) in [
        ("set a 5", ":-1"),
        ("set a 5 keepttl", ":100"),
        ("set a 5 nx", ":100"),
        ("set a 5 nx get", ":100"),
        ("set a 5 xx", ":-1"),
        ("set a 5 xx ex 7", ":7"),
        ("getset a 5", ":-1"),
        ("mset a 5", ":-1"),
        ("msetnx a 5", ":100"),
        ("setnx a 5", ":100"),
        ("append a 5", ":100"),
        ("incr a", ":100"),
        ("decrby a 3", ":100"),
        ("get a", ":100"),
        ("getex a", ":100"),
        ("getex a persist", ":-1"),
        ("getex a px 5499", ":5"),
        ("persist a", ":-1"),
        ("expire a 9", ":9"),
        ("setex a 8 x", ":8"),
        ("psetex a 8500 x", ":9"),
    ] {
        let mut log = Log::new();
        log.run("set a 4 ex 100");
        log.run(command);
        assert_eq!(log.run("ttl a"), ttl, "{command}");
    }
    let mut log = Log::new();
    log.run("set a 4 ex 100");
    for command in ["del a", "getdel a", "flushall"] {
        log.run(command);
        log.run("set a 5");
        assert_eq!(log.run("ttl a"), ":-1", "{command}");
        log.run("expire a 100");
    }
}

#[test]
fn a_time_in_the_past_removes_the_key() {
    Log::new().script(
        "set a 1 => +OK
         expire a 0 => :1
         get a => $-1
         set a 1 => +OK
         pexpire a -9223372036854775808 => :1
         get a => $-1
         set a 1 => +OK
         expireat a 1000000000 => :1
         get a => $-1
         set a 1 pxat 999999999999 => +OK
         get a => $-1
         dbsize => :0
         set a 1 => +OK
         set a 2 exat 1 get => $1|1
         get a => $-1
         set a 1 => +OK
         getex a pxat 1000000000000 => $1|1
         get a => $-1
         expireat a 5 => :0",
    );
}

#[test]
fn a_time_that_is_none_changes_nothing() {
    let mut log = Log::new();
    log.run("set a 1 ex 100");
    let set = "-ERR invalid expire time in 'set' command";
    for (command, reply) in [
        ("set a 2 ex 9223372036854775808", "-ERR value is not an integer or out of range"),
        ("set a 2 px 9223372036854775807", set),
        ("set a 2 ex 9223372036854775807", set),
        ("set a 2 ex 9223372036854775", set),
        ("set a 2 exat 9223372036854776", set),
        ("set a 2 ex 0", set),
        ("set a 2 pxat -1", set),
        ("set a 2 ex x", "-ERR value is not an integer or out of range"),
        ("set a 2 ex", "-ERR syntax error"),
        ("set a 2 ex 1 px 1", "-ERR syntax error"),
        ("set a 2 keepttl ex 1", "-ERR syntax error"),
        ("setex a 0 2", "-ERR invalid expire time in 'setex' command"),
        ("psetex a -1 2", "-ERR invalid expire time in 'psetex' command"),
        ("getex a ex 9223372036854775", "-ERR invalid expire time in 'getex' command"),
        ("getex a persist ex 1", "-ERR syntax error"),
        ("getex a keepttl", "-ERR syntax error"),
        ("expire a 9223372036854775808", "-ERR value is not an integer or out of range"),
        ("expire a 9223372036854775", "-ERR invalid expire time in 'expire' command"),
        ("expire a -9223372036854776", "-ERR invalid expire time in 'expire' command"),
        ("pexpire a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("expireat a 9223372036854776", "-ERR invalid expire time in 'expireat' command"),
        ("pexpireat a 1.5", "-ERR value is not an integer or out of range"),
        ("expire a 1 soon", "-ERR Unsupported option soon"),
        (
            "expire a 1 nx gt",
            "-ERR NX and XX, GT or LT options at the same time are not compatible",
        ),
        ("expire a 1 gt lt", "-ERR GT and LT options at the same time are not compatible"),
    ] {
        assert_eq!(log.run(command), reply, "{command}");
        assert_eq!(log.run("get a"), "$1|1", "{command}");
        assert_eq!(log.run("pexpiretime a"), ":1000000100000", "{command}");
    }
    log.script(
        "pexpireat a 9223372036854775807 => :1
         pexpiretime a => :9223372036854775807
         expiretime a => :9223372036854775
         +1000000
         get a => $1|1",
    );
}

#[test]
fn conditions_on_a_deadline() {
    Log::new().script(
        "set a 1 => +OK
         expire a 100 xx => :0
         expire a 100 gt => :0
         expire a 100 lt => :1
         expire a 200 nx => :0
         expire a 100 gt => :0
         expire a 100 lt => :0
         expire a 200 gt xx => :1
         expire a 100 lt xx => :1
         ttl a => :100
         expire a -1 gt => :0
         expire a -1 lt => :1
         exists a => :0
         expire a 100 nx => :0",
    );
}

#[test]
fn queries_show_nothing_whose_time_is_over_be_it_removed_or_not() {
    let mut log = Log::new();
    for key in 0..EXPIRED_AN_ENTRY + 2 {
        log.run(&format!("set k{key:03} x px 10"));
    }
    log.run("set other x");
    log.blank_after(11);
    let left = format!("k{:03}", EXPIRED_AN_ENTRY);
    assert_eq!(log.ask("keys *"), "*1|$5|other");
    assert_eq!(log.ask("dbsize"), ":3", "DBSIZE counts what is not removed yet");
    assert_eq!(log.ask(&format!("mget {left} other")), "*2|$-1|$1|x");
    assert_eq!(log.ask(&format!("exists {left} other")), ":1");
    assert_eq!(log.ask(&format!("type {left}")), "+none");
    assert_eq!(log.ask(&format!("strlen {left}")), ":0");
    assert_eq!(log.ask(&format!("ttl {left}")), ":-2");
    log.blank_after(0);
    assert_eq!(log.ask("dbsize"), ":1");
    assert_eq!(log.store.next_due(), None);
}

/// The keys that a snapshot holds.
fn keys_in(store: &mut Store) -> BTreeSet<String> {
    let mut pieces = store.snapshot();
    let mut keys = BTreeSet::new();
    while let Some(piece) = pieces.next() {
        let mut parts = arguments::Arguments::decode(&piece).expect("a piece");
        if parts.shift() == b"pairs" {
            keys.extend(parts.step_by(4).map(|key| text(key.to_vec())));
        }
    }
    keys
}

/// "`advance` removes due keys in bounded slices, in the order of deadline then key."
#[test]
fn keys_go_in_slices_in_the_order_of_deadline_and_key() {
    let mut log = Log::new();
    let mut keys: Vec<(u64, String)> = (0..3 * EXPIRED_AN_ENTRY as u64)
        .map(|n| (n * 7 % 5, format!("k{:03}", n * 89 % 192)))
        .collect();
    for (deadline, key) in &keys {
        log.run(&format!("set {key} x px {}", 10 + deadline));
    }
    keys.sort();
    log.millis += 100;
    for slice in 1..=3 {
        log.blank_after(0);
        let gone = slice * EXPIRED_AN_ENTRY;
        assert_eq!(log.store.len(), keys.len() - gone);
        let left = keys[gone..].iter().map(|(_, key)| key.clone()).collect();
        assert_eq!(keys_in(&mut log.store), left);
        let next = keys.get(gone).map(|(deadline, _)| LogTime((BEGIN + 11 + deadline) * 1000));
        assert_eq!(log.store.next_due(), next);
    }
}

#[test]
fn a_store_says_when_time_would_change_it() {
    let mut log = Log::new();
    assert_eq!(log.store.next_due(), None);
    log.run("mset far 1 near 1 none 1");
    log.run("pexpire far 5000");
    log.run("pexpire near 50");
    let over = LogTime((BEGIN + 51) * 1000);
    assert_eq!(log.store.next_due(), Some(over));
    for (query, due) in [
        ("get near", true),
        ("get far", false),
        ("get none", false),
        ("mget none near", true),
        ("exists far near", true),
        ("ttl near", true),
        ("keys *", true),
        ("dbsize", false),
        ("nosuch near", true),
        ("get", false),
    ] {
        assert_eq!(log.store.is_due(&request(query), over), due, "{query}");
        let before = LogTime(over.0 - 1);
        assert!(!log.store.is_due(&request(query), before), "{query}");
    }
    log.run("persist near");
    assert_eq!(log.store.next_due(), Some(LogTime((BEGIN + 5001) * 1000)));
}

const ENTRIES: &str = "mset a 1 b 2 c 3 d 4
    expire a 100
    pexpire b 20
    set c 5 px 30
    getex d pxat 1000000000040
    append b x
    incr a
    persist a
    set a 7 keepttl
    setex e 1 x
    expire e 2 gt";

#[test]
fn the_digest_knows_deadlines() {
    let digest = |lines: &str| {
        let mut log = Log::new();
        lines.lines().for_each(|line| drop(log.run(line.trim_start())));
        log.store.digest()
    };
    assert_ne!(digest("set a 1"), digest("set a 1 px 10"));
    assert_ne!(digest("set a 1 px 11"), digest("set a 1 px 10"));
    assert_ne!(digest("set a 1 px 11\nset b 1 px 10"), digest("set a 1 px 10\nset b 1 px 11"));
    assert_eq!(digest("set a 1 px 10\nset a 1"), digest("set a 1 px 20\nset a 1"));
    assert_eq!(digest("set a 1 px 10\ndel a"), digest("set a 1\ndel a"));
}

#[test]
fn a_restored_store_knows_deadlines_and_the_time() {
    let mut log = Log::new();
    for line in ENTRIES.lines() {
        log.run(line.trim_start());
    }
    for key in 0..EXPIRED_AN_ENTRY {
        log.run(&format!("set many{key} x px 1"));
    }
    log.blank_after(21); // `b` is due too, and still there
    let mut pieces = log.store.snapshot();
    let mut restored = log.store.fresh();
    while let Some(piece) = pieces.next() {
        restored.restore(&piece).expect("its own piece");
    }
    assert_eq!(restored.digest(), log.store.digest());
    assert_eq!(restored.next_due(), log.store.next_due());
    let mut other = Log { store: restored, ..log };
    for line in ["keys *", "dbsize", "get b", "pttl c", "pttl d", "pttl e", "ttl a"] {
        assert_eq!(other.ask(line), log.ask(line), "{line}");
    }
    for millis in [0, 10, 10, 2000] {
        log.blank_after(millis);
        other.blank_after(millis);
        assert_eq!(other.store.digest(), log.store.digest());
        assert_eq!(other.store.len(), log.store.len());
    }
    assert_eq!(log.store.len(), 1);
}

#[test]
fn a_piece_that_is_none_is_refused() {
    let unreadable = Err(Unreadable("a piece of a store"));
    let (number, none, negative) = ([1; 8], [0; 8], [0xff; 8]);
    for parts in [
        &[&b"nothing"[..]][..],
        &[b"first", &number],
        &[b"first", &number, &number, b"three"],
        &[b"first", b"time", &number, b""],
        &[b"pairs", b"key"],
        &[b"pairs", b"key", b"string", &number],
        &[b"pairs", b"key", b"string", b"version", b""],
        &[b"pairs", b"key", b"string", &number, b"late"],
        &[b"pairs", b"key", b"string", &number, &none],
        &[b"pairs", b"key", b"string", &number, &negative],
    ] {
        let piece = arguments::encode(parts.to_vec());
        assert_eq!(Store::new().restore(&piece), unreadable, "{parts:?}");
    }
    assert_eq!(Store::new().restore(b""), unreadable);
    let whole = arguments::encode([&b"pairs"[..], b"key", b"string", &number, b""]);
    assert_eq!(Store::new().restore(&whole), Ok(()));
}

/// "Equal on all replicas": one applies its entries now, the other when the local clock has left the
/// deadlines behind.
#[test]
fn replicas_agree_whenever_they_apply() {
    let clock = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_millis() as u64
    };
    let begin = clock();
    let entries = |store: &mut Store| {
        let mut replies = Vec::new();
        let deadline = begin + 30;
        for (index, line) in [
            "mset a 1 b 1 c 1".to_owned(),
            format!("pexpireat a {deadline}"),
            "pexpire b 30".to_owned(),
            "set c 1 px 30 get".to_owned(),
            "append b x".to_owned(),
            "exists a b c".to_owned(),
            "pttl b".to_owned(),
        ]
        .iter()
        .enumerate()
        {
            enter(store, index as u64 + 1, begin, line, &mut replies);
        }
        store.advance(at(8, begin + 29));
        store.query(&request("mget a b c"), &mut replies);
        replies
    };
    let (mut early, mut late) = (Store::new(), Store::new());
    let replies = text(entries(&mut early));
    while clock() <= begin + 60 {
        std::hint::spin_loop();
    }
    assert_eq!(text(entries(&mut late)), replies);
    assert!(replies.ends_with(":3|:30|*3|$1|1|$2|1x|$1|1"), "{replies}");
    assert_eq!(late.digest(), early.digest());
    assert_ne!(late.digest(), Store::new().digest());
    for store in [&mut early, &mut late] {
        store.advance(at(9, begin + 31));
        assert!(store.is_empty());
    }
    assert_eq!(late.digest(), early.digest());
}
