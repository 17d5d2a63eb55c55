//! One node among peers that say anything: the production gate, server, writer and log. Must never
//! reach into the server: what happens to it comes in through `receive`.

use std::collections::BTreeMap;

use bytes::Bytes;
use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Boot, ClusterId, Content as Said, Entry,
    Envelope, ForwardOutcome, ForwardReply, GroupId, HeartbeatReply, LogIndex, LogPosition,
    LogTime, Message, NodeId, NotAppended, Payload, PreVote, PreVoteReply, RequestVoteReply, Term,
};
use servers::founding;
use servers::gate::Gate;
use servers::host::{Batch, Token};
use servers::keeping;
use servers::server::{Event, Server, Settings};
use servers::sessions::Sessions;
use servers::snapshots::{Task, Told};
use servers::storage::keeper::Keeper;
use servers::storage::{self, Expected, Identity, Rounds};
use servers::transport::Lane;
use simulation::SimulatedDisk;
use states::{Config, Log, Replica, Role, Time, WallTime};

use super::Choices;
use super::hostile::{self, Near};
use super::peer_sequence::Witnessed;
use super::sequence_checks::{Checks, Turned};
use super::written_log::{Content, OPTIONS, fate};

const CLUSTER: ClusterId = ClusterId(7);
const OWN: NodeId = NodeId(1);
/// No member.
const STRANGER: u64 = 99;

/// Node 1 and what surrounds it.
pub struct Node {
    /// Nodes of its cluster; their ids count from one.
    pub size: u64,
    /// The server.
    pub server: Server<Witnessed>,
    /// States of the log, one a batch: what the disk may hold.
    pub line: Vec<Content>,
    /// A sync has returned after this one.
    pub promised: usize,
    disk: SimulatedDisk,
    keeper: Keeper<SimulatedDisk>,
    gate: Gate,
    rounds: Option<Rounds<SimulatedDisk>>,
    now: u64,
    starts: u64,
    inbox: Vec<Event>,
    /// The newest boot that each peer used.
    boots: BTreeMap<u64, u64>,
    /// What left for peers, the oldest first.
    left: Vec<(NodeId, Envelope)>,
    /// The last frame of nothing but replies.
    replies: Option<Vec<u8>>,
    /// The next frames are dropped by the transport.
    refusing: bool,
    next_token: u64,
    round: u64,
    copy: u64,
    wanted: u64,
}

fn identity(size: u64) -> Identity {
    let members = (1..=size).map(|node| (NodeId(node), format!("n{node}"))).collect();
    Identity { cluster: CLUSTER, node: OWN, members }
}

/// Small limits, so that short runs come upon them.
fn config() -> Config {
    Config { append_bytes: 200, window_messages: 2, uncommitted_bytes: 600, ..Config::default() }
}

fn opened(
    disk: &SimulatedDisk,
    seed: u64,
    now: u64,
) -> (Server<Witnessed>, Rounds<SimulatedDisk>, Keeper<SimulatedDisk>, Content) {
    let expected = Expected { cluster: CLUSTER, name: "n1".into() };
    let opened = storage::open(disk.clone(), &expected, &OPTIONS, seed).expect("a healthy log");
    let (state, entries) = (opened.recovered.hard_state, opened.recovered.entries);
    let found = Content { hard_state: state, entries: entries.clone() };
    let members = opened.identity.membership();
    let replica =
        Replica::recovered(OWN, members, config(), seed, state, None, Log::recovered(entries));
    let settings = Settings { boot: opened.boot, apply_budget: 3, ..Settings::default() };
    let server = Server::new(
        settings,
        replica,
        (Witnessed::default(), Sessions::default()),
        0,
        Time(now),
        WallTime(wall(now)),
    );
    let keeper = opened.wal.keeper();
    (server, Rounds::new(opened.wal), keeper, found)
}

fn wall(now: u64) -> u64 {
    1_700_000_000_000_000 + now
}

fn raft(term: Term, message: Message) -> Envelope {
    Envelope { group: GroupId(0), content: Said::Raft { term, message } }
}

impl Node {
    /// Founded, and started for the first time.
    pub fn start(size: u64) -> Node {
        let mut disk = SimulatedDisk::new();
        founding::found(&mut disk, &identity(size), &OPTIONS, 1).expect("a healthy disk");
        let now = 1_000_000;
        let (server, rounds, keeper, found) = opened(&disk, 1, now);
        Node {
            size,
            server,
            line: vec![found],
            promised: 0,
            disk,
            keeper,
            gate: Gate::new(CLUSTER, OWN),
            rounds: Some(rounds),
            now,
            starts: 1,
            inbox: Vec::new(),
            boots: BTreeMap::new(),
            left: Vec::new(),
            replies: None,
            refusing: false,
            next_token: 0,
            round: 0,
            copy: 0,
            wanted: 0,
        }
    }

