//! The numbers that Raft nodes tell each other, each a type of its own so that a term can never be
//! passed for an index. Must never hold behaviour beyond comparing, counting and printing.

use std::fmt;

/// Declares a `u64` newtype that prints as its number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Names a cluster; made at random by the founder. Frames of another cluster are dropped.
    ClusterId
}
number! {
    /// Names one data folder; made with the folder and never used again. What people call a node is
    /// its *name*, which configuration maps to an id.
    NodeId
}
number! {
    /// One run of one data folder: a counter in the high 32 bits (one more at each start, durable
    /// before the first frame) and a random part in the low 32.
    Boot
}
number! {
    /// Names one consensus group among those that share a transport. One group exists today: zero.
    GroupId
}
number! {
    /// A term of Raft (paper, section 5.1). Zero is before the first election.
    Term
}
number! {
    /// The place of an entry in the log, from one. Zero is before the first entry.
    LogIndex
}
number! {
    /// Microseconds since the UNIX epoch as the leaders' clock has it. Never falls along the log.
    LogTime
}
number! {
    /// A leader's heartbeat round: rises by one each time it asks all followers to echo.
    Round
}

number! {
    /// Names a client's session; no other command of the log has made the same.
    SessionId
}
number! {
    /// A client's own number for a command within its session, from one.
    CommandNumber
}

impl Boot {
    /// The boot after this one, with a fresh random part.
    pub fn next(self, random: u32) -> Boot {
        Boot((((self.0 >> 32) + 1) << 32) | u64::from(random))
    }
}

impl Term {
    /// The term after this one.
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl LogIndex {
    /// The index after this one.
    pub fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }
}

/// Where an entry stands: its index and the term of the leader that made it. Prints as `5@3`, index
/// 5 of term 3.
///
/// The derived order, term first, *is* the "up-to-date" order of the paper's section 5.4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The term of the leader that made the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: LogIndex,
}

impl LogPosition {
    /// Before the first entry of any log.
    pub const ZERO: LogPosition = LogPosition { term: Term(0), index: LogIndex(0) };

    /// The position of index `index` made in term `term`.
    pub fn new(index: u64, term: u64) -> LogPosition {
        LogPosition { term: Term(term), index: LogIndex(index) }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
