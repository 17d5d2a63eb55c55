//! Log time: the leader's clock for everything replicated. Must never fall, nor run more than one
//! percent faster or slower than this node's monotonic clock once the term has begun.

use messages::LogTime;

use crate::{Time, WallTime};

/// A leader's log clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LogClock {
    reading: LogTime,
    read_at: Time,
    /// What of the elapsed time was too little to be slewed by: less than 100 µs.
    unslewed: u64,
}

impl LogClock {
    /// Starts at the last entry's time, stepped forward to the voters' median wall clock.
    pub fn start(last_entry: LogTime, median_wall: WallTime, now: Time) -> LogClock {
        LogClock { reading: last_entry.max(LogTime(median_wall.0)), read_at: now, unslewed: 0 }
    }

    /// The time for an entry made now: what has elapsed, slewed towards wall time by at most 1 %.
    pub fn read(&mut self, now: Time, wall: WallTime) -> LogTime {
        let elapsed = (now - self.read_at).0;
        let due = self.reading.0.saturating_add(elapsed);
        let unslewed = self.unslewed.saturating_add(elapsed);
        let slew = unslewed / 100;
        self.unslewed = unslewed % 100;
        self.reading = LogTime(wall.0.clamp(due - slew.min(due), due.saturating_add(slew)));
        self.read_at = now;
        self.reading
    }
}
