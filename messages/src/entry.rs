//! Log entries and what they carry. Must never interpret a command: its bytes belong to the state
//! machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::{CommandNumber, LogPosition, LogTime, NodeId, SessionId};

/// One entry of the replicated log (paper, Figure 2 and section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Index and term.
    pub position: LogPosition,
    /// The leader's log time when it made the entry.
    pub time: LogTime,
    /// What it does when applied.
    pub payload: Payload,
}

/// What an entry does. The kinds are numbers on the wire and on disk; an unknown kind halts the
/// node, it is never skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Nothing: the entry with which a leader starts its term (paper, section 8), or one that only
    /// tells the time.
    Blank,
    /// Commands for the state machine: one connection's batch, in order. Shared, so that an entry
    /// is never copied for a follower or the disk.
    Command(Arc<[Item]>),
}

/// One item of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A command for the state machine, as its client sent it.
    Plain(Bytes),
    /// A command that is applied once, however often it is in the log.
    Session {
        /// The session it belongs to.
        session: SessionId,
        /// Its number there.
        number: CommandNumber,
        /// The command.
        command: Bytes,
    },
    /// Opens a session; its id is the item's stamp.
    OpenSession,
    /// Asks what became of a command of a session, and closes its number if it was not applied.
    Outcome {
        /// The session.
        session: SessionId,
        /// The command's number there.
        number: CommandNumber,
    },
    /// Ends a session.
    CloseSession(SessionId),
}

/// Who votes. Order and identity matter, addresses do not: those are configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The nodes whose majority decides.
    pub voters: BTreeSet<NodeId>,
}

/// Bytes of a session's id and a number in it.
pub(crate) const SESSION_BYTES: usize = 16;

impl Payload {
    /// Bytes of commands in it, for limits; what surrounds them is not counted.
    pub fn size(&self) -> usize {
        match self {
            Payload::Blank => 0,
            Payload::Command(items) => items.iter().map(Item::size).sum(),
        }
    }
}

impl Item {
    /// Bytes of the command, and of what a session adds to it.
    pub fn size(&self) -> usize {
        match self {
            Item::Plain(command) => command.len(),
            Item::Session { command, .. } => SESSION_BYTES + command.len(),
            Item::OpenSession | Item::Outcome { .. } | Item::CloseSession(_) => SESSION_BYTES,
        }
    }

    /// The command for the state machine, if it has one.
    pub fn command(&self) -> Option<&Bytes> {
        match self {
            Item::Plain(command) | Item::Session { command, .. } => Some(command),
            Item::OpenSession | Item::Outcome { .. } | Item::CloseSession(_) => None,
        }
    }
}

impl Entry {
    /// Roughly what the entry takes in memory and on the wire, for limits in bytes.
    pub fn size(&self) -> usize {
        32 + self.payload.size()
    }
}
