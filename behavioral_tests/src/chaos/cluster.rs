//! The cluster as its faults see it: what is done to each node, and whether that explains how it
//! ended. Must never overlook an end that no fault explains, and never a panic.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use raft::chaos::configuration;
use raft::chaos::faults::Victims;
use raft::chaos::history::History;
use raft::chaos::links::Links;
use raft::exit::STORAGE;
use rustix::process::Signal;

use super::clock::Clock;
use super::filler::Filler;
use super::kinds::{CLOCKS, DISK_FAILS, DISK_FULL, DISK_SLOW};
use super::small_disk::SmallDisk;
use super::strace::{Strace, Syncs};
use crate::nodes::{Changes, Founding, Nodes};

/// A node that is told to stop has ended by then.
const STOP: Duration = Duration::from_secs(5);
/// A node has begun to listen for signals by then.
const START: Duration = Duration::from_secs(5);
/// How long a disk may take to be full, or a failing sync to be met, beyond the fault's own time.
const EFFECT: Duration = Duration::from_secs(5);
/// So many failed syncs are not those of a file that is only being prepared.
const DEFIANCE: usize = 5;
/// How long a node is given to say whether it leads: a paused one will not.
const GLANCE: Duration = Duration::from_millis(100);
/// How far wall clocks jump, seconds; the last is back to the right time.
const JUMPS: [f64; 6] = [34_560_000.0, -34_560_000.0, 0.4, -0.4, 3_600.0, 0.0];
/// How much longer syncs take.
const SLOW: [u64; 3] = [5, 30, 150];

/// The nodes, their links, and what is wrong with each.
#[derive(Debug)]
pub struct Cluster {
    nodes: Nodes,
    addresses: Vec<String>,
    links: Links,
    folder: PathBuf,
    further: Vec<&'static str>,
    ails: Vec<Ails>,
    ends: Ends,
    drawn: usize,
    history: Arc<History>,
}

/// What is wrong with a node.
#[derive(Debug, Default)]
struct Ails {
    started: Option<Instant>,
    paused: bool,
    strace: Option<Strace>,
    clock: Option<Clock>,
    small_disk: Option<(SmallDisk, Filler)>,
    /// It may end by itself because of its disk.
    may_fail: bool,
}

/// How often nodes ended by themselves, as they must.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// After a failed sync, with 74.
    pub storage: u64,
    /// When told to, with 0.
    pub stopped: u64,
    /// Not at all, though there was no room on the disk.
    pub full: u64,
}

impl Cluster {
    /// Founds one whose nodes reach each other through links, and starts it. These further faults
    /// may be drawn. Faults end early when the history is known not to be linearizable.
    ///
    /// # Errors
    /// It cannot be founded or started.
    pub fn start(
        founding: &Founding,
        further: Vec<&'static str>,
        history: &Arc<History>,
    ) -> Result<Cluster> {
        let mut nodes = Nodes::found(founding)?;
        let peers: Vec<SocketAddr> = founding
            .addresses
            .iter()
            .map(|address| {
                let client: SocketAddr = address.parse()?;
                Ok(SocketAddr::new(client.ip(), client.port() + 10_000))
            })
            .collect::<Result<_>>()?;
        let links = Links::between_all(&peers).context("cannot start the links")?;
        for node in 0..nodes.count() {
            let behind = founding.folder.join(format!("n{}.links.toml", node + 1));
            configuration::write_behind(nodes.configuration(node), node + 1, &links, &behind)?;
            nodes.configure(node, behind);
        }
        nodes.start_all()?;
        Ok(Cluster {
            ails: (0..nodes.count()).map(|_| Ails::default()).collect(),
            nodes,
            addresses: founding.addresses.to_vec(),
            links,
            folder: founding.folder.to_owned(),
            further,
            ends: Ends::default(),
            drawn: 0,
            history: Arc::clone(history),
        })
    }

    /// How often nodes ended by themselves, as they must.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// Waits until a node leads.
    ///
    /// # Errors
    /// None does for a minute, or a node has ended.
    pub fn await_leader(&mut self) -> Result<()> {
        self.nodes.leader().map(drop)
    }

    fn start_node(&mut self, node: usize) -> Result<()> {
        let Ails { clock, small_disk, .. } = &self.ails[node];
        let mut changes = Changes::default();
        if let Some(clock) = clock {
            changes.variables = clock.variables();
        }
        if let Some((disk, _)) = small_disk {
            changes.arguments = vec!["--data".into(), disk.folder().into()];
        }
        self.ails[node].may_fail = false;
        self.ails[node].started = Some(Instant::now());
        self.nodes.start(node, &changes)
    }

