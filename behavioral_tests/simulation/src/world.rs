//! One simulated cluster: nodes, network, clients and trouble on one thread and virtual time. Must
//! never read a clock, nor draw chance from anything but the seed.

use std::collections::BTreeMap;

use messages::{AppendEntries, Content, Envelope, ForwardOutcome, Message, NodeId, Operation};
use rand::RngExt;
use servers::host::{Batch, Outcome};
use servers::outbox::Parcel;
use servers::server;
use states::random::SplitMix64;
use states::{Decision, Role, Time};

use crate::checks::{Checks, Violation, number_of};
use crate::clients::{Clients, Outcomes};
use crate::network::Network;
use crate::node::{Cluster, Node, TurnEnd};
use crate::trace;
use crate::trouble::Trouble;

/// Something that happens at a moment of virtual time.
enum Event {
    Frame { to: usize, frame: Vec<u8> },
    Turn { node: usize, run: u32 },
    Sync { node: usize, run: u32 },
    Ask { client: usize },
    Fault,
    Heal,
    Restart { node: usize },
    Resume { node: usize },
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
    /// Crashes of nodes.
    pub crashes: u64,
    /// Partitions begun.
    pub partitions: u64,
    /// Pauses begun.
    pub pauses: u64,
    /// Times that a follower replaced entries that conflicted with its leader's.
    pub truncations: u64,
    /// Times that a leader stepped down because it heard no quorum.
    pub lost_quorums: u64,
    /// Starts that found a tail to cut off.
    pub cuts: u64,
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
        self.partitions += other.partitions;
        self.pauses += other.pauses;
        self.truncations += other.truncations;
        self.lost_quorums += other.lost_quorums;
        self.cuts += other.cuts;
        self.frames += other.frames;
        self.outcomes.done += other.outcomes.done;
        self.outcomes.refused += other.outcomes.refused;
        self.outcomes.uncertain += other.outcomes.uncertain;
        self.digest = self.digest.wrapping_add(other.digest); // seeds end in any order
    }
}

impl Outcomes {
    fn total(self) -> u64 {
        self.done + self.refused + self.uncertain
    }
}

/// A cluster in the middle of its run.
pub struct World {
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    random: SplitMix64,
    trouble: Trouble,
    cluster: Cluster,
    nodes: Vec<Node>,
    network: Network,
    clients: Clients,
    checks: Checks,
    /// Clients go on asking.
    asking: bool,
    report: Report,
    traced: bool,
}

/// Frames to and from a peer for each heartbeat, and for each request: what is usual, with room.
const FRAMES_PER_HEARTBEAT: u64 = 6;
const FRAMES_PER_REQUEST: u64 = 12;

impl World {
    /// A cluster just founded, as the seed draws it.
    pub fn new(seed: u64, traced: bool) -> World {
        let mut random = SplitMix64::new(seed);
        let trouble = Trouble::draw(&mut random);
        let cluster = Cluster::draw(&mut random, trouble.nodes);
        let nodes = cluster
            .ids()
            .map(|id| Node::found(&cluster, id, random.random_range(0..=trouble.clock_drift)))
            .collect();
        let clients = Clients::new(trouble.clients);
        let mut world = World {
            now: 1_000_000,
            sequence: 0,
            events: BTreeMap::new(),
            random,
            trouble,
            cluster,
            nodes,
            network: Network::default(),
            clients,
            checks: Checks::default(),
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
        world.schedule_fault();
        world
    }

    /// The trouble that the seed drew.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
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
        self.quiet_phase()?;
        self.report.commits = self.checks.committed();
        self.report.elections = self.checks.elections() as u64;
        self.report.outcomes = self.clients.outcomes;
        Ok(self.report.clone())
    }

