//! The actor: it holds a state object, feeds it what happens, and performs what comes of it. Five
//! verbs in the order in which they happen: receive, swap, perform, apply, reply.
//!
//! Synchronous: no clock, no I/O, no task. A driver hands in events and the time, and drains the
//! outbox; the same events leave the same outbox. Must never take a protocol decision: it compares
//! no terms and no log positions, the state does.

use messages::{Boot, Content, Envelope, GroupId, LogIndex, LogTime, NodeId, Term};
use states::{
    Answer, Effects, Input, Micros, Replica, RequestId, Space, State, Time, Turn, WallTime, WriteId,
};

use crate::applier::{Applier, AsOf, Finished};
use crate::due;
use crate::forward::{Copies, Origins, for_peer};
use crate::host::{Batch, Filled, Outcome, Snapshot, Status, Token, Usage};
use crate::machine::StateMachine;
use crate::outbox::{Job, Outbox, Parcels};
use crate::proposals::{Request, Requester, Requests, Stage};
use crate::sessions::{Limits, Sessions};
use crate::snapshots::{Replicated, Snapshots, Told};
use crate::status::{Heard, Leadership, Load};
use crate::{hops, status};

/// How a server treats its clients.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The consensus group that it serves.
    pub group: GroupId,
    /// This run of its data folder.
    pub boot: Boot,
    /// A batch is answered within this time of its arrival.
    pub client_timeout: Micros,
    /// Bytes of batches that may wait; more are refused as `Busy`.
    pub waiting_bytes: usize,
    /// Operations executed in one turn at most.
    pub apply_budget: usize,
    /// A snapshot is taken when the log has grown by so many bytes since the last, or by as many as that
    /// has.
    pub snapshot_bytes: u64,
    /// Bytes of a snapshot sent in a second at most.
    pub snapshot_rate: u64,
    /// Bytes of one part of a snapshot, at least one.
    pub snapshot_part: u64,
    /// When sessions end: the same on all nodes, for ever.
    pub sessions: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            group: GroupId(0),
            boot: Boot(0),
            client_timeout: Micros(2_500_000),
            waiting_bytes: 64 << 20,
            apply_budget: 2_048,
            snapshot_bytes: 16 << 20,
            snapshot_rate: 12 << 20,
            snapshot_part: 256 << 10,
            sessions: Limits::default(),
        }
    }
}

/// What reaches a server from outside.
#[derive(Debug)]
pub enum Event {
    /// A client's batch; its outcome will be in the outbox under the token.
    Batch {
        /// The driver's name for it.
        token: Token,
        /// The batch.
        batch: Batch,
    },
    /// A frame that passed the gate.
    Envelopes {
        /// Who sent it.
        from: NodeId,
        /// The sender's boot; never older than one seen before.
        boot: Boot,
        /// What was in it.
        envelopes: Vec<Envelope>,
    },
    /// This write and all earlier ones are durable.
    Written(WriteId),
    /// What room there is for the log has changed.
    Space(Space),
    /// The connection to this node was lost; what came over it has been handed in before.
    Lost(NodeId),
    /// What became of work on snapshots.
    Told(Told),
}

/// One group's replica on one node: rules, machine and waiting requests.
pub struct Server<M> {
    pub(crate) settings: Settings,
    /// None only while an input is on its way through it.
    pub(crate) state: Option<State>,
    pub(crate) replica: Replica,
    pub(crate) applier: Applier<M>,
    pub(crate) requests: Requests,
    pub(crate) copies: Copies,
    pub(crate) origins: Origins,
    pub(crate) heard: Heard,
    pub(crate) snapshots: Snapshots<M>,
    /// Bytes that stay in memory for followers that are behind, while snapshots are small.
    pub(crate) pinned_bytes: usize,
    pub(crate) outbox: Outbox,
    /// Requests of other nodes that came in this turn.
    pub(crate) from_peers: Vec<RequestId>,
    /// Leader and term at the last placing.
    pub(crate) led_by: Option<(NodeId, Term)>,
    /// A request came back within a turn and can perhaps be placed in the next.
    pub(crate) place_again: bool,
    /// Reads that wait for a blank entry.
    pub(crate) held: Vec<RequestId>,
    /// When a blank entry was proposed.
    pub(crate) last_blank: Time,
    /// Log time in this turn, if this node leads.
    pub(crate) log_time: Option<LogTime>,
    pub(crate) stopping: bool,
    pub(crate) now: Time,
}

