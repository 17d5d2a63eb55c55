//! Looks at each node before and after its turns, and shows what it sees to the checks and the
//! coverage. Must never change what happens.

mod between;

use std::collections::{BTreeMap, BTreeSet};

use messages::{
    Content, Entry, ForwardOutcome, Item, LogIndex, LogPosition, Message, NodeId, Operation,
    Payload, Term,
};
use servers::host::{Batch, Outcome};
use servers::machine::StateMachine;
use servers::server::{Event, Server};
use servers::snapshots::Told;
use states::{Decision, Role};

use crate::checks::{Progress, Violation};
use crate::coverage::Mark;
use crate::hearing::Hearing;
use crate::node::TurnEnd;
use crate::numbered::is_of_session;
use crate::traffic::{Lines, Said, check_turn};
use crate::watch::{Seat, View, check_in_flight, check_load};
use crate::witness::number_of;
use crate::workload::Workload;
use crate::world::World;

/// So many entries behind is far.
const FAR: u64 = 40;

/// What was seen of a cluster so far.
pub struct Observed {
    /// Of each node.
    nodes: Vec<Seen>,
    /// Who stood for election in each term, one bit each.
    candidates: BTreeMap<Term, u32>,
    /// Where each command was written first, by its number.
    placed: Vec<LogPosition>,
    /// When each client asked what it waits for, and whether those are linearizable reads.
    asked: Vec<(u64, bool)>,
    /// The largest entry, bytes.
    largest: usize,
}

/// What was seen of one node.
#[derive(Default)]
struct Seen {
    seat: Seat,
    lines: Lines,
    hearing: Hearing,
    /// It suspected a leader of this term, at this moment, and has not heard it since.
    suspects: Option<(Term, u64)>,
    role: Option<Role>,
    has_led: bool,
    /// It led when its last turn began, and this was the last term that it led.
    led_before: bool,
    led_in: Term,
    /// It leads, and this was the first entry of its term.
    blank: LogIndex,
    /// In this term it lacked what an append built on.
    mismatched: Option<Term>,
    far_behind: bool,
    /// First commands of batches that it has handed to leaders.
    forwarded: BTreeSet<u64>,
    /// The newest copy of each other node.
    copies: BTreeMap<NodeId, u64>,
    /// When its last pause ended, if it has led since.
    paused: Option<u64>,
    /// What was applied after its last turn, and how long the list of commands was.
    progress: (LogIndex, u64),
    said: Vec<Said>,
}

impl Observed {
    /// Nothing, of a cluster of so many nodes and clients.
    pub fn new(nodes: usize, clients: usize) -> Observed {
        Observed {
            nodes: (0..nodes).map(|_| Seen::default()).collect(),
            candidates: BTreeMap::new(),
            placed: Vec::new(),
            asked: vec![(0, false); clients],
            largest: 0,
        }
    }

    /// A client asks.
    pub fn on_ask(&mut self, client: usize, now: u64, operations: &[Operation], stale: bool) {
        let reads = !stale && !operations.iter().any(Operation::is_command);
        self.asked[client] = (now, reads);
    }
}

impl<W: Workload> World<W> {
    /// The cluster is there.
    pub(crate) fn note_size(&mut self) {
        match self.nodes.len() {
            1 => self.report.coverage.add(Mark::One),
            7 => self.report.coverage.add(Mark::Seven),
            _ => {}
        }
    }

