//! The end of a run: trouble stops, and the cluster must come together again. Must never help it.

use std::collections::BTreeMap;

use messages::{Entry, LogIndex};
use rand::RngExt;
use servers::machine::StateMachine;
use servers::server::Server;
use servers::status::Load;

use crate::checks::Violation;
use crate::clients::Outcomes;
use crate::coverage::Mark;
use crate::network::LinkId;
use crate::node::Node;
use crate::tally::Named;
use crate::workload::Workload;
use crate::world::{Event, World};

/// How long nodes may take to come to the same log, microseconds: a snapshot goes to one after the other,
/// and a seed may draw parts of a hundred bytes.
const SETTLE: u64 = 20_000_000;

/// An election takes no more election timeouts than this.
const TIMEOUTS_TO_ELECT: u64 = 10;

/// Frames to and from a peer for each heartbeat, and for each request: what is usual, with room.
const FRAMES_PER_HEARTBEAT: u64 = 6;
const FRAMES_PER_REQUEST: u64 = 12;
/// An entry may need an append of its own: that, its reply, and each once more.
const FRAMES_PER_ENTRY: u64 = 4;

impl<W: Workload> World<W> {
    /// Liveness: when trouble ends, a leader is elected, what is asked is answered, and all nodes
    /// come to hold and apply the same. Some clusters first have to do with links that stay cut.
    pub(crate) fn quiet_phase(&mut self) -> Result<(), Violation> {
        self.end_trouble()?;
        match (self.nodes.len(), self.random.random_range(0..10)) {
            (3.., 0..3) => self.serve_past_a_cut()?,
            (3..5, 3..5) => self.play_figure_8()?,
            (3.., 5..8) => self.play_flaps()?,
            _ => {}
        }
        self.await_leader()?;
        let begun = self.now;
        let before = (self.clients.outcomes, self.report.frames);
        let behind = self.entries_behind();
        let wanted = self.clients.outcomes.done + 4 * self.trouble.clients as u64;
        // The longest wait of a request, then some traffic.
        self.happen_until(8_000_000, |world| {
            world.now > begun + 1_000_000 && world.clients.outcomes.done >= wanted
        })?;
        if self.clients.outcomes.done < wanted {
            return Err("liveness: eight quiet seconds, and clients were not answered".to_string());
        }
        self.check_frames(begun, before, behind)?;
        self.settle()?;
        self.check_disks()
    }

    fn end_trouble(&mut self) -> Result<(), Violation> {
        self.trouble = self.trouble.calm();
        self.mend_links();
        for node in 0..self.nodes.len() {
            self.nodes[node].mend_disk();
            self.resume(node)?;
            self.begin_sync(node)?; // which looks for room
            if !self.nodes[node].is_up() {
                self.restart(node)?;
            }
        }
        Ok(())
    }

    /// A leader that a majority follows is there within ten election timeouts, counted from when the slow
    /// disks of the time before are done, and its frames have arrived: they make believe that a leader is
    /// heard.
    pub(crate) fn await_leader(&mut self) -> Result<u64, Violation> {
        let is_old = |event: &Event| matches!(event, Event::Sync { .. } | Event::Frame { .. });
        let old = self.events.iter().filter(|(_, event)| is_old(event));
        let done = old.map(|((at, _), _)| *at).max().unwrap_or(self.now).max(self.now);
        let longest = done - self.now + TIMEOUTS_TO_ELECT * self.trouble.election;
        if !self.happen_until(longest, |world| world.led().is_some())? {
            return Err(
                "liveness: ten election timeouts without trouble, and no leader".to_string()
            );
        }
        let terms = self.nodes.iter().filter_map(Node::replica).map(|replica| replica.term().0);
        Ok(terms.max().unwrap_or_default())
    }

    /// The nodes that follow the newest leader, and are linked with it both ways, itself among them,
    /// if they are a majority.
    fn led(&self) -> Option<Vec<usize>> {
        let leader = self.nodes.iter().filter(|node| node.leads()).filter_map(Node::replica);
        let leader = leader.max_by_key(|replica| replica.term())?;
        let place = self.cluster.place(leader.id)?;
        let follows = |node: &usize| {
            let linked =
                !self.network.is_cut((place, *node)) && !self.network.is_cut((*node, place));
            linked
                && self.nodes[*node].server().is_some_and(|server| {
                    let leadership = server.leadership();
                    (leadership.leader, leadership.term) == (Some(leader.id), leader.term())
                })
        };
        let led: Vec<usize> = (0..self.nodes.len()).filter(follows).collect();
        (2 * led.len() > self.nodes.len()).then_some(led)
    }

    /// Links stay cut, but a majority of nodes reach each other: they elect and serve, and what
    /// those who do not hear the leader do about it does not drive the terms up.
    fn serve_past_a_cut(&mut self) -> Result<(), Violation> {
        // At rest all logs are alike, so that only who hears a leader keeps others from standing.
        let at_rest = self.random.random_bool(0.5);
        if at_rest {
            self.asked.clear();
            self.happen_until(5_000_000, World::is_settled)?;
        }
        let mark = match self.random.random_bool(0.5) {
            true => self.cut_one_way(),
            false => self.cut_to_a_bridge(),
        };
        let first = self.await_leader()?;
        if at_rest {
            self.happen_until(TIMEOUTS_TO_ELECT * self.trouble.election, |_| false)?;
        }
        let begun = self.now;
        let wanted = self.clients.outcomes.done + 2 * self.trouble.clients as u64;
        let mut served = false;
        while !served && self.now < begun + 8_000_000 {
            self.asked = self.led().unwrap_or_default();
            served = self.happen_until(100_000, |world| {
                world.now > begun + TIMEOUTS_TO_ELECT * world.trouble.election
                    && world.clients.outcomes.done >= wanted
            })?;
        }
        self.asked = (0..self.nodes.len()).collect();
        if !served {
            return Err(format!("liveness: {}: not for eight seconds", mark.name()));
        }
        let last = self.await_leader()?;
        if last > first + 2 {
            return Err(format!("liveness: {}: terms rose from {first} to {last}", mark.name()));
        }
        self.report.coverage.add(mark);
        self.mend_links();
        Ok(())
    }

