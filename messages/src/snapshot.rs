//! What stands for a part of the log that is gone: snapshots, and their parts on the way to a node
//! that lacks it. Must never look into a snapshot's bytes.

use bytes::Bytes;

use crate::{LogPosition, LogTime, Membership, Term};

/// What a snapshot stands for: the log up to a position, applied (paper, section 7, and Figure 13).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// The last entry that it covers.
    pub position: LogPosition,
    /// That entry's log time.
    pub time: LogTime,
    /// Who votes there.
    pub membership: Membership,
}

/// A part of a snapshot's file. Parts are sent in order, a few ahead of their replies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotPart {
    /// The term of the leader that sends it.
    pub term: Term,
    /// Which snapshot.
    pub meta: SnapshotMeta,
    /// Bytes of the whole file.
    pub size: u64,
    /// Where in the file this part begins.
    pub offset: u64,
    /// The part; empty only to ask how far the receiver is.
    pub bytes: Bytes,
}

/// How far a receiver is with a snapshot: answers each of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotPartReply {
    /// Which snapshot.
    pub position: LogPosition,
    /// The receiver has the file up to here, and wants to go on from here.
    pub wanted: u64,
}