    /// A node is about to take a turn.
    pub(crate) fn before_turn(&mut self, node: usize) {
        if !self.nodes[node].is_awake() {
            return;
        }
        let seen = &mut self.observed.nodes[node];
        let run = self.nodes[node].run();
        seen.lines.begin(run, self.nodes.len());
        let clock = self.nodes[node].clock(self.now);
        if let Some(replica) = self.nodes[node].replica() {
            seen.hearing.begin(replica.term(), clock, replica.config.election.0);
        }
        for event in self.nodes[node].coming() {
            match event {
                Event::Batch { batch, .. } => {
                    seen.lines.taken.reads += u64::from(is_read(batch));
                }
                Event::Envelopes { from, boot, envelopes } => {
                    seen.hearing.on_frame(*from, *boot);
                    let Some(place) = self.cluster.place(*from) else { continue };
                    for envelope in envelopes {
                        match &envelope.content {
                            Content::Raft { term, message } => {
                                seen.lines.on_taken(place, *term, message);
                                if matches!(
                                    message,
                                    Message::AppendEntries(_) | Message::Heartbeat(_)
                                ) {
                                    seen.hearing.on_leader(*from, *boot, *term, clock);
                                }
                            }
                            Content::Forward(forward) => {
                                let reads = !forward.operations.iter().any(Operation::is_command);
                                seen.lines.taken.reads += u64::from(reads);
                                // Numbers rise from boot to boot.
                                let newest = seen.copies.entry(*from).or_default();
                                if forward.number == *newest {
                                    self.report.coverage.add(Mark::CopyTwice);
                                }
                                *newest = forward.number.max(*newest);
                            }
                            Content::SnapshotPart(part) => {
                                seen.lines.on_snapshot(part.meta.position.index);
                                seen.hearing.on_leader(*from, *boot, part.term, clock);
                            }
                            Content::SnapshotPartReply(_) => {}
                            Content::ForwardReply(reply) => {
                                let done = matches!(reply.outcome, ForwardOutcome::Done(_));
                                seen.lines.taken.copies_done += u64::from(done);
                            }
                        }
                    }
                }
                Event::Told(Told::Kept(kept)) => {
                    self.report.coverage.add(Mark::SnapshotTaken);
                    let flies = |server: &Server<_>| {
                        let state = server.state();
                        let flight = self.cluster.ids().filter_map(|peer| state.in_flight(peer));
                        flight.into_iter().any(|(appends, _)| appends > 0)
                    };
                    if self.nodes[node].server().is_some_and(flies) {
                        self.report.coverage.add(Mark::SnapshotInFlight);
                    }
                    seen.lines.on_snapshot(kept.whole.meta.position.index);
                }
                Event::Written(_) | Event::Space(_) | Event::Lost(_) | Event::Told(_) => {}
            }
        }
        self.nodes[node].lost().for_each(|peer| seen.hearing.on_lost(peer)); // behind all that came
        seen.lines.settle(node, self.now);
    }

    /// A node has taken a turn: nothing of what that leaves to be done is done yet.
    pub(crate) fn check(&mut self, node: usize, turn: &TurnEnd) -> Result<(), Violation> {
        let Some(server) = self.nodes[node].server() else { return Ok(()) };
        let replica = server.replica();
        let (log, term) = (replica.log(), replica.term());
        let view = View {
            id: replica.id,
            run: turn.run,
            role: turn.role,
            term,
            log,
            commit: replica.commit_index(),
            applied: server.applied(),
        };
        let seen = &mut self.observed.nodes[node];
        let coverage = &mut self.report.coverage;
        coverage.on_decisions(seen.role.unwrap_or(Role::Follower), &turn.decisions);
        seen.seat.on_turn(&view)?;
        let written = || turn.jobs.iter().flat_map(|job| &job.write);
        for write in written() {
            self.checks.on_written(log, &write.entries)?;
            for entry in &write.entries {
                self.observed.largest = self.observed.largest.max(entry.size());
                note_commands(&mut self.observed.placed, coverage, entry);
            }
        }
        if view.leads() {
            self.checks.on_leader((view.id, turn.run), term, log)?;
        }
        let (from, to) = (turn.committed_before, view.commit);
        if to > from {
            let known = self.checks.committed();
            if view.leads() && seen.seat.has_led(&view) {
                self.checks.on_leader_commit((view.id, term), log, to, self.nodes.len())?;
                if view.log.durable() < to {
                    coverage.add(Mark::CommittedBeforeOwnDisk);
                }
                if to.0 > known && log.term_at(LogIndex(known.max(from.0) + 1)) != Some(term) {
                    coverage.add(Mark::OldTermCommitted);
                }
            } else {
                self.checks.on_follower_commit(view.id, to)?;
                seen.lines.on_follower_commit(from, to)?;
            }
            self.checks.on_commit(term, log, from, to)?;
            if self.checks.is_aged() {
                coverage.add(Mark::Aged);
            }
            for mark in self.checks.take_marks() {
                coverage.add(mark);
            }
            for command in self.checks.take_fresh() {
                self.clients.workload.on_commit(command);
            }
            if to.0 > known {
                for other in &self.nodes {
                    let Some(leader) = other.replica().filter(|_| other.leads()) else { continue };
                    if leader.term() > term {
                        self.checks.on_later_leader(leader.id, leader.log(), to)?;
                    }
                }
            }
        }
        let entries = written().flat_map(|write| &write.entries);
        seen.seat.on_leader(&view, entries, &replica.config)?;
        let list = server.machine().seen();
        if seen.progress != (view.applied, list.length) {
            seen.progress = (view.applied, list.length);
            let between = !server.is_within_entry();
            let digest = between.then(|| server.machine().machine().digest());
            let sessions = between.then(|| server.sessions().digest());
            let progress = Progress { applied: view.applied, seen: list, digest, sessions };
            self.checks.on_applied(view.id, progress)?;
            if self.checks.is_within(progress) {
                coverage.add(Mark::InParts);
            }
        }
        let limit = self.trouble.waiting_bytes;
        let waiting = (self.nodes[node].waiting(), self.trouble.clients);
        let load = server.load();
        check_load(view.id, &load, limit, waiting)?;
        if load.held > 0 {
            coverage.add(Mark::ReadHeld);
        }
        self.check_traffic(node, turn)?;
        self.digest(node, turn);
        self.note_election(node, turn)
    }