    /// Liveness: when trouble ends, a leader is elected, what is asked is answered, and all nodes
    /// come to hold and apply the same.
    fn quiet_phase(&mut self) -> Result<(), Violation> {
        self.trouble = self.trouble.calm();
        self.network.heal();
        for node in 0..self.nodes.len() {
            self.resume(node)?;
            if !self.nodes[node].is_up() {
                self.restart(node)?;
            }
        }
        let begun = self.now;
        let before = (self.clients.outcomes, self.report.frames);
        let wanted = self.clients.outcomes.done + 4 * self.trouble.clients as u64;
        // Ten election timeouts to elect, then the longest wait of a request, then some traffic.
        self.happen_until(10_000_000, |world| {
            world.now > begun + 1_000_000 && world.clients.outcomes.done >= wanted
        })?;
        if self.clients.outcomes.done < wanted {
            return Err("liveness: ten quiet seconds, and clients were not answered".to_string());
        }
        self.check_frames(begun, before)?;
        self.settle()
    }

    /// Without new requests, all nodes come to the same log, all of it applied.
    fn settle(&mut self) -> Result<(), Violation> {
        self.asking = false;
        if !self.happen_until(5_000_000, World::is_settled)? {
            return Err("liveness: nodes did not converge".to_string());
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let first = self.nodes[0].summary();
        first.is_some()
            && self.nodes.iter().all(|node| node.summary() == first)
            && !(0..self.trouble.clients).any(|client| self.clients.is_waiting(client))
    }

    /// A quiet cluster sends a few frames for each request and heartbeat.
    fn check_frames(&self, begun: u64, before: (Outcomes, u64)) -> Result<(), Violation> {
        let peers = self.nodes.len() as u64 - 1;
        let heartbeats = (self.now - begun) / (self.trouble.election / 6) + 1;
        let asked = self.clients.outcomes.total() - before.0.total();
        let frames = self.report.frames - before.1;
        if frames > peers * (FRAMES_PER_HEARTBEAT * heartbeats + FRAMES_PER_REQUEST * asked) {
            return Err(format!(
                "storm: {frames} frames for {heartbeats} heartbeats and {asked} requests"
            ));
        }
        Ok(())
    }

    /// Goes on until `done`, or for this long; whether it came to be done.
    fn happen_until(
        &mut self,
        longest: u64,
        done: impl Fn(&World) -> bool,
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

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// The next event.
    fn happen(&mut self) -> Result<(), Violation> {
        let Some(((at, _), event)) = self.events.pop_first() else {
            return Err("liveness: nothing will ever happen again".to_string());
        };
        self.now = self.now.max(at);
        match event {
            Event::Frame { to, frame } => self.on_frame(to, frame),
            Event::Turn { node, run } => self.on_turn(node, run)?,
            Event::Sync { node, run } => self.on_sync(node, run)?,
            Event::Ask { client } => self.on_ask(client),
            Event::Fault => self.on_fault()?,
            Event::Heal => self.network.heal(),
            Event::Restart { node } => self.restart(node)?,
            Event::Resume { node } => self.resume(node)?,
        }
        Ok(())
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if self.traced {
            trace::add(format!("{:>10.3} ms  {}", self.now as f64 / 1000.0, line()));
        }
    }

    fn on_frame(&mut self, to: usize, frame: Vec<u8>) {
        if self.nodes[to].take_frame(&frame) {
            self.wake(to);
        }
    }

    /// The node takes a turn soon; what arrives until then is taken with it.
    fn wake(&mut self, node: usize) {
        let at = self.now + self.random.random_range(5..200);
        self.schedule_turn(node, at);
    }

    fn schedule_turn(&mut self, node: usize, at: u64) {
        if let Some(run) = self.nodes[node].wants_turn(at) {
            self.schedule(at, Event::Turn { node, run });
        }
    }

    fn on_turn(&mut self, node: usize, run: u32) -> Result<(), Violation> {
        if !self.nodes[node].is_due(run, self.now) {
            return Ok(());
        }
        self.note(|| describe_mailbox(&self.nodes[node]));
        let Some(turn) = self.nodes[node].turn(self.now) else { return Ok(()) };
        self.report.turns += 1;
        self.report.steps += turn.inputs;
        let dies = self.random.random_range(0..10_000) < self.trouble.crash_in_turn;
        // A crash may come between any two effects: only the first of these are done.
        let effects = if dies { self.random.random_range(0..3) } else { 3 };
        for decision in &turn.decisions {
            self.report.truncations += u64::from(matches!(decision, Decision::Truncated(_)));
            self.report.lost_quorums += u64::from(*decision == Decision::LostQuorum);
        }
        self.check(node, &turn)?;
        if effects > 0 {
            for parcel in turn.sends {
                self.send(node, parcel)?;
            }
        }
        if effects > 1 {
            self.nodes[node].queue(turn.jobs);
            self.begin_sync(node)?;
        }
        for (client, outcome) in turn.replies {
            if effects > 2 {
                self.note(|| format!("client {client}: {}", kind_of(&outcome)));
                self.clients.on_outcome(client, outcome, &mut self.checks)?;
            } else {
                self.clients.lose(client);
            }
            let at = self.now + self.random.random_range(0..self.trouble.think);
            self.schedule(at, Event::Ask { client });
        }
        if dies {
            return self.crash(node);
        }
        if let Some(at) = self.nodes[node].deadline() {
            // A turn takes a while, also where one follows the other without a pause.
            let at = at.max(self.now + self.random.random_range(5..200));
            self.schedule_turn(node, at);
        }
        Ok(())
    }

    fn check(&mut self, node: usize, turn: &TurnEnd) -> Result<(), Violation> {
        let Some(replica) = self.nodes[node].replica() else { return Ok(()) };
        let log = replica.log();
        for job in &turn.jobs {
            if let Some(write) = &job.write {
                self.checks.on_written(log, &write.entries)?;
            }
        }
        if turn.role == Role::Leader {
            self.checks.on_leader((replica.id, turn.run), replica.term(), log)?;
        }
        let (from, to) = (turn.committed_before, replica.commit_index());
        self.checks.on_commit(replica.term(), log, from, to)?;
        let facts = (replica.id, replica.term(), log.last(), replica.commit_index());
        let (id, term, last, commit) = facts;
        for number in [id.0, term.0, last.term.0, last.index.0, commit.0, turn.inputs, self.now] {
            self.report.digest = crate::journal::chain(self.report.digest, &number.to_le_bytes());
        }
        let role = turn.role;
        let decisions = &turn.decisions;
        self.note(|| format!("{id}@{term} {role:?} last={last} commit={commit} {decisions:?}"));
        Ok(())
    }

    fn send(&mut self, from: usize, (to, lane, envelopes): Parcel) -> Result<(), Violation> {
        let Some(target) = self.cluster.place(to) else { return Ok(()) };
        self.report.frames += 1;
        if self.network.is_cut(from, target) && self.random.random_bool(0.5) {
            // The transport knew that there was no connection.
            self.nodes[from].not_sent(to, &envelopes);
            return Ok(());
        }
        self.note(|| format!("{} → {to} {}", self.nodes[from].id, describe(&envelopes)));
        let link = (from, target, lane);
        let frame = self.nodes[from].seal(to, lane, &envelopes)?;
        let [first, second] =
            self.network.arrivals(&mut self.random, &self.trouble, self.now, link);
        if let Some(at) = second {
            self.schedule(at, Event::Frame { to: target, frame: frame.clone() });
        }
        if let Some(at) = first {
            self.schedule(at, Event::Frame { to: target, frame });
        }
        Ok(())
    }

    /// The writer takes all that is queued, if it is idle.
    fn begin_sync(&mut self, node: usize) -> Result<(), Violation> {
        match self.nodes[node].stage() {
            Ok(None) => {}
            Ok(Some(run)) => {
                let at = self.now + self.random.random_range(20..=self.trouble.sync.max(21));
                self.schedule(at, Event::Sync { node, run });
            }
            Err(error) => return self.on_disk_error(node, error),
        }
        Ok(())
    }

    /// Nothing is tried again: the process ends.
    fn on_disk_error(&mut self, node: usize, error: Violation) -> Result<(), Violation> {
        if !self.nodes[node].disk_fails() {
            return Err(error);
        }
        self.note(|| format!("{}: {error}", self.nodes[node].id));
        self.crash(node)
    }

    fn on_sync(&mut self, node: usize, run: u32) -> Result<(), Violation> {
        let promises = match self.nodes[node].sync(run) {
            Ok(None) => return Ok(()),
            Ok(Some(promises)) => promises,
            Err(error) => return self.on_disk_error(node, error),
        };
        for parcel in promises {
            self.send(node, parcel)?;
        }
        self.wake(node);
        self.begin_sync(node)?;
        if self.random.random_bool(0.02)
            && let Err(error) = self.nodes[node].mark()
        {
            return self.on_disk_error(node, error);
        }
        Ok(())
    }

    fn on_ask(&mut self, client: usize) {
        if !self.asking || self.clients.is_waiting(client) {
            return;
        }
        let node = self.random.random_range(0..self.nodes.len());
        if !self.nodes[node].is_up() {
            let at = self.now + 50_000;
            self.schedule(at, Event::Ask { client });
            return;
        }
        let floor = self.checks.acknowledged();
        let (operations, stale) = self.clients.ask(client, &mut self.random, &self.trouble, floor);
        self.note(|| {
            format!(
                "client {client} asks {}: {}",
                self.nodes[node].id,
                describe_operations(&operations)
            )
        });
        let arrived = Time(self.nodes[node].clock(self.now));
        self.nodes[node].take_batch(client, Batch { arrived, operations, stale });
        self.wake(node);
    }

    fn schedule_fault(&mut self) {
        if self.trouble.fault_every > 0 {
            let at = self.now + self.random.random_range(1..2 * self.trouble.fault_every);
            self.schedule(at, Event::Fault);
        }
    }

    fn on_fault(&mut self) -> Result<(), Violation> {
        if self.trouble.fault_every == 0 {
            return Ok(());
        }
        self.schedule_fault();
        let ends = self.now + self.random.random_range(10_000..self.trouble.fault_length);
        let total: u32 = self.trouble.kinds.iter().sum();
        if total == 0 {
            return Ok(());
        }
        let mut pick = self.random.random_range(0..total);
        let kinds = self.trouble.kinds;
        let kind = kinds.iter().position(|weight| {
            let hit = pick < *weight;
            pick = pick.saturating_sub(*weight);
            hit
        });
        let node = self.victim();
        match kind.expect("a kind within the total weight") {
            0 => self.partition(node, ends),
            1 => self.crash_until(node, ends)?,
            2 => {
                for node in 0..self.nodes.len() {
                    self.crash_until(node, ends)?;
                }
            }
            3 => self.pause(node, ends),
            _ => self.nodes[node].fail_disk(self.random.random_range(0..20)),
        }
        Ok(())
    }

    /// Whom a fault hits.
    fn victim(&mut self) -> usize {
        let any = self.random.random_range(0..self.nodes.len());
        if self.random.random_range(0..10_000) >= self.trouble.at_leader {
            return any;
        }
        self.nodes.iter().position(Node::leads).unwrap_or(any)
    }

    /// Cuts links: of one node, between two random halves, or any; all or in one direction.
    fn partition(&mut self, victim: usize, ends: u64) {
        self.report.partitions += 1;
        let shape = self.random.random_range(0..3);
        let one_way = self.random.random_bool(0.3);
        let sides: Vec<bool> = (0..self.nodes.len())
            .map(|node| if shape == 0 { node == victim } else { self.random.random_bool(0.5) })
            .collect();
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let cut = match shape {
                    2 => self.random.random_bool(0.3),
                    _ => sides[from] != sides[to] && !(one_way && sides[from]),
                };
                if cut {
                    self.network.cut(from, to);
                }
            }
        }
        self.note(|| format!("partition, shape {shape}, {sides:?}, one way: {one_way}"));
        self.schedule(ends, Event::Heal);
    }

