//! Time as the rules see it: numbers handed in by whoever drives a server. Must never read a clock.

use std::ops::{Add, Sub};

/// Microseconds on a clock that never falls and goes on through suspend; its zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// Microseconds since the UNIX epoch by this node's wall clock. May jump; no rule but the stepping
/// of log time looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// A span of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Add<Micros> for Time {
    type Output = Time;

    fn add(self, span: Micros) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Time> for Time {
    type Output = Micros;

    /// The span since `earlier`; zero if that is later.
    fn sub(self, earlier: Time) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl From<std::time::Duration> for Micros {
    fn from(duration: std::time::Duration) -> Micros {
        Micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}
