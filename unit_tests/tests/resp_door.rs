//! The Redis door seen from its clients: order, batches, promises in words, limits.

#[path = "support/door.rs"]
mod door;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use door::{Open, open, pipeline, request};
use messages::LogPosition;
use servers::host::{NoSnapshot, Outcome};

/// Replies to a pipeline, their line ends shown as `|`.
fn replies(client: &mut door::Client<std::net::TcpStream>, lines: &str) -> Vec<String> {
    let count = lines.lines().filter(|line| !line.trim().is_empty()).count();
    client.send(&pipeline(lines));
    let reply = |_| String::from_utf8(client.reply()).expect("text").replace("\r\n", "|");
    (0..count).map(reply).collect()
}

#[test]
fn a_pipeline_is_answered_in_order_whatever_its_commands_are() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "set a 1
        ping
        get a
        incr a
        echo x
        get a
        nosuch
        get
        mget a b
        readonly
        get a
        hello 3
        get b
        mget a b
        readwrite
        select 0
        del a
        get a";
    let mut got = replies(&mut client, lines);
    assert!(got[11].starts_with("%7|$6|server|$5|redis|"), "{}", got[11]);
    got.remove(11);
    let expected = [
        "+OK|",
        "+PONG|",
        "$1|1|",
        ":2|",
        "$1|x|",
        "$1|2|",
        "-ERR unknown command 'nosuch', with args beginning with: |",
        "-ERR wrong number of arguments for 'get' command|",
        "*2|$1|2|$-1|",
        "+OK|",
        "$1|2|",
        "_|",
        "*2|$1|2|_|",
        "+OK|",
        "+OK|",
        ":1|",
        "_|",
    ];
    assert_eq!(got, expected);
}

#[test]
fn a_pipeline_is_one_batch() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "set k v\nget k\nping\n".repeat(16);
    replies(&mut client, &lines);
    let batches = door.batches();
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!((batches[0].commands, batches[0].queries), (16, 16));
    replies(&mut client, "ping\nping");
    assert_eq!(door.batches().len(), 1, "what the connection answers itself is no batch");
}

/// A connection reads ahead without telling; answers to others that came later show that it had its
/// turns.
fn await_read_ahead(door: &Open) {
    for _ in 0..50 {
        door.connect().call("ping");
    }
}

/// Sends all of `bytes` while a first batch is held, so that it is there when that is done.
fn send_held(door: &Open, bytes: &[u8], count: usize) {
    let mut client = door.connect();
    client.send(&pipeline("get hold"));
    door.await_batches(1);
    client.send(bytes);
    await_read_ahead(door);
    door.script.hold.add_permits(1);
    for _ in 0..=count {
        client.reply();
    }
}

#[test]
fn a_batch_has_at_most_1024_requests() {
    let door = open(|_| {});
    send_held(&door, &pipeline("set k v").repeat(2500), 2500);
    let sizes: Vec<usize> = door.batches().iter().map(|batch| batch.commands).collect();
    assert_eq!(sizes, [0, 1024, 1024, 452]);
}

#[test]
fn a_batch_of_several_has_at_most_256_kib() {
    let door = open(|_| {});
    let large = |size| request(&["set", "k", &"x".repeat(size)]);
    let sizes = [100 << 10, 100 << 10, 100 << 10, 700 << 10, 10];
    let bytes: Vec<u8> = sizes.iter().flat_map(|&size| large(size)).collect();
    send_held(&door, &bytes, sizes.len());
    let seen: Vec<_> = door.batches()[1..].iter().map(|b| (b.commands, b.bytes >> 10)).collect();
    assert_eq!(seen, [(2, 200), (1, 100), (1, 700), (1, 0)]);
}

#[test]
fn stale_reads_need_readonly_and_no_write_beside_them() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "get a
        readonly
        get a
        readwrite
        get a
        readonly";
    replies(&mut client, lines);
    replies(&mut client, "get a\nset a 1");
    replies(&mut client, "get a");
    replies(&mut door.connect(), "get a");
    let stale: Vec<bool> = door.batches().iter().map(|batch| batch.stale).collect();
    assert_eq!(stale, [false, true, false, false, true, false]);
}

