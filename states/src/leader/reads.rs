//! Linearizable reads without the log: ReadIndex (thesis, section 6.4). One round of heartbeats
//! serves all reads that waited when it was opened. Must never answer by a round that was sent
//! before the read came, nor before this term's blank entry is committed.

use std::collections::VecDeque;

use messages::{LogIndex, Round};

use super::Leader;
use crate::{Answer, Replica, RequestId, Turn};

/// Rounds for reads under way at most: with two a read does not wait for the end of one that was sent
/// before it came; with more, rounds are many and small.
const MOST: usize = 2;

/// Reads on their way to an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    waiting: Vec<RequestId>,
    /// The oldest first.
    asked: VecDeque<Asked>,
}

/// The reads of one round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    round: Round,
    index: LogIndex,
    requests: Vec<RequestId>,
}

impl Reads {
    /// Waits for the next round.
    pub fn wait(&mut self, id: RequestId) {
        self.waiting.push(id);
    }

    /// All waiting reads ask this round; once it is confirmed they may run at `index`.
    pub fn ask(&mut self, round: Round, index: LogIndex) {
        let requests = std::mem::take(&mut self.waiting);
        self.asked.push_back(Asked { round, index, requests });
    }

    /// All reads that have no index yet.
    pub fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.asked.into_iter().flat_map(|asked| asked.requests).chain(self.waiting)
    }
}

impl Leader {
    /// Whether reads wait, few are under way, and the leader knows what is committed: "a leader
    /// must have the latest information on which entries are committed" (paper, section 8).
    pub(super) fn reads_want_round(&self, replica: &Replica) -> bool {
        !self.reads.waiting.is_empty()
            && self.reads.asked.len() < MOST
            && replica.commit_index >= self.blank
    }

    /// Answers the reads whose round a quorum has echoed.
    pub(super) fn confirm_reads(&mut self, turn: &mut Turn) {
        let confirmed = self.rounds.confirmed();
        while let Some(asked) = self.reads.asked.pop_front_if(|asked| asked.round <= confirmed) {
            for id in asked.requests {
                turn.answer(id, Answer::ReadAt(asked.index));
            }
        }
    }
}
