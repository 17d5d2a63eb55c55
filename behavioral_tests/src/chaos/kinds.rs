//! The faults that only real processes on a real system have, by name, and how
//! all are named on a command line.

use raft::chaos::faults::KINDS;

/// Every sync of a node fails: it must end with 74.
pub const DISK_FAILS: &str = "disk fails";
/// Every sync of a node takes longer.
pub const DISK_SLOW: &str = "disk slow";
/// A node's disk becomes full: it must go on, without its share of the writes, until there is room.
pub const DISK_FULL: &str = "disk full";
/// A node's wall clock jumps.
pub const CLOCKS: &str = "clocks";

/// All of them.
pub const FURTHER: [&str; 4] = [DISK_FAILS, DISK_SLOW, DISK_FULL, CLOCKS];

/// All kinds of fault, those of links and processes first.
pub fn all() -> Vec<&'static str> {
    KINDS.into_iter().chain(FURTHER).collect()
}

/// The kind as a word on a command line.
pub fn word(kind: &str) -> String {
    kind.replace(' ', "-")
}

/// The kind of this word.
pub fn of_word(word: &str) -> Option<&'static str> {
    all().into_iter().find(|kind| self::word(kind) == word)
}
