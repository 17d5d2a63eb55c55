//! What the doors and the library say to a server, and what they get back. Must never block: a
//! mailbox takes what it is given and wakes the server once.

use std::fmt;

use bytes::Bytes;
use messages::{LogIndex, LogPosition, NodeId, Operation, Term};
use states::{Role, Space, Time};

/// Names a batch that a driver gave to its server; the driver's own, never looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One connection's batch of requests: they take effect in order, and nothing of another connection
/// in between.
#[derive(Debug)]
pub struct Batch {
    /// When the first of its bytes were read: its time-out runs from here.
    pub arrived: Time,
    /// The requests. With a command among them the batch becomes one log entry; without, it is one
    /// linearizable read.
    pub operations: Vec<Operation>,
    /// Whether queries may be answered from this node's own, possibly old, state. Only for batches
    /// without commands.
    pub stale: bool,
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One reply for each operation, in order.
    Done {
        /// The replies.
        replies: Vec<Bytes>,
        /// Where the batch stands in the log, if it has commands and this node applied it.
        position: Option<LogPosition>,
    },
    /// Certainly not applied, and never will be: no leader was found in time.
    NoLeader {
        /// How long it waited, microseconds.
        waited: u64,
        /// Nodes heard from within the last election timeout, this one included.
        heard: usize,
        /// Nodes of the cluster.
        members: usize,
    },
    /// Certainly not applied, and never will be: too much waits already.
    Busy,
    /// Certainly not applied, and never will be: the leader's disk has no room, or those of so many others
    /// that no quorum would append it.
    Full,
    /// May have been applied, or may yet be. Never for a batch of only queries.
    Uncertain {
        /// Where it stands in a log that may or may not win, if that is known.
        position: Option<LogPosition>,
    },
    /// The server stopped before it took the batch; certainly not applied.
    Stopped,
}

/// A snapshot in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it stands for ends here.
    pub position: LogPosition,
    /// Bytes of its file.
    pub bytes: u64,
}

/// Why there is no snapshot of what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSnapshot {
    /// Nothing was applied yet.
    NothingApplied,
    /// There is no room for it on the disk.
    NoSpace,
    /// The node has stopped, or stops before one is in place.
    Stopped,
}

impl fmt::Display for NoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSnapshot::NothingApplied => "nothing has been applied yet",
            NoSnapshot::NoSpace => "no space left on the disk",
            NoSnapshot::Stopped => "the node is stopping",
        })
    }
}

impl std::error::Error for NoSnapshot {}

/// A node as it sees itself and its peers, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
    /// The log is known to be committed up to here.
    pub commit_index: LogIndex,
    /// The log is applied up to here.
    pub applied_index: LogIndex,
    /// Where the log ends.
    pub last: LogPosition,
    /// How far the log is durable on this node.
    pub durable: LogIndex,
    /// What stands before the log's first entry in memory.
    pub log_base: LogPosition,
    /// Bytes of the log in memory.
    pub log_bytes: usize,
    /// What room the disk has for the log.
    pub space: Space,
    /// The newest snapshot in place.
    pub snapshot: Option<Snapshot>,
    /// The other voters; what is known of them while this node leads.
    pub peers: Vec<PeerStatus>,
    /// Frames dropped at the gate, by reason.
    pub refused_frames: u64,
    /// What it holds whose amount is bounded.
    pub usage: Usage,
}

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// So much is there.
    pub used: u64,
    /// So much may be; what happens then is said where it is held.
    pub limit: u64,
}

/// What a node holds whose amount is bounded, at one moment: bytes, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries applied since the last snapshot was begun; at the limit the next is.
    pub since_snapshot: Filled,
    /// Entries in memory; above the limit none stays for the sake of a follower that is behind.
    pub log: Filled,
    /// Entries in memory, counted.
    pub log_entries: u64,
    /// Sessions, counted; beyond the limit the longest unused ends.
    pub sessions: Filled,
    /// Answers that sessions remember; likewise.
    pub answers: Filled,
    /// Batches that wait for an answer; beyond the limit they are refused as `Busy`.
    pub waiting: Filled,
    /// Entries that a leader has appended, and that are not settled; likewise.
    pub uncommitted: Filled,
    /// Entries on their way to the follower that has most of them; at the limit it gets no more
    /// until it has answered.
    pub in_flight: Filled,
}

/// What a leader knows of a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The follower.
    pub id: NodeId,
    /// How far its log is known to match, durably; only a leader knows.
    pub matched: Option<LogIndex>,
    /// Microseconds since it was last heard.
    pub heard_ago: Option<u64>,
}