    /// Leads, by the votes and acknowledgements of honest peers.
    pub fn lead(&mut self, checks: &mut Checks) {
        self.now += 450_000;
        for _ in 0..6 {
            self.turn(checks);
            self.sync(checks);
            self.turn(checks);
            for _ in 0..self.left.len() {
                self.hear_honest_answers(&mut Choices::new(&[]));
            }
        }
        self.turn(checks);
    }

    /// Follows node 2, and holds three of its entries, two of them committed.
    pub fn follow(&mut self, checks: &mut Checks) {
        let entry = |index| Entry {
            position: LogPosition::new(index, 1),
            time: LogTime(index),
            payload: Payload::Blank,
        };
        let request = AppendEntries {
            previous: LogPosition::ZERO,
            entries: (1..=3).map(entry).collect(),
            commit: LogIndex(2),
        };
        self.say(2, 1 << 32, &[raft(Term(1), Message::AppendEntries(request))]);
        self.turn(checks);
        self.sync(checks);
        self.turn(checks);
    }

    /// Loses all but the disk, and of that what was not synced; what was promised is there.
    pub fn lose_power(&mut self, choices: &mut Choices) {
        self.rounds = None;
        self.disk.crash(|| fate(choices));
        self.starts += 1;
        self.now += 1_000_000;
        let (server, rounds, keeper, found) = opened(&self.disk, self.starts, self.now);
        let place = self.line[self.promised..].iter().rposition(|state| *state == found);
        self.promised += place.expect("what was promised is there, or more of what was written");
        self.line.truncate(self.promised + 1);
        (self.server, self.rounds, self.keeper) = (server, Some(rounds), keeper);
        self.gate = Gate::new(CLUSTER, OWN);
        self.inbox.clear();
        self.left.clear();
        (self.replies, self.refusing, self.next_token) = (None, false, 0);
    }

    fn near(&self) -> Near {
        let replica = self.server.replica();
        let commit = replica.commit_index();
        let position = |index: LogIndex| {
            replica.log().entry(index).map_or(LogPosition::ZERO, |entry| entry.position)
        };
        Near {
            term: replica.term().0,
            last: replica.log().last(),
            commit: position(commit),
            before: position(LogIndex(commit.0.saturating_sub(1))),
            leads: self.server.state().role() == Role::Leader,
            round: self.round,
            copy: self.copy,
            time: replica.log().last_time().0,
            wanted: self.wanted,
        }
    }

    /// A frame from a peer comes to the gate; whether it was let in.
    fn arrive(&mut self, frame: &[u8]) -> bool {
        let Some((from, boot, envelopes)) = self.gate.admit(&Bytes::copy_from_slice(frame)) else {
            return false;
        };
        self.inbox.push(Event::Envelopes { from, boot, envelopes });
        true
    }

    fn say(&mut self, from: u64, boot: u64, envelopes: &[Envelope]) {
        let peer = Gate::new(CLUSTER, NodeId(from));
        let frame = peer.seal(Boot(boot), OWN, Lane::Control, envelopes);
        if !self.arrive(&frame) {
            return;
        }
        let newest = self.boots.entry(from).or_insert(boot);
        *newest = boot.max(*newest);
        let is_reply = |envelope: &Envelope| match &envelope.content {
            Said::Raft { message, .. } => message.is_reply(),
            Said::Forward(_)
            | Said::ForwardReply(_)
            | Said::SnapshotPart(_)
            | Said::SnapshotPartReply(_) => false,
        };
        if !envelopes.is_empty() && envelopes.iter().all(is_reply) {
            self.replies = Some(frame);
        }
    }

    fn boot_of(&self, peer: u64) -> u64 {
        self.boots.get(&peer).copied().unwrap_or(1 << 32)
    }

    /// A frame of any sender with any envelopes.
    pub fn hear_anything(&mut self, choices: &mut Choices) {
        let from = match choices.below(16) {
            14 => STRANGER,
            15 => OWN.0,
            other => 2 + other as u64 % self.size.max(2),
        };
        let mut boot = self.boot_of(from);
        if choices.one_in(16) {
            boot = hostile::number(choices, boot);
        }
        let near = self.near();
        let envelopes: Vec<Envelope> =
            (0..=choices.below(3)).map(|_| hostile::envelope(choices, &near)).collect();
        self.say(from, boot, &envelopes);
    }

