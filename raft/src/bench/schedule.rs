//! When the requests of an open loop are due, and which connections are free for them. Must never
//! put a request off because a server is slow: that is what is measured.

use std::collections::VecDeque;

/// Requests at a fixed rate, over several connections in turn.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// From one request to the next, in nanoseconds.
    gap: f64,
    /// Requests so far.
    issued: u64,
    /// Connections with room, the one that has had it longest first; each at most once.
    free: VecDeque<usize>,
    is_free: Vec<bool>,
}

impl Schedule {
    /// So many requests a second, the first one at once. All connections are free.
    pub fn new(rate: f64, connections: usize) -> Schedule {
        let free = (0..connections).collect();
        Schedule { gap: 1e9 / rate, issued: 0, free, is_free: vec![true; connections] }
    }

    /// When the next request is due.
    pub fn next(&self) -> u64 {
        (self.issued as f64 * self.gap) as u64
    }

    /// Whether a request is due before this time.
    pub fn is_due(&self, before: u64) -> bool {
        self.next() < before
    }

    /// The next request, if it is due before this time: when it was.
    pub fn next_due(&mut self, before: u64) -> Option<u64> {
        let due = self.next();
        (due < before).then(|| {
            self.issued += 1;
            due
        })
    }

    /// Whether any connection is free.
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The connection that has been free longest; it is not until it is said to be again.
    pub fn take_free(&mut self) -> Option<usize> {
        let number = self.free.pop_front()?;
        self.is_free[number] = false;
        Some(number)
    }

    /// A connection has room; that it has none is known already.
    pub fn set_free(&mut self, number: usize, has_room: bool) {
        if has_room && !self.is_free[number] {
            self.is_free[number] = true;
            self.free.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Tally;
    use super::super::replies::Outcome;
    use super::*;
    use std::time::Duration;

    const MILLI: u64 = 1_000_000;

    /// A server of one connection that takes 100 µs a request and answers nothing within `stall`,
    /// asked 1,000 times in a second; what is found, in virtual time.
    fn measured(stall: std::ops::Range<u64>) -> Tally {
        let end = 1_000 * MILLI;
        let mut schedule = Schedule::new(1_000.0, 1);
        let mut tally = Tally::new();
        (tally.begin, tally.end) = (0, end);
        let mut now = 0;
        while schedule.is_due(end) {
            now = now.max(schedule.next());
            assert_eq!(schedule.take_free(), Some(0));
            let due = schedule.next_due(now + 1).expect("it is due");
            now += MILLI / 10;
            now = if stall.contains(&now) { stall.end } else { now };
            tally.answered(due, now, Outcome::Done);
            schedule.set_free(0, true);
        }
        tally
    }

    #[test]
    fn a_server_that_stalls_once_shows_in_all_requests_that_were_due_meanwhile() {
        let quiet = measured(0..0).findings;
        assert_eq!(quiet.latencies.count(), 1_000);
        assert!(quiet.latencies.max() < Duration::from_millis(1));

        let stalled = measured(200 * MILLI..700 * MILLI).findings;
        assert_eq!(stalled.latencies.count(), 1_000);
        assert!(stalled.latencies.max() >= Duration::from_millis(499));
        // 500 were due in the stall: half of all waited, a quarter longer than half of it.
        assert!(stalled.latencies.quantile(0.55) > Duration::from_millis(30));
        assert!(stalled.latencies.quantile(0.75) > Duration::from_millis(230));
    }

    #[test]
    fn connections_are_used_in_turn_and_only_while_free() {
        let mut schedule = Schedule::new(10.0, 2);
        assert_eq!([schedule.take_free(), schedule.take_free()], [Some(0), Some(1)]);
        assert!(!schedule.has_free());
        schedule.set_free(1, true);
        schedule.set_free(1, true);
        schedule.set_free(0, false);
        assert_eq!([schedule.take_free(), schedule.take_free()], [Some(1), None]);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut schedule = Schedule::new(1_000.0, 1);
        assert_eq!(schedule.next_due(1), Some(0));
        assert_eq!(schedule.next_due(MILLI), None);
        assert_eq!(schedule.next_due(MILLI + 1), Some(MILLI));
    }
}
