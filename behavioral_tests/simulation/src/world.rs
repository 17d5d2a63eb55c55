//! One simulated cluster: nodes, network, clients and trouble on one thread and virtual time. Must
//! never read a clock, nor draw chance from anything but the seed.

use std::collections::BTreeMap;

use messages::{Content, NodeId};
use rand::RngExt;
use servers::host::Batch;
use servers::outbox::Parcel;
use servers::transport::{Change, Lane};
use states::Time;
use states::random::SplitMix64;

use crate::Plan;
use crate::checks::{Checks, Violation};
use crate::clients::{Clients, Floor, Outcomes};
use crate::coverage::{Coverage, least_commits};
use crate::damage::Verdict;
use crate::network::{self, Handed, LinkId, Network};
use crate::node::{Cluster, Node};
use crate::observe::Observed;
use crate::tally::Tally;
use crate::trace;
use crate::trouble::{Kind, Trouble};
use crate::workload::{Judged, Workload};

/// Something that happens at a moment of virtual time.
pub(crate) enum Event {
    Frame { to: usize, frame: Vec<u8>, corrupt: bool },
    Connection { node: usize, run: u32, change: Change },
    Turn { node: usize, run: u32 },
    Sync { node: usize, run: u32 },
    Ask { client: usize },
    Fault,
    Heal { partition: u64 },
    Flap { partition: u64 },
    Unstick { link: LinkId },
    Restart { node: usize },
    Resume { node: usize },
    Free { node: usize },
    Keep { node: usize, run: u32 },
}

/// What a run did, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Turns of servers.
    pub turns: u64,
    /// Inputs into servers.
    pub steps: u64,
    /// Committed entries.
    pub commits: u64,
    /// Terms that had a leader.
    pub elections: u64,
    /// Crashes of nodes, whatever the reason.
    pub crashes: u64,
    /// What went wrong, by kind.
    pub faults: Tally<Kind>,
    /// What starts made of damaged disks.
    pub damaged: Tally<Verdict>,
    /// Situations that came up.
    pub coverage: Coverage,
    /// What the workload's own judge came to.
    pub judged: Judged,
    /// Frames handed to the network.
    pub frames: u64,
    /// Batches of clients by outcome.
    pub outcomes: Outcomes,
    /// Depends on everything that happened: equal for equal runs.
    pub digest: u64,
}

impl Report {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Report) {
        self.turns += other.turns;
        self.steps += other.steps;
        self.commits += other.commits;
        self.elections += other.elections;
        self.crashes += other.crashes;
        self.faults.merge(&other.faults);
        self.damaged.merge(&other.damaged);
        self.coverage.merge(&other.coverage);
        self.judged.good += other.judged.good;
        self.judged.undecided += other.judged.undecided;
        self.frames += other.frames;
        self.outcomes.done += other.outcomes.done;
        self.outcomes.refused += other.outcomes.refused;
        self.outcomes.uncertain += other.outcomes.uncertain;
        self.digest = self.digest.wrapping_add(other.digest); // seeds end in any order
    }
}

/// A cluster in the middle of its run.
pub struct World<W: Workload> {
    pub(crate) now: u64,
    pub(crate) sequence: u64,
    pub(crate) events: BTreeMap<(u64, u64), Event>,
    pub(crate) random: SplitMix64,
    pub(crate) trouble: Trouble,
    pub(crate) cluster: Cluster,
    pub(crate) nodes: Vec<Node<W::Machine>>,
    pub(crate) network: Network,
    pub(crate) clients: Clients<W>,
    pub(crate) checks: Checks<W::Machine>,
    pub(crate) observed: Observed,
    /// The nodes that clients ask.
    pub(crate) asked: Vec<usize>,
    /// Clients go on asking.
    pub(crate) asking: bool,
    pub(crate) report: Report,
    pub(crate) traced: bool,
}

