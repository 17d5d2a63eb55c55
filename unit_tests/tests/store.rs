//! The key-value machine by its public door: bytes in, RESP2 out. Replies as Redis 7.0 gives them;
//! `redis_parity` compares many more with a Redis that runs.

use messages::{LogIndex, LogTime};
use raft::store::{Store, arguments, commands, glob};
use servers::machine::{Applied, StateMachine};

const AT: Applied = Applied { index: LogIndex(1), place: 0, time: LogTime(1) };

fn request(line: &str) -> Vec<u8> {
    arguments::encode(line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn run(store: &mut Store, line: &str) -> String {
    let mut reply = Vec::new();
    store.apply(AT, &request(line), &mut reply);
    String::from_utf8(reply).expect("text")
}

/// Runs lines of `command => reply`; the reply's own lines are divided by `|`.
fn script(store: &mut Store, lines: &str) {
    for line in lines.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("command => reply");
        let reply = run(store, command).replace("\r\n", "|");
        assert_eq!(reply.trim_end_matches('|'), expected, "{command}");
    }
}

#[test]
fn strings() {
    script(
        &mut Store::new(),
        "get a => $-1
         set a 1 => +OK
         get a => $1|1
         set a 2 nx => $-1
         set a 2 xx get => $1|1
         set b 2 xx => $-1
         set b 2 nx get => $-1
         set b 3 NX GET => $1|2
         set b 3 xx nx => -ERR syntax error
         set b 3 persist => -ERR syntax error
         mget a b c => *3|$1|2|$1|2|$-1
         setnx a 5 => :0
         setnx c 5 => :1
         getset c 6 => $1|5
         getdel c => $1|6
         getdel c => $-1
         append c ab => :2
         append c cd => :4
         strlen c => :4
         strlen d => :0
         mset x 1 y 2 x 3 => +OK
         mget x y => *2|$1|3|$1|2
         mset x 1 y => -ERR wrong number of arguments for 'mset' command
         msetnx p 1 x 2 => :0
         exists p => :0
         msetnx p 1 q 2 => :1",
    );
}

#[test]
fn numbers() {
    script(
        &mut Store::new(),
        "incr a => :1
         incrby a 10 => :11
         decrby a 12 => :-1
         decr a => :-2
         get a => $2|-2
         incrby a +1 => -ERR value is not an integer or out of range
         incrby a 01 => -ERR value is not an integer or out of range
         incrby a 9223372036854775808 => -ERR value is not an integer or out of range
         decrby a -9223372036854775808 => -ERR decrement would overflow
         set a 9223372036854775807 => +OK
         incr a => -ERR increment or decrement would overflow
         get a => $19|9223372036854775807
         set a -9223372036854775808 => +OK
         decr a => -ERR increment or decrement would overflow
         incrby a 1 => :-9223372036854775807
         set a x => +OK
         incr a => -ERR value is not an integer or out of range
         set a -0 => +OK
         incr a => -ERR value is not an integer or out of range",
    );
}

#[test]
fn keys() {
    script(
        &mut Store::new(),
        "mset b 1 a 2 c 3 => +OK
         keys * => *3|$1|a|$1|b|$1|c
         keys [^a] => *2|$1|b|$1|c
         dbsize => :3
         exists a a d => :2
         del a a d => :1
         type a => +none
         type b => +string
         function flush => +OK
         dbsize => :2
         flushall later => -ERR syntax error
         flushdb async => +OK
         dbsize => :0",
    );
}

#[test]
fn what_is_not_there_is_said_as_redis_says_it() {
    script(
        &mut Store::new(),
        "get => -ERR wrong number of arguments for 'get' command
         GET a b => -ERR wrong number of arguments for 'get' command
         lpush a b => -ERR unknown command 'lpush', with args beginning with: 'a' 'b' 
         function load x => -ERR unknown subcommand 'load'. Try FUNCTION HELP.",
    );
}

#[test]
fn commands_are_found_in_any_case_and_nothing_else_is() {
    for command in commands::all() {
        for name in [command.name.to_string(), command.name.to_uppercase()] {
            assert_eq!(commands::find(name.as_bytes()).expect("found").name, command.name);
        }
        for name in [format!("{}x", command.name), command.name[1..].to_string(), String::new()] {
            assert!(
                commands::find(name.as_bytes()).is_none_or(|found| found.name == name),
                "{name} is not {}",
                command.name
            );
        }
    }
}

#[test]
fn any_bytes_get_one_reply_and_no_panic() {
    let whole = request("set key value nx");
    let mut store = Store::new();
    for end in 0..whole.len() {
        for change in [0u8, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole[..end].to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= change;
            }
            let mut reply = b"earlier".to_vec();
            store.apply(AT, &bytes, &mut reply);
            store.query(&bytes, &mut reply);
            let replies = reply.strip_prefix(b"earlier").expect("only appended to");
            assert_eq!(replies.iter().filter(|&&byte| byte == b'\n').count(), 2);
        }
    }
    let mut reply = Vec::new();
    store.query(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f], &mut reply);
    assert_eq!(reply, b"-ERR the request is not a list of arguments\r\n");
}