impl<M: StateMachine> Server<M> {
    /// A server with what was recovered from its disk, and a machine and sessions that are what the
    /// snapshot there says, whose file has so many bytes; or to which nothing was applied.
    pub fn new(
        settings: Settings,
        mut replica: Replica,
        replicated: Replicated<M>,
        snapshot_size: u64,
        now: Time,
        wall: WallTime,
    ) -> Server<M> {
        let mut turn = Turn::new(now, wall);
        let state = State::new(&mut replica, &mut turn);
        let newest = replica.snapshot().map(|meta| (meta.clone(), snapshot_size));
        let mut server = Server {
            requests: Requests::new(settings.waiting_bytes),
            copies: Copies::new(settings.boot),
            settings,
            state: Some(state),
            applier: Applier::new(replicated, replica.commit_index()),
            snapshots: Snapshots::new(newest),
            pinned_bytes: replica.config.pinned_bytes,
            origins: Origins::default(),
            heard: Heard::default(),
            outbox: Outbox::default(),
            replica,
            from_peers: Vec::new(),
            led_by: None,
            place_again: false,
            held: Vec::new(),
            last_blank: Time(0),
            log_time: None,
            stopping: false,
            now,
        };
        server.bound_log();
        server.perform(turn.effects);
        server
    }

    /// Begins a turn: takes a batch of events through the rules. What others wait for, sends and
    /// jobs, is in the outbox then and may leave before [`apply`](Server::apply) ends the turn. The time
    /// is read after the events were gathered (rule 8); no events: a deadline has passed.
    pub fn receive(&mut self, now: Time, wall: WallTime, events: impl IntoIterator<Item = Event>) {
        self.now = self.now.max(now);
        let mut turn = Turn::new(self.now, wall);
        for event in events {
            self.on_event(&mut turn, event);
        }
        if self.state().deadline().is_some_and(|deadline| deadline <= self.now) {
            self.swap(&mut turn, Input::Timeout);
        }
        self.wake_requests();
        self.place_requests(&mut turn);
        self.tend_transfer(&mut turn);
        self.propose_blank(&mut turn);
        self.state.as_mut().expect("a state between inputs").finish(&mut self.replica, &mut turn);
        self.perform(turn.effects);
    }

    /// Ends a turn: applies what is committed, within the budget, and answers whom that finishes and
    /// whose time is over.
    pub fn apply(&mut self) {
        let commit = self.replica.commit_index();
        let budget = self.settings.apply_budget;
        for finished in self.applier.apply(self.replica.log(), commit, budget, self.log_time) {
            match finished {
                Finished::Applied { id, position, replies } => {
                    self.reply(id, Outcome::Done { replies, position: Some(position) });
                }
                Finished::Read { id, replies } => {
                    self.reply(id, Outcome::Done { replies, position: None });
                }
                Finished::Replaced { id, operations } => {
                    self.requests.put_operations(id, operations);
                    self.not_appended(id);
                }
                Finished::Due { id, queries } => self.hold(id, queries),
            }
        }
        self.expire_requests();
        self.take_snapshot_if_due();
    }

