//! "Each a clear answer, nothing changed": what clients should not ask of sessions, transactions and
//! times to live, and snapshots that a node should not find in its folder when it starts.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::cluster::{CALM, Cluster, ask, await_some, bulk, ok};
use common::raft;
use raft::client::{Client, Reply};

/// Sends words; the reply as text: errors begin with `-`.
fn say(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    text(client.call(&words).expect("an answer"))
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::Status(status) => format!("+{status}"),
        Reply::Error(error) => format!("-{error}"),
        Reply::Integer(number) => format!(":{number}"),
        Reply::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Reply::Nil => "nil".to_owned(),
        Reply::Array(replies) => {
            format!("[{}]", replies.into_iter().map(text).collect::<Vec<_>>().join(", "))
        }
    }
}

/// All that can be seen of the store.
fn seen(client: &mut Client) -> Vec<String> {
    let asked = ["DBSIZE", "GET a", "PEXPIRETIME a", "GET n", "EXPIRETIME n", "KEYS *"];
    asked.map(|line| say(client, line)).to_vec()
}

#[test]
fn what_clients_should_not_ask_is_answered_and_changes_nothing() {
    let cluster = Cluster::start_new(1, &CALM);
    let (mut client, mut watcher) = (cluster.client(1), cluster.client(1));
    assert_eq!(ask(&mut client, &["SET", "a", "1", "PXAT", "4102444800123"]), ok());
    let id = say(&mut client, "RAFT.SESSION OPEN").trim_start_matches(':').to_owned();
    for (number, reply) in [(70, "-ERR number 70 is more than 64 above 0,"), (64, ":1")] {
        let got = say(&mut client, &format!("RAFT.DO {id} {number} INCR n"));
        assert!(got.starts_with(reply), "{got}");
    }
    let opened = cluster.client(1).call(&["RAFT.SESSION", "OPEN"]).expect("an answer");
    let Reply::Integer(other) = opened else { panic!("a number: {opened:?}") };
    let too_long = "-ERR value is not an integer or out of range";
    let queued = "+QUEUED";
    let rows: &[(&str, &str)] = &[
        // Numbers that skip, go back, come twice, are closed or are none.
        ("RAFT.DO ID 129 INCR n", "-ERR number 129 is more than 64 above 64,"),
        ("RAFT.DO ID 64 INCR n", ":1"),
        ("RAFT.OUTCOME ID 64", "[+applied, :1]"),
        ("RAFT.OUTCOME ID 63", "[+not-applied]"),
        ("RAFT.DO ID 63 INCR n", "-ERR number 63 of session"),
        ("RAFT.DO ID 0 INCR n", "-ERR numbers start at 1"),
        ("RAFT.DO ID 9223372036854775808 INCR n", too_long),
        // Sessions that never were, or will be.
        ("RAFT.OUTCOME 7 1", "[+unknown]"),
        ("RAFT.DO 7 1 INCR n", "-UNCERTAIN number 1 of session 7 "),
        ("RAFT.OUTCOME NEXT 1", "[+unknown]"),
        ("RAFT.DO NEXT 1 INCR n", "-UNCERTAIN number 1 of session"),
        ("RAFT.OUTCOME 9223372036854775807 1", "[+unknown]"),
        ("RAFT.OUTCOME 0 1", "-ERR a session's id is 1 or more"),
        // Transactions.
        ("EXEC", "-ERR EXEC without MULTI"),
        ("DISCARD", "-ERR DISCARD without MULTI"),
        ("MULTI", "+OK"),
        ("INCR n", queued),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("DISCARD", "+OK"),
        ("MULTI", "+OK"),
        ("INCR n", queued),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed"),
        ("INCR", "-ERR wrong number of arguments for 'incr' command"),
        ("EXEC", "-EXECABORT "),
        ("EXEC", "-ERR EXEC without MULTI"),
        // Times to live.
        ("EXPIRE a 9223372036854775808", too_long),
        ("PEXPIRE a 9223372036854775808", too_long),
        ("SET a 2 EX 9223372036854775808", too_long),
        ("SET a 2 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("SETEX a 9223372036854775808 2", too_long),
        ("GETEX a EXAT 9223372036854775808", too_long),
        ("EXPIREAT a -9223372036854775809", too_long),
    ];
    let before = seen(&mut watcher);
    for (line, expected) in rows {
        let line = line.replace("ID", &id).replace("NEXT", &(other + 1024 * 1000).to_string());
        let got = say(&mut client, &line);
        assert!(got.starts_with(expected), "{line}: {got}");
        assert_eq!(seen(&mut watcher), before, "{line}");
    }
    assert_eq!(say(&mut client, &format!("RAFT.DO {id} 65 INCR n")), ":2", "and it goes on");
}

/// The limit is 10,000: the oldest make way, and say so; none of them does anything any more.
#[test]
fn of_a_hundred_thousand_sessions_of_one_client_the_newest_are_there() {
    const ALL: usize = 100_000;
    let cluster = Cluster::start_new(1, &CALM);
    let mut client = cluster.client(1);
    let mut ids = Vec::new();
    while ids.len() < ALL {
        for _ in 0..1000 {
            client.send(&["RAFT.SESSION", "OPEN"]).expect("sent");
        }
        for _ in 0..1000 {
            let reply = client.receive().expect("an answer");
            let Reply::Integer(id) = reply else { panic!("a number: {reply:?}") };
            ids.push(id);
        }
    }
    for place in [0, 1, ALL - 10_001] {
        let got = say(&mut client, &format!("RAFT.DO {} 1 INCR n", ids[place]));
        let expected = format!("-UNCERTAIN number 1 of session {} ", ids[place]);
        assert!(got.starts_with(&expected), "session {place}: {got}");
        assert_eq!(say(&mut client, &format!("RAFT.OUTCOME {} 1", ids[place])), "[+unknown]");
    }
    assert_eq!(say(&mut client, "GET n"), "nil");
    for (place, reply) in [(ALL - 10_000, ":1"), (ALL - 1, ":2")] {
        assert_eq!(say(&mut client, &format!("RAFT.DO {} 1 INCR n", ids[place])), reply);
    }
}

/// A node alone that has taken snapshots, and whose log no longer has its first segment; it does not
/// run.
fn with_snapshots() -> Cluster {
    let small = [("RAFT_STORAGE_SNAPSHOT", "64KiB"), ("RAFT_STORAGE_SEGMENT", "1MiB")];
    let mut cluster = Cluster::start_new(1, &[CALM, small].concat());
    let mut client = cluster.client(1);
    let value = "x".repeat(8 << 10);
    await_some("the first segment is gone, and there are two snapshots", || {
        for key in 0..8 {
            assert_eq!(ask(&mut client, &["SET", &format!("large-{key}"), &value]), ok());
        }
        let names = names(&cluster.data(1));
        let first = names.iter().any(|name| name.starts_with("0000000001-"));
        (!first && snapshots(&cluster.data(1)).len() == 2).then_some(())
    });
    assert_eq!(ask(&mut client, &["SET", "last", "acknowledged"]), ok());
    cluster.kill(1);
    cluster
}

fn names(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// Snapshots in place, the oldest first.
fn snapshots(data: &Path) -> Vec<String> {
    let is_snapshot = |name: &String| name.starts_with("snapshot-");
    names(data).into_iter().filter(is_snapshot).collect()
}

type Files = BTreeMap<String, Vec<u8>>;

/// All files but what was unfinished when the node was killed.
fn read(data: &Path) -> Files {
    let read = |name: String| {
        let bytes = fs::read(data.join(&name)).expect("a file");
        (name, bytes)
    };
    let finished = names(data).into_iter().filter(|name| !name.ends_with(".unfinished"));
    finished.map(read).collect()
}

fn write(data: &Path, files: &Files) {
    fs::remove_dir_all(data).expect("a folder");
    fs::create_dir(data).expect("a folder");
    for (name, bytes) in files {
        fs::write(data.join(name), bytes).expect("a file");
    }
}

/// What is done to a snapshot of a node that does not run.
type Harm = fn(&mut Vec<u8>);

const FLIPPED: Harm = |bytes| {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
};
const CUT: Harm = |bytes| bytes.truncate(bytes.len() / 2);
const EMPTY: Harm = Vec::clear;
const LONGER: Harm = |bytes| bytes.push(b'?');

/// The older snapshot stands in for the newest, with the log behind it: nothing is lost, and it is
/// said which file is no good, and why.
#[test]
fn the_newest_snapshot_may_be_worth_nothing() {
    let foreign = with_snapshots();
    let theirs = snapshots(&foreign.data(1)).pop().expect("a snapshot");
    let theirs = fs::read(foreign.data(1).join(theirs)).expect("a file");
    let mut cluster = with_snapshots();
    let data = cluster.data(1);
    let healthy = read(&data);
    let [older, newest] = snapshots(&data).try_into().expect("two");
    let harm = |harm: Harm| {
        let mut bytes = healthy[&newest].clone();
        harm(&mut bytes);
        bytes
    };
    for (bytes, why) in [
        (harm(FLIPPED), "is not what was written"),
        (harm(CUT), "the snapshot is cut off"),
        (harm(EMPTY), "the snapshot's head is not what was written"),
        (harm(LONGER), "the snapshot does not end as it was written"),
        (theirs, "the snapshot belongs to another cluster"),
        (healthy[&older].clone(), "is renamed"),
    ] {
        let mut files = healthy.clone();
        files.insert(newest.clone(), bytes);
        write(&data, &files);
        cluster.start(1);
        assert_eq!(cluster.ask(1, &["GET", "last"]), bulk("acknowledged"), "{why}");
        assert_eq!(cluster.ask(1, &["DBSIZE"]), Reply::Integer(9), "{why}");
        let log = cluster.log(1);
        let said = |line: &&String| {
            line.contains(&newest) && line.contains(why) && line.contains("stand in for it")
        };
        assert_eq!(log.iter().filter(said).count(), 1, "{why}: {log:#?}");
        cluster.kill(1);
    }
}

/// Nothing stands in for what the log no longer holds: the node does not start, and touches nothing.
#[test]
fn a_node_without_the_snapshot_that_its_log_follows_does_not_start() {
    let cluster = with_snapshots();
    let data = cluster.data(1);
    let healthy = read(&data);
    let [older, newest] = snapshots(&data).try_into().expect("two");
    let gone = |names: &[&String]| {
        let mut files = healthy.clone();
        names.iter().for_each(|name| drop(files.remove(*name)));
        files
    };
    let harmed = |harm: Harm| {
        let mut files = healthy.clone();
        for name in [&older, &newest] {
            harm(files.get_mut(name).expect("a file"));
        }
        files
    };
    let mut older_than_all = gone(&[&older, &newest]);
    let first = "snapshot-00000000000000000001-00000000000000000001.snap".to_owned();
    older_than_all.insert(first, healthy[&older].clone());
    for (files, what) in [
        (gone(&[&older, &newest]), "first segment is missing"),
        (older_than_all, "a snapshot that is not there"),
        (harmed(FLIPPED), "a snapshot that is not there"),
        (harmed(CUT), "a snapshot that is not there"),
        (harmed(EMPTY), "a snapshot that is not there"),
    ] {
        write(&data, &files);
        let file = data.with_extension("toml");
        let output = raft().arg("serve").arg("--config").arg(file).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(65), "{what}: {said}");
        assert!(said.contains(what) && said.contains("Nothing was changed"), "{what}: {said}");
        assert!(read(&data) == files, "{what}: something was changed");
    }
}
