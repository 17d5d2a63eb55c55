//! The faults that only real processes on a real system have, by name.

/// Every sync of a node fails: it must end with 74.
pub const DISK_FAILS: &str = "disk-fails";
/// Every sync of a node takes longer.
pub const DISK_SLOW: &str = "disk-slow";
/// A node's disk becomes full: it must end with 74, and go on when there is room.
pub const DISK_FULL: &str = "disk-full";
/// A node's wall clock jumps.
pub const CLOCKS: &str = "clocks";

/// All of them.
pub const ALL: [&str; 4] = [DISK_FAILS, DISK_SLOW, DISK_FULL, CLOCKS];
