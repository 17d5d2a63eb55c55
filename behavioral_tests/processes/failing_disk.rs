//! A disk that fails under a running node: the node ends at once and says which file, what was
//! acknowledged is still there. The failure is injected with strace, so these run with `--ignored`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Process;
use common::cluster::{CALM, Cluster, ask, bulk, ok};
use raft::client::Reply;

/// From now on this system call fails in the node, in all its threads.
fn fail(cluster: &mut Cluster, node: u16, call: &str, error: &str) -> Process {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", &format!("trace={call}"), "-o", "/dev/null"]);
    strace.args(["-e", &format!("inject={call}:error={error}")]);
    strace.args(["-p", &cluster.process(node).pid().to_string()]);
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut strace = Process::start(&mut strace);
    strace.log_where(|line| line.contains(" attached"));
    strace
}

/// The only file of a log this short.
fn log_file(data: &Path) -> PathBuf {
    let paths = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut logs = paths.filter(|path| path.extension().is_some_and(|name| name == "log"));
    logs.next().expect("a log")
}

/// The node ended with 74, and its last line is the one that names the file.
fn check_end(cluster: &mut Cluster, node: u16, doing: &str, error: &str) {
    assert_eq!(cluster.exit_code(node), Some(74));
    let file = log_file(&cluster.data(node));
    let log = cluster.log(node);
    let naming: Vec<&String> =
        log.iter().filter(|line| line.contains(&*file.to_string_lossy())).collect();
    let expected = format!("raft: cannot {doing} {}: {error}", file.display());
    assert_eq!(naming, [&expected], "{log:#?}");
    assert_eq!(log.last(), Some(&expected));
}

fn a_failure_ends_the_node(call: &str, error: &str, doing: &str, text: &str) {
    let mut cluster = Cluster::start_new(1, &CALM);
    let mut client = cluster.client(1);
    assert_eq!(ask(&mut client, &["SET", "key", "kept"]), ok());
    let _strace = fail(&mut cluster, 1, call, error);
    if let Ok(reply) = client.call(&["SET", "key", "failed"]) {
        assert!(matches!(reply, Reply::Error(_)), "acknowledged: {reply:?}");
    }
    check_end(&mut cluster, 1, doing, text);

    cluster.start(1);
    let value = cluster.ask(1, &["GET", "key"]);
    assert!(value == bulk("kept") || value == bulk("failed"), "{value:?}");
    assert_eq!(cluster.ask(1, &["SET", "key", "again"]), ok());
}

#[test]
#[ignore = "needs strace"]
fn a_failed_sync_ends_the_node_with_74_and_the_files_name() {
    a_failure_ends_the_node("fdatasync", "EIO", "sync", "Input/output error (os error 5)");
}

#[test]
#[ignore = "needs strace"]
fn a_failed_write_ends_the_node_with_74_and_the_files_name() {
    a_failure_ends_the_node("pwrite64", "EIO", "write", "Input/output error (os error 5)");
}

#[test]
#[ignore = "needs strace"]
fn a_full_disk_ends_the_node_with_74_and_the_files_name() {
    a_failure_ends_the_node("pwrite64", "ENOSPC", "write", "No space left on device (os error 28)");
}

#[test]
#[ignore = "needs strace"]
fn a_leader_whose_disk_fails_is_replaced_and_what_was_acknowledged_is_kept() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let (leader, term) = cluster.leader_after(0);
    for value in 1..=20 {
        assert_eq!(cluster.ask(leader, &["INCR", "hits"]), Reply::Integer(value));
    }
    let mut client = cluster.client(leader);
    let _strace = fail(&mut cluster, leader, "fdatasync", "EIO");
    // The two others may have it on their disks before this one's fails.
    let last = client.call(&["INCR", "hits"]);
    check_end(&mut cluster, leader, "sync", "Input/output error (os error 5)");

    let (next, _) = cluster.leader_after(term);
    let Reply::Integer(hits) = cluster.ask(next, &["INCRBY", "hits", "0"]) else {
        panic!("a number")
    };
    let least = if matches!(last, Ok(Reply::Integer(21))) { 21 } else { 20 };
    assert!((least..=21).contains(&hits), "{hits}, {last:?}");
    cluster.start(leader);
    cluster.caught_up();
    cluster.kill_all();
    assert_eq!(cluster.entries(leader), cluster.entries(next));
}