    /// What is to be done; the driver empties it within each turn and after it.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// When `receive` should be called even if nothing happens; a time in the past means at once.
    pub fn deadline(&self) -> Option<Time> {
        if self.has_more() {
            return Some(Time(0));
        }
        let transfer = self.snapshots.sending.deadline(self.settings.snapshot_part.max(1));
        let state = self.state().deadline();
        let deadlines = [state, self.requests.deadline(), transfer, self.blank_due()];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the last turn left work that waits for nothing but another turn.
    pub fn has_more(&self) -> bool {
        self.place_again
            || self.snapshots.sending.has_more()
            || !self.held.is_empty()
            || self.applier.has_more(self.replica.commit_index())
    }

    /// From now on batches are answered `Stopped`, as are those that nobody has yet.
    pub fn stop(&mut self) {
        self.stopping = true;
        for id in self.requests.of_clients() {
            if self.stage(id).is_some_and(|stage| matches!(stage, Stage::Unplaced { .. })) {
                self.refuse(id, Outcome::Stopped);
            }
        }
    }

    /// Whether no client of this node waits.
    pub fn is_idle(&self) -> bool {
        self.requests.of_clients().is_empty()
    }

    /// Answers every client that still waits, as its time-out would.
    pub fn abandon(&mut self) {
        for id in self.requests.of_clients() {
            self.time_out(id);
        }
    }

    /// Who leads, as this server sees it.
    pub fn leadership(&self) -> Leadership {
        status::leadership(self.state(), &self.replica)
    }

    /// This server and its peers as it sees them; what the gate refused is for the driver to add.
    pub fn status(&self) -> Status {
        let applied = self.applier.applied();
        Status {
            snapshot: self.snapshot(),
            usage: self.usage(),
            ..status::status(self.state(), &self.replica, applied, &self.heard, self.now)
        }
    }

    /// What it holds whose amount is bounded.
    fn usage(&self) -> Usage {
        let filled = |used: usize, limit: usize| Filled { used: used as u64, limit: limit as u64 };
        let (rules, log, sessions) = (&self.replica.config, self.replica.log(), self.sessions());
        let limits = self.settings.sessions;
        let in_flight = |peer: &NodeId| self.state().in_flight(*peer).map(|(_, bytes)| bytes);
        let in_flight = self.replica.membership.voters.iter().filter_map(in_flight).max();
        let uncommitted = self.state().unsettled_bytes().unwrap_or(0);
        Usage {
            since_snapshot: Filled { used: self.applier.logged(), limit: self.snapshot_due() },
            log: filled(log.bytes(), rules.pinned_bytes),
            log_entries: log.last().index.0 - log.base().index.0,
            sessions: filled(sessions.len(), limits.sessions),
            answers: filled(sessions.answer_bytes(), limits.bytes),
            waiting: filled(self.requests.load().1, self.settings.waiting_bytes),
            uncommitted: filled(uncommitted, rules.uncommitted_bytes),
            in_flight: filled(in_flight.unwrap_or(0), rules.window_bytes),
        }
    }

    /// The newest snapshot in place.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.snapshots.newest().map(|(position, bytes)| Snapshot { position, bytes })
    }

    /// What waits in it.
    pub fn load(&self) -> Load {
        let (requests, request_bytes) = self.requests.load();
        let (proposals, reads) = self.applier.waiting();
        let (held, copies) = (self.held.len(), self.copies.count());
        Load { requests, request_bytes, proposals, reads, held, copies }
    }

    /// The facts: term, vote, log.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The log is applied up to here; of the entry behind it a part may be.
    pub fn applied(&self) -> LogIndex {
        self.applier.applied()
    }

    /// Whether of the entry behind `applied` something is applied, if only its time.
    pub fn is_within_entry(&self) -> bool {
        self.applier.is_within_entry()
    }

    /// The machine, for comparing replicas.
    pub fn machine(&self) -> &M {
        self.applier.machine()
    }

    /// The sessions of all clients, for comparing replicas.
    pub fn sessions(&self) -> &Sessions {
        self.applier.sessions()
    }

    /// The state between two inputs.
    pub fn state(&self) -> &State {
        self.state.as_ref().expect("a state between inputs")
    }

    fn on_event(&mut self, turn: &mut Turn, event: Event) {
        match event {
            Event::Batch { token, batch } => self.on_batch(token, batch),
            Event::Envelopes { from, boot, envelopes } => {
                if self.replica.membership.voters.contains(&from)
                    && self.heard.note(from, boot, self.now)
                {
                    self.swap(turn, Input::PeerLost(from)); // the run that was heard before is over
                }
                for envelope in envelopes {
                    self.on_envelope(turn, from, boot, envelope);
                }
            }
            Event::Written(id) => self.swap(turn, Input::Written(id)),
            Event::Space(space) => self.swap(turn, Input::Space(space)),
            Event::Lost(peer) => self.swap(turn, Input::PeerLost(peer)),
            Event::Told(told) => self.on_told(turn, told),
        }
    }

