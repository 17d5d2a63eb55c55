//! A cluster of real processes: founded in a folder of its own, its nodes started, killed, paused and
//! looked at from outside, and everything they ever logged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use raft::client::{Client, Reply};
use rustix::process::Signal;

use super::{PATIENCE, Ports, Process, init, raft};

/// For tests that do not measure elections: a busy machine starts none by itself.
pub const CALM: [(&str, &str); 2] = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "1s")];

/// A founded cluster. Its nodes are 1, 2, ...
pub struct Cluster {
    ports: Ports,
    nodes: Vec<Node>,
    settings: Vec<(&'static str, &'static str)>,
    folder: tempfile::TempDir,
}

#[derive(Default)]
struct Node {
    process: Option<Process>,
    paused: bool,
    settings: Vec<(&'static str, &'static str)>,
    /// What it logged, run after run.
    log: Vec<String>,
}

/// What a node says of itself, under `INFO`.
pub struct Info(BTreeMap<String, String>);

impl Cluster {
    /// Founds one of so many nodes; none is started yet. The settings are variables of the
    /// environment.
    pub fn found(nodes: u16, settings: &[(&'static str, &'static str)]) -> Cluster {
        let ports = Ports::claim();
        let folder = tempfile::tempdir().expect("a folder");
        init(folder.path(), &ports, nodes);
        let nodes = (0..nodes).map(|_| Node::default()).collect();
        Cluster { ports, nodes, settings: settings.to_vec(), folder }
    }

    /// Founds one, starts all nodes, and waits for a leader.
    pub fn start_new(nodes: u16, settings: &[(&'static str, &'static str)]) -> Cluster {
        let mut cluster = Cluster::found(nodes, settings);
        cluster.start_all();
        cluster.leader();
        cluster
    }

    /// All nodes.
    pub fn all(&self) -> Vec<u16> {
        (1..=self.nodes.len() as u16).collect()
    }

    /// All nodes but this one.
    pub fn others(&self, node: u16) -> Vec<u16> {
        self.all().into_iter().filter(|other| *other != node).collect()
    }

    /// Nodes that run and are not paused.
    pub fn awake(&self) -> Vec<u16> {
        let awake = |node: &u16| self.node(*node).process.is_some() && !self.node(*node).paused;
        self.all().into_iter().filter(awake).collect()
    }

    /// From its next start on, this node has a setting of its own.
    pub fn set(&mut self, node: u16, variable: &'static str, value: &'static str) {
        self.node_mut(node).settings.push((variable, value));
    }

