//! Transactions and watched keys, in the machine and behind the door: all or nothing, in one piece, and
//! only where no watched key has changed. `redis_transactions` compares the replies with a Redis.

#[path = "support/door.rs"]
mod door;

use bytes::Bytes;
use door::{Client, open, pipeline, request};
use messages::{Entry, Item, LogIndex, LogPosition, LogTime, Payload};
use raft::store::{Store, arguments, transactions};
use servers::applier::Applier;
use servers::host::Outcome;
use servers::machine::{Applied, StateMachine};
use servers::sessions::Sessions;
use states::Log;
use std::net::TcpStream;

fn words(line: &str) -> Vec<u8> {
    arguments::encode(line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn spell(watched: &[(&str, &str)], commands: &[&str]) -> Vec<u8> {
    let watched = watched.iter().flat_map(|(key, version)| [key.as_bytes(), version.as_bytes()]);
    let commands: Vec<Vec<u8>> = commands.iter().map(|command| words(command)).collect();
    transactions::spell(watched.collect(), commands.iter().map(|command| &command[..]))
}

/// A store, and the index of its last entry.
struct Machine(Store, u64);

impl Machine {
    fn new() -> Machine {
        Machine(Store::new(), 0)
    }

    fn apply(&mut self, command: &[u8]) -> String {
        self.1 += 1;
        let mut reply = Vec::new();
        let at = Applied { index: LogIndex(self.1), place: 0, time: LogTime(1) };
        self.0.apply(at, command, &mut reply);
        shown(&reply)
    }

    fn run(&mut self, line: &str) -> String {
        self.apply(&words(line))
    }

    fn query(&self, query: &[u8]) -> String {
        let mut reply = Vec::new();
        self.0.query(query, &mut reply);
        shown(&reply)
    }

    /// The version of a key as `WATCH` is told it.
    fn version(&self, key: &str) -> String {
        let reply = self.query(&words(&format!("watch {key}")));
        reply.split('|').nth(2).expect("an array of one").to_owned()
    }

    /// Whether a transaction that watches the key is executed.
    fn unchanged(&mut self, key: &str, version: &str) -> bool {
        match &self.apply(&spell(&[(key, version)], &[]))[..] {
            "*0|" => true,
            "*-1|" => false,
            other => panic!("neither executed nor not: {other}"),
        }
    }

    /// A machine made of this one's snapshot.
    fn restored(&mut self) -> Machine {
        let mut restored = self.0.fresh();
        let mut pieces = self.0.snapshot();
        while let Some(piece) = pieces.next() {
            restored.restore(&piece).expect("a piece of ours");
        }
        Machine(restored, self.1)
    }
}

fn shown(reply: &[u8]) -> String {
    String::from_utf8(reply.to_vec()).expect("text").replace("\r\n", "|")
}

#[test]
fn each_command_sees_those_before_it_and_an_error_takes_none_of_them_back() {
    let mut machine = Machine::new();
    let transaction =
        spell(&[], &["set a 1", "get a", "incr b", "set c x", "incr c", "nosuch", "get"]);
    let unknown = "-ERR unknown command 'nosuch', with args beginning with: |";
    assert_eq!(
        machine.apply(&transaction),
        format!(
            "*7|+OK|$1|1|:1|+OK|-ERR value is not an integer or out of range|{unknown}\
             -ERR wrong number of arguments for 'get' command|"
        )
    );
    assert_eq!(machine.run("mget a b c"), "*3|$1|1|$1|1|$1|x|");
}

#[test]
fn nothing_is_executed_when_a_watched_key_has_changed() {
    let mut machine = Machine::new();
    machine.run("mset a 1 b 1");
    let (a, b) = (machine.version("a"), machine.version("b"));
    machine.run("set b 1");
    let transaction = spell(&[("a", &a), ("b", &b)], &["set c 1", "del a"]);
    assert_eq!(machine.apply(&transaction), "*-1|");
    assert_eq!(machine.run("mget a b c"), "*3|$1|1|$1|1|$-1|");
    let transaction = spell(&[("a", &a)], &["set c 1", "del a"]);
    assert_eq!(machine.apply(&transaction), "*2|+OK|:1|");
}

#[test]
fn a_key_that_came_and_went_has_changed() {
    let mut machine = Machine::new();
    machine.run("set old 1");
    machine.run("del old");
    let absent = machine.version("old");
    assert!(machine.unchanged("old", &absent), "it went before it was watched");
    for gone in ["del old", "getdel old", "flushall"] {
        let absent = machine.version("old");
        machine.run("flushall");
        assert!(machine.unchanged("old", &absent), "absent keys are not flushed");
        machine.run("set old 1");
        assert!(!machine.unchanged("old", &absent));
        machine.run(gone);
        assert!(!machine.unchanged("old", &absent), "{gone}");
        machine.run("set old 1");
        assert!(!machine.unchanged("old", &absent), "it is there again");
        let present = machine.version("old");
        machine.run(gone);
        assert!(!machine.unchanged("old", &present), "{gone}");
        machine.run("set old 1");
        assert!(!machine.unchanged("old", &present), "set again after {gone}");
        machine.run("del old");
    }
}

/// Keys share buckets: who watches an absent one must not be disturbed by old keys that go.
#[test]
fn removing_what_was_there_before_changes_no_absent_key() {
    let mut machine = Machine::new();
    for number in 0..10_000 {
        machine.run(&format!("set key{number} 1"));
    }
    let absent = ["one", "two", "three", "four", "five", "six"];
    let versions = absent.map(|key| machine.version(key));
    for number in 0..5_000 {
        machine.run(&format!("del key{number}"));
    }
    machine.run("flushall");
    for (key, version) in absent.iter().zip(&versions) {
        assert!(machine.unchanged(key, version), "{key}");
    }
}

#[test]
fn all_of_a_transaction_is_one_change() {
    let mut machine = Machine::new();
    let transaction = spell(&[], &["set a 1", "set b 1", "append a 2"]);
    machine.apply(&transaction);
    assert_eq!(machine.version("a"), machine.version("b"));
    let version = machine.version("a");
    machine.apply(&transaction);
    assert!(!machine.unchanged("a", &version));
}

#[test]
fn a_restored_machine_knows_what_was_watched() {
    let mut machine = Machine::new();
    machine.run("mset a 1 b 1 c 1");
    let names = ["a", "b", "c", "never", "was"];
    let versions = names.map(|key| machine.version(key));
    machine.run("set b 2");
    machine.run("del c");
    machine.run("set was 1");
    machine.run("del was");
    let mut restored = machine.restored();
    assert_eq!(restored.0.digest(), machine.0.digest());
    assert_eq!(restored.restored().0.digest(), machine.0.digest());
    let unchanged: Vec<bool> =
        names.iter().zip(&versions).map(|(key, old)| restored.unchanged(key, old)).collect();
    assert_eq!(unchanged, [true, false, false, true, false]);
    let mut restored = machine.restored();
    for key in names {
        assert_eq!(restored.version(key), machine.version(key), "{key}");
    }
    for version in names.map(|key| (key, machine.version(key))) {
        assert!(restored.unchanged(version.0, &version.1), "{version:?}: nothing happened since");
    }
}

#[test]
fn digests_tell_versions_and_removals_apart() {
    let digest = |lines: &[&str]| {
        let mut machine = Machine::new();
        lines.iter().for_each(|line| drop(machine.run(line)));
        machine.0.digest()
    };
    assert_eq!(digest(&["set a 1", "set b 1"]), digest(&["set a 1", "set b 1"]));
    assert_ne!(digest(&["set a 1", "set b 1"]), digest(&["set b 1", "set a 1"]));
    assert_ne!(digest(&["set a 1", "del a", "get x"]), digest(&["get x", "get x", "get x"]));
    assert_ne!(digest(&["set a 1", "del a"]), digest(&["set b 1", "del b"]));
}

#[test]
fn a_query_reads_in_one_piece_and_never_writes() {
    let mut machine = Machine::new();
    machine.run("set a 1");
    let version = machine.version("a");
    assert_eq!(machine.query(&spell(&[], &["get a", "exists a b"])), "*2|$1|1|:1|");
    assert_eq!(
        machine.query(&spell(&[], &["set a 2", "get a"])),
        "*2|-ERR a query must not write|$1|1|"
    );
    assert_eq!(machine.query(&spell(&[("a", &version)], &["get a"])), "*1|$1|1|");
    machine.run("set a 2");
    assert_eq!(machine.query(&spell(&[("a", &version)], &["get a"])), "*-1|");
}

#[test]
fn any_bytes_that_begin_as_a_transaction_get_one_reply_and_no_panic() {
    let mut machine = Machine::new();
    let whole = spell(&[("a", "1"), ("b", "!7")], &["set a 1", "get a"]);
    let inner = spell(&[], &["set inner 1"]);
    let nested = transactions::spell(Vec::new(), [&inner[..], b"", b"\xff"].into_iter());
    let odd = arguments::encode([b"exec", &arguments::encode([&b"a"[..]])[..]]);
    assert!(machine.apply(&nested).starts_with("*3|-ERR unknown command 'exec'"));
    assert!(machine.apply(&odd).starts_with("-ERR what is watched"));
    assert!(machine.apply(&words("exec")).starts_with("-ERR unknown command 'exec'"));
    assert!(machine.apply(&words("watch")).starts_with("-ERR unknown command 'watch'"));
    assert!(machine.apply(&spell(&[("a", "x")], &["set a 1"])).starts_with("-ERR what is watched"));
    for end in 0..whole.len() {
        for change in [0u8, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[end] ^= change;
            for bytes in [&bytes[..], &whole[..end]] {
                let mut reply = b"earlier".to_vec();
                let at = Applied { index: LogIndex(1), place: 0, time: LogTime(1) };
                machine.0.apply(at, bytes, &mut reply);
                machine.0.query(bytes, &mut reply);
                let replies = reply.strip_prefix(b"earlier").expect("only appended to");
                assert!(replies.ends_with(b"\r\n") && replies.len() > 6);
            }
        }
    }
}

#[test]
fn pieces_of_a_snapshot_that_are_none_are_refused() {
    let encode = |parts: Vec<&[u8]>| arguments::encode(parts);
    for piece in [
        encode(vec![b"a", b"1"]),
        encode(vec![b"pairs", b"a", b"1"]),
        encode(vec![b"pairs", b"a", b"1", b"short"]),
        encode(vec![b"removals", b"12345678"]),
        encode(vec![b"removals", b"12345678", b"no bucket"]),
        encode(vec![b"removals", b"12345678", b"\xff\xff12345678"]),
        b"x".to_vec(),
    ] {
        assert!(Store::new().restore(&piece).is_err(), "{}", piece.escape_ascii());
    }
}

#[test]
fn replies_of_a_transaction_are_bounded() {
    let mut machine = Machine::new();
    machine.run(&format!("set a {}", "x".repeat(4 << 20)));
    let reads = spell(&[], &["get a"; 100]);
    for reply in [machine.query(&reads), machine.apply(&reads)] {
        assert!(reply.starts_with("*100|$4194304|xxx"));
        assert_eq!(reply.matches("-ERR replies exceed 64 MiB").count(), 84);
    }
    let mut commands = vec!["get a"; 100];
    commands.push("set b 1");
    assert!(machine.apply(&spell(&[], &commands)).ends_with("|+OK|"), "writes go on");
}

/// Nothing looks at the machine within a transaction, even where one command is applied a turn.
#[test]
fn a_transaction_is_applied_in_one_piece() {
    let item = |command: &[u8]| Item::Plain(Bytes::copy_from_slice(command));
    let swap = spell(&[], &["set a 1", "set b 1", "incr a", "incr b"]);
    let items = [item(&words("mset a 0 b 0")), item(&swap), item(&swap)];
    let mut log = Log::default();
    for index in 1..=2 {
        let payload = Payload::Command(items.to_vec().into());
        log.append(Entry { position: LogPosition::new(index, 1), time: LogTime(index), payload });
    }
    let mut applier = Applier::new((Store::new(), Sessions::default()), LogIndex(0));
    let mut turns = 0;
    while applier.has_more(LogIndex(2)) {
        applier.apply(&log, LogIndex(2), 1, None);
        turns += 1;
        let mut reply = Vec::new();
        applier.machine().query(&words("mget a b"), &mut reply);
        let shown = shown(&reply);
        let values = shown.strip_prefix("*2|").expect("two values");
        let (one, other) = values.split_at(values.len() / 2);
        assert_eq!(one, other);
    }
    assert!(turns >= 6, "each command had a turn of its own: {turns}");
}

/// Replies to a pipeline, their line ends shown as `|`.
fn replies(client: &mut Client<TcpStream>, lines: &str) -> Vec<String> {
    let count = lines.lines().filter(|line| !line.trim().is_empty()).count();
    client.send(&pipeline(lines));
    (0..count).map(|_| shown(&client.reply())).collect()
}

#[test]
fn a_pipeline_of_transactions_is_one_batch_and_each_of_them_one_command() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "multi
        set a 1
        get a
        exec
        get a\n";
    let got = replies(&mut client, &lines.repeat(20));
    let expected = ["+OK|", "+QUEUED|", "+QUEUED|", "*2|+OK|$1|1|", "$1|1|"].repeat(20);
    assert_eq!(got, expected);
    let batches = door.batches();
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!((batches[0].commands, batches[0].queries), (20, 20));
}

#[test]
fn a_transaction_may_come_in_many_batches_and_is_sent_with_the_last() {
    let door = open(|_| {});
    let mut client = door.connect();
    for line in ["multi", "incr a", "ping", "incr a"] {
        replies(&mut client, line);
    }
    assert_eq!(door.batches().len(), 0, "nothing is sent before EXEC");
    assert_eq!(door.connect().text("get a"), "$-1\r\n");
    assert_eq!(replies(&mut client, "exec"), ["*3|:1|+PONG|:2|"]);
    assert_eq!(door.batches()[1].commands, 1);
}

#[test]
fn what_only_reads_is_a_query_unless_it_watches() {
    let door = open(|_| {});
    let mut client = door.connect();
    replies(&mut client, "multi\nget a\nmget a b\nping\nexec");
    replies(&mut client, "watch a");
    replies(&mut client, "multi\nget a\nexec");
    replies(&mut client, "multi\nping\nexec\nmulti\nexec\nunwatch\nmulti\nget a\ndiscard");
    let seen: Vec<_> = door.batches().iter().map(|batch| (batch.commands, batch.queries)).collect();
    assert_eq!(seen, [(0, 1), (0, 1), (1, 0)]);
}

/// What is read long ago is no base for a transaction.
#[test]
fn versions_are_never_stale() {
    let door = open(|_| {});
    let mut client = door.connect();
    replies(&mut client, "readonly");
    replies(&mut client, "get a\nwatch a\nmulti\nget a\nexec");
    replies(&mut client, "multi\nget a\nexec");
    let stale: Vec<bool> = door.batches().iter().map(|batch| batch.stale).collect();
    assert_eq!(stale, [false, false, true]);
}

#[test]
fn one_error_is_said_for_all_of_a_transaction_which_is_over_then() {
    let position = Some(LogPosition::new(5, 3));
    let no_leader = "-CLUSTERDOWN no leader for 2.5 s; not applied, safe to repeat; \
                     nodes heard: 1 of 3|";
    let busy = "-TRYAGAIN too many writes wait; not applied, safe to repeat|";
    let known = "-UNCERTAIN EXEC at 5@3 may or may not be applied; read the key before repeating|";
    let unread = "-TRYAGAIN not read, safe to repeat; \
                  the writes sent with it may or may not be applied|";
    let garbled = || Outcome::Done { replies: vec![Bytes::from_static(b"*9\r\n")], position };
    for (outcome, write, read) in [
        (Outcome::NoLeader { waited: 2_500_000, heard: 1, members: 3 }, no_leader, no_leader),
        (Outcome::Busy, busy, busy),
        (Outcome::Uncertain { position }, known, unread),
        (Outcome::Done { replies: Vec::new(), position }, known, unread),
        (garbled(), known, unread),
    ] {
        for (command, error) in [("incr a", write), ("get a", read)] {
            let door = open(|_| {});
            let mut client = door.connect();
            door.script.outcomes.lock().unwrap().push_back(outcome.clone());
            let got = replies(&mut client, &format!("multi\nping\n{command}\nexec\nexec\nget a"));
            let alone = "-ERR EXEC without MULTI|";
            assert_eq!(got[..5], ["+OK|", "+QUEUED|", "+QUEUED|", error, alone]);
        }
    }
}

/// Else a client that pipelines would change what it believes to be watched.
#[test]
fn a_watch_that_fails_lets_no_transaction_through() {
    let door = open(|_| {});
    let mut client = door.connect();
    for outcome in [Outcome::Busy, Outcome::Done { replies: Vec::new(), position: None }] {
        door.script.outcomes.lock().unwrap().push_back(outcome);
        let got = replies(&mut client, "watch a\nmulti\nset a 1\nclient setname x\nexec");
        assert!(got[0].starts_with("-TRYAGAIN "), "{}", got[0]);
        assert_eq!(got[4], "*-1|");
        assert_eq!(replies(&mut client, "get a\nclient getname"), ["$-1|", "$-1|"]);
    }
    door.script.outcomes.lock().unwrap().push_back(Outcome::Busy);
    let got = replies(&mut client, "watch a\nunwatch\nmulti\nset a 1\nexec");
    assert_eq!(got[1..], ["+OK|", "+OK|", "+QUEUED|", "*1|+OK|"]);
}

#[test]
fn what_is_queued_and_watched_is_bounded() {
    let door = open(|settings| settings.max_request = 10_000);
    let mut client = door.connect();
    let value = "x".repeat(4000);
    let set = format!("set a {value}");
    let got = replies(&mut client, &format!("multi\n{set}\n{set}\n{set}\nget a\nexec\nget a"));
    let too_long = "-ERR transaction exceeds the limit of a request (client.max_request)|";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.|";
    assert_eq!(got, ["+OK|", "+QUEUED|", "+QUEUED|", too_long, "+QUEUED|", aborted, "$-1|"]);
    for _ in 0..100 {
        assert_eq!(replies(&mut client, "watch same same"), ["+OK|"], "it is watched already");
    }
    let keys = (0..400).map(|key| format!("watch {key}\n")).collect::<String>();
    let got = replies(&mut client, &keys);
    let refused = got.iter().filter(|reply| reply.starts_with("-ERR watched keys exceed")).count();
    assert!((1..300).contains(&refused), "{refused}");
    assert_eq!(replies(&mut client, "multi\nexec")[1], "*-1|", "some are not watched");
    assert_eq!(replies(&mut client, "multi\nset a 1\nexec")[2], "*1|+OK|");
}

/// Transactions count with their bytes, wherever they were queued.
#[test]
fn a_batch_of_several_transactions_has_at_most_256_kib() {
    let door = open(|_| {});
    let mut client = door.connect();
    client.send(&[pipeline("multi"), request(&["set", "k", &"x".repeat(300 << 10)])].concat());
    client.reply();
    client.reply();
    let mut other = door.connect();
    other.call("ping");
    client.send(&pipeline("incr n\nexec\nincr n\nmulti\nincr n\nexec"));
    (0..6).for_each(|_| drop(client.reply()));
    let seen: Vec<_> =
        door.batches().iter().map(|batch| (batch.commands, batch.bytes >> 10)).collect();
    assert_eq!(seen, [(1, 300), (2, 0)]);
}

#[test]
fn what_a_transaction_changes_of_its_connection_is_seen_behind_it() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "multi
        get a
        hello 3
        get a
        readonly
        exec
        get a";
    let got = replies(&mut client, lines);
    assert!(got[5].starts_with("*4|$-1|%7|"), "{}", got[5]);
    assert!(got[5].ends_with("|_|+OK|"), "{}", got[5]);
    assert_eq!(got[6], "_|");
    let stale: Vec<bool> = door.batches().iter().map(|batch| batch.stale).collect();
    assert_eq!(stale, [false, true]);
}