    /// The node has ended so; an error if nothing explains that.
    fn judge(&mut self, node: usize, status: ExitStatus, expected: Expected) -> Result<()> {
        let may_fail = self.ails[node].may_fail;
        let Ails { started, paused, strace, .. } = &mut self.ails[node];
        (*paused, *strace) = (false, None);
        let killed = expected == Expected::Killed && status.signal() == Some(Signal::KILL.as_raw());
        // Before a node has taken signals over, SIGTERM ends it without ado.
        let early = started.is_some_and(|started| started.elapsed() < START);
        let ended =
            status.code() == Some(0) || (early && status.signal() == Some(Signal::TERM.as_raw()));
        let stopped = expected == Expected::Stopped && ended;
        let failed = may_fail && status.code() == Some(i32::from(STORAGE));
        self.ends.stopped += u64::from(stopped);
        self.ends.storage += u64::from(failed);
        if killed || stopped || failed {
            return Ok(());
        }
        let words = self.nodes.last_words(node);
        bail!("node {} has ended ({status}), which no fault explains\n{words}", node + 1)
    }

    /// SIGTERM, and a good end; nothing if it does not run.
    fn stop(&mut self, node: usize) -> Result<()> {
        if self.nodes.pid(node).is_none() {
            return Ok(());
        }
        self.resume(node + 1)?;
        self.ails[node].strace = None; // syncs that hang would delay the end
        self.nodes.signal(node, Signal::TERM);
        match self.nodes.await_end(node, STOP) {
            Some(status) => self.judge(node, status, Expected::Stopped),
            None => bail!("node {} was told to stop and runs {STOP:?} later", node + 1),
        }
    }

    fn tamper(&mut self, node: usize, syncs: Syncs) -> Result<()> {
        let Some(pid) = self.nodes.pid(node) else { return Ok(()) };
        self.ails[node].may_fail |= syncs == Syncs::Fail;
        let says = self.folder.join(format!("n{}.strace", node + 1));
        self.ails[node].strace = None; // a process has one tracer at most
        self.ails[node].strace = Strace::attach(pid, syncs, &says)?;
        Ok(())
    }

    /// Waits a little for the end that a broken disk leads to, if the node has something to write.
    fn await_failure(&mut self, node: usize) -> Result<()> {
        match self.nodes.await_end(node, EFFECT) {
            Some(status) => self.judge(node, status, Expected::Running),
            None => Ok(()),
        }
    }

    /// An error if the node runs on though its syncs fail, one after the other.
    fn check_obedience(&self, node: usize) -> Result<()> {
        let failed = self.ails[node].strace.as_ref().map_or(0, Strace::tampered);
        let defies = self.nodes.pid(node).is_some() && failed >= DEFIANCE;
        ensure!(!defies, "node {} runs on after {failed} failed syncs", node + 1);
        Ok(())
    }

    fn move_to_small_disk(&mut self, node: usize) -> Result<()> {
        self.stop(node)?;
        let mount = self.folder.join(format!("n{}.small", node + 1));
        let disk = SmallDisk::take_in(&self.nodes.data(node), &mount)?;
        let filler = Filler::start(self.addresses.clone());
        self.ails[node].small_disk = Some((disk, filler));
        self.start_node(node)
    }

    fn move_back(&mut self, node: usize) -> Result<()> {
        if self.ails[node].small_disk.is_none() {
            return Ok(());
        }
        self.resume(node + 1)?;
        self.ends.full += u64::from(self.nodes.pid(node).is_some() && self.is_told_full(node)?);
        self.kill(&[node + 1])?;
        if let Some((disk, _)) = self.ails[node].small_disk.take() {
            disk.bring_back()?;
        }
        self.start_node(node)
    }

    /// Whether the node has logged, since it runs, that there is no room.
    fn is_told_full(&self, node: usize) -> Result<bool> {
        let log = std::fs::read_to_string(self.nodes.log(node))?;
        let run = log.rsplit_once(" starts with term ").map_or(&log[..], |(_, run)| run);
        Ok(run.contains("no space left on the disk for "))
    }

    fn jump(&mut self, node: usize) -> Result<()> {
        self.drawn += 1;
        let clock = match self.ails[node].clock.take() {
            Some(clock) => clock,
            None => {
                self.stop(node)?;
                Clock::new(&self.folder.join(format!("n{}.clock", node + 1)))?
            }
        };
        clock.jump(JUMPS[self.drawn % JUMPS.len()])?;
        self.ails[node].clock = Some(clock);
        self.restart(node + 1)
    }