    /// The oldest of what left are answered as an honest peer would.
    pub fn hear_honest_answers(&mut self, choices: &mut Choices) {
        let count = (1 + choices.below(8)).min(self.left.len());
        for (to, envelope) in self.left.drain(..count).collect::<Vec<_>>() {
            if let Some(answer) = answer(&envelope, wall(self.now), choices) {
                self.say(to.0, self.boot_of(to.0), &[answer]);
            }
        }
    }

    /// The last replies come again and again, when nothing else happens: at most the first time they
    /// are news.
    pub fn hear_again(&mut self, choices: &mut Choices, checks: &mut Checks) {
        let Some(frame) = self.replies.clone() else { return };
        self.calm_down(checks);
        if !self.arrive(&frame) {
            return;
        }
        self.calm_down(checks);
        for _ in 0..=choices.below(3) {
            assert!(self.arrive(&frame), "what entered once enters again");
            let turned = self.turn(checks);
            assert!(!turned.starts_something(), "old news send more: {turned:?}");
            checks.marks.insert("a frame came twice");
        }
    }

    /// Takes turns at one moment until none sends anything that asks for an answer.
    fn calm_down(&mut self, checks: &mut Checks) {
        let mut turns = 0;
        while self.turn(checks).starts_something() {
            turns += 1;
            assert!(turns < 200, "it goes on sending though nothing happens");
        }
    }

    /// Bytes that are no frame of a peer.
    pub fn hear_garbage(&mut self, choices: &mut Choices) {
        let near = self.near();
        let envelopes = [hostile::envelope(choices, &near)];
        let (cluster, to) = (choices.one_of(&[7, 8]), choices.one_of(&[1, 2]));
        let peer = Gate::new(ClusterId(cluster), NodeId(2));
        let mut frame = peer.seal(Boot(self.boot_of(2)), NodeId(to), Lane::Log, &envelopes);
        let at = choices.below(frame.len());
        frame[at] ^= choices.byte();
        self.arrive(&frame);
    }

    /// Frames that leave in the next turn do not.
    pub fn refuse_to_send(&mut self, choices: &mut Choices) {
        self.refusing = !choices.one_in(2);
    }

    /// A client asks for something.
    pub fn ask(&mut self, choices: &mut Choices) {
        let operations = hostile::operations(choices);
        let stale = choices.one_in(4) && !operations.iter().any(|each| each.is_command());
        let batch = Batch { arrived: Time(self.now), operations, stale };
        self.inbox.push(Event::Batch { token: Token(self.next_token), batch });
        self.next_token += 1;
    }

    /// Time passes.
    pub fn wait(&mut self, choices: &mut Choices) {
        let spans = [1_000, 20_000, 50_000, 300_000, 450_000, 3_000_000, 3_600_000_000];
        self.now += choices.one_of(&spans);
    }

    /// Takes a turn with all that came.
    pub fn turn(&mut self, checks: &mut Checks) -> Turned {
        let events = std::mem::take(&mut self.inbox);
        let mut turned = Turned::of(&events);
        self.server.receive(Time(self.now), WallTime(wall(self.now)), events);
        self.server.apply();
        let outbox = self.server.outbox();
        let sends = outbox.sends.take();
        let jobs = std::mem::take(&mut outbox.jobs);
        let tasks = std::mem::take(&mut outbox.tasks);
        turned.replies = std::mem::take(&mut outbox.replies);
        turned.decisions = std::mem::take(&mut outbox.decisions);
        turned.refused = self.gate.refused().total();
        for (to, lane, envelopes) in sends {
            self.gate.seal(Boot(1), to, lane, &envelopes);
            if self.refusing {
                self.server.not_sent(to, &envelopes);
            }
            turned.sends.extend(envelopes.into_iter().map(|envelope| (to, envelope)));
        }
        for job in jobs {
            if let Some(write) = &job.write {
                self.line.push(after(&self.line[self.line.len() - 1], write));
            }
            let promises = job.promises.iter();
            turned.promises.extend(promises.flat_map(|(to, _, envelopes)| {
                envelopes.iter().map(|envelope| (*to, envelope.clone()))
            }));
            let rounds = self.rounds.as_mut().expect("an open log");
            assert_eq!(rounds.stage(job).expect("a healthy disk"), None, "there is room");
            rounds.write().expect("a healthy disk");
        }
        if !std::mem::take(&mut self.refusing) {
            self.leave(turned.sends.clone());
        }
        tasks.into_iter().for_each(|task| self.perform(task, checks));
        checks.on_turn(self, &turned);
        turned
    }

