//! A founded cluster's processes, `raft serve` each, for tools and tests that see them from outside.
//! Must never leave one behind: each ends with the thread that started it, however that ends.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use raft::client::{Client, Reply};
use raft::config::KEYS;
use rustix::process::{Pid, Signal, kill_process};

/// How long a cluster of living nodes may go without a leader or an answer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions to a cluster without a leader.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How many of a dead node's last words are shown.
const LAST_WORDS: usize = 3;

/// What a cluster is founded of.
#[derive(Clone, Copy, Debug)]
pub struct Founding<'a> {
    /// The program `raft`.
    pub program: &'a Path,
    /// Where the cluster is founded, and where each node's stderr goes.
    pub folder: &'a Path,
    /// Where clients reach each node, `HOST:PORT`; peers' ports are these + 10000.
    pub addresses: &'a [String],
    /// Settings of all nodes: variables of the environment and their values.
    pub settings: &'a [(&'static str, &'static str)],
}

/// How one start of a node differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// More arguments of `raft serve`.
    pub arguments: Vec<OsString>,
    /// More variables of the environment.
    pub variables: Vec<(&'static str, OsString)>,
}

/// A founded cluster. Its nodes are 0, 1, ...; people call them 1, 2, ...
#[derive(Debug)]
pub struct Nodes {
    program: PathBuf,
    folder: PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    address: String,
    configuration: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Nodes {
    /// Founds the cluster; no node runs yet.
    ///
    /// # Errors
    /// `raft init` cannot be run or failed.
    pub fn found(founding: &Founding) -> Result<Nodes> {
        let Founding { program, folder, addresses, settings } = *founding;
        let mut init = Command::new(program);
        init.arg("init").arg(folder).arg("--members").arg(addresses.join(","));
        let output = init.output();
        let output = output.with_context(|| format!("cannot run {}", program.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "raft init failed: {}", errors.trim());
        let nodes = addresses.iter().zip(1..).map(|(address, number)| Node {
            address: address.clone(),
            configuration: folder.join(format!("n{number}.toml")),
            log: folder.join(format!("n{number}.stderr")),
            process: None,
        });
        Ok(Nodes {
            nodes: nodes.collect(),
            program: program.to_owned(),
            folder: folder.to_owned(),
            settings: settings.to_vec(),
        })
    }

    /// How many nodes the cluster has.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node's configuration file.
    pub fn configuration(&self, node: usize) -> &Path {
        &self.nodes[node].configuration
    }

    /// From its next start on, a node has another configuration file.
    pub fn configure(&mut self, node: usize, file: PathBuf) {
        self.nodes[node].configuration = file;
    }

    /// A node's data folder.
    pub fn data(&self, node: usize) -> PathBuf {
        self.folder.join(format!("n{}", node + 1))
    }

    /// The file of all that a node logs.
    pub fn log(&self, node: usize) -> &Path {
        &self.nodes[node].log
    }

    /// Starts all nodes.
    ///
    /// # Errors
    /// As [`Nodes::start`].
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.start(node, &Changes::default()))
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// The process cannot be started, or its log not written.
    pub fn start(&mut self, node: usize, changes: &Changes) -> Result<()> {
        let mut serve = self.serve(node);
        serve.args(&changes.arguments).envs(changes.variables.iter().cloned());
        let Node { log, process, .. } = &mut self.nodes[node];
        assert!(process.is_none(), "one process a node");
        let file = File::options().create(true).append(true).open(&log);
        serve.stderr(file.with_context(|| format!("cannot write {}", log.display()))?);
        *process = Some(serve.spawn().context("cannot start a node")?);
        Ok(())
    }

    fn serve(&self, node: usize) -> Command {
        let mut serve = Command::new(&self.program);
        for key in KEYS {
            serve.env_remove(key.variable()); // what is set outside is not for these nodes
        }
        serve.envs(self.settings.iter().copied());
        serve.arg("serve").arg("--config").arg(self.configuration(node));
        serve.arg("--guarded").arg(std::process::id().to_string());
        serve.stdin(Stdio::null()).stdout(Stdio::null());
        serve
    }

    /// The process of a node that was started and not seen to end.
    pub fn pid(&self, node: usize) -> Option<u32> {
        self.nodes[node].process.as_ref().map(Child::id)
    }

    /// Sends a signal to a node, if it runs.
    pub fn signal(&self, node: usize, signal: Signal) {
        if let Some(process) = &self.nodes[node].process {
            kill_process(Pid::from_child(process), signal)
                .expect("a child that was not waited for");
        }
    }

    /// How a node has ended that was started, if it has; told once.
    pub fn ended(&mut self, node: usize) -> Option<ExitStatus> {
        let process = &mut self.nodes[node].process;
        let status = process.as_mut()?.try_wait().expect("a child")?;
        *process = None;
        Some(status)
    }

    /// Waits so long for the end of a node that runs; how it ended.
    pub fn await_end(&mut self, node: usize, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while self.nodes[node].process.is_some() && start.elapsed() < patience {
            if let Some(status) = self.ended(node) {
                return Some(status);
            }
            thread::sleep(LOOK);
        }
        None
    }

    /// SIGKILL, and waits for the end; how it ended, if it ran.
    pub fn kill(&mut self, node: usize) -> Option<ExitStatus> {
        self.nodes[node].signal_death();
        self.nodes[node].bury()
    }

    /// SIGKILL to all that run before any of them is waited for.
    pub fn kill_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::signal_death);
        for node in &mut self.nodes {
            node.bury();
        }
    }

    /// The same, but one is spared.
    pub fn kill_all_but(&mut self, spared: usize) {
        let process = self.nodes[spared].process.take();
        self.kill_all();
        self.nodes[spared].process = process;
    }

    /// An error if a node has ended that nobody killed.
    pub fn check_alive(&mut self) -> Result<()> {
        for node in 0..self.nodes.len() {
            if let Some(status) = self.ended(node) {
                let words = self.last_words(node);
                bail!("node {} has ended by itself ({status})\n{words}", node + 1);
            }
        }
        Ok(())
    }

    /// The last lines that a node logged.
    pub fn last_words(&self, node: usize) -> String {
        let log = fs::read(&self.nodes[node].log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    /// The node that leads now, by its own word; of several the one of the highest term. Each node
    /// is given so much time to answer.
    pub fn leading(&self, patience: Duration) -> Option<usize> {
        let terms = self.nodes.iter().map(|node| node.term_led(patience)).enumerate();
        terms.filter_map(|(node, term)| Some((term?, node))).max().map(|(_, node)| node)
    }

    /// The node that leads, as [`Nodes::leading`]; waits for one.
    pub fn leader(&mut self) -> Result<usize> {
        let start = Instant::now();
        loop {
            if let Some(node) = self.leading(PATIENCE) {
                return Ok(node);
            }
            self.check_alive()?;
            ensure!(start.elapsed() < PATIENCE, "no node leads for {PATIENCE:?}");
            thread::sleep(PAUSE);
        }
    }

    /// The number at a key, read through each node, one after the other.
    pub fn read_everywhere(&mut self, key: &str) -> Result<Vec<i64>> {
        let start = Instant::now();
        let mut values = Vec::new();
        while values.len() < self.nodes.len() {
            let node = &self.nodes[values.len()];
            if let Some(value) = node.read(key)? {
                values.push(value);
                continue;
            }
            self.check_alive()?;
            ensure!(start.elapsed() < PATIENCE, "{key} cannot be read for {PATIENCE:?}");
            thread::sleep(PAUSE);
        }
        Ok(values)
    }
}

impl Node {
    fn signal_death(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().expect("a child that was not waited for");
        }
    }

    fn bury(&mut self) -> Option<ExitStatus> {
        Some(self.process.take()?.wait().expect("a child"))
    }

    /// The term in which it leads.
    fn term_led(&self, patience: Duration) -> Option<u64> {
        let reply = self.ask(&["INFO", "raft"], patience)?;
        let Reply::Bulk(text) = reply else { return None };
        let text = String::from_utf8(text).ok()?;
        let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
        (*fields.get("raft_role")? == "leader").then(|| fields.get("raft_term")?.parse().ok())?
    }

    fn read(&self, key: &str) -> Result<Option<i64>> {
        match self.ask(&["GET", key], PATIENCE) {
            Some(Reply::Bulk(value)) => Ok(Some(String::from_utf8(value)?.parse()?)),
            Some(Reply::Nil) => Ok(Some(0)),
            Some(Reply::Error(error)) if error.starts_with("CLUSTERDOWN") => Ok(None),
            Some(other) => bail!("{}: GET {key} was answered by {other:?}", self.address),
            None => Ok(None),
        }
    }

    fn ask(&self, words: &[&str], patience: Duration) -> Option<Reply> {
        self.process.as_ref()?;
        Client::connect(&self.address, patience).ok()?.call(words).ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal_death();
        self.bury();
    }
}
