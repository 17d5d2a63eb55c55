//! `raft snapshot` with real processes: the node that is asked has a snapshot of all that it had
//! applied, in place before it says so, and starts from it. And `raft status --limits`: what a node
//! holds stays within what it may, however much is written.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use common::cluster::{CALM, Cluster, bulk, ok};
use common::raft;

fn snapshot(cluster: &Cluster, node: u16) -> Output {
    raft().args(["snapshot", "--at", &cluster.address(node)]).output().expect("it runs")
}

/// Up to which index it says that there is one, and its whole line.
fn told(output: &Output) -> (u64, String) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let line = String::from_utf8(output.stdout.clone()).expect("text");
    let position = line.split(' ').nth(7).expect("node 1 has a snapshot up to 5@3, 1.2 KiB");
    let index = position.split('@').next().and_then(|index| index.parse().ok());
    (index.expect("a position"), line)
}

/// The files of snapshots, those under writing included.
fn files(cluster: &Cluster, node: u16) -> Vec<PathBuf> {
    let files = fs::read_dir(cluster.data(node)).expect("a folder");
    let paths = files.map(|file| file.expect("a file").path());
    paths.filter(|path| path.to_string_lossy().contains(".snap")).collect()
}

#[test]
fn a_snapshot_is_taken_when_asked_for_and_started_from() {
    let mut cluster = Cluster::start_new(3, &CALM);
    for number in 0..50 {
        let (key, value) = (format!("key{number}"), format!("value{number}"));
        assert_eq!(cluster.ask(1 + number % 3, &["SET", &key, &value]), ok());
    }
    let applied = cluster.caught_up();
    for node in cluster.all() {
        assert_eq!(cluster.info(node).number("raft_snapshot_index"), 0, "none is due by itself");
        let (covered, line) = told(&snapshot(&cluster, node));
        assert!(covered >= applied, "{line}");
        assert!(line.starts_with(&format!("node {node} has a snapshot up to ")), "{line}");
        assert_eq!(cluster.info(node).number("raft_snapshot_index"), covered);
        assert_eq!(files(&cluster, node).len(), 1, "{:?}", files(&cluster, node));
        let (again, same) = told(&snapshot(&cluster, node));
        assert!((again, same) == (covered, line), "nothing was applied since");
    }
    cluster.kill(2);
    cluster.start(2);
    let begun = cluster.process(2).log_so_far().join("\n");
    assert!(begun.contains("a snapshot up to "), "{begun}");
    cluster.caught_up();
    let mut client = cluster.client(2);
    assert_eq!(client.call(&["READONLY"]).expect("an answer"), ok());
    for number in [0, 17, 49] {
        let value = client.call(&["GET", &format!("key{number}")]).expect("an answer");
        assert_eq!(value, bulk(&format!("value{number}")), "of its own");
    }
}

/// "If nothing was applied there is nothing to take": not accepted, and said why.
#[test]
fn a_node_that_has_applied_nothing_says_so() {
    let mut cluster = Cluster::found(3, &CALM);
    cluster.start(1); // one of three: no leader, nothing is committed
    let output = snapshot(&cluster, 1);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let line = String::from_utf8(output.stderr).expect("text");
    assert!(line.ends_with(": TRYAGAIN no snapshot: nothing has been applied yet\n"), "{line}");
    assert!(files(&cluster, 1).is_empty());
}

/// A limit as `raft status -o json` tells it: so much is there, so much may be.
fn limit(cluster: &Cluster, node: u16, name: &str) -> (u64, Option<u64>) {
    let output = raft().args(["status", "-o", "json", "--at", &cluster.address(node)]).output();
    let status: serde_json::Value =
        serde_json::from_slice(&output.expect("it runs").stdout).expect("JSON");
    let rows = status["limits"].as_array().expect("limits");
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    (row["used"].as_u64().expect("a number"), row["limit"].as_u64())
}

#[test]
fn what_a_node_holds_stays_within_its_limits() {
    let small = [("RAFT_STORAGE_SNAPSHOT", "64KiB"), ("RAFT_STORAGE_SEGMENT", "1MiB")];
    let cluster = Cluster::start_new(3, &[&CALM[..], &small].concat());
    let (leader, value) = (cluster.leader(), "x".repeat(4_000));
    let mut sessions = Vec::new();
    for number in 0..200 {
        assert_eq!(cluster.ask(leader, &["SET", &format!("key{}", number % 5), &value]), ok());
        if number % 50 == 0 {
            sessions.push(cluster.ask(leader, &["RAFT.SESSION", "OPEN"]));
        }
    }
    let at = cluster.address(leader);
    let output = raft().args(["cli", "--at", &at, "incr", "hits"]).output().expect("it runs");
    assert_eq!(
        output.stdout, b"(integer) 1\n",
        "and its session is closed: it is not counted below"
    );
    cluster.caught_up();
    for node in cluster.all() {
        let limit = |name: &str| limit(&cluster, node, name);
        assert_eq!(limit("sessions"), (sessions.len() as u64, Some(10_000)));
        assert_eq!(limit("session_answers"), (0, Some(64 << 20)));
        assert_eq!(limit("replies_not_taken"), (0, None), "time is the limit");
        assert_eq!(limit("log_in_memory").1, Some(256 << 10), "four times storage.snapshot");
        assert_eq!(limit("clients").1, Some(10_000));
        assert!((1..=2).contains(&limit("snapshots").0), "{:?}", limit("snapshots"));
        for name in [
            "log_since_snapshot",
            "log_in_memory",
            "log_on_disk",
            "waiting_requests",
            "uncommitted_writes",
            "in_flight_to_a_follower",
            "clients",
        ] {
            let (used, most) = limit(name);
            assert!(Some(used) <= most, "{name}: {used} of {most:?}");
        }
    }
    let output = raft().args(["status", "--limits", "--at", &cluster.address(leader)]).output();
    let table = String::from_utf8(output.expect("it runs").stdout).expect("text");
    for line in [" sessions ", " log on disk ", " storage.snapshot ", " refused: TRYAGAIN"] {
        assert!(table.contains(line), "{line} in {table}");
    }
}

/// "A follower that takes none for two seconds is given up", which is said once, however long it is gone.
#[test]
fn a_node_that_takes_nothing_of_a_snapshot_is_given_up_and_said() {
    let small = [("RAFT_STORAGE_SNAPSHOT", "64KiB")];
    let mut cluster = Cluster::start_new(3, &[&CALM[..], &small].concat());
    let leader = cluster.leader();
    let gone = cluster.others(leader)[0];
    cluster.caught_up();
    cluster.kill(gone);
    let value = "x".repeat(4_000);
    for number in 0..100 {
        assert_eq!(cluster.ask(leader, &["SET", &format!("key{}", number % 5), &value]), ok());
    }
    let line = cluster.process(leader).log_where(|line| line.contains("gives up sending"));
    assert!(line.contains(" WARN "), "{line}");
    assert!(line.contains(&format!("a snapshot to node {gone}, which takes nothing")), "{line}");
    cluster.start(gone);
    cluster.caught_up();
    assert!(cluster.info(gone).number("raft_snapshot_index") > 0, "it was sent one");
    let said = |line: &&String| line.contains("gives up sending");
    assert_eq!(cluster.log(leader).iter().filter(said).count(), 1);
}
