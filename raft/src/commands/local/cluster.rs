//! A local cluster's nodes, taken together: starting them, asking how they are, waiting for what
//! they agree on. Must never take a node's word for another's.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use raft::chaos::links::Links;
use raft::client::Client;

use super::founding::{self, Founding, Pace};
use super::guard::Guard;
use super::node::Node;
use super::ports::Ports;
use super::view::View;

/// How often nodes are asked while something is waited for.
const POLL: Duration = Duration::from_millis(2);

/// All nodes, and the guard over them.
#[derive(Debug)]
pub struct Cluster {
    /// Node N is the one at N - 1.
    pub nodes: Vec<Node>,
    /// Over which they talk to each other.
    pub links: Links,
    /// How fast it is.
    pub pace: Pace,
    /// The highest commit index that any node has told.
    committed: u64,
    connections: Vec<Option<Client>>,
    guard: Guard,
    _ports: Ports,
}

impl Cluster {
    /// Founds a cluster in a temporary folder, `within` another if that is given, and starts it.
    pub fn start(founding: Founding, within: Option<&Path>) -> anyhow::Result<Cluster> {
        let guard = Guard::start(within)?;
        let folder = guard.folder().to_owned();
        Cluster::start_under(guard, &folder, founding)
    }

    /// Founds a cluster in a folder that stays, and starts it.
    pub fn start_in(folder: &Path, founding: Founding) -> anyhow::Result<Cluster> {
        Cluster::start_under(Guard::start(None)?, folder, founding)
    }

    fn start_under(guard: Guard, folder: &Path, founding: Founding) -> anyhow::Result<Cluster> {
        let Founding { nodes, absent, pace, .. } = founding;
        let Some(ports) = Ports::claim(nodes) else {
            bail!("no {nodes} free ports in a row; end other clusters on this machine");
        };
        let running = usize::from(nodes - absent);
        let (nodes, links) = founding::found(folder, guard.folder(), ports.first(), &founding)?;
        let connections = nodes.iter().map(|_| None).collect();
        let mut cluster =
            Cluster { nodes, links, pace, committed: 0, connections, guard, _ports: ports };
        for node in cluster.nodes.iter_mut().take(running) {
            node.start(&mut cluster.guard)?;
        }
        cluster.wait_until_all_follow()?;
        Ok(cluster)
    }

    /// The node of this number, from 1.
    pub fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// The temporary folder, which goes when the cluster ends.
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    /// Puts another process under the same guard; it must not have been waited for.
    pub fn watch(&mut self, process: &Child) -> anyhow::Result<()> {
        self.guard.watch(process)
    }

    /// Starts a node that does not run.
    pub fn start_node(&mut self, number: usize) -> anyhow::Result<()> {
        self.connections[number - 1] = None;
        self.nodes[number - 1].start(&mut self.guard)
    }

    /// What every node says, in order; `None` of one that is down, paused or silent.
    pub fn views(&mut self) -> Vec<Option<View>> {
        let pairs = self.nodes.iter().zip(&mut self.connections);
        let views: Vec<_> = pairs
            .map(|(node, connection)| {
                node.is_awake().then(|| View::ask(connection, &node.address)).flatten()
            })
            .collect();
        let committed = views.iter().flatten().map(|view| view.commit).max();
        self.committed = self.committed.max(committed.unwrap_or(0));
        views
    }

    /// Who leads: of several that think so, one that a majority hears, and the one of the highest
    /// term.
    pub fn leader(&mut self) -> Option<(usize, View)> {
        let heard = self.heard();
        let views = self.views().into_iter().enumerate();
        let leaders = views.filter_map(|(at, view)| Some((at + 1, view?)));
        let leaders = leaders.filter(|(_, view)| view.leads());
        leaders.max_by_key(|(number, view)| (heard.contains(number), view.term))
    }

    /// The nodes that are awake and that a majority, themselves included, hears and is heard by.
    pub fn heard(&self) -> Vec<usize> {
        let awake = self.nodes.iter().filter(|node| node.is_awake()).map(|node| node.number);
        let awake: Vec<usize> = awake.collect();
        let connects = |one, other| one == other || self.links.connects(one, other);
        let hears = |node: usize| awake.iter().filter(|other| connects(node, **other)).count();
        awake.iter().copied().filter(|node| hears(*node) >= self.majority()).collect()
    }

