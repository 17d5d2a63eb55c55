//! One server that leads two others, whose snapshot is in place and whose third node needs it; what
//! those say, and what is read of the snapshot, is the test's. Must never reach a role by hand: it is
//! elected.

use messages::{
    AppendEntriesReply, AppendOutcome, Boot, Content, Envelope, GroupId, Heartbeat, HeartbeatReply,
    LogIndex, LogPosition, Membership, Message, NodeId, PreVoteReply, RequestVoteReply, Round,
    SnapshotPart, SnapshotPartReply, Term,
};
use servers::server::{Event, Server, Settings};
use servers::sessions::Sessions;
use servers::snapshots::{Task, Told};
use states::{Config, Decision, HardState, Log, Micros, Replica, Role, Time, WallTime};
use unit_tests::counter::Counter;

use crate::keeping::{at, meta};

/// It holds all that the leader does.
pub const VOTER: NodeId = NodeId(2);
/// Its log is empty.
pub const NEEDY: NodeId = NodeId(3);

/// What the leader has asked to be read of its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub offset: u64,
    pub length: usize,
}

pub struct Leading {
    server: Server<Counter>,
    now: Time,
    events: Vec<Event>,
    /// Parts of the snapshot that left since they were last taken.
    pub sent: Vec<SnapshotPart>,
    /// What is to be read.
    pub wanted: Vec<Wanted>,
    pub decisions: Vec<Decision>,
}

impl Leading {
    /// Up to where its snapshot stands.
    pub fn snapshot() -> LogPosition {
        at(5, 1)
    }

    /// It leads, the needy node has asked for what the log does not hold, and was just asked how much
    /// of the snapshot of `size` bytes it has.
    pub fn with_snapshot_of(size: u64, settings: Settings) -> Leading {
        let meta = meta(Leading::snapshot());
        let membership = Membership { voters: [1, 2, 3].map(NodeId).into() };
        let log = Log::recovered_after(meta.position, meta.time, Vec::new());
        let hard_state = HardState { term: Term(1), voted_for: None };
        let config = Config::default();
        let replica =
            Replica::recovered(NodeId(1), membership, config, 1, hard_state, Some(meta), log);
        let settings = Settings { boot: Boot(1 << 32), ..settings };
        let fresh = (Counter::default(), Sessions::default());
        let now = Time(10_000_000);
        let mut node = Leading {
            server: Server::new(settings, replica, fresh, size, now, WallTime(now.0)),
            now,
            events: Vec::new(),
            sent: Vec::new(),
            wanted: Vec::new(),
            decisions: Vec::new(),
        };
        while node.sent.is_empty() {
            node.wait();
        }
        assert_eq!(node.server.leadership().role, Role::Leader);
        node
    }

    pub fn term(&self) -> Term {
        self.server.replica().term()
    }

    /// One turn, and what others say to it.
    pub fn turn(&mut self) {
        let events = std::mem::take(&mut self.events);
        self.server.receive(self.now, WallTime(self.now.0), events);
        self.server.apply();
        let outbox = self.server.outbox();
        let jobs = std::mem::take(&mut outbox.jobs);
        let mut parcels = outbox.sends.take();
        self.decisions.append(&mut outbox.decisions);
        for task in outbox.tasks.drain(..) {
            let Task::Read { to: NEEDY, position, offset, length } = task else { continue };
            assert_eq!(position, Leading::snapshot());
            self.wanted.push(Wanted { offset, length });
        }
        for job in jobs {
            self.events.extend(job.write.map(|write| Event::Written(write.id)));
            parcels.extend(job.promises);
        }
        for (to, _, envelopes) in parcels {
            for envelope in envelopes {
                self.on_sent(to, envelope.content);
            }
        }
    }

    fn on_sent(&mut self, to: NodeId, content: Content) {
        match content {
            Content::Raft { term, message } => {
                if !message.is_reply() {
                    let message = answer(to, term, message);
                    self.hear(to, Content::Raft { term, message });
                }
            }
            Content::SnapshotPart(part) => {
                assert_eq!(to, NEEDY);
                self.sent.push(part);
            }
            other => panic!("not of a leader that nobody asks: {other:?}"),
        }
    }

    /// Time passes until the server wants a turn, or an answer is there.
    pub fn wait(&mut self) {
        if self.events.is_empty() {
            let due = self.server.deadline().expect("there is always a heartbeat to come");
            self.now = self.now.max(due);
        }
        self.turn();
    }

    /// So much time passes, with the turns that the server wants.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Micros(millis * 1_000);
        while !self.events.is_empty() || self.server.deadline().is_some_and(|due| due <= end) {
            self.wait();
        }
        self.now = end;
    }

    fn hear(&mut self, from: NodeId, content: Content) {
        let envelopes = vec![Envelope { group: GroupId(0), content }];
        self.events.push(Event::Envelopes { from, boot: Boot(1), envelopes });
    }

    /// The needy node says how far it is.
    pub fn has_taken(&mut self, wanted: u64) {
        let position = Leading::snapshot();
        self.hear(NEEDY, Content::SnapshotPartReply(SnapshotPartReply { position, wanted }));
        self.turn();
    }

    /// The voter says that it leads the next term.
    pub fn hear_new_leader(&mut self) {
        let term = Term(self.term().0 + 1);
        let heartbeat = Heartbeat { round: Round(1), commit: LogIndex(0) };
        self.hear(VOTER, Content::Raft { term, message: Message::Heartbeat(heartbeat) });
    }

    /// What was wanted first was read: these bytes, or nothing as the snapshot is gone. No turn yet.
    pub fn read(&mut self, bytes: Option<Vec<u8>>) {
        let Wanted { offset, .. } = self.wanted.remove(0);
        let position = Leading::snapshot();
        self.events.push(Event::Told(Told::Read { to: NEEDY, position, offset, bytes }));
    }

    /// All that is wanted is read, and leaves.
    pub fn read_all(&mut self) {
        while let Some(Wanted { length, .. }) = self.wanted.first().copied() {
            self.read(Some(vec![7; length]));
        }
        self.turn();
    }

    /// Where the parts begin that left since the last call, each with its length.
    pub fn parts(&mut self) -> Vec<(u64, usize)> {
        self.sent.drain(..).map(|part| (part.offset, part.bytes.len())).collect()
    }
}

/// What the others say to a message.
fn answer(node: NodeId, term: Term, message: Message) -> Message {
    match message {
        Message::PreVote(ask) => Message::PreVoteReply(PreVoteReply {
            proposed: ask.proposed,
            granted: true,
            round: ask.round,
        }),
        Message::RequestVote(_) => {
            Message::RequestVoteReply(RequestVoteReply { answers: term, granted: true, wall: 0 })
        }
        Message::Heartbeat(heartbeat) => {
            Message::HeartbeatReply(HeartbeatReply { round: heartbeat.round, full: false })
        }
        Message::AppendEntries(append) => {
            let last = append.entries.last().map_or(append.previous, |entry| entry.position);
            let outcome = match node {
                NEEDY => AppendOutcome::Mismatched {
                    rejected: append.previous.index,
                    try_at: LogPosition::ZERO,
                },
                _ => AppendOutcome::Matched(last.index),
            };
            Message::AppendEntriesReply(AppendEntriesReply { outcome })
        }
        other => panic!("nobody answers {other:?}"),
    }
}