    /// One node cannot be heard, or hears nothing.
    fn cut_one_way(&mut self) -> Mark {
        let node = self.victim();
        let outwards = self.random.random_bool(0.5);
        let cut = |&(from, to): &LinkId| if outwards { from == node } else { to == node };
        let links = self.network.all().filter(cut).collect();
        self.note(|| format!("cut one way for long: {links:?}"));
        self.network.cut(links);
        Mark::ServedOneWay
    }

    /// Two halves reach each other by one node only.
    fn cut_to_a_bridge(&mut self) -> Mark {
        let bridge = self.victim();
        let half = (self.nodes.len() - 1) / 2;
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| *node != bridge).collect();
        let here = |node: usize| others.iter().position(|other| *other == node).map(|at| at < half);
        let cut = |&(from, to): &LinkId| match (here(from), here(to)) {
            (Some(from), Some(to)) => from != to,
            _ => false,
        };
        let links = self.network.all().filter(cut).collect();
        self.note(|| format!("a bridge for long, cut are {links:?}"));
        self.network.cut(links);
        Mark::ServedBridge
    }

    /// Without new requests, all nodes come to the same log, all of it applied, and nothing waits
    /// anywhere.
    fn settle(&mut self) -> Result<(), Violation> {
        self.asking = false;
        if !self.happen_until(SETTLE, World::is_settled)? {
            return Err("liveness: nodes did not converge".to_string());
        }
        // At the same moment: where something is due by log time, blank entries still come.
        let rests = |world: &World<W>| world.nodes.iter().all(is_idle) && world.is_settled();
        if !self.happen_until(SETTLE, rests)? {
            let loads: Vec<Load> =
                self.nodes.iter().filter_map(Node::server).map(Server::load).collect();
            return Err(format!("bounds: nobody asks, and there wait {loads:?}"));
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let first = self.nodes[0].summary();
        first.is_some()
            && self.nodes.iter().all(|node| node.summary() == first)
            && !(0..self.trouble.clients).any(|client| self.clients.is_waiting(client))
    }

    /// What all disks say when they are read is one log, and what was committed.
    fn check_disks(&self) -> Result<(), Violation> {
        let mut all: BTreeMap<LogIndex, Entry> = BTreeMap::new();
        for node in &self.nodes {
            let (base, entries) = node.read_back(&self.cluster)?;
            let committed =
                (base.index.0..).map(LogIndex).map_while(|index| self.checks.committed_term(index));
            let terms = entries.iter().map(|entry| entry.position.term);
            if !std::iter::once(base.term).chain(terms).eq(committed) {
                return Err(format!(
                    "storage: at rest, the disk of {} holds something else than was committed",
                    node.id
                ));
            }
            for entry in entries {
                let known = all.entry(entry.position.index).or_insert_with(|| entry.clone());
                if *known != entry {
                    return Err(format!("storage: at rest, the disk of {} differs", node.id));
                }
            }
        }
        Ok(())
    }

    /// What nodes have not committed yet of the longest log, all together.
    fn entries_behind(&self) -> u64 {
        let replicas = || self.nodes.iter().filter_map(Node::replica);
        let last = replicas().map(|replica| replica.log().last().index.0).max().unwrap_or(0);
        replicas().map(|replica| last - replica.commit_index().0).sum()
    }

    /// A quiet cluster sends a few frames for each request and heartbeat, and for each entry that a
    /// node must catch up with.
    fn check_frames(
        &self,
        begun: u64,
        before: (Outcomes, u64),
        behind: u64,
    ) -> Result<(), Violation> {
        let peers = self.nodes.len() as u64 - 1;
        let heartbeats = (self.now - begun) / (self.trouble.election / 6) + 1;
        let asked = self.clients.outcomes.total() - before.0.total();
        let frames = self.report.frames - before.1;
        let usual = FRAMES_PER_HEARTBEAT * heartbeats + FRAMES_PER_REQUEST * asked;
        if frames > peers * usual + FRAMES_PER_ENTRY * behind {
            return Err(format!(
                "storm: {frames} frames for {heartbeats} heartbeats, {asked} requests and {behind} \
                 entries to catch up with"
            ));
        }
        Ok(())
    }

    /// Goes on until `done`, or for this long; whether it came to be done.
    pub(crate) fn happen_until(
        &mut self,
        longest: u64,
        done: impl Fn(&World<W>) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.now + longest;
        while self.now < end {
            let slice = self.now + 20_000;
            while self.now < slice {
                self.happen()?;
            }
            if done(self) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_idle<M: StateMachine>(node: &Node<M>) -> bool {
    node.server().is_some_and(|server| server.load() == Load::default())
}
