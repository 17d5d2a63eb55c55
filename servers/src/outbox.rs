//! What a server wants done, gathered while it runs a turn and drained by its driver. Must never do
//! any of it, and never reorder what goes to one peer on one lane.

use messages::{Content, Envelope, GroupId, NodeId};
use states::Decision;

use crate::host::{Outcome, Token};
use crate::snapshots::Task;
pub use crate::storage::Job;
use crate::transport::Lane;

/// What becomes one frame: envelopes for one peer on one lane.
pub type Parcel = (NodeId, Lane, Vec<Envelope>);

/// A parcel that holds this many bytes of commands and replies is closed and another one begun, so
/// that no frame comes near its limit.
const PARCEL_BYTES: usize = 1 << 20;

/// Everything a turn leaves to be done. The driver empties it: first the sends, then the jobs, then
/// the replies.
#[derive(Default)]
pub struct Outbox {
    /// Frames that may leave at once.
    pub sends: Parcels,
    /// Work for the writer, in this order.
    pub jobs: Vec<Job>,
    /// Work on snapshots, beside the log.
    pub tasks: Vec<Task>,
    /// Answers for clients, one for each batch.
    pub replies: Vec<(Token, Outcome)>,
    /// What the rules decided and why, for logs and coverage marks.
    pub decisions: Vec<Decision>,
}

/// Envelopes grouped into parcels: those of one peer and lane stay in order, and share a parcel
/// while it is small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcels {
    closed: Vec<Parcel>,
    open: Vec<(Parcel, usize)>,
}

impl Parcels {
    /// Adds an envelope; its content says the lane.
    pub fn add(&mut self, to: NodeId, group: GroupId, content: Content) {
        let lane = lane_of(&content);
        let size = content.size();
        let envelope = Envelope { group, content };
        let place = self.open.iter().position(|((node, on, _), _)| (*node, *on) == (to, lane));
        match place {
            Some(place) if self.open[place].1 + size > PARCEL_BYTES => {
                let fresh = ((to, lane, vec![envelope]), size);
                let (full, _) = std::mem::replace(&mut self.open[place], fresh);
                self.closed.push(full);
            }
            Some(place) => {
                let ((_, _, envelopes), bytes) = &mut self.open[place];
                envelopes.push(envelope);
                *bytes += size;
            }
            None => self.open.push(((to, lane, vec![envelope]), size)),
        }
    }

    /// Takes all parcels out, in an order that is right for sending.
    pub fn take(&mut self) -> Vec<Parcel> {
        let mut parcels = std::mem::take(&mut self.closed);
        parcels.extend(self.open.drain(..).map(|(parcel, _)| parcel));
        parcels
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Outbox {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.jobs.is_empty()
            && self.tasks.is_empty()
            && self.replies.is_empty()
    }
}

/// AppendEntries and forwarded batches share a lane, snapshots have one; all else is small and must
/// not wait for them.
fn lane_of(content: &Content) -> Lane {
    match content {
        Content::Raft { message: messages::Message::AppendEntries(_), .. }
        | Content::Forward(_)
        | Content::ForwardReply(_) => Lane::Log,
        Content::SnapshotPart(_) => Lane::Bulk,
        Content::Raft { .. } | Content::SnapshotPartReply(_) => Lane::Control,
    }
}