    fn digest(&mut self, node: usize, turn: &TurnEnd) {
        let Some(replica) = self.nodes[node].replica() else { return };
        let (id, term, last, commit) =
            (replica.id, replica.term(), replica.log().last(), replica.commit_index());
        for number in [id.0, term.0, last.term.0, last.index.0, commit.0, turn.inputs, self.now] {
            self.report.digest = crate::witness::chain(self.report.digest, &number.to_le_bytes());
        }
        let (role, decisions) = (turn.role, &turn.decisions);
        self.note(|| format!("n{id}@{term} {role} last={last} commit={commit} {decisions:?}"));
    }

    /// What a turn says, and to whom.
    fn check_traffic(&mut self, node: usize, turn: &TurnEnd) -> Result<(), Violation> {
        let Some(server) = self.nodes[node].server() else { return Ok(()) };
        let replica = server.replica();
        let (id, term, nodes) = (replica.id, replica.term(), self.nodes.len());
        let heartbeat = replica.config.heartbeat.0;
        let clock = self.nodes[node].clock(self.now);
        let leads = turn.role == Role::Leader;
        let seen = &mut self.observed.nodes[node];
        seen.lines.on_office(leads.then_some(term), nodes, clock);
        seen.said.clear();
        seen.said.resize(nodes, Said::default());
        for (to, _, envelopes) in &turn.sends {
            let Some(place) = self.cluster.place(*to) else { continue };
            for envelope in envelopes {
                match &envelope.content {
                    Content::Raft { term: sent, message } => {
                        seen.said[place].add(message);
                        match message {
                            Message::PreVoteReply(reply) if reply.granted && !seen.led_before => {
                                seen.hearing.on_pre_vote_granted(id, term)?;
                            }
                            Message::Heartbeat(beat) if leads && *sent == term => {
                                let commit = beat.commit;
                                let held = self.checks.committed_term(commit);
                                let holds = self.nodes[place].promises().term_at(commit);
                                let covered = self.nodes[place].promises().covers(commit);
                                if held.is_none() || (held != holds && !covered) {
                                    return Err(format!(
                                        "commit: {id} tells {to} to commit {commit}, which it lacks"
                                    ));
                                }
                                seen.lines.on_round(beat.round, self.now, clock, heartbeat)?;
                            }
                            Message::AppendEntries(append) if leads && *sent == term => {
                                if append.commit.0 > self.checks.committed() {
                                    let commit = append.commit;
                                    return Err(format!("commit: {id} tells of {commit} early"));
                                }
                                seen.lines.on_append(place, append, clock, heartbeat)?;
                            }
                            _ => {}
                        }
                    }
                    Content::Forward(forward) => {
                        let reads = !forward.operations.iter().any(Operation::is_command);
                        let mut commands = forward.operations.iter().filter_map(Operation::command);
                        let first = commands.next().map(|command| number_of(command));
                        let again = first.is_some_and(|first| !seen.forwarded.insert(first));
                        if reads {
                            seen.lines.on_copy(forward.number, self.now);
                        } else if again && is_of_session(&forward.operations) {
                            self.report.coverage.add(Mark::SessionPlacedAgain);
                        } else if again {
                            self.report.coverage.add(Mark::PlacedAgain);
                        }
                    }
                    Content::SnapshotPart(part) => {
                        if part.bytes.is_empty() && (1..part.size).contains(&part.offset) {
                            self.report.coverage.add(Mark::SnapshotResumed);
                        }
                    }
                    Content::ForwardReply(_) | Content::SnapshotPartReply(_) => {}
                }
            }
        }
        for job in &turn.jobs {
            for (to, _, envelopes) in &job.promises {
                let Some(place) = self.cluster.place(*to) else { continue };
                for envelope in envelopes {
                    if let Content::Raft { message, .. } = &envelope.content {
                        seen.said[place].add(message);
                    }
                }
            }
        }
        check_turn(&seen.said, &seen.lines.taken, (turn.sends.len(), nodes - 1))?;
        if leads {
            for peer in self.cluster.ids() {
                if let Some(flight) = server.state().in_flight(peer) {
                    check_in_flight(id, flight, self.observed.largest, &replica.config)?;
                }
            }
        }
        self.check_reads(node, turn)
    }