    /// Stops a node for a while, as when its machine is suspended: perhaps with its clock, perhaps
    /// so that what arrives meanwhile is lost.
    fn pause(&mut self, node: usize, ends: u64) {
        self.report.pauses += 1;
        let frozen = self.random.random_bool(0.5).then_some(self.now);
        let deaf = self.random.random_bool(0.5);
        self.nodes[node].pause(frozen, deaf);
        let stands = frozen.is_some();
        self.note(|| format!("{} pauses, clock too: {stands}, deaf: {deaf}", self.nodes[node].id));
        self.schedule(ends, Event::Resume { node });
    }

    fn crash_until(&mut self, node: usize, ends: u64) -> Result<(), Violation> {
        if self.nodes[node].is_up() {
            self.crash(node)?;
            self.events.retain(
                |_, event| !matches!(event, Event::Restart { node: other } if *other == node),
            );
            self.schedule(ends, Event::Restart { node });
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) -> Result<(), Violation> {
        if !self.nodes[node].is_up() {
            return Ok(());
        }
        self.note(|| format!("{} crashes", self.nodes[node].id));
        self.report.crashes += 1;
        for client in self.nodes[node].crash(&mut self.random) {
            self.clients.lose(client);
            let at = self.now + self.random.random_range(0..50_000);
            self.schedule(at, Event::Ask { client });
        }
        let at = self.now + self.random.random_range(1_000..1_000_000);
        self.schedule(at, Event::Restart { node });
        Ok(())
    }

    fn restart(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].is_up() {
            return Ok(());
        }
        let seed = self.random.random();
        let cut = self.nodes[node].start(&self.cluster, &self.trouble, seed, self.now)?;
        self.report.cuts += u64::from(cut);
        self.note(|| format!("{} starts, cut a tail off: {cut}", self.nodes[node].id));
        self.schedule_turn(node, self.now + 1);
        Ok(())
    }