impl<W: Workload> World<W> {
    /// A cluster just founded, as the plan's seed draws it.
    pub fn new(workload: W, plan: &Plan, traced: bool) -> World<W> {
        let mut random = SplitMix64::new(plan.seed);
        let drawn = Trouble::draw(&mut random);
        let mut trouble = plan.without.iter().fold(drawn, |trouble, kind| trouble.without(*kind));
        trouble.nodes = plan.nodes.unwrap_or(trouble.nodes);
        // A generator of its own: seeds without snapshots stay what they are.
        trouble.draw_snapshots(&mut SplitMix64::new(!plan.seed));
        let cluster = Cluster::draw(&mut random, trouble.nodes);
        let nodes = cluster
            .ids()
            .map(|id| {
                Node::found(&cluster, &trouble, id, random.random_range(0..=trouble.clock_drift))
            })
            .collect();
        let network = Network::new(trouble.nodes, trouble.uneven, &mut random);
        let clients = Clients::new(trouble.clients, workload);
        let checks = Checks::new(clients.workload.machine(), trouble.session_limits);
        let observed = Observed::new(trouble.nodes, trouble.clients);
        let mut world = World {
            now: 1_000_000,
            sequence: 0,
            events: BTreeMap::new(),
            random,
            trouble,
            cluster,
            nodes,
            network,
            clients,
            checks,
            observed,
            asked: Vec::new(),
            asking: true,
            report: Report::default(),
            traced,
        };
        for node in 0..world.nodes.len() {
            let at = world.now + world.random.random_range(0..100_000);
            world.schedule(at, Event::Restart { node });
        }
        for client in 0..world.trouble.clients {
            world.schedule(world.now, Event::Ask { client });
        }
        world.asked = (0..world.nodes.len()).collect();
        world.schedule_fault();
        world.note_size();
        for kind in world.trouble.lasting() {
            world.report.faults.add(kind);
        }
        world
    }

    /// The trouble that the seed drew.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Inputs that the servers have taken.
    pub fn steps(&self) -> u64 {
        self.report.steps
    }

