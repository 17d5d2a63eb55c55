//! What a user brings: a deterministic state machine. Must never know of terms, votes or peers.

use messages::{LogIndex, LogTime};

/// Where in the log a command is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index. Commands of one batch share it.
    pub index: LogIndex,
    /// The entry's log time; never falls from one command to the next.
    pub time: LogTime,
}

/// A deterministic state machine: the same commands in the same order leave the same state and give
/// the same replies on every node. So it must read no clock, no random numbers and no file, and
/// nothing may depend on the iteration order of a randomly seeded hash map.
pub trait StateMachine: Send {
    /// Executes a committed command and appends its reply to `reply` (which may hold bytes of
    /// earlier replies: only append). Any bytes may come, also ones this version does not know:
    /// answer with an error of your own, do not panic.
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>);

    /// Answers a question and changes nothing; appends the answer to `reply`.
    fn query(&self, query: &[u8], reply: &mut Vec<u8>);

    /// A number that differs (very likely) when the states of two machines differ. Lets replicas
    /// notice that they have come apart.
    fn digest(&self) -> u64;
}
