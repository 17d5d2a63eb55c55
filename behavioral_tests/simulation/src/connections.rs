//! Connections between simulated nodes, as far as nodes are told of them: a process that ends closes
//! its own, and one may be lost for a moment with nothing else wrong. Must never touch a frame.

use rand::RngExt;
use servers::transport::Change;

use crate::checks::Violation;
use crate::coverage::Mark;
use crate::node::Node;
use crate::tally::Named;
use crate::trouble::Kind;
use crate::workload::Workload;
use crate::world::{Event, World};

/// What a closed connection takes to be seen, microseconds.
const LONGEST_NEWS: u64 = 5_000;

/// Elections after a flap at a majority: the first has about one chance in a hundred to fail, and each
/// that follows is as likely to be split as any.
const MOST_ELECTIONS: u64 = 6;

impl<W: Workload> World<W> {
    /// A process has ended. Who is linked with it learns that its connections are closed, as a rule
    /// behind the last frame that came over them; of a machine that lost its power perhaps nobody.
    pub(crate) fn close_connections(&mut self, node: usize) {
        for peer in 0..self.nodes.len() {
            if !self.nodes[peer].is_up()
                || self.network.is_cut((node, peer))
                || !self.happens(self.trouble.told)
            {
                continue;
            }
            let soon = self.now + self.random.random_range(100..LONGEST_NEWS);
            let at = match self.random.random_bool(0.8) {
                true => soon.max(self.network.last_arrival((node, peer)) + 1),
                false => soon,
            };
            self.report.faults.add(Kind::Closed);
            self.tell(at, peer, Change::Lost(self.nodes[node].id));
        }
    }

    /// A node has started, and is connected with those that run.
    pub(crate) fn open_connections(&mut self, node: usize) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            let at = self.now + self.random.random_range(1_000..100_000);
            self.tell(at, peer, Change::Found(self.nodes[node].id));
        }
    }

    /// A node loses the connection to another for a moment, and nothing else is wrong.
    pub(crate) fn flap(&mut self, node: usize, peer: usize) {
        let id = self.nodes[peer].id;
        let lost = self.now + self.random.random_range(0..2_000);
        let found = lost + self.random.random_range(1..200_000);
        self.tell(lost, node, Change::Lost(id));
        self.tell(found, node, Change::Found(id));
    }

    /// Some nodes, or one, lose the connection to this one.
    pub(crate) fn flap_at(&mut self, kind: Kind, peer: usize) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| *node != peer).collect();
        if kind == Kind::FlapAtOne && !others.is_empty() {
            let one = others[self.random.random_range(0..others.len())];
            return self.flap(one, peer);
        }
        for node in others {
            if self.random.random_bool(0.8) {
                self.flap(node, peer);
            }
        }
    }

    fn tell(&mut self, at: u64, node: usize, change: Change) {
        let run = self.nodes[node].run();
        self.schedule(at, Event::Connection { node, run, change });
    }

    /// A node comes to know of a connection.
    pub(crate) fn on_connection(&mut self, node: usize, run: u32, change: Change) {
        if self.nodes[node].take_connection(run, change) {
            self.note(|| format!("n{}: {change:?}", self.nodes[node].id));
            self.wake(node);
        }
    }

    /// In a quiet cluster that has a leader, connections to it flap: at one follower nothing comes of
    /// that, at a majority one election as a rule, more where the leader is heard again in the middle
    /// of it or appends an entry meanwhile, and nothing is lost.
    pub(crate) fn play_flaps(&mut self) -> Result<(), Violation> {
        let at_many = self.random.random_bool(0.4);
        let mark = if at_many { Mark::FlapAtMany } else { Mark::FlapAtOne };
        // What was sent in slower times holds up what is sent now, and perhaps deposes a leader.
        let frames = self.events.iter().filter(|(_, event)| matches!(event, Event::Frame { .. }));
        let arrived = frames.map(|((at, _), _)| *at).max().unwrap_or(self.now);
        self.happen_until(arrived.saturating_sub(self.now), |_| false)?;
        self.happen_until(2 * self.trouble.election, |_| false)?;
        self.await_leader()?;
        if !self.happen_until(5_000_000, |world| world.followed().is_some())? {
            return Err("liveness: five quiet seconds, and some follow nobody".to_string());
        }
        let Some((leader, term)) = self.followed() else { return Ok(()) };
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| *node != leader).collect();
        let one = others[self.random.random_range(0..others.len())];
        let times = if at_many { 1 } else { self.random.random_range(1..6) };
        for _ in 0..times {
            let nodes = if at_many { &others[..] } else { &[one] };
            nodes.iter().for_each(|node| self.flap(*node, leader));
            let pause = self.random.random_range(1_000..2 * self.trouble.election);
            self.happen_until(pause, |_| false)?;
        }
        self.happen_until(2 * self.trouble.election, |_| false)?;
        let most = if at_many { term + MOST_ELECTIONS } else { term };
        let terms = self.nodes.iter().filter_map(Node::replica).map(|replica| replica.term().0);
        let last = terms.max().unwrap_or(term);
        if last > most {
            let what = mark.name();
            return Err(format!(
                "flap: not {what:?}: after {times}, terms rose from {term} to {last}"
            ));
        }
        if !at_many && self.followed() != Some((leader, term)) {
            return Err("flap: one follower lost a connection, and the leader is another".into());
        }
        if last <= term + 1 {
            self.report.coverage.add(mark);
        }
        Ok(())
    }

    /// The leader whom all nodes follow, by its place, and its term.
    fn followed(&self) -> Option<(usize, u64)> {
        let leader = self.nodes.iter().position(Node::leads)?;
        let own = self.nodes[leader].server()?.leadership();
        let follows = |node: &Node<_>| {
            node.server().is_some_and(|server| {
                let leadership = server.leadership();
                (leadership.leader, leadership.term) == (own.leader, own.term)
            })
        };
        self.nodes.iter().all(follows).then_some((leader, own.term.0))
    }
}
