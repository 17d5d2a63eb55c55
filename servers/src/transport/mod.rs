//! How frames travel between nodes. Must never look into a frame beyond what the gate checks, and
//! never block: what cannot leave now is dropped, Raft says it again.

/// Which connection to a peer a frame takes, so that bulk never holds heartbeats back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats, votes and replies.
    Control,
    /// AppendEntries, all of them, in order; forwarded batches and their answers.
    Log,
}
