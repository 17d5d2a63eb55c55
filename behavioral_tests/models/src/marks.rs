//! What a run came across. A run that meets nothing says nothing, so each setting names what it must
//! have met.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something worth having come across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A leader was elected.
    Elected,
    /// A leader committed an entry.
    Committed,
    /// Two nodes led at the same moment, in different terms.
    TwoLeaders,
    /// A follower replaced entries that conflicted with its leader's.
    Truncated,
    /// A follower refused an append that built on what it does not hold.
    Mismatched,
    /// A crash lost a write.
    CrashLost,
    /// A vote was lost in a crash, and its node voted again in that term.
    VoteLostAndRepeated,
    /// A read was answered.
    ReadAnswered,
    /// A read was refused because its leader left office.
    ReadRefused,
    /// A vote or pre-vote was refused because a leader was heard.
    HeardLeader,
    /// A follower had a hint that its leader was gone.
    Suspected,
    /// It heard it again.
    HeardAgain,
    /// A leader heard no quorum and stepped down.
    LostQuorum,
    /// A leader holds an uncommitted entry of an older term on a majority (paper, Figure 8, c).
    OldEntryOnMajority,
    /// An entry that a majority had held was replaced (paper, Figure 8, d).
    MajorityReplaced,
    /// A time without trouble ended with a leader.
    Recovered,
}

/// All of them, in the order of the report.
pub const MARKS: [Mark; 16] = [
    Mark::Elected,
    Mark::Committed,
    Mark::TwoLeaders,
    Mark::Truncated,
    Mark::Mismatched,
    Mark::CrashLost,
    Mark::VoteLostAndRepeated,
    Mark::ReadAnswered,
    Mark::ReadRefused,
    Mark::HeardLeader,
    Mark::Suspected,
    Mark::HeardAgain,
    Mark::LostQuorum,
    Mark::OldEntryOnMajority,
    Mark::MajorityReplaced,
    Mark::Recovered,
];

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mark::Elected => "a leader elected",
            Mark::Committed => "an entry committed",
            Mark::TwoLeaders => "two leaders in different terms",
            Mark::Truncated => "a conflict truncated",
            Mark::Mismatched => "an append refused",
            Mark::CrashLost => "a write lost in a crash",
            Mark::VoteLostAndRepeated => "a vote lost in a crash and repeated",
            Mark::ReadAnswered => "a read answered",
            Mark::ReadRefused => "a read refused: its leader left office",
            Mark::HeardLeader => "a vote refused: a leader was heard",
            Mark::Suspected => "a hint that the leader was gone",
            Mark::HeardAgain => "a leader heard again after a hint",
            Mark::LostQuorum => "a leader that heard no quorum",
            Mark::OldEntryOnMajority => "an older term's entry on a majority (Figure 8)",
            Mark::MajorityReplaced => "an entry of a majority replaced (Figure 8)",
            Mark::Recovered => "a leader after a time without trouble",
        })
    }
}

/// How often each was met, on transitions, by all threads.
#[derive(Debug, Default)]
pub struct Met([AtomicU64; MARKS.len()]);

impl Met {
    pub(crate) fn add(&self, mark: Mark) {
        self.0[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Transitions on which it was met.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize].load(Ordering::Relaxed)
    }
}
