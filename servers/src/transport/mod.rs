//! How frames travel between nodes: whole, sealed by the caller, over one lane for each kind of
//! traffic. Must never look into a frame (the gate does), and never block: what cannot leave is
//! dropped, Raft says it again.
//!
//! What every transport keeps, and `unit_tests/tests/transport` checks of each:
//! - frames of one lane arrive in the order in which they were sent, or not at all, and none twice;
//! - a full lane holds no other lane back;
//! - nothing sent while a peer was away reaches it when it comes back;
//! - memory is bounded whatever a peer does or leaves undone.

mod changes;
pub mod memory;
pub mod tcp;
#[cfg(feature = "zeromq")]
pub mod zeromq;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::{fmt, io};

use bytes::Bytes;
use messages::NodeId;
/// The largest frame, bytes. A larger one is refused by the sender and cut off by the receiver.
pub use messages::frame::MAX_FRAME;

use self::changes::Changes;

/// Which connection to a peer a frame takes, so that bulk never holds heartbeats back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats, votes and replies.
    Control,
    /// AppendEntries, all of them, in order; forwarded batches and their answers.
    Log,
    /// Parts of snapshots.
    Bulk,
}

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a dropped frame certainly stays here, which its sender may want to know"]
pub enum Sent {
    /// It may arrive, or may be lost on the way.
    Queued,
    /// Nothing of it left this node, and nothing ever will.
    Dropped,
}

/// What became of the connection over which a peer is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was lost: the peer ended, or the network did.
    Lost(NodeId),
    /// It stands, for the first time or again.
    Found(NodeId),
}

/// Sends and receives whole frames. Used by one task; nothing in it blocks.
///
/// A turn of that task: wait until something is readable, take frames until there is none (or as
/// many as a turn should hold), act, send, [`flush`](Transport::flush).
pub trait Transport {
    /// Sends a frame, best effort. Frames of one lane leave in the order of these calls.
    ///
    /// Drops a frame larger than [`MAX_FRAME`], one to a peer that is unknown or not connected, and
    /// one for which there is no room.
    fn send(&mut self, to: NodeId, lane: Lane, frame: Vec<u8>) -> Sent;

    /// The next frame that has arrived, from whomever.
    fn receive(&mut self) -> Option<Bytes>;

    /// The next change of a peer's control lane, in order. To be asked for once
    /// [`receive`](Transport::receive) has given all there is: what a peer said before it went counts.
    /// What happened after that call is told after the next.
    fn change(&mut self) -> Option<Change>;

    /// Tries again what could not leave at once, control before log; to be called once a turn.
    /// Returns whether some is left, so that the caller comes back within a millisecond or so.
    fn flush(&mut self) -> bool;

    /// Ready as soon as [`receive`](Transport::receive) may have a frame, and once when
    /// [`change`](Transport::change) has more to tell than before; otherwise wakes the task
    /// later. Costs nothing while nothing arrives. Also when it was ready, only `receive` knows.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// What was dropped so far.
    fn counts(&self) -> Counts;
}

/// What a transport over sockets keeps to be told.
#[derive(Default)]
struct Record {
    counts: Counts,
    changes: Changes,
}

/// Waits until `transport` may have a frame. Can be dropped at any time without loss.
pub async fn readable<T: Transport + ?Sized>(transport: &mut T) {
    poll_fn(|context| transport.poll_readable(context)).await;
}

/// Frames dropped since the transport was opened, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To be sent, but larger than [`MAX_FRAME`].
    pub oversize: u64,
    /// To be sent, but to a peer that is unknown or not connected.
    pub unconnected: u64,
    /// To be sent, but the peer takes less than it is sent.
    pub full: u64,
    /// Taken for sending, then discarded because the connection was lost.
    pub lost: u64,
    /// Received, but not in the form of a frame.
    pub malformed: u64,
    /// Received over a connection that has no name, or lost it to a newer one. Where connections
    /// say who they are: also each that was refused for what it said.
    pub unnamed: u64,
}

/// Why a transport could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The address to listen at is none that this machine can resolve.
    Resolve {
        /// As it was given.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The address cannot be listened at: it is in use, or not one of this machine.
    Listen {
        /// As it was given.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The address of a peer is not `host:port`.
    Peer {
        /// The peer.
        peer: NodeId,
        /// As it was given.
        address: String,
        /// What the transport says.
        error: io::Error,
    },
    /// The system gave no sockets or no descriptors.
    Sockets(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Resolve { address, error } => write!(
                f,
                "cannot make out the address {address:?} to listen for peers at: {error}; \
                 give host:port"
            ),
            OpenError::Listen { address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen for peers at {address}: the port is in use; \
                     stop what listens there, or give another port"
                )
            }
            OpenError::Listen { address, error } => write!(
                f,
                "cannot listen for peers at {address}: {error}; give an address of this machine"
            ),
            OpenError::Peer { peer, address, error } => write!(
                f,
                "cannot use {address:?} as the address of peer {peer}: {error}; give host:port"
            ),
            OpenError::Sockets(error) => write!(
                f,
                "cannot make sockets for peers: {error}; raise the limit of open files (ulimit -n)"
            ),
        }
    }
}

impl std::error::Error for OpenError {}