    /// Brings all back to where a kept folder has everything, and ends all nodes.
    ///
    /// # Errors
    /// Data on a small disk could not be copied.
    pub fn end(mut self) -> Result<()> {
        self.nodes.kill_all();
        for ails in &mut self.ails {
            if let Some((disk, _)) = ails.small_disk.take() {
                disk.bring_back()?;
            }
        }
        Ok(())
    }

    /// An error if a node has logged a panic.
    ///
    /// # Errors
    /// The lines of the first.
    pub fn check_logs(&self) -> Result<()> {
        for node in 0..self.nodes.count() {
            check_log(node + 1, self.nodes.log(node))?;
        }
        Ok(())
    }
}

/// What a node's end is awaited as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Running,
    Killed,
    Stopped,
}

fn check_log(node: usize, log: &Path) -> Result<()> {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let panicked = text.lines().find(|line| line.contains("panicked at"));
    ensure!(panicked.is_none(), "node {node} has panicked: {}", panicked.unwrap_or_default());
    Ok(())
}

impl Victims for Cluster {
    fn nodes(&self) -> usize {
        self.nodes.count()
    }

    fn leader(&mut self) -> Option<usize> {
        self.nodes.leading(GLANCE).map(|node| node + 1)
    }

    fn links(&self) -> &Links {
        &self.links
    }

    fn kill(&mut self, nodes: &[usize]) -> Result<()> {
        for node in nodes {
            self.nodes.signal(node - 1, Signal::KILL);
        }
        for node in nodes {
            if let Some(status) = self.nodes.kill(node - 1) {
                self.judge(node - 1, status, Expected::Killed)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        self.check()?;
        match self.nodes.pid(node - 1) {
            Some(_) => Ok(()),
            None => self.start_node(node - 1),
        }
    }

    fn pause(&mut self, node: usize) -> Result<()> {
        self.nodes.signal(node - 1, Signal::STOP);
        self.ails[node - 1].paused = self.nodes.pid(node - 1).is_some();
        Ok(())
    }

    fn resume(&mut self, node: usize) -> Result<()> {
        if std::mem::take(&mut self.ails[node - 1].paused) {
            self.nodes.signal(node - 1, Signal::CONT);
        }
        Ok(())
    }

    fn restart_gently(&mut self, node: usize) -> Result<()> {
        self.check()?;
        if self.nodes.pid(node - 1).is_some() {
            self.stop(node - 1)?;
            self.start_node(node - 1)?;
        }
        Ok(())
    }

    fn further(&self) -> Vec<&'static str> {
        self.further.clone()
    }

    fn begin(&mut self, name: &'static str, node: usize) -> Result<()> {
        self.check()?;
        match name {
            DISK_FAILS => self.tamper(node - 1, Syncs::Fail),
            DISK_SLOW => {
                self.drawn += 1;
                let time = Duration::from_millis(SLOW[self.drawn % SLOW.len()]);
                self.tamper(node - 1, Syncs::Slow(time))
            }
            DISK_FULL => self.move_to_small_disk(node - 1),
            CLOCKS => self.jump(node - 1),
            _ => bail!("no fault has the name {name}"),
        }
    }

    fn end(&mut self, name: &'static str, node: usize) -> Result<()> {
        let index = node - 1;
        match name {
            DISK_FAILS => {
                self.await_failure(index)?;
                self.check_obedience(index)?;
                (self.ails[index].strace, self.ails[index].may_fail) = (None, false);
                self.restart(node)
            }
            DISK_SLOW => {
                self.ails[index].strace = None;
                Ok(())
            }
            DISK_FULL => self.move_back(index),
            // Every other time it stays where it is, for longer than one fault.
            CLOCKS if self.drawn.is_multiple_of(2) => {
                self.ails[index].clock = None;
                self.restart_gently(node)
            }
            CLOCKS => Ok(()),
            _ => bail!("no fault has the name {name}"),
        }
    }

    fn check(&mut self) -> Result<()> {
        ensure!(
            !self.history.is_unexplained(),
            "ended early, since what clients saw cannot be explained"
        );
        for node in 0..self.nodes.count() {
            if let Some(status) = self.nodes.ended(node) {
                self.judge(node, status, Expected::Running)?;
            }
        }
        Ok(())
    }
}
