//! How long requests took, as a histogram. Must never lose the longest.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart, an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// Of a latency three digits are kept.
const DIGITS: u8 = 3;

/// Latencies, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Latencies {
        Latencies(Histogram::new_with_max(LONGEST, DIGITS).expect("bounds that are in order"))
    }

    /// Adds one.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What this share of them, 0 to 1, took at most; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|micros| latencies.record(micros * 1_000));
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let seen = latencies.quantile(share).as_secs_f64() * 1e6;
            assert!((seen / micros - 1.0).abs() < 0.002, "{share}: {seen}");
        }
        assert_eq!(latencies.count(), 1_000);
        assert!((latencies.max().as_secs_f64() * 1e6 / 1_000.0 - 1.0).abs() < 0.002);
    }

    #[test]
    fn nothing_is_too_long_to_be_counted() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert!(latencies.max() >= Duration::from_secs(3_600));
        assert_eq!(Latencies::new().quantile(0.5), Duration::ZERO);
    }
}