#[test]
fn a_request_is_all_of_its_bytes() {
    let longer = [&request("get a")[..], b"x"].concat();
    for bytes in [&longer[..], &[0], &[]] {
        let mut reply = Vec::new();
        Store::new().query(bytes, &mut reply);
        assert_eq!(reply, b"-ERR the request is not a list of arguments\r\n", "{bytes:?}");
    }
}

#[test]
fn a_query_never_writes() {
    let store = Store::new();
    let mut reply = Vec::new();
    store.query(&request("set a 1"), &mut reply);
    assert_eq!(reply, b"-ERR a query must not write\r\n");
    assert!(store.is_empty());
}

/// All at one stamp: versions are a part of the state.
#[test]
fn equal_states_have_equal_digests_however_their_strings_were_made() {
    let mut straight = Store::new();
    script(&mut straight, "mset a 1 b longer-than-one-word-of-text counter 12 => +OK");
    let mut winding = Store::new();
    script(
        &mut winding,
        "set counter 11 => +OK
         incr counter => :12
         append b longer-than => :11
         append b -one-word- => :21
         append b of-text => :28
         set a 2 => +OK
         getset a 1 => $1|2",
    );
    assert_ne!(straight.digest(), 0);
    let b = run(&mut winding, "get b");
    if b == run(&mut straight, "get b") {
        assert_eq!(straight.digest(), winding.digest());
    }
    let digest = straight.digest();
    for (there, back) in [
        ("set a 2", "set a 1"),
        ("append a x", "set a 1"),
        ("set b x", "set b longer-than-one-word-of-text"),
    ] {
        run(&mut straight, there);
        assert_ne!(straight.digest(), digest, "{there} shows");
        run(&mut straight, back);
        assert_eq!(straight.digest(), digest, "{back} leads back");
    }
    run(&mut straight, "flushall");
    run(&mut winding, "del a b counter");
    assert_eq!(straight.digest(), winding.digest(), "the same keys are gone");
}

#[test]
fn a_value_cannot_grow_without_end() {
    let mut store = Store::new();
    let piece = "x".repeat(1 << 20);
    for at in 1..=4 {
        let length = at << 20;
        script(&mut store, &format!("append a {piece} => :{length}"));
    }
    script(
        &mut store,
        "append a y => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
         strlen a => :4194304",
    );
}

#[test]
fn a_reply_cannot_be_larger_than_memory() {
    let mut store = Store::new();
    run(&mut store, &format!("set a {}", "x".repeat(1 << 20)));
    let many = format!("mget{}", " a".repeat(65));
    assert!(run(&mut store, &many).starts_with("-ERR reply exceeds 64 MiB"));
}

#[test]
fn patterns_match_as_in_redis() {
    for (pattern, text, expected) in [
        ("*", "", false),
        ("", "", true),
        ("a*", "a", true),
        ("*a", "ba", true),
        ("*ab*", "xxabyy", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[c-a]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("[abc", "c", true),
        ("[", "a", false),
        ("[^", "a", true),
        ("[]", "]", false),
        ("[\\]]", "]", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("a\\", "a\\", true),
        ("[a-]", "b", false),
        ("**a**", "bab", true),
    ] {
        assert_eq!(
            glob::matches(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern} {text}"
        );
    }
    let stars = "a*".repeat(200) + "b";
    assert!(!glob::matches(stars.as_bytes(), "a".repeat(5000).as_bytes()));
}

#[test]
fn a_pipeline_of_long_values_is_answered_up_to_a_limit() {
    let mut store = Store::new();
    let value = vec![b'x'; 4 << 20];
    let set = arguments::encode([&b"set"[..], b"a", &value]);
    store.apply(AT, &set, &mut Vec::new());
    let mut replies = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let before = replies.len();
        store.query(&request("get a"), &mut replies);
        refused += usize::from(replies[before..].starts_with(b"-ERR replies exceed"));
    }
    assert_eq!(refused, 84); // 16 of 4 MiB, with their lengths, exceed 64 MiB
}

#[test]
fn a_snapshot_is_of_its_moment_however_the_store_changes_between_its_pieces() {
    let mut store = Store::new();
    let set = |store: &mut Store, key: u32, value: &str| {
        assert_eq!(run(store, &format!("set key{key} {value}")), "+OK\r\n");
    };
    (0..100_000).for_each(|key| set(&mut store, key, "before"));
    let (keys, digest) = (store.len(), store.digest());
    let mut pieces = store.snapshot();
    let mut restored = store.fresh();
    let mut taken = 0;
    while let Some(piece) = pieces.next() {
        assert!(piece.len() <= 100 << 10, "a piece of {} bytes", piece.len());
        restored.restore(&piece).expect("a piece of this version");
        for key in (taken..100_000).step_by(97) {
            set(&mut store, key, "after");
            run(&mut store, &format!("del key{}", key + 1));
            set(&mut store, 100_000 + key, "more");
        }
        taken += 1;
    }
    assert!(taken > 10, "{taken} pieces");
    assert_ne!(store.digest(), digest);
    assert_eq!((restored.len(), restored.digest()), (keys, digest));
    assert_eq!(run(&mut restored, "get key99999"), "$6\r\nbefore\r\n");
}
