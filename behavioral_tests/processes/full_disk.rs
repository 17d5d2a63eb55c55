//! A disk without room under running nodes: each keeps its data on a file system of 64 MiB, most of
//! which a ballast file takes until it is removed. Mounting needs a namespace of its own, in which each
//! test here runs itself again; without the right to make one it fails.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::cluster::{CALM, Cluster, ask, await_some, ok};
use raft::client::{Client, Reply};

/// Set in the namespace: where temporary files go.
const INSIDE: &str = "RAFT_TEST_INSIDE";
/// Bytes of each node's file system.
const SIZE: u64 = 64 << 20;
/// What the ballast leaves: the segments that there are, and one or two.
const LEFT: u64 = 12 << 20;
const VALUE: usize = 60_000;

/// Runs this very test in a namespace where it may mount; whether it is there already.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--kill-child", "--fork", "--"]);
    command.arg(std::env::current_exe().expect("a test"));
    command.args(["--exact", test, "--include-ignored", "--nocapture"]);
    command.env(INSIDE, "1").env("TMPDIR", folder.path());
    let status = command.status().expect("unshare runs");
    assert!(status.success(), "{test}: {status}: it fails, or may not make user namespaces");
    false
}

/// Founds a cluster, each node's data on a file system of its own.
fn found(nodes: u16) -> Cluster {
    let settings = [CALM[0], CALM[1], ("RAFT_STORAGE_SEGMENT", "4MiB")];
    let cluster = Cluster::found(nodes, &settings);
    for node in cluster.all() {
        let data = cluster.data(node);
        let founded = fs::read_dir(&data).expect("a folder").map(|file| file.expect("a file"));
        let founded: Vec<(PathBuf, Vec<u8>)> =
            founded.map(|file| (file.path(), fs::read(file.path()).expect("readable"))).collect();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(&data);
        assert!(mount.status().expect("mount runs").success(), "mounted");
        for (path, bytes) in founded {
            fs::write(path, bytes).expect("room");
        }
    }
    cluster
}

/// Takes all room on the node's disk but for `LEFT`.
fn fill(cluster: &Cluster, node: u16) -> PathBuf {
    let data = cluster.data(node);
    let files = fs::read_dir(&data).expect("a folder").map(|file| file.expect("a file"));
    let used: u64 = files.map(|file| file.metadata().expect("a file").len()).sum();
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; (SIZE - LEFT - used) as usize]).expect("room");
    ballast
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

fn set(client: &mut Client, number: usize) -> Reply {
    let value = format!("{number:0width$}", width = VALUE);
    ask(client, &["SET", &key(number), &value])
}

fn check(client: &mut Client, number: usize) {
    let Reply::Bulk(value) = ask(client, &["GET", &key(number)]) else { panic!("it was kept") };
    assert_eq!(String::from_utf8(value).unwrap().parse(), Ok(number));
}

fn is_oom(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("OOM "))
}

/// "Writes refused with `OOM`, reads served, ... recovers by itself when space returns; nothing
/// acknowledged is lost."
#[test]
#[ignore = "needs the right to mount"]
fn a_cluster_of_one_refuses_writes_while_its_disk_is_full() {
    if !is_inside("a_cluster_of_one_refuses_writes_while_its_disk_is_full") {
        return;
    }
    let mut cluster = found(1);
    cluster.start_all();
    let ballast = fill(&cluster, 1);
    let mut client = cluster.client(1);
    let acknowledged = (0..).find(|number| set(&mut client, *number) != ok()).expect("an end");
    assert!(is_oom(&set(&mut client, acknowledged)), "refused, and not uncertain");
    assert!((20..LEFT as usize / VALUE + 64).contains(&acknowledged), "{acknowledged} values");
    assert_eq!(cluster.info(1).number("raft_disk_full"), 1);
    check(&mut client, 0);
    check(&mut client, acknowledged - 1);
    assert_eq!(ask(&mut client, &["EXISTS", &key(acknowledged)]), Reply::Integer(0));

    cluster.kill(1);
    cluster.start(1);
    let mut client = cluster.client(1);
    (0..acknowledged).for_each(|number| check(&mut client, number));
    await_some("it has found its disk full", || {
        is_oom(&set(&mut client, acknowledged)).then_some(())
    });

    fs::remove_file(ballast).expect("it is there");
    await_some("writes are served", || (set(&mut client, acknowledged) == ok()).then_some(()));
    (0..=acknowledged).for_each(|number| check(&mut client, number));
    assert_eq!(cluster.info(1).number("raft_disk_full"), 0);
}

/// "Leadership handed over or given up": the leader of three has no room, another leads, and writes go
/// on without it; when space returns it catches up.
#[test]
#[ignore = "needs the right to mount"]
fn a_leader_whose_disk_is_full_lets_another_lead_and_catches_up() {
    if !is_inside("a_leader_whose_disk_is_full_lets_another_lead_and_catches_up") {
        return;
    }
    let mut cluster = found(3);
    cluster.start_all();
    let (full, term) = cluster.leader_after(0);
    let ballast = fill(&cluster, full);
    let mut client = cluster.client(cluster.others(full)[0]);
    let mut numbers = 0..;
    let mut acknowledged = BTreeSet::new();
    let mut refused = 0;
    while cluster.info(full).leader() == Some(full) {
        let number = numbers.next().expect("endless");
        assert!(number < 1_000, "it goes on leading without room");
        match set(&mut client, number) {
            reply if reply == ok() => drop(acknowledged.insert(number)),
            reply => refused += usize::from(is_oom(&reply)),
        }
    }
    let (next, _) = cluster.leader_after(term);
    assert_ne!(next, full);
    for number in numbers.take(60) {
        assert_eq!(set(&mut client, number), ok(), "a majority has room");
        acknowledged.insert(number);
    }
    let behind = cluster.info(full).number("raft_last_index");
    assert!(behind < cluster.info(next).number("raft_last_index"), "it does not append");
    println!("{} writes acknowledged, {refused} refused", acknowledged.len());

    fs::remove_file(ballast).expect("it is there");
    cluster.caught_up();
    acknowledged.iter().for_each(|number| check(&mut client, *number));
    cluster.kill_all();
    let logs: Vec<_> = cluster.all().iter().map(|node| cluster.entries(*node)).collect();
    for log in &logs {
        let shared = log.len().min(logs[0].len());
        assert_eq!(log[log.len() - shared..], logs[0][logs[0].len() - shared..]);
    }
}
