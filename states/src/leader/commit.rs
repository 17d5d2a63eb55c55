//! When an entry is committed (paper, section 5.4.2). Must never count an entry of an older term,
//! nor this node's own entries before they are durable.

use messages::LogIndex;

use super::Leader;
use super::progress::Progress;
use crate::{Replica, Turn, quorum};

impl Leader {
    /// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and
    /// log[N].term == currentTerm: set commitIndex = N" (paper, Figure 2, leaders).
    pub(super) fn advance_commit(&mut self, replica: &mut Replica, turn: &mut Turn) {
        let reached = quorum::reached(&replica.membership.voters, |voter| {
            if voter == replica.id {
                replica.log.durable()
            } else {
                self.progress.get(&voter).map_or(LogIndex(0), Progress::matched)
            }
        });
        let before = replica.commit_index;
        if reached <= before || replica.log.term_at(reached) != Some(replica.term()) {
            return;
        }
        for index in before.0 + 1..=reached.0 {
            let entry = replica.log.entry(LogIndex(index)).expect("an entry up to last");
            self.uncommitted_bytes -= entry.size();
        }
        replica.commit(turn, reached);
    }
}

/// Bytes of the entries after the commit index.
pub(super) fn uncommitted_bytes(replica: &Replica) -> usize {
    let tail = replica.log.slice(replica.commit_index.next(), usize::MAX);
    tail.iter().map(|entry| entry.size()).sum()
}
