//! The seed's demonstration: three terminals, one shared counter, and a leader that is killed.

mod common;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use common::{Ports, Process, raft};
use rustix::process::Signal;

/// A line about the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    node: u16,
    role: String,
    value: i64,
}

fn told(line: &str) -> Option<Told> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [node, "term", _, role, "counter", "=", value] = words[..] else { return None };
    let (node, value) = (node.parse().ok()?, value.parse().ok()?);
    Some(Told { node, role: role.to_owned(), value })
}

/// Fast enough for a test, slow enough that a value is still being told when the next comes.
const FAST: [&str; 2] = ["--every", "50ms"];

fn run(folder: &Path, port: u16, peers: &[u16], more: &[&str]) -> Command {
    let mut command = raft();
    command.arg("run").arg(port.to_string()).args(peers.iter().map(u16::to_string));
    command.args(more).current_dir(folder);
    command
}

fn next_told(process: &mut Process) -> Told {
    told(&process.line_where(|line| told(line).is_some())).expect("just seen")
}

/// Reads on until the counter is at `value` or above.
fn reach(process: &mut Process, value: i64) -> Told {
    loop {
        let told = next_told(process);
        if told.value >= value {
            return told;
        }
    }
}

/// No value is lost and none is repeated.
fn check_sequence(process: &Process) {
    let values: Vec<i64> =
        process.lines_read().iter().filter_map(|line| told(line)).map(|told| told.value).collect();
    let expected: Vec<i64> = (values[0]..).take(values.len()).collect();
    assert_eq!(values, expected, "{:#?}", process.lines_read());
}

#[test]
fn a_counter_in_three_terminals() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let all = [ports.port(0), ports.port(1), ports.port(2)];
    let others = |at: usize| [all[(at + 1) % 3], all[(at + 2) % 3]];
    let start = |at: usize| Process::start(&mut run(folder.path(), all[at], &others(at), &FAST));
    let mut nodes: Vec<Process> = (0..3).map(start).collect();

    let first = nodes[0].line().expect("a first line");
    assert_eq!(
        first,
        "demonstration: adds 1 to 'counter' every 50 ms; for a service use raft serve"
    );
    let second = nodes[0].line().expect("a second line");
    assert!(second.contains(&format!("kill -9 {}", nodes[0].pid())), "{second}");

    let reached: Vec<Told> = nodes.iter_mut().map(|node| reach(node, 5)).collect();
    for (told, port) in reached.iter().zip(all) {
        assert_eq!(told.node, port);
    }
    let leaders: Vec<usize> = (0..3).filter(|at| reached[*at].role == "leader").collect();
    let [leader] = leaders[..] else { panic!("one leader: {reached:?}") };

    nodes[leader].kill();
    while nodes[leader].line().is_some() {}
    let last = nodes[leader].lines_read().iter().rev().find_map(|line| told(line));
    let last = last.expect("it told").value;
    let survivors = [(leader + 1) % 3, (leader + 2) % 3];
    for at in survivors {
        reach(&mut nodes[at], last + 5);
    }
    let goes_on = next_told(&mut nodes[survivors[0]]).value;

    check_sequence(&nodes[leader]);
    nodes[leader] = start(leader);
    let again = next_told(&mut nodes[leader]);
    assert!(again.value >= last, "what it told was kept: {again:?}, {last}");
    reach(&mut nodes[leader], goes_on + 5);
    for at in survivors {
        reach(&mut nodes[at], goes_on + 5);
    }

    for node in &mut nodes {
        node.signal(Signal::INT);
        assert_eq!(node.exit_code(), Some(0));
        while node.line().is_some() {}
        check_sequence(node);
    }
}

#[test]
fn every_value_is_told_when_many_come_at_once() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let (own, never) = (ports.port(0), ["--every", "0"]);
    let mut node = Process::start(&mut run(folder.path(), own, &[], &never));
    assert_eq!(next_told(&mut node).value, 0);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, own)).expect("it listens");
    client.write_all("INCR counter\r\n".repeat(50).as_bytes()).expect("it reads");
    reach(&mut node, 50);
    check_sequence(&node);
}

#[test]
fn a_cluster_of_one_goes_on_where_it_was() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Process::start(&mut run(folder.path(), ports.port(0), &[], &FAST));
    let reached = reach(&mut node, 3).value;
    node.kill();
    let mut node = Process::start(&mut run(
        folder.path(),
        ports.port(0),
        &[],
        &["--by", "10", "--every", "50ms"],
    ));
    let told = next_told(&mut node);
    assert!(told.value >= reached, "{told:?}");
    assert_eq!(next_told(&mut node).value, told.value + 10);
    node.signal(Signal::TERM);
    assert_eq!(node.exit_code(), Some(0));

    let data = folder.path().join("raft-data").join(ports.port(0).to_string());
    fs::write(data.join("notes"), "not of raft").expect("a file");
    let mut node =
        Process::start(&mut run(folder.path(), ports.port(0), &[], &["--fresh", "--every", "0"]));
    node.line_where(|line| line.starts_with("--fresh: begins anew"));
    assert_eq!(next_told(&mut node).value, 0);
    assert!(data.join("notes").exists(), "it removes nothing but its own");
}

#[test]
fn a_folder_of_other_ports_is_refused() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let (own, peer) = (ports.port(0), ports.port(1));
    let mut node = Process::start(&mut run(folder.path(), own, &[], &FAST));
    next_told(&mut node);
    node.kill();
    let mut refused = Process::start(&mut run(folder.path(), own, &[peer], &FAST));
    assert_eq!(refused.exit_code(), Some(65));
    let error = refused.errors().join("\n");
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in [format!("{own}"), format!("{own} {peer}")] {
        assert!(error.contains(&part), "{part}: {error}");
    }
}

#[test]
fn a_folder_of_a_service_is_never_emptied() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let members = format!("127.0.0.1:{}", ports.port(0));
    let mut init = raft();
    init.args(["init", "cluster", "--members", &members]).current_dir(folder.path());
    assert!(init.output().expect("the program starts").status.success());
    let more = ["--fresh", "--data", "cluster/n1"];
    let mut refused = Process::start(&mut run(folder.path(), ports.port(1), &[], &more));
    assert_eq!(refused.exit_code(), Some(65));
    let mut inspect = raft();
    inspect.args(["inspect", "cluster/n1"]).current_dir(folder.path());
    assert!(inspect.output().expect("the program starts").status.success());
}