    /// What is received of snapshots is written; what it is told of that comes with the next turn.
    fn perform(&mut self, task: Task, checks: &mut Checks) {
        let (bytes, end) = match &task {
            Task::Store { part, .. } => {
                (part.bytes.len() as u64, part.offset.wrapping_add(part.bytes.len() as u64))
            }
            _ => panic!("nothing that it was sent is a snapshot, and its log is short"),
        };
        let told = keeping::perform(&mut self.keeper, task).expect("a healthy disk");
        let Some(Told::Stored { stored, .. }) = &told else { panic!("a part was stored") };
        assert_eq!(stored.whole, None, "any bytes are no snapshot");
        let mark = match &stored.lost {
            Some(_) => "what was received of a snapshot was thrown away",
            None if bytes > 0 && stored.wanted == end => "a part of a snapshot was stored",
            None => "a part of a snapshot that does not follow was not",
        };
        checks.marks.insert(mark);
        self.inbox.extend(told.map(Event::Told));
    }

    /// The writer syncs, and lets go what waited for it.
    pub fn sync(&mut self, checks: &mut Checks) {
        let done = self.rounds.as_mut().expect("an open log").sync().expect("a healthy disk");
        self.promised = self.line.len() - 1;
        self.inbox.extend(done.written.map(Event::Written));
        for (to, _, envelopes) in done.promises {
            for envelope in envelopes {
                checks.on_promise(to, &envelope);
                self.leave(vec![(to, envelope)]);
            }
        }
    }

    fn leave(&mut self, sends: Vec<(NodeId, Envelope)>) {
        for (_, envelope) in &sends {
            match &envelope.content {
                Said::Raft { message: Message::Heartbeat(beat), .. } => self.round = beat.round.0,
                Said::Forward(forward) => self.copy = forward.number,
                Said::SnapshotPartReply(reply) => self.wanted = reply.wanted,
                Said::Raft { .. } | Said::ForwardReply(_) | Said::SnapshotPart(_) => {}
            }
        }
        self.left.extend(sends);
    }
}

/// A log after one more write (paper, section 5.3: entries replace all from their first on).
fn after(before: &Content, write: &states::Write) -> Content {
    let mut after = Content { hard_state: write.hard_state, entries: before.entries.clone() };
    if let Some(first) = write.entries.first() {
        after.entries.truncate(first.position.index.0 as usize - 1);
        after.entries.extend(write.entries.iter().cloned());
    }
    after
}

fn answer(envelope: &Envelope, wall: u64, choices: &mut Choices) -> Option<Envelope> {
    let (term, message) = match &envelope.content {
        Said::Raft { term, message } => (*term, message),
        Said::Forward(forward) => {
            let outcome = if choices.one_in(3) {
                ForwardOutcome::NotAppended(NotAppended::NotLeader)
            } else {
                let reply = |_| bytes::Bytes::from_static(b"+OK\r\n");
                ForwardOutcome::Done(forward.operations.iter().map(reply).collect())
            };
            let reply = ForwardReply { number: forward.number, outcome };
            return Some(Envelope { group: GroupId(0), content: Said::ForwardReply(reply) });
        }
        Said::ForwardReply(_) | Said::SnapshotPart(_) | Said::SnapshotPartReply(_) => return None,
    };
    let granted = true;
    let reply = match message {
        Message::PreVote(request) => {
            let PreVote { proposed, round, .. } = *request;
            Message::PreVoteReply(PreVoteReply { proposed, granted, round })
        }
        Message::RequestVote(_) => {
            Message::RequestVoteReply(RequestVoteReply { answers: term, granted, wall })
        }
        Message::AppendEntries(request) => {
            let last = request.previous.index.0 + request.entries.len() as u64;
            let outcome = AppendOutcome::Matched(LogIndex(last));
            Message::AppendEntriesReply(AppendEntriesReply { outcome })
        }
        Message::Heartbeat(beat) => {
            Message::HeartbeatReply(HeartbeatReply { round: beat.round, full: false })
        }
        Message::PreVoteReply(_)
        | Message::RequestVoteReply(_)
        | Message::AppendEntriesReply(_)
        | Message::HeartbeatReply(_)
        | Message::Snapshotted(_) => return None,
    };
    Some(raft(term, reply))
}