#[test]
fn the_log_can_be_shown_within_a_transaction() {
    let door = open(|_| {});
    let mut client = door.connect();
    let got = replies(&mut client, "multi\nraft.log 2\nincr a\nraft.log 1\nexec");
    assert_eq!(got[4], "*3|*2|$3|5@3|$3|6@3|:1|*1|$3|6@3|");
}

#[test]
fn reset_is_as_a_new_connection() {
    let door = open(|_| {});
    let mut client = door.connect();
    let got = replies(
        &mut client,
        "client setname x
         readonly
         hello 3
         watch a
         multi
         set a 1
         reset
         get a
         client getname
         set a 2
         multi
         exec",
    );
    assert_eq!(got[6..], ["+RESET|", "$-1|", "$-1|", "+OK|", "+OK|", "*0|"]);
}

/// What ends a batch does so also where it was too much for the one before.
#[test]
fn what_stands_behind_quit_is_never_executed() {
    let door = open(|_| {});
    let mut client = door.connect();
    let value = |size| request(&["set", "k", &"x".repeat(size)]);
    client.send(&pipeline("get hold"));
    door.await_batches(1);
    let whole = 256 << 10;
    client.send(&[value(whole - 15), pipeline("quit\nset a 1")].concat());
    for _ in 0..50 {
        door.connect().call("ping");
    }
    door.script.hold.add_permits(1);
    assert_eq!(client.rest(), b"$-1\r\n+OK\r\n+OK\r\n");
    assert_eq!(door.connect().text("get a"), "$-1\r\n");
}
