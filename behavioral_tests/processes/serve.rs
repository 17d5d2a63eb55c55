//! `raft serve` from outside: what it answers, how it ends, what it refuses to start on.

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::cluster::Info;
use common::{PATIENCE, Ports, Process, init, raft};
use raft::client::{Client, Reply};
use rustix::process::Signal;

/// A founded cluster in a folder of its own.
struct Cluster {
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Cluster {
    fn found(nodes: u16) -> Cluster {
        let ports = Ports::claim();
        let folder = tempfile::tempdir().expect("a folder");
        init(folder.path(), &ports, nodes);
        Cluster { folder, ports }
    }

    /// Of node 1, 2, ...
    fn address(&self, node: u16) -> String {
        self.ports.address(node - 1).to_string()
    }

    fn data(&self, node: u16) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    fn file(&self, node: u16) -> PathBuf {
        self.folder.path().join(format!("n{node}.toml"))
    }

    /// The command that starts a node; its elections are quick where it is alone, and patient where
    /// others on a busy machine are in it.
    fn serve(&self, node: u16) -> Command {
        let mut command = raft();
        let alone = !self.file(2).exists();
        let (heartbeat, election) = if alone { ("20ms", "100ms") } else { ("100ms", "1s") };
        command.env("RAFT_HEARTBEAT", heartbeat).env("RAFT_ELECTION", election);
        command.arg("serve").arg("--config").arg(self.file(node));
        command
    }

    fn start(&self, node: u16) -> Process {
        let mut process = Process::start(&mut self.serve(node));
        process.log_where(|line| line.contains(" ready: "));
        process
    }

    fn client(&self, node: u16) -> Client {
        Client::connect(&self.address(node), PATIENCE).expect("it listens")
    }

    /// Starts a node that cannot run: its exit code and its last line on stderr.
    fn refused(&self, node: u16, more: &[&str]) -> (Option<i32>, String) {
        let mut process = Process::start(self.serve(node).args(more));
        let code = process.exit_code();
        assert_eq!(process.line(), None, "nothing on stdout");
        (code, process.rest_of_log().pop().unwrap_or_default())
    }
}

/// The code, and the last line on stderr.
fn ending(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

/// A command's reply; a cluster without a leader is asked again.
fn ask(client: &mut Client, words: &[&str]) -> Reply {
    let start = Instant::now();
    loop {
        match client.call(words).expect("an answer") {
            Reply::Error(error) if error.starts_with("CLUSTERDOWN") => {
                assert!(start.elapsed() < PATIENCE, "no leader: {error}");
            }
            reply => return reply,
        }
    }
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn a_signal_ends_it_with_0_and_what_was_answered_is_there_again() {
    let cluster = Cluster::found(1);
    for (number, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let mut node = cluster.start(1);
        assert_eq!(ask(&mut cluster.client(1), &["INCR", "starts"]), Reply::Integer(number));
        let idle = cluster.client(1);
        let asked = Instant::now();
        node.signal(signal);
        assert_eq!(node.exit_code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        assert_eq!(node.line(), None, "nothing on stdout");
        drop(idle);
    }
}

#[test]
fn sigkill_loses_nothing_that_was_answered() {
    let cluster = Cluster::found(1);
    let mut answered = 0;
    for _ in 0..3 {
        let mut node = cluster.start(1);
        let mut client = cluster.client(1);
        for _ in 0..20 {
            answered += 1;
            assert_eq!(ask(&mut client, &["INCR", "hits"]), Reply::Integer(answered));
        }
        node.kill();
    }
    let _node = cluster.start(1);
    let expected = bulk(&answered.to_string());
    assert_eq!(ask(&mut cluster.client(1), &["GET", "hits"]), expected);
}

#[test]
fn a_log_line_has_utc_milliseconds_node_term_and_role() {
    let cluster = Cluster::found(1);
    let mut node = Process::start(&mut cluster.serve(1));
    let line = node.log_where(|line| line.contains(" leader in term "));
    let words: Vec<&str> = line.split_whitespace().collect();
    let form: String = words[0].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z");
    assert_eq!(words[1..5], ["INFO", "node=1", "term=1", "role=leader"], "{line}");
}

#[test]
fn log_lines_as_json_are_objects_with_the_same_facts() {
    let cluster = Cluster::found(1);
    let mut node = Process::start(cluster.serve(1).args(["--log-format", "json"]));
    let line = node.log_where(|line| line.contains("leader in term "));
    let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(json["level"], "info");
    assert_eq!(json["node"], "1");
    assert_eq!(json["term"], 1);
    assert_eq!(json["role"], "leader");
    assert!(json["time"].as_str().expect("a time").ends_with('Z'));
}

#[test]
fn a_second_process_on_a_data_folder_exits_73() {
    let cluster = Cluster::found(1);
    let _node = cluster.start(1);
    let (code, line) = cluster.refused(1, &[]);
    let folder = cluster.data(1);
    let expected =
        format!("raft: {} is in use by another process. Stop that one first", folder.display());
    assert_eq!((code, line), (Some(73), expected));

    let output = raft().arg("inspect").arg(&folder).output().expect("it runs");
    assert_eq!(output.status.code(), Some(73));
}

#[test]
fn a_port_in_use_is_named_and_exits_1() {
    let cluster = Cluster::found(1);
    let port = cluster.ports.port(0);
    let clients = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let (code, line) = cluster.refused(1, &[]);
    let expected = format!(
        "raft: cannot listen for clients at 127.0.0.1:{port}: port {port} is in use; stop what listens \
         there, or change client.listen"
    );
    assert_eq!((code, line), (Some(1), expected));
    drop(clients);

    let port = port + 10_000;
    let _peers = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let (code, line) = cluster.refused(1, &[]);
    assert_eq!(code, Some(1));
    assert!(line.contains(&format!("127.0.0.1:{port}: the port is in use")), "{line}");
}

#[test]
fn an_emptied_folder_makes_a_stranger_and_exits_65() {
    let cluster = Cluster::found(1);
    fs::remove_dir_all(cluster.data(1)).expect("a folder");
    fs::create_dir(cluster.data(1)).expect("a folder");
    let (code, line) = cluster.refused(1, &[]);
    assert_eq!(code, Some(65), "{line}");
    assert!(line.contains("is a stranger to its cluster"), "{line}");
    assert!(!cluster.data(1).join("superblock").exists(), "nothing was founded");
}

#[test]
fn a_folder_of_another_node_or_cluster_exits_65() {
    let (cluster, other) = (Cluster::found(3), Cluster::found(3));
    let data = |cluster: &Cluster, node| cluster.data(node).display().to_string();
    for folder in [data(&cluster, 2), data(&other, 1)] {
        let (code, line) = cluster.refused(1, &["--data", &folder]);
        assert_eq!(code, Some(65), "{line}");
        assert!(line.contains(&format!("{folder}/superblock belongs to node ")), "{line}");
    }
}

#[test]
fn other_members_than_at_the_founding_exit_65() {
    let cluster = Cluster::found(1);
    let text = fs::read_to_string(cluster.file(1)).expect("the file");
    let more =
        "[[cluster.members]]\nname = \"2\"\nclient = \"127.0.0.1:7\"\npeer = \"127.0.0.1:8\"\n";
    fs::write(cluster.file(1), format!("{text}{more}")).expect("the file");
    let (code, line) = cluster.refused(1, &[]);
    let expected = format!(
        "raft: {} was founded with the members 1, but the configuration names 1, 2; expected the same",
        cluster.data(1).display()
    );
    assert_eq!((code, line), (Some(65), expected));
}

/// The only file of a new log.
fn log_file(data: &Path) -> PathBuf {
    let paths = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut logs = paths.filter(|path| path.extension().is_some_and(|name| name == "log"));
    logs.next().expect("a log")
}

#[test]
fn a_stopped_nodes_log_can_be_read_and_damage_in_it_exits_65() {
    let cluster = Cluster::found(1);
    let mut node = cluster.start(1);
    let mut client = cluster.client(1);
    for value in ["a b", "2", "3"] {
        assert_eq!(ask(&mut client, &["SET", "key", value]), Reply::Status("OK".into()));
    }
    node.signal(Signal::TERM);
    assert_eq!(node.exit_code(), Some(0));

    let inspect = || raft().arg("inspect").arg(cluster.data(1)).output().expect("it runs");
    let output = inspect();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in ["2@1  SET key \"a b\"", "3@1  SET key 2", "4@1  SET key 3"] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }

    let file = log_file(&cluster.data(1));
    let mut bytes = fs::read(&file).expect("the log");
    let at = bytes.windows(3).position(|part| part == b"a b").expect("the first command");
    bytes[at] ^= 1;
    let mut opened = fs::File::create(&file).expect("the log");
    opened.write_all(&bytes).expect("written");
    let damage = format!("raft: {} is damaged at byte ", file.display());
    let output = inspect();
    assert_eq!(output.status.code(), Some(65));
    let (code, line) = ending(&output);
    assert_eq!(code, Some(65));
    assert!(line.starts_with(&damage), "{line}");
    let (code, line) = cluster.refused(1, &[]);
    assert_eq!(code, Some(65));
    assert!(line.starts_with(&damage), "{line}");
    assert_eq!(fs::read(&file).expect("the log"), bytes, "damage is left as it is");
}

#[test]
fn listening_beyond_this_machine_is_warned_of_once() {
    let cluster = Cluster::found(1);
    let everywhere = format!("0.0.0.0:{}", cluster.ports.port(0));
    let mut node = Process::start(cluster.serve(1).args(["--client-listen", &everywhere]));
    let line = node.log_where(|line| line.contains(" WARN "));
    let expected = format!(
        "listening beyond this machine: clients at {everywhere} need no password; keep others out by \
         other means"
    );
    assert!(line.ends_with(&expected), "{line}");
    let loopback = Cluster::found(1);
    let mut quiet = Process::start(&mut loopback.serve(1));
    let lines =
        quiet.log_where(|line| line.contains(" WARN ") || line.contains(" leader in term "));
    assert!(!lines.contains(" WARN "), "{lines}");
}

fn status(cluster: &Cluster, node: u16) -> serde_json::Value {
    let at = cluster.address(node);
    let output = raft().args(["status", "-o", "json", "--at", &at]).output().expect("it runs");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn any_node_answers_and_status_shows_who_leads_and_what_may_fail() {
    let cluster = Cluster::found(3);
    let mut nodes: Vec<Process> = (1..=3).map(|node| cluster.start(node)).collect();
    for (node, hits) in (1..=3).zip(1..) {
        assert_eq!(ask(&mut cluster.client(node), &["INCR", "hits"]), Reply::Integer(hits));
    }
    let start = Instant::now();
    let whole = loop {
        let status = status(&cluster, 1);
        let matched = |row: &serde_json::Value| row["match"] == row["last"];
        let rows = status["members"].as_array().cloned().unwrap_or_default();
        if status["survives"] == 1 && rows.len() == 3 && rows.iter().all(matched) {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "never whole: {status}");
    };
    let leader = whole["leader"].as_str().expect("a leader");
    let leading: Vec<&str> = whole["members"]
        .as_array()
        .expect("members")
        .iter()
        .filter(|row| row["role"] == "leader")
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(leading, [leader]);

    let follower: u16 = (1..=3).find(|node| node.to_string() != leader).expect("a follower");
    let other: u16 = (1..=3).rfind(|node| node.to_string() != leader).expect("another");
    nodes[usize::from(follower) - 1].kill();
    let start = Instant::now();
    loop {
        let status = status(&cluster, other);
        if status["survives"] == 0 {
            let row = &status["members"][usize::from(follower) - 1];
            assert_eq!(row["role"], "silent", "{status}");
            break;
        }
        assert!(start.elapsed() < PATIENCE, "never noticed: {status}");
    }
    assert_eq!(ask(&mut cluster.client(other), &["INCR", "hits"]), Reply::Integer(4));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::found(3);
    let mut command = cluster.serve(1);
    let mut node = Process::start(command.args(["--client-timeout", "60s"]));
    node.log_where(|line| line.contains(" ready: "));
    let mut waits = cluster.client(1);
    waits.send(&["SET", "a", "1"]).expect("sent"); // alone of three: it waits for a leader
    let mut watches = cluster.client(1);
    let start = Instant::now();
    while Info::ask(&mut watches).number("raft_waiting_clients") == 0 {
        assert!(start.elapsed() < PATIENCE, "the write never came in");
    }
    node.signal(Signal::TERM);
    node.log_where(|line| line.contains("SIGTERM: stopping"));
    node.signal(Signal::TERM);
    let code = node.exit_code();
    let log = node.rest_of_log();
    assert_eq!(code, Some(1), "{log:?}");
    assert!(log.iter().any(|line| line.contains("SIGTERM: ended at once")), "{log:?}");
}
