//! The cluster's processes, `raft serve` each. Must never leave one behind: each ends with the thread
//! that started it, however that ends.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use raft::client::{Client, Reply};
use raft::config::KEYS;

use super::{PATIENCE, Plan};

/// Between two questions to a cluster without a leader.
const PAUSE: Duration = Duration::from_millis(20);
/// How many of a dead node's last words are shown.
const LAST_WORDS: usize = 3;

/// A founded cluster.
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    address: String,
    log: PathBuf,
    serve: Command,
    process: Option<Child>,
}

impl Nodes {
    /// Founds the cluster; no node runs yet.
    pub fn found(plan: &Plan) -> Result<Nodes> {
        let mut init = Command::new(&plan.program);
        init.arg("init").arg(&plan.folder).arg("--members").arg(plan.addresses.join(","));
        let output = init.output();
        let output = output.with_context(|| format!("cannot run {}", plan.program.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "raft init failed: {}", errors.trim());
        let nodes = plan.addresses.iter().zip(1..).map(|(address, number)| Node {
            address: address.clone(),
            log: plan.folder.join(format!("n{number}.stderr")),
            serve: serve(plan, &plan.folder.join(format!("n{number}.toml"))),
            process: None,
        });
        Ok(Nodes { nodes: nodes.collect() })
    }

    /// Starts all nodes.
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.start(node))
    }

    /// Starts a node, the first is 0.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let Node { log, serve, process, .. } = &mut self.nodes[node];
        assert!(process.is_none(), "one process a node");
        let file = File::options().create(true).append(true).open(&log);
        serve.stderr(file.with_context(|| format!("cannot write {}", log.display()))?);
        *process = Some(serve.spawn().context("cannot start a node")?);
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].signal_death();
        self.nodes[node].bury();
    }

    /// SIGKILL to all that run before any of them is waited for.
    pub fn kill_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::signal_death);
        self.nodes.iter_mut().for_each(Node::bury);
    }

    /// The same, but one is spared.
    pub fn kill_all_but(&mut self, spared: usize) {
        let process = self.nodes[spared].process.take();
        self.kill_all();
        self.nodes[spared].process = process;
    }

    /// An error if a node has ended that nobody killed.
    pub fn check_alive(&mut self) -> Result<()> {
        for (node, number) in self.nodes.iter_mut().zip(1..) {
            if let Some(process) = &mut node.process
                && let Some(status) = process.try_wait()?
            {
                node.process = None;
                bail!("node {number} has ended by itself ({status})\n{}", last_words(&node.log));
            }
        }
        Ok(())
    }

    /// The node that leads, by its own word; of several the one of the highest term.
    pub fn leader(&mut self) -> Result<usize> {
        let start = Instant::now();
        loop {
            let terms = self.nodes.iter().map(Node::term_led).enumerate();
            let leading = terms.filter_map(|(node, term)| Some((term?, node)));
            if let Some((_, node)) = leading.max() {
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

    fn bury(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().expect("a child");
        }
    }

    /// The term in which it leads.
    fn term_led(&self) -> Option<u64> {
        let reply = self.ask(&["INFO", "raft"])?;
        let Reply::Bulk(text) = reply else { return None };
        let text = String::from_utf8(text).ok()?;
        let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
        (*fields.get("raft_role")? == "leader").then(|| fields.get("raft_term")?.parse().ok())?
    }

    fn read(&self, key: &str) -> Result<Option<i64>> {
        match self.ask(&["GET", key]) {
            Some(Reply::Bulk(value)) => Ok(Some(String::from_utf8(value)?.parse()?)),
            Some(Reply::Nil) => Ok(Some(0)),
            Some(Reply::Error(error)) if error.starts_with("CLUSTERDOWN") => Ok(None),
            Some(other) => bail!("{}: GET {key} was answered by {other:?}", self.address),
            None => Ok(None),
        }
    }

    fn ask(&self, words: &[&str]) -> Option<Reply> {
        self.process.as_ref()?;
        Client::connect(&self.address, PATIENCE).ok()?.call(words).ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal_death();
        self.bury();
    }
}

fn serve(plan: &Plan, config: &Path) -> Command {
    let mut serve = Command::new(&plan.program);
    for key in KEYS {
        serve.env_remove(key.variable()); // what is set outside is not for these nodes
    }
    serve.envs(plan.settings.iter().copied()).arg("serve").arg("--config").arg(config);
    serve.arg("--guarded").arg(std::process::id().to_string());
    serve.stdin(Stdio::null()).stdout(Stdio::null());
    serve
}

fn last_words(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}
