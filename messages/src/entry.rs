//! Log entries and what they carry. Must never interpret a command: its bytes belong to the state
//! machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::{LogPosition, LogTime, NodeId};

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
}

/// Who votes. Order and identity matter, addresses do not: those are configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The nodes whose majority decides.
    pub voters: BTreeSet<NodeId>,
}

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
    /// Bytes of the command.
    pub fn size(&self) -> usize {
        match self {
            Item::Plain(command) => command.len(),
        }
    }
}

impl Entry {
    /// Roughly what the entry takes in memory and on the wire, for limits in bytes.
    pub fn size(&self) -> usize {
        32 + self.payload.size()
    }
}
