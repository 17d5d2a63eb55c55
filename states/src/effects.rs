//! What a turn asks of the server: data, never action. The server performs it field by field from
//! the top.

use std::fmt;

use messages::{Entry, LogIndex, LogPosition, Message, NodeId, SnapshotMeta, Term};

use crate::{Answer, RequestId, Time, WallTime, WriteId};

/// One batch of inputs and what comes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Turn {
    /// Read once, after the inputs were gathered: a message that waited is judged by a time after
    /// its arrival.
    pub now: Time,
    /// This node's wall clock at `now`.
    pub wall: WallTime,
    /// What the server must do.
    pub effects: Effects,
}

/// What a server must do after a turn.
///
/// A turn is atomic: its one write precedes all its promises, so after a crash it happened whole or
/// not at all. Hence what is in `sends` must be right even if the turn is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Effects {
    /// Messages that may leave at once, beside the write.
    pub sends: Vec<(NodeId, Term, Message)>,
    /// What must become durable; then comes `Input::Written` with its id.
    pub write: Option<Write>,
    /// Votes and acknowledgements: they leave when this write and all earlier ones are durable.
    pub promises: Vec<(NodeId, Term, Message)>,
    /// Answers to requests, one for each.
    pub answers: Vec<(RequestId, Answer)>,
    /// Apply the log up to here.
    pub commit: Option<LogIndex>,
    /// Send these followers the newest snapshot.
    pub snapshots: Vec<NodeId>,
    /// Take what this node sends of the snapshot up to here: it is wanted.
    pub receive: Vec<(NodeId, LogPosition)>,
    /// Restore this snapshot, which is here whole, beside the machine; then comes
    /// `Input::SnapshotRestored`.
    pub restore: Option<SnapshotMeta>,
    /// The machine that was restored takes the other's place: the log now begins after this.
    pub install: Option<SnapshotMeta>,
    /// Why: what was refused or changed, for people and for coverage marks.
    pub decisions: Vec<Decision>,
}

/// What must become durable, whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Echoed by `Input::Written`.
    pub id: WriteId,
    /// Term and vote after the turn.
    pub hard_state: HardState,
    /// The log now begins after this: a snapshot stands for all before, and nothing of the old log
    /// stays.
    pub reset: Option<LogPosition>,
    /// Replace everything in the log from the first of these on; none leaves the log as it is.
    pub entries: Vec<Entry>,
}

/// What a node must never forget besides its log (paper, Figure 2: persistent state).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The newest term seen. Never falls.
    pub term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<NodeId>,
}

/// The name of a state object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answers; starts an election when it hears no leader.
    Follower,
    /// Asks whether it would be voted for.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Replicates its log.
    Leader,
}

/// One thing that the rules decided, with the reason in its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Changed role.
    Became(Role, Term),
    /// Adopted a higher term.
    NewTerm(Term),
    /// Granted a vote.
    VoteGranted(NodeId, Term),
    /// Refused a vote or pre-vote.
    VoteRefused(NodeId, Refusal),
    /// A leader heard no quorum for an election timeout and stepped down.
    LostQuorum,
    /// A follower replaced entries from here on that conflicted with its leader's (paper, 5.3).
    Truncated(LogPosition),
    /// A follower did not hold what an append built on.
    Mismatched(NodeId, LogPosition),
    /// An election ended without a winner.
    ElectionFailed(Term),
    /// A leader's follower was silent, or its connection was lost; replication to it probes again.
    Probing(NodeId),
    /// A follower needs what the log no longer holds: it gets a snapshot.
    NeedsSnapshot(NodeId),
    /// A follower took nothing of its snapshot for too long, or that is there no more: it is probed
    /// again, and nothing is kept for it.
    SnapshotFailed(NodeId),
    /// What this follower needs next went out of the log, though it makes progress: too much was kept
    /// for it.
    Unpinned(NodeId),
    /// A follower holds everything up to here, by a snapshot or in its log.
    Snapshotted(NodeId, LogPosition),
    /// A snapshot took the place of this node's log.
    Installed(LogPosition),
    /// A follower has a hint that this leader of its is gone.
    Suspects(NodeId),
    /// It was not.
    HeardAgain(NodeId),
    /// Who would have stood on a hint, or whose disk has no room, lets this one go first.
    MadeWay(NodeId),
    /// The disk has no room: a leader steps down, a follower does not append.
    NoSpace,
    /// A reply from outside the configuration was dropped.
    StrangerIgnored(NodeId),
    /// Dropped what no honest peer sends.
    Impossible(NodeId, &'static str),
}

/// Why a vote was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A leader is there (thesis, section 4.2.3).
    HearsLeader,
    /// The request is of an older term.
    OldTerm,
    /// The vote of this term went to another.
    VotedForOther,
    /// The candidate's log is behind (paper, section 5.4.1).
    LogBehind,
}

impl Role {
    /// The role in a word, as logs, scripts and clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Turn {
    /// An empty turn at this time.
    pub fn new(now: Time, wall: WallTime) -> Turn {
        Turn { now, wall, effects: Effects::default() }
    }

    /// Records why.
    pub(crate) fn decide(&mut self, decision: Decision) {
        self.effects.decisions.push(decision);
    }

    /// A message that may leave at once.
    pub(crate) fn send(&mut self, to: NodeId, term: Term, message: Message) {
        self.effects.sends.push((to, term, message));
    }

    /// A message that rests on what this turn and earlier ones write.
    pub(crate) fn promise(&mut self, to: NodeId, term: Term, message: Message) {
        self.effects.promises.push((to, term, message));
    }

    /// The final word on a request.
    pub(crate) fn answer(&mut self, id: RequestId, answer: Answer) {
        self.effects.answers.push((id, answer));
    }
}

impl Effects {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Effects::default()
    }
}