    /// Reads answered in a turn.
    fn check_reads(&mut self, node: usize, turn: &TurnEnd) -> Result<(), Violation> {
        for (to, _, envelopes) in &turn.sends {
            for envelope in envelopes {
                let Content::ForwardReply(reply) = &envelope.content else { continue };
                let Some(origin) = self.cluster.place(*to) else { continue };
                if !matches!(reply.outcome, ForwardOutcome::Done(_)) {
                    continue;
                }
                if let Some(asked) = self.observed.nodes[origin].lines.copied(reply.number) {
                    self.observed.nodes[node].lines.on_read_answered(asked)?;
                }
            }
        }
        let seen = &self.observed.nodes[node];
        for (client, outcome) in &turn.replies {
            let (asked, reads) = self.observed.asked[*client];
            // What another node has answered was checked there.
            if reads && matches!(outcome, Outcome::Done { .. }) && seen.lines.taken.copies_done == 0
            {
                seen.lines.on_read_answered(asked)?;
                if seen.paused.is_some_and(|ended| asked < ended) {
                    self.report.coverage.add(Mark::ReadOverPause);
                }
            }
        }
        Ok(())
    }

    fn note_election(&mut self, node: usize, turn: &TurnEnd) -> Result<(), Violation> {
        let Some(replica) = self.nodes[node].replica() else { return Ok(()) };
        let (id, term, log) = (replica.id, replica.term(), replica.log());
        let coverage = &mut self.report.coverage;
        for decision in &turn.decisions {
            match decision {
                Decision::Became(Role::Candidate, term) => {
                    let stood = self.observed.candidates.entry(*term).or_default();
                    if *stood & !(1 << node) != 0 {
                        coverage.add(Mark::SplitVote);
                    }
                    *stood |= 1 << node;
                }
                Decision::Suspects(_) => {
                    self.observed.nodes[node].suspects = Some((term, self.now));
                }
                Decision::HeardAgain(_) => self.observed.nodes[node].suspects = None,
                Decision::Became(Role::Leader, elected) if *elected == term => {
                    let votes = self.nodes.iter().filter(|each| each.promises().elects(term, id));
                    if 2 * votes.count() <= self.nodes.len() {
                        return Err(format!("election safety: {id} leads {term} without votes"));
                    }
                    if self.nodes.iter().any(|other| other.leads() && other.id != id) {
                        coverage.add(Mark::TwoLeaders);
                    }
                    let seen = &mut self.observed.nodes[node];
                    if let Some((suspected, at)) = seen.suspects.take()
                        && suspected.next() == term
                        && self.now < at + self.trouble.election
                    {
                        coverage.add(Mark::ReplacedOnHint);
                    }
                    if std::mem::replace(&mut seen.has_led, true) {
                        coverage.add(Mark::LeadsAgain);
                    }
                    seen.paused = None;
                    let mut last = log.last().index;
                    while last.0 > 0 && log.term_at(last) == Some(term) {
                        last = LogIndex(last.0 - 1);
                    }
                    seen.blank = last.next();
                    if last.0 > self.checks.committed() {
                        coverage.add(Mark::OldTail);
                    }
                }
                Decision::Became(Role::Leader, lost) => {
                    self.checks.on_elected((id, turn.run), *lost)?; // and deposed at once
                }
                Decision::Mismatched(..) => self.observed.nodes[node].mismatched = Some(term),
                _ => {}
            }
        }
        let (known, commit) = (self.checks.committed(), replica.commit_index());
        let seen = &mut self.observed.nodes[node];
        seen.led_before = seen.role == Some(Role::Leader);
        seen.role = Some(turn.role);
        if turn.role == Role::Leader {
            seen.led_in = term;
        }
        if turn.role == Role::Leader && seen.lines.taken.reads > 0 && commit < seen.blank {
            coverage.add(Mark::ReadWaited);
        }
        if known > commit.0 + FAR {
            seen.far_behind = true;
        } else if known == commit.0 && std::mem::take(&mut seen.far_behind) {
            coverage.add(Mark::CaughtUp);
        }
        Ok(())
    }
}

fn is_read(batch: &Batch) -> bool {
    !batch.stale && !batch.operations.iter().any(Operation::is_command)
}

/// A command that is written at another place than before was replaced there.
fn note_commands(
    placed: &mut Vec<LogPosition>,
    coverage: &mut crate::coverage::Coverage,
    entry: &Entry,
) {
    let Payload::Command(items) = &entry.payload else { return };
    let Some(Item::Plain(command)) = items.first() else { return };
    let number = number_of(command) as usize;
    if placed.len() <= number {
        placed.resize(number + 1, LogPosition::ZERO);
    }
    if placed[number] == LogPosition::ZERO {
        placed[number] = entry.position;
    } else if placed[number].term < entry.position.term {
        placed[number] = entry.position;
        coverage.add(Mark::Replaced);
    }
}