    /// A line about each node.
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.iter().map(Node::describe).collect()
    }

    /// Runs until the servers have taken so many inputs, then ends all trouble and sees the cluster
    /// come together again.
    pub fn run(&mut self, steps: u64) -> Result<Report, Violation> {
        while self.report.steps < steps && self.report.turns < 4 * steps {
            self.happen()?;
        }
        let least = least_commits(&self.trouble, steps);
        self.quiet_phase()?;
        self.report.commits = self.checks.committed();
        if self.report.commits < least {
            let commits = self.report.commits;
            return Err(format!("vacuous: {commits} committed entries, {least} at least"));
        }
        self.report.elections = self.checks.elections() as u64;
        self.report.outcomes = self.clients.outcomes;
        self.clients.give_up()?;
        self.report.judged = self.clients.workload.finish()?;
        Ok(self.report.clone())
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// The next event.
    pub(crate) fn happen(&mut self) -> Result<(), Violation> {
        let Some(((at, _), event)) = self.events.pop_first() else {
            return Err("liveness: nothing will ever happen again".to_string());
        };
        self.now = self.now.max(at);
        match event {
            Event::Frame { to, frame, corrupt } => self.on_frame(to, &frame, corrupt)?,
            Event::Connection { node, run, change } => self.on_connection(node, run, change),
            Event::Turn { node, run } => self.on_turn(node, run)?,
            Event::Sync { node, run } => self.on_sync(node, run)?,
            Event::Ask { client } => self.on_ask(client),
            Event::Fault => self.on_fault()?,
            Event::Heal { partition } => self.network.heal(partition),
            Event::Flap { partition } => self.on_flap(partition),
            Event::Unstick { link } => self.on_unstick(link),
            Event::Restart { node } => self.restart(node)?,
            Event::Resume { node } => self.resume(node)?,
            Event::Free { node } => {
                self.nodes[node].free_disk();
                self.begin_sync(node)?;
            }
            Event::Keep { node, run } => self.on_keep(node, run)?,
        }
        Ok(())
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if self.traced {
            trace::add(format!("{:>10.3} ms  {}", self.now as f64 / 1000.0, line()));
        }
    }

    pub(crate) fn note_all(&self, lines: impl FnOnce() -> Vec<String>) {
        if self.traced {
            lines().into_iter().for_each(|line| self.note(|| line));
        }
    }

    fn on_frame(&mut self, to: usize, frame: &[u8], corrupt: bool) -> Result<(), Violation> {
        let refused = self.nodes[to].refused();
        if self.nodes[to].take_frame(self.now, frame, corrupt)? {
            self.wake(to);
        } else {
            self.note_refusal(to, &refused);
        }
        Ok(())
    }

    /// Whether something happens that does so often of 10,000 times.
    pub(crate) fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.random.random_range(0..10_000) < chance
    }

    /// The node takes a turn soon; what arrives until then is taken with it.
    pub(crate) fn wake(&mut self, node: usize) {
        let at = self.now + self.random.random_range(5..200);
        self.schedule_turn(node, at);
    }

    pub(crate) fn send(
        &mut self,
        from: usize,
        (to, lane, envelopes): Parcel,
    ) -> Result<(), Violation> {
        let Some(target) = self.cluster.place(to) else { return Ok(()) };
        let parts = |envelope: &messages::Envelope| {
            matches!(envelope.content, Content::SnapshotPart(_) | Content::SnapshotPartReply(_))
        };
        self.report.frames += u64::from(!envelopes.iter().all(parts));
        let link = (from, target);
        if self.network.is_cut(link) && self.random.random_bool(0.5) {
            // The transport knew that there was no connection.
            self.nodes[from].not_sent(to, &envelopes);
            return Ok(());
        }
        self.note_all(|| trace::describe_parcel(self.nodes[from].id, to, &envelopes));
        let frame = self.nodes[from].seal(to, lane, &envelopes)?;
        for envelope in &envelopes {
            self.check_promise(link, &envelope.content)?;
        }
        let again = self.happens(self.trouble.earlier_boots).then(|| frame.clone());
        match self.network.hand(link, lane, frame) {
            Handed::Free(frame) => self.travel(link, lane, frame),
            Handed::Held => {}
            Handed::Refused => {
                self.nodes[from].not_sent(to, &envelopes);
                return Ok(());
            }
        }
        if let Some(frame) = again {
            self.network.remember(link, frame);
        }
        Ok(())
    }

    /// A frame goes over a link: it arrives, perhaps twice, or changed; or does not.
    pub(crate) fn travel(&mut self, link: LinkId, lane: Lane, frame: Vec<u8>) {
        let random = &mut self.random;
        let (first, second) = self.network.arrivals(random, &self.trouble, self.now, link, lane);
        if let Some((at, kind)) = second {
            self.report.faults.add(kind);
            self.arrive(at, link.1, frame.clone());
        }
        match first {
            Some(at) => self.arrive(at, link.1, frame),
            None => self.report.faults.add(Kind::Loss),
        }
    }

    fn arrive(&mut self, at: u64, to: usize, frame: Vec<u8>) {
        let corrupt = self.happens(self.trouble.corruption);
        let frame = if corrupt {
            self.report.faults.add(Kind::Corruption);
            network::corrupt(&mut self.random, frame)
        } else {
            frame
        };
        self.schedule(at, Event::Frame { to, frame, corrupt });
    }

    fn on_ask(&mut self, client: usize) {
        if !self.asking || self.clients.is_waiting(client) {
            return;
        }
        let choice = self.random.random_range(0..self.asked.len().max(1));
        let Some(node) = self.asked.get(choice).copied().filter(|node| self.nodes[*node].is_up())
        else {
            let at = self.now + 50_000;
            return self.schedule(at, Event::Ask { client });
        };
        let applied = self.nodes[node].server().map_or(0, |server| server.machine().seen().length);
        let floor = Floor { all: self.checks.length(), node: applied };
        let (operations, stale) = self.clients.ask(client, &mut self.random, &self.trouble, floor);
        self.note(|| {
            format!(
                "client {client} asks {}: {}",
                self.nodes[node].id,
                trace::describe_operations(&operations)
            )
        });
        self.observed.on_ask(client, self.now, &operations, stale);
        let arrived = Time(self.nodes[node].clock(self.now));
        self.nodes[node].take_batch(client, Batch { arrived, operations, stale });
        self.wake(node);
    }
}

/// Where a node stands in the cluster's list.
impl Cluster {
    pub(crate) fn place(&self, id: NodeId) -> Option<usize> {
        self.ids().position(|other| other == id)
    }
}