    fn resume(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].resume(self.now) {
            self.schedule_turn(node, self.now + 1);
            self.begin_sync(node)?;
        }
        Ok(())
    }
}

fn kind_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { replies, position } => format!("{} replies, {position:?}", replies.len()),
        other => format!("{other:?}"),
    }
}

/// What the node will take in its next turn.
fn describe_mailbox(node: &Node) -> String {
    let event = |event: &server::Event| match event {
        server::Event::Batch { batch, .. } => {
            format!("client: {}", describe_operations(&batch.operations))
        }
        server::Event::Envelopes { from, envelopes, .. } => {
            format!("{from}: {}", describe(envelopes))
        }
        server::Event::Written(write) => format!("{write:?}"),
    };
    let events: Vec<String> = node.mailbox().iter().map(event).collect();
    format!("{} ← {}", node.id, events.join(" | "))
}

fn describe_operations(operations: &[Operation]) -> String {
    let operation = |operation: &Operation| match operation {
        Operation::Command(command) => format!("#{}", number_of(command)),
        Operation::Query(_) => "?".to_string(),
    };
    operations.iter().map(operation).collect::<Vec<_>>().join(" ")
}

fn describe(envelopes: &[Envelope]) -> String {
    envelopes.iter().map(|envelope| content(&envelope.content)).collect::<Vec<_>>().join("; ")
}

/// What is said, without the bytes of commands.
fn content(content: &Content) -> String {
    match content {
        Content::Raft { term, message: Message::AppendEntries(append) } => {
            let AppendEntries { previous, entries, commit } = append;
            let positions: Vec<_> =
                entries.iter().map(|entry| entry.position.to_string()).collect();
            format!("@{term} AppendEntries prev={previous} {positions:?} commit={commit}")
        }
        Content::Raft { term, message } => format!("@{term} {message:?}"),
        Content::Forward(forward) => {
            let operations = describe_operations(&forward.operations);
            format!("Forward {} only in {}: {operations}", forward.number, forward.only_in)
        }
        Content::ForwardReply(reply) => {
            let outcome = match &reply.outcome {
                ForwardOutcome::Done(replies) => format!("{} replies", replies.len()),
                ForwardOutcome::NotAppended(why) => format!("not appended: {why:?}"),
            };
            format!("ForwardReply {} {outcome}", reply.number)
        }
    }
}

/// Where a node stands in the cluster's list.
impl Cluster {
    fn place(&self, id: NodeId) -> Option<usize> {
        self.ids().position(|other| other == id)
    }
}