    /// Where clients reach a node.
    pub fn address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports.port(node - 1))
    }

    /// Where peers reach a node.
    pub fn peer_address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports.port(node - 1) + 10_000)
    }

    /// A node's data folder.
    pub fn data(&self, node: u16) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    /// Starts a node and waits until it listens.
    pub fn start(&mut self, node: u16) {
        let mut command = raft();
        command.envs(self.settings.iter().copied());
        command.envs(self.node(node).settings.iter().copied());
        let file = self.folder.path().join(format!("n{node}.toml"));
        command.arg("serve").arg("--config").arg(file);
        let mut process = Process::start(&mut command);
        process.log_where(|line| line.contains(" ready: "));
        let node = self.node_mut(node);
        assert!(node.process.replace(process).is_none(), "it runs already");
        node.paused = false;
    }

    /// Starts all nodes that do not run.
    pub fn start_all(&mut self) {
        for node in self.all() {
            if self.node(node).process.is_none() {
                self.start(node);
            }
        }
    }

    /// The node's process, which runs.
    pub fn process(&mut self, node: u16) -> &mut Process {
        self.node_mut(node).process.as_mut().expect("it runs")
    }

    /// SIGKILL.
    pub fn kill(&mut self, node: u16) {
        self.kill_at_once(&[node]);
    }

    /// SIGKILL for several nodes, as near to one moment as can be.
    pub fn kill_at_once(&mut self, nodes: &[u16]) {
        for node in nodes {
            self.signal(*node, Signal::KILL);
        }
        for node in nodes {
            self.process(*node).kill();
            self.gather(*node);
        }
    }

    /// SIGKILL for all nodes that run.
    pub fn kill_all(&mut self) {
        let running = self.all().into_iter().filter(|node| self.node(*node).process.is_some());
        let running: Vec<u16> = running.collect();
        self.kill_at_once(&running);
    }

    /// Waits for a node's end; its exit code.
    pub fn exit_code(&mut self, node: u16) -> Option<i32> {
        let code = self.process(node).exit_code();
        self.gather(node);
        code
    }

    /// SIGSTOP.
    pub fn pause(&mut self, node: u16) {
        self.signal(node, Signal::STOP);
        self.node_mut(node).paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: u16) {
        self.node_mut(node).paused = false;
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: u16, signal: Signal) {
        self.node(node).process.as_ref().expect("it runs").signal(signal);
    }

    /// The process has ended: keeps what it logged.
    fn gather(&mut self, node: u16) {
        let node = self.node_mut(node);
        let mut process = node.process.take().expect("it ran");
        node.log.extend(process.whole_log());
        node.paused = false;
    }

    /// All that a node has logged so far, run after run.
    pub fn log(&mut self, node: u16) -> Vec<String> {
        let node = self.node_mut(node);
        let mut log = node.log.clone();
        if let Some(process) = &mut node.process {
            log.extend_from_slice(process.log_so_far());
        }
        log
    }

    /// A connection to a node.
    pub fn client(&self, node: u16) -> Client {
        Client::connect(&self.address(node), PATIENCE).expect("it listens")
    }

    /// What a node says of itself.
    pub fn info(&self, node: u16) -> Info {
        Info::ask(&mut self.client(node))
    }

    /// A node's `RAFT.STATUS`.
    pub fn status(&self, node: u16) -> serde_json::Value {
        let reply = self.client(node).call(&["RAFT.STATUS"]).expect("an answer");
        serde_json::from_slice(&bytes(reply)).expect("JSON")
    }

    /// How far a leader's log is on its own disk; `None` if it does not lead.
    pub fn durable(&self, leader: u16) -> Option<u64> {
        self.status(leader)["members"][usize::from(leader) - 1]["match"].as_u64()
    }

    /// Waits for a leader that a majority of all nodes knows, itself included.
    pub fn leader(&self) -> u16 {
        self.leader_after(0).0
    }

    /// Waits for a leader of a later term that a majority of all nodes knows; the leader, its term.
    pub fn leader_after(&self, term: u64) -> (u16, u64) {
        await_some("a leader", || {
            let mut views = BTreeMap::new();
            for node in self.awake() {
                let info = self.info(node);
                let view = (info.leader()?, info.number("raft_term"));
                *views.entry(view).or_insert(0) += 1;
            }
            let majority = self.nodes.len() / 2 + 1;
            let known = |((leader, of_term), count): &((u16, u64), usize)| {
                *count >= majority && *of_term > term && self.awake().contains(leader)
            };
            views.into_iter().find(known).map(|(view, _)| view)
        })
    }

    /// A command's reply from this node; a refusal that certainly had no effect is asked again.
    pub fn ask(&self, node: u16, words: &[&str]) -> Reply {
        ask(&mut self.client(node), words)
    }

    /// Waits until all nodes that are awake have applied, and hold durably, all of the leader's log;
    /// where it ends.
    pub fn caught_up(&self) -> u64 {
        await_some("all nodes up to date", || {
            let (leader, _) = self.leader_after(0);
            let last = self.info(leader).number("raft_last_index");
            let awake = self.awake();
            let applied = |node: &u16| {
                let info = self.info(*node);
                info.number("raft_applied_index") == last
                    && info.number("raft_last_index") == last
                    && info.leader() == Some(leader)
            };
            let names: BTreeSet<String> = awake.iter().map(u16::to_string).collect();
            let status = self.status(leader);
            let rows = status["members"].as_array()?.iter();
            let matched = rows
                .filter(|row| row["name"].as_str().is_some_and(|name| names.contains(name)))
                .all(|row| row["match"] == last);
            (matched && awake.iter().all(applied)).then_some(last)
        })
    }

    /// The log of a node that does not run: `5@3  SET a 1`, one line an entry.
    pub fn entries(&self, node: u16) -> Vec<String> {
        let output = raft().arg("inspect").arg(self.data(node)).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "node {node}: {text}");
        let is_entry = |line: &&str| {
            line.split_once("  ").is_some_and(|(position, _)| {
                position.split_once('@').is_some_and(|(index, _)| index.parse::<u64>().is_ok())
            })
        };
        text.lines().filter(is_entry).map(str::to_owned).collect()
    }

    fn node(&self, node: u16) -> &Node {
        &self.nodes[usize::from(node) - 1]
    }

    fn node_mut(&mut self, node: u16) -> &mut Node {
        &mut self.nodes[usize::from(node) - 1]
    }
}

/// A failed test tells what the nodes saw.
impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for node in self.all() {
                let log = self.log(node);
                let shown = &log[log.len().saturating_sub(40)..];
                eprintln!("node {node}:\n{}", shown.join("\n"));
            }
        }
    }
}

impl Info {
    /// Over this connection.
    pub fn ask(client: &mut Client) -> Info {
        let text = bytes(client.call(&["INFO"]).expect("an answer"));
        let text = String::from_utf8(text).expect("text");
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Info(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A field.
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("no field {field}: {:?}", self.0))
    }

    /// A field that is a number.
    pub fn number(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or_else(|_| panic!("{field}: {}", self.text(field)))
    }

    /// Who leads, as far as the node knows.
    pub fn leader(&self) -> Option<u16> {
        self.text("raft_leader").parse().ok()
    }
}

/// Waits until `look` finds something.
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A command's reply; a refusal that certainly had no effect is asked again.
pub fn ask(client: &mut Client, words: &[&str]) -> Reply {
    let start = Instant::now();
    loop {
        let reply = client.call(words).expect("an answer");
        if !is_refused(&reply) {
            return reply;
        }
        assert!(start.elapsed() < PATIENCE, "refused all the time: {reply:?}");
    }
}

/// Whether the reply says that the request certainly has no effect and may be sent again.
pub fn is_refused(reply: &Reply) -> bool {
    begins_with(reply, "CLUSTERDOWN") || begins_with(reply, "TRYAGAIN")
}

/// Whether nobody may know what became of the request.
pub fn is_uncertain(reply: &Reply) -> bool {
    begins_with(reply, "UNCERTAIN")
}

fn begins_with(reply: &Reply, word: &str) -> bool {
    matches!(reply, Reply::Error(error) if error.split(' ').next() == Some(word))
}

/// The usual reply of `SET`.
pub fn ok() -> Reply {
    Reply::Status("OK".into())
}

/// A reply that is this text.
pub fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn bytes(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes,
        other => panic!("no string: {other:?}"),
    }
}
