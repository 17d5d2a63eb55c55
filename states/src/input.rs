//! Everything that can happen to a server's state, and what it answers to requests.

use messages::{Item, LogIndex, LogPosition, Message, NodeId, SnapshotMeta, Term};

/// Names a request of the server that holds the state; never reused within a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a write handed to the disk. Rises by one with each write of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// What room the disk has for the log. What is written into room that was claimed never finds the disk
/// full, so that only claiming may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Room for what may come.
    #[default]
    Enough,
    /// No more room can be claimed: what is left is kept for votes, and for entries without commands.
    Full,
    /// And of that only a little is left, for votes alone.
    Exhausted,
}

/// One thing that happens to a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A peer's message, with the sender's term.
    Message {
        /// Who sent it.
        from: NodeId,
        /// The sender's term when it made the message.
        term: Term,
        /// What it says.
        message: Message,
    },
    /// The deadline that the state handed out has passed.
    Timeout,
    /// This write and all earlier ones are durable.
    Written(WriteId),
    /// What room there is for the log has changed.
    Space(Space),
    /// The connection to this peer was lost, or its process was started again; all that it said
    /// before has been handed in. A hint: the peer may be there.
    PeerLost(NodeId),
    /// Append these commands as one entry.
    Propose {
        /// Answered under this id.
        id: RequestId,
        /// Only if this node leads exactly this term.
        only_in: Option<Term>,
        /// The batch.
        items: Vec<Item>,
    },
    /// Append an entry without commands, so that log time goes on; answered under this id, as a
    /// proposal is.
    Blank(RequestId),
    /// Find an index at which a linearizable read may run.
    Read(RequestId),
    /// A snapshot is in place on this node's disk, and will be found at a start.
    SnapshotTaken(SnapshotMeta),
    /// A leader sends a snapshot (paper, Figure 13).
    SnapshotPart {
        /// Who sends it.
        from: NodeId,
        /// The sender's term when it sent the part.
        term: Term,
        /// Which snapshot.
        meta: SnapshotMeta,
        /// All of it is on this node's disk, and was checked.
        complete: bool,
    },
    /// A snapshot that was received is restored beside the machine, and on the disk.
    SnapshotRestored(SnapshotMeta),
    /// This follower took no part of the snapshot for it for too long.
    SnapshotFailed(NodeId),
}

/// The final word of the rules on a request; `Appended` and `ReadAt` are then finished by whoever
/// applies the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The entry stands here in this leader's log. Whether it stays is known when something is
    /// applied at its index.
    Appended(LogPosition),
    /// The read may run once the log is applied up to here.
    ReadAt(LogIndex),
    /// Not appended, and never will be: this node does not lead (the term asked for).
    NotLeader,
    /// Not appended, and never will be: too many bytes wait to be committed or written.
    Busy,
    /// Not appended, and never will be: this node's disk has no room, or so many others' that no quorum
    /// would append it.
    Full,
}
