//! The numbers that tune the rules. Safety depends on none of them.

use crate::Micros;

/// Settings of one node's rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How often a leader sends heartbeats.
    pub heartbeat: Micros,
    /// Election timeouts are drawn from `[election, 1.5 × election)`.
    pub election: Micros,
    /// Bytes of entries in one AppendEntries at most; a single larger entry goes alone.
    pub append_bytes: usize,
    /// AppendEntries in flight to one follower at most.
    pub window_messages: usize,
    /// Bytes of entries in flight to one follower at most.
    pub window_bytes: usize,
    /// Bytes of entries that are uncommitted, or not yet durable on the leader, above which it answers
    /// `Busy`.
    pub uncommitted_bytes: usize,
    /// Bytes of entries that stay in memory though a snapshot covers them, for followers that are a
    /// little behind.
    pub kept_bytes: usize,
    /// Bytes of entries in memory above which none stays for the sake of a follower that makes
    /// progress but needs it: that one gets a snapshot.
    pub pinned_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat: Micros(50_000),
            election: Micros(300_000),
            append_bytes: 1 << 20,
            window_messages: 16,
            window_bytes: 4 << 20,
            uncommitted_bytes: 64 << 20,
            kept_bytes: 4 << 20,
            pinned_bytes: 64 << 20,
        }
    }
}