    /// How many nodes are awake.
    pub fn awake(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_awake()).count()
    }

    fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// What is known to be committed, by all that was ever told.
    pub fn committed(&mut self) -> u64 {
        self.views();
        self.committed
    }

    /// If nobody can be elected, for too few nodes are awake or hear each other: says so.
    pub fn lacks_majority(&self) -> Option<String> {
        let (awake, all, needed) = (self.awake(), self.nodes.len(), self.majority());
        if awake < needed {
            Some(format!("no leader is possible: {awake} of {all} nodes awake, {needed} needed"))
        } else if self.heard().is_empty() {
            Some(format!(
                "no leader is possible: nowhere do {needed} of {all} nodes hear each other"
            ))
        } else {
            None
        }
    }

    /// Waits until a node that a majority hears leads, and has committed what its log held when it
    /// was first seen to lead. Returns how long after `since` that was.
    pub fn wait_for_leader(&mut self, since: Instant) -> anyhow::Result<(usize, View, Duration)> {
        let end = Instant::now() + self.pace.patience();
        let heard = self.heard();
        let mut seen: Option<(usize, View, Duration)> = None;
        loop {
            match self.leader().filter(|(number, _)| heard.contains(number)) {
                Some((number, view)) => {
                    let same = |known: &&(usize, View, Duration)| {
                        known.0 == number && known.1.term == view.term
                    };
                    let first = seen.as_ref().filter(same).cloned();
                    let first = first.unwrap_or((number, view.clone(), since.elapsed()));
                    if view.commit >= first.1.last {
                        return Ok(first);
                    }
                    seen = Some(first);
                }
                None => seen = None,
            }
            self.wait_a_little(end, "no leader")?;
        }
    }

    /// Waits until every node that is awake and can hear of it has applied the log up to `index`.
    pub fn wait_until_applied(&mut self, index: u64) -> anyhow::Result<()> {
        let end = Instant::now() + self.pace.patience();
        while !self.all_heard(|view| view.applied >= index) {
            self.wait_a_little(end, &format!("not every node has applied entry {index}"))?;
        }
        Ok(())
    }

    /// Waits until one node leads and all others are of its term and have heard from it.
    pub fn wait_until_all_follow(&mut self) -> anyhow::Result<()> {
        let (_, leader, _) = self.wait_for_leader(Instant::now())?;
        let end = Instant::now() + self.pace.patience();
        while !self.all_heard(|view| view.term >= leader.term && view.commit >= leader.last) {
            self.wait_a_little(end, "not every node follows the leader")?;
        }
        Ok(())
    }

    fn all_heard(&mut self, holds: impl Fn(&View) -> bool) -> bool {
        let views = self.views();
        let heard = self.heard();
        let mut pairs = self.nodes.iter().zip(&views);
        pairs.all(|(node, view)| !heard.contains(&node.number) || view.as_ref().is_some_and(&holds))
    }

    /// Fails when a node has died or the time is over.
    fn wait_a_little(&mut self, end: Instant, what: &str) -> anyhow::Result<()> {
        if let Some(obituary) = self.nodes.iter_mut().find_map(Node::ended) {
            bail!(obituary);
        }
        if Instant::now() >= end {
            bail!("{what} after {:.0} s", self.pace.patience().as_secs_f64());
        }
        thread::sleep(POLL);
        Ok(())
    }

    /// Kills these nodes, as near to one moment as can be.
    pub fn kill_at_once(&mut self, numbers: &[usize]) -> anyhow::Result<()> {
        numbers.iter().try_for_each(|number| self.node(*number).shoot())?;
        numbers.iter().try_for_each(|number| self.node(*number).kill())
    }

    /// Kills all nodes and removes the guard's folder.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.kill_at_once(&(1..=self.nodes.len()).collect::<Vec<_>>())?;
        self.guard.release()
    }
}