    fn on_envelope(&mut self, turn: &mut Turn, from: NodeId, boot: Boot, envelope: Envelope) {
        if envelope.group != self.settings.group {
            return;
        }
        match envelope.content {
            Content::Raft { term, message } => {
                self.swap(turn, Input::Message { from, term, message })
            }
            Content::Forward(forward) => self.on_forward(from, boot, forward),
            Content::ForwardReply(reply) => self.on_forward_reply(from, boot, reply),
            Content::SnapshotPart(part) => self.on_snapshot_part(turn, from, part),
            Content::SnapshotPartReply(reply) => self.on_part_reply(from, reply),
        }
    }

    /// The current state object takes the input and leaves the next one in its place.
    pub(crate) fn swap(&mut self, turn: &mut Turn, input: Input) {
        hops::received(&self.replica, self.state(), &input);
        let state = self.state.take().expect("a state between inputs");
        self.state = Some(state.step(&mut self.replica, turn, input));
    }

    /// Does what the turn asks, field by field from the top; the log is applied by `apply`.
    fn perform(&mut self, effects: Effects) {
        let Effects {
            sends,
            write,
            promises,
            answers,
            commit: _,
            snapshots,
            receive,
            restore,
            install,
            decisions,
        } = effects;
        let group = self.settings.group;
        let keep = install.and_then(|meta| self.install(&meta));
        for (to, term, message) in sends {
            hops::sent(&self.replica, to, &message);
            self.outbox.sends.add(to, group, Content::Raft { term, message });
        }
        if write.is_some() || !promises.is_empty() {
            let mut parcels = Parcels::default();
            for (to, term, message) in promises {
                hops::sent(&self.replica, to, &message);
                parcels.add(to, group, Content::Raft { term, message });
            }
            self.outbox.jobs.push(Job { keep, write, promises: parcels.take() });
        }
        self.need_snapshots(snapshots);
        self.receive_parts(&receive);
        if let Some(meta) = restore {
            self.restore(&meta);
        }
        for (id, answer) in answers {
            self.on_answer(id, answer);
        }
        self.outbox.decisions.extend(decisions);
    }

    fn on_answer(&mut self, id: RequestId, answer: Answer) {
        if id == due::BLANK {
            return self.on_blank(answer);
        }
        if self.requests.get(id).is_none() {
            return; // a read that expired while the rules had it
        }
        match answer {
            Answer::Appended(position) => {
                let operations = self.requests.take_operations(id);
                self.applier.wait_for(position, id, operations);
                self.requests.set(id, Stage::Appended(position));
            }
            Answer::ReadAt(index) => self.read_at(id, index, AsOf::Now),
            Answer::NotLeader => self.not_appended(id),
            Answer::Busy => self.refuse(id, Outcome::Busy),
            Answer::Full => self.refuse(id, Outcome::Full),
        }
    }

    /// The request is not placed: `refusal` says that it has no effect, and is the answer unless a
    /// copy may still have one.
    pub(crate) fn refuse(&mut self, id: RequestId, refusal: Outcome) {
        let astray = self.requests.get(id).is_some_and(|request| request.astray);
        self.reply(id, if astray { Outcome::Uncertain { position: None } } else { refusal });
    }

    /// The request is answered and gone.
    pub(crate) fn reply(&mut self, id: RequestId, outcome: Outcome) {
        let Some(request) = self.release(id) else { return };
        match request.requester {
            Requester::Client(token) => self.outbox.replies.push((token, outcome)),
            Requester::Peer { node, number, .. } => {
                if let Some(outcome) = for_peer(outcome, request.writes) {
                    self.reply_to_peer(node, number, outcome);
                }
            }
        }
    }

    /// Nobody knows the request any longer.
    pub(crate) fn release(&mut self, id: RequestId) -> Option<Box<Request>> {
        let request = self.requests.remove(id)?;
        match request.stage {
            Stage::Forwarded(copy) => self.copies.forget(copy.number),
            Stage::Appended(position) => self.applier.forget_proposal(position),
            Stage::ReadAt(index) => self.applier.forget_read(index, id),
            Stage::Unplaced { .. } | Stage::Asked => {}
        }
        Some(request)
    }
}