#[test]
fn errors_promise_what_the_outcome_is() {
    let door = open(|_| {});
    let mut client = door.connect();
    let lines = "incr a
        ping
        get a";
    let no_leader = "-CLUSTERDOWN no leader for 2.5 s; not applied, safe to repeat; \
                     nodes heard: 1 of 3|";
    let busy = "-TRYAGAIN too many writes wait; not applied, safe to repeat|";
    let stopped = "-CLUSTERDOWN node is stopping; not applied, safe to repeat|";
    let known = "-UNCERTAIN INCR at 5@3 may or may not be applied; read the key before repeating|";
    let unknown = "-UNCERTAIN INCR may or may not be applied; read the key before repeating|";
    let unread = "-TRYAGAIN not read, safe to repeat; \
                  the writes sent with it may or may not be applied|";
    let position = Some(LogPosition::new(5, 3));
    for (outcome, write, read) in [
        (Outcome::NoLeader { waited: 2_500_000, heard: 1, members: 3 }, no_leader, no_leader),
        (Outcome::Busy, busy, busy),
        (Outcome::Stopped, stopped, stopped),
        (Outcome::Uncertain { position }, known, unread),
        (Outcome::Uncertain { position: None }, unknown, unread),
        (Outcome::Done { replies: Vec::new(), position }, known, unread),
    ] {
        door.script.outcomes.lock().unwrap().push_back(outcome);
        assert_eq!(replies(&mut client, lines), [write, "+PONG|", read]);
    }
    assert_eq!(replies(&mut client, lines), [":1|", "+PONG|", "$1|1|"], "still open, none applied");
}

#[test]
fn what_waits_behind_a_batch_is_stamped_when_it_arrives() {
    let door = open(|_| {});
    let mut client = door.connect();
    client.send(&pipeline("get hold"));
    door.await_batches(1);
    client.send(&pipeline("get a"));
    let wait = Duration::from_millis(100);
    // What is measured is time itself.
    std::thread::sleep(wait);
    door.script.hold.add_permits(1);
    client.reply();
    client.reply();
    let second = &door.batches()[1];
    let waited = Duration::from_micros((second.submitted - second.arrived).0);
    assert!(waited > wait / 2, "stamped {waited:?} before its turn, not when it arrived");
}

#[test]
fn a_request_arrives_when_it_is_whole() {
    let door = open(|_| {});
    let mut client = door.connect();
    let bytes = pipeline("set a 1");
    client.send(&bytes[..bytes.len() - 3]);
    std::thread::sleep(Duration::from_millis(100));
    let before = door::clock();
    client.send(&bytes[bytes.len() - 3..]);
    client.reply();
    assert!(door.batches()[0].arrived >= before, "a slow sender must not lose its time-out");
}

#[test]
fn the_last_requests_of_a_client_that_sends_no_more_are_answered() {
    let door = open(|_| {});
    let mut client = door.connect();
    client.send(&pipeline("get hold"));
    door.await_batches(1);
    client.send(&pipeline("set a 1\nget a"));
    client.stream.shutdown(std::net::Shutdown::Write).expect("shut down");
    await_read_ahead(&door);
    door.script.hold.add_permits(1);
    assert_eq!(client.rest(), b"$-1\r\n+OK\r\n$1\r\n1\r\n");
}

/// 20 MB of requests and 200 MB of replies: more than the kernel's buffers hold.
#[test]
fn a_pipeline_may_be_sent_to_its_end_before_the_first_reply_is_read() {
    let door = open(|_| {});
    let mut client = door.connect();
    let (key, value) = ("k".repeat(1000), "x".repeat(10_000));
    client.call(&format!("set {key} {value}"));
    client.send(&pipeline(&format!("get {key}")).repeat(20_000));
    for _ in 0..20_000 {
        assert_eq!(client.reply().len(), 10_000 + 10);
    }
}

#[test]
fn a_value_that_looks_like_a_reply_is_left_alone_in_resp3() {
    let door = open(|_| {});
    let mut client = door.connect();
    client.send(&request(&["set", "a", "x\r\n$-1\r\n*-1\r\n"]));
    client.reply();
    client.call("hello 3");
    assert_eq!(
        client.call("mget a b a"),
        b"*3\r\n$13\r\nx\r\n$-1\r\n*-1\r\n\r\n_\r\n$13\r\nx\r\n$-1\r\n*-1\r\n\r\n"
    );
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let door = open(|settings| settings.write_stall = Duration::from_millis(200));
    let mut client = door.connect();
    client.call(&format!("set a {}", "x".repeat(500_000)));
    client.send(&pipeline("get a").repeat(100));
    let mut other = door.connect();
    let begin = Instant::now();
    while other.text("info clients").contains("connected_clients:2\r\n") {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is still there");
    }
    assert!(begin.elapsed() >= Duration::from_millis(150), "it was given time to read");
}

