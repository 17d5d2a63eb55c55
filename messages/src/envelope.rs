//! What travels in a frame: messages of the rules, and what the servers say among themselves.
//! Must never decide anything about what it carries.

use bytes::Bytes;

use crate::entry::SESSION_BYTES;
use crate::{
    CommandNumber, Entry, GroupId, Message, SessionId, SnapshotPart, SnapshotPartReply, Term,
};

/// One thing said, to one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The group that it concerns.
    pub group: GroupId,
    /// What is said.
    pub content: Content,
}

/// What is said between two nodes. Only `Raft` enters the rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// For the rules.
    Raft {
        /// The sender's term when its handler made the message.
        term: Term,
        /// The message.
        message: Message,
    },
    /// A client's batch, passed on to the leader.
    Forward(Forward),
    /// What came of it.
    ForwardReply(ForwardReply),
    /// A part of a snapshot, for a node whose log ends before the leader's begins.
    SnapshotPart(SnapshotPart),
    /// How far the receiver is.
    SnapshotPartReply(SnapshotPartReply),
}

/// One connection's batch, handed to the leader by the node that the client talks to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forward {
    /// Rises with each copy handed out by this boot of the origin.
    pub number: u64,
    /// The term of the leader that the copy is meant for: it is appended in no other.
    pub only_in: Term,
    /// The batch, in the order of the connection.
    pub operations: Vec<Operation>,
}

/// One request of a client's batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Changes the state machine; enters the log.
    Command(Bytes),
    /// Reads it; never enters the log.
    Query(Bytes),
    /// Changes it once, however often it enters the log.
    Session {
        /// The session it belongs to.
        session: SessionId,
        /// Its number there.
        number: CommandNumber,
        /// The command.
        command: Bytes,
    },
    /// Opens a session; enters the log.
    OpenSession,
    /// Asks what became of a command of a session; enters the log.
    Outcome {
        /// The session.
        session: SessionId,
        /// The command's number there.
        number: CommandNumber,
    },
    /// Ends a session; enters the log.
    CloseSession(SessionId),
}

/// Answers the forward of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForwardReply {
    /// The number of the forward.
    pub number: u64,
    /// What came of it.
    pub outcome: ForwardOutcome,
}

/// What came of a forwarded batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardOutcome {
    /// Done: one reply for each operation.
    Done(Vec<Bytes>),
    /// Certainly not appended, and never will be: the batch may be handed to another leader.
    NotAppended(NotAppended),
}

/// Why a forwarded batch was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotAppended {
    /// The receiver does not lead the term that the copy was meant for.
    NotLeader,
    /// Too many uncommitted bytes wait.
    Busy,
    /// There is no room on the receiver's disk, or on those of too many others.
    Full,
}

impl Content {
    /// Bytes of the commands in it: what may enter a log, and stay.
    pub fn commands_size(&self) -> usize {
        match self {
            Content::Raft { message: Message::AppendEntries(append), .. } => {
                append.entries.iter().map(|entry| entry.payload.size()).sum()
            }
            Content::Forward(forward) => forward.operations.iter().map(Operation::size).sum(),
            Content::Raft { .. }
            | Content::ForwardReply(_)
            | Content::SnapshotPart(_)
            | Content::SnapshotPartReply(_) => 0,
        }
    }

    /// Roughly what it takes in a frame, its envelope included, for limits in bytes.
    pub fn size(&self) -> usize {
        let carried = match self {
            Content::Raft { message: Message::AppendEntries(append), .. } => {
                append.entries.iter().map(Entry::size).sum()
            }
            Content::Raft { .. } | Content::SnapshotPartReply(_) => 0,
            Content::SnapshotPart(part) => {
                16 * part.meta.membership.voters.len() + part.bytes.len()
            }
            Content::Forward(forward) => {
                forward.operations.iter().map(|each| 8 + each.size()).sum()
            }
            Content::ForwardReply(reply) => match &reply.outcome {
                ForwardOutcome::Done(replies) => replies.iter().map(|each| 8 + each.len()).sum(),
                ForwardOutcome::NotAppended(_) => 0,
            },
        };
        64 + carried
    }
}

impl Operation {
    /// Whether the operation enters the log.
    pub fn is_command(&self) -> bool {
        !matches!(self, Operation::Query(_))
    }

    /// Whether nothing is lost or done twice when the operation is executed again.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Operation::Command(_))
    }

    /// The command for the state machine, if it has one.
    pub fn command(&self) -> Option<&Bytes> {
        match self {
            Operation::Command(command) | Operation::Session { command, .. } => Some(command),
            Operation::Query(_)
            | Operation::OpenSession
            | Operation::Outcome { .. }
            | Operation::CloseSession(_) => None,
        }
    }

    /// Bytes of the request.
    pub fn size(&self) -> usize {
        match self {
            Operation::Command(bytes) | Operation::Query(bytes) => bytes.len(),
            Operation::Session { command, .. } => SESSION_BYTES + command.len(),
            Operation::OpenSession | Operation::Outcome { .. } | Operation::CloseSession(_) => {
                SESSION_BYTES
            }
        }
    }
}
