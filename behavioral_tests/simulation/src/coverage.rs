//! Situations that a batch of seeds must have come into: a simulator that never gets near a rule says
//! nothing of it. Must never steer what happens.

use states::Decision;

use crate::tally::{Tally, named};

named! {
    /// A situation worth reaching.
    Mark {
        /// A follower replaced entries that conflicted with its leader's (paper, section 5.3).
        ConflictTruncation = "conflict truncation",
        /// A leader heard no quorum and stepped down.
        LostQuorum = "leader lost its quorum",
        /// A start cut off a tail that no sync had covered.
        TailCut = "torn tail cut at start",
    }
}

/// Seeds in a batch, from which on every mark must have been reached.
pub const BATCH: u64 = 300;

/// How often each situation came up.
pub type Coverage = Tally<Mark>;

impl Coverage {
    /// What a turn's decisions show.
    pub fn on_decisions(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Truncated(_) => self.add(Mark::ConflictTruncation),
                Decision::LostQuorum => self.add(Mark::LostQuorum),
                Decision::Became(..)
                | Decision::NewTerm(_)
                | Decision::VoteGranted(..)
                | Decision::VoteRefused(..)
                | Decision::Mismatched(..)
                | Decision::ElectionFailed(_)
                | Decision::Probing(_)
                | Decision::StrangerIgnored(_)
                | Decision::Impossible(..) => {}
            }
        }
    }

    /// Situations that never came up.
    pub fn missed(&self) -> Vec<Mark> {
        self.iter().filter(|(_, count)| *count == 0).map(|(mark, _)| mark).collect()
    }
}