#[test]
fn an_idle_client_stays() {
    let door = open(|settings| settings.write_stall = Duration::from_millis(20));
    let mut client = door.connect();
    client.call("ping");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.call("ping"), b"+PONG\r\n");
}

#[test]
fn one_client_too_many_is_told_so() {
    let door = open(|settings| settings.max_clients = 2);
    let mut first = door.connect();
    first.call("ping");
    let mut second = door.connect();
    second.call("ping");
    assert_eq!(door.connect().rest(), b"-ERR max number of clients reached\r\n");
    drop(second);
    let begin = Instant::now();
    loop {
        let mut third = door.connect();
        third.send(&pipeline("quit"));
        if third.rest_or_reset() == b"+OK\r\n" {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "the place is not free again");
    }
}

#[test]
fn requests_over_the_limit_are_refused_after_the_replies_before_them() {
    let door = open(|settings| settings.max_request = 1 << 20);
    for (bytes, error) in [
        (&b"*2\r\n$3\r\nget\r\n$1048577\r\n"[..], "invalid bulk length"),
        (b"*2\r\n$3\r\nget\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (&b"*1\r\n".repeat(200_000), "expected '$', got '*'"),
        (&vec![b'x'; 1 << 20], "too big inline request"),
        (
            &[&b"*2\r\n$1000000\r\n"[..], &[b'x'; 1_000_002], b"$1000000\r\n"].concat(),
            "too big request",
        ),
    ] {
        let mut client = door.connect();
        client.send(&pipeline("set a 1\nping"));
        client.send(bytes);
        let expected = format!("+OK\r\n+PONG\r\n-ERR Protocol error: {error}\r\n");
        assert_eq!(String::from_utf8_lossy(&client.rest()), expected);
    }
    let refused = door.connect().text("info raft");
    assert!(refused.contains("raft_refused_requests:6\r\n"), "{refused}");
}

#[test]
fn garbage_of_any_kind_is_survived() {
    let door = open(|_| {});
    let mut random = door::Random(5);
    for _ in 0..200 {
        let mut client = door.connect();
        let letters = b"*$0123456789\r\n\r\n\"' abAZ\0\xff-:%~_";
        let length = 1 + random.below(3000);
        let bytes: Vec<u8> = (0..length).map(|_| letters[random.below(letters.len())]).collect();
        // The door may have closed already.
        let _ = client.stream.write_all(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let _ = client.stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(door.connect().call("ping"), b"+PONG\r\n");
}

#[test]
fn clients_libraries_find_what_they_look_for() {
    let door = open(|_| {});
    let mut client = door.connect();
    for (words, reply) in [
        ("client setinfo LIB-NAME redis-py", "+OK\r\n"),
        ("client setinfo lib-ver 8.1.0", "+OK\r\n"),
        ("client setinfo lib-os x", "-ERR Unrecognized option 'lib-os'\r\n"),
        (
            "client maint_notifications on",
            "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.\r\n",
        ),
        ("command", "*0\r\n"),
        ("command docs", "*0\r\n"),
        ("config get appendonly", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"),
        ("select 1", "-ERR DB index is out of range\r\n"),
        ("reset", "+RESET\r\n"),
    ] {
        assert_eq!(client.text(words), reply, "{words}");
    }
    assert!(client.text("command count").starts_with(':'));
    assert!(client.text("client id").starts_with(':'));
    let time = client.text("time");
    assert!(time.starts_with("*2\r\n$10\r\n"), "{time}");
}

#[test]
fn a_connection_knows_where_its_last_write_stands() {
    let door = open(|_| {});
    let mut client = door.connect();
    assert_eq!(client.text("raft.position"), "$-1\r\n");
    assert_eq!(client.text("incr hits"), ":1\r\n");
    assert_eq!(client.text("raft.position"), "$3\r\n5@3\r\n");
    assert_eq!(door.connect().text("raft.position"), "$-1\r\n");
}

#[test]
fn the_log_is_shown_within_limits() {
    let door = open(|_| {});
    let mut client = door.connect();
    assert_eq!(client.text("raft.log 2"), "*2\r\n$3\r\n5@3\r\n$3\r\n6@3\r\n");
    assert_eq!(client.text("raft.log 1"), "*1\r\n$3\r\n6@3\r\n");
    let refused = "-ERR value is out of range, must be 1 to 1000\r\n";
    for count in ["0", "1001", "-1", "many"] {
        assert_eq!(client.text(&format!("raft.log {count}")), refused);
    }
}

#[test]
fn info_says_what_is_so() {
    let door = open(|_| {});
    let mut client = door.connect();
    let all = client.text("info");
    let address = format!("raft_leader_address:127.0.0.1:{}", door.port);
    for line in [
        "# Server",
        "redis_version:7.0.15",
        "redis_mode:standalone",
        "arch_bits:64",
        "loading:0",
        "role:master",
        "cluster_enabled:0",
        "connected_clients:1",
        "# Raft",
        "raft_node:1",
        "raft_role:leader",
        "raft_term:3",
        "raft_leader:1",
        &address,
        "raft_commit_index:5",
        "raft_applied_index:4",
        "raft_last_index:6",
        "raft_log_bytes:88",
        "raft_log_entries:4",
        "raft_log_since_snapshot:1",
        "raft_sessions:3",
        "raft_session_bytes:30",
        "raft_waiting_bytes:5",
        "raft_uncommitted_bytes:6",
        "raft_in_flight_bytes:7",
        "raft_reply_bytes:0",
        "raft_members:3",
        "raft_waiting_clients:0",
        "raft_refused_frames:4",
        "raft_refused_requests:0",
    ] {
        assert!(all.lines().any(|given| given == line), "no line {line} in {all}");
    }
    assert!(all.contains("raft_version:"));
    assert_eq!(client.text("info everything").lines().count(), all.lines().count());
    let one = client.text("info PERSISTENCE");
    assert_eq!(one, "$26\r\n# Persistence\r\nloading:0\r\n\r\n");
    assert_eq!(client.text("info nosuch"), "$0\r\n\r\n");
}

/// A refusal that certainly had no effect begins as the contract's table of errors has it.
#[test]
fn a_snapshot_that_is_wanted_is_told_or_why_there_is_none() {
    let door = open(|_| {});
    let mut client = door.connect();
    let told = "*3\r\n$3\r\n3@2\r\n:4000\r\n$1\r\n1\r\n";
    assert_eq!(client.text("RAFT.SNAPSHOT"), told);
    client.send(&pipeline("multi\nset a 1\nraft.snapshot\nexec"));
    let replies = [client.reply(), client.reply(), client.reply(), client.reply()].concat();
    let transaction = format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n{told}");
    assert_eq!(String::from_utf8(replies).unwrap(), transaction);
    for (why, error) in [
        (NoSnapshot::NothingApplied, "-TRYAGAIN no snapshot: nothing has been applied yet\r\n"),
        (NoSnapshot::Stopped, "-CLUSTERDOWN no snapshot: the node is stopping\r\n"),
    ] {
        door.script.snapshots.lock().unwrap().push_back(Err(why));
        assert_eq!(client.text("raft.snapshot"), error);
    }
    let arity = "-ERR wrong number of arguments for 'raft.snapshot' command\r\n";
    assert_eq!(client.text("raft.snapshot now"), arity);
}

#[test]
fn quit_answers_and_closes() {
    let door = open(|_| {});
    let mut client = door.connect();
    client.send(&pipeline("set a 1\nquit\nset a 2"));
    assert_eq!(client.rest(), b"+OK\r\n+OK\r\n");
    assert_eq!(door.connect().call("get a"), b"$1\r\n1\r\n");
}

#[test]
fn a_door_that_stops_answers_what_is_in_flight() {
    let mut door = open(|_| {});
    let mut busy = door.connect();
    busy.send(&pipeline("set hold 1"));
    door.await_batches(1);
    let mut idle = door.connect();
    idle.call("ping");
    door.stop();
    assert_eq!(idle.rest(), b"");
    door.script.hold.add_permits(1);
    assert_eq!(busy.rest(), b"+OK\r\n");
}
