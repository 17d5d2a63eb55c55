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
        if reached <= replica.commit_index || replica.log.term_at(reached) != Some(replica.term()) {
            return;
        }
        replica.commit(turn, reached);
    }

    /// Makes room for proposals. An entry that the others committed while this node's own disk
    /// lagged still takes room.
    pub(super) fn settle_entries(&mut self, replica: &Replica) {
        let settled = settled(replica);
        for index in self.settled.0 + 1..=settled.0 {
            let entry = replica.log.entry(LogIndex(index)).expect("an entry up to last");
            self.unsettled_bytes -= entry.size();
        }
        self.settled = settled;
    }
}

/// Up to where the log is committed, and durable on this node.
pub(super) fn settled(replica: &Replica) -> LogIndex {
    replica.commit_index.min(replica.log.durable())
}

/// Bytes of the entries after `index`.
pub(super) fn bytes_after(replica: &Replica, index: LogIndex) -> usize {
    replica.log.slice(index.next(), usize::MAX).map(|entry| entry.size()).sum()
}
