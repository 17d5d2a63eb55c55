//! What one node's rules say to another's: Raft's remote calls (paper, Figure 2) and their replies.
//! Must never carry clients' requests: peers and clients speak different enums.

use crate::{Entry, LogIndex, LogPosition, Round, Term};

/// A message between the rules of two nodes. The sender's term travels beside it (`Content::Raft`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// "Would you vote for me?" (thesis, section 9.6). Never moves anyone's term.
    PreVote(PreVote),
    /// The answer to it.
    PreVoteReply(PreVoteReply),
    /// "Vote for me" (paper, section 5.2).
    RequestVote(RequestVote),
    /// The answer to it. A grant is a promise.
    RequestVoteReply(RequestVoteReply),
    /// Entries to append (paper, section 5.3).
    AppendEntries(AppendEntries),
    /// The answer to it: a promise to keep what matched.
    AppendEntriesReply(AppendEntriesReply),
    /// "I lead": keeps elections away, asks for an echo, tells the commit index.
    Heartbeat(Heartbeat),
    /// The echo.
    HeartbeatReply(HeartbeatReply),
    /// "I need no snapshot up to here": the answer to one that was received, or offered in vain.
    Snapshotted(Snapshotted),
}

/// Asks whether a vote would be granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreVote {
    /// The term that the candidate would stand in: one above its own.
    pub proposed: Term,
    /// Where the candidate's log ends.
    pub last: LogPosition,
    /// The round to name in the reply: above zero if the candidate asks on a mere hint that its
    /// leader is gone, again and again; zero if its election timeout has passed.
    pub round: Round,
}

/// Says whether a vote would be granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreVoteReply {
    /// The proposed term that this answers.
    pub proposed: Term,
    /// Whether the vote would be granted.
    pub granted: bool,
    /// The round of the question that this answers.
    pub round: Round,
}

/// Asks for a vote in the sender's term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVote {
    /// Where the candidate's log ends (paper, section 5.4.1).
    pub last: LogPosition,
}

/// Grants or refuses a vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVoteReply {
    /// The term of the request that this answers.
    pub answers: Term,
    /// Whether the vote is granted.
    pub granted: bool,
    /// The voter's wall clock, microseconds since the UNIX epoch: the new leader may step log time
    /// to a quorum's median.
    pub wall: u64,
}

/// Entries that follow `previous` in the leader's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntries {
    /// The position just before the first entry; the follower's log must hold it.
    pub previous: LogPosition,
    /// The entries, contiguous; none for a probe.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: LogIndex,
}

/// Answers one AppendEntries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntriesReply {
    /// What came of it.
    pub outcome: AppendOutcome,
}

/// What came of an AppendEntries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppendOutcome {
    /// The follower's log equals the leader's up to here, durably.
    Matched(LogIndex),
    /// The follower's log does not hold `previous`.
    Mismatched {
        /// The request's `previous.index`, so that a stale refusal can be told; zero in the answer
        /// to a request of an older term.
        rejected: LogIndex,
        /// The last position of the follower's log at or before `previous` whose term is not above
        /// `previous.term`: nothing after it can match, so back-up goes by terms, not one by one
        /// (paper, end of section 5.3).
        try_at: LogPosition,
    },
}

/// "I lead in this term."
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// The round to echo.
    pub round: Round,
    /// The leader's commit index, but not above what this follower is known to match.
    pub commit: LogIndex,
}

/// Echoes a heartbeat's round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeartbeatReply {
    /// The round of the heartbeat that this answers; zero in the answer to a heartbeat of an older
    /// term, which proves nothing to a leader of this one.
    pub round: Round,
    /// The sender's disk has no room: it appends no commands.
    pub full: bool,
}

/// Says that everything up to an index is here, in a snapshot or in the log: a promise to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshotted {
    /// Where the snapshot that this answers ends.
    pub position: LogPosition,
}

impl Message {
    /// Whether this answers an earlier message: replies count only from members.
    pub fn is_reply(&self) -> bool {
        match self {
            Message::PreVoteReply(_)
            | Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_)
            | Message::Snapshotted(_) => true,
            Message::PreVote(_)
            | Message::RequestVote(_)
            | Message::AppendEntries(_)
            | Message::Heartbeat(_) => false,
        }
    }
}
