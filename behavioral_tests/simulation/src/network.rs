//! The links between simulated nodes. Must never look into a frame.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use servers::transport::Lane;
use states::random::SplitMix64;

use crate::trouble::Trouble;

/// Which links are cut, and when the last frame of each lane arrives.
#[derive(Default)]
pub struct Network {
    cut: BTreeSet<(usize, usize)>,
    last_arrival: BTreeMap<(usize, usize, Lane), u64>,
}

impl Network {
    /// Whether frames pass from one node to another.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Cuts the link in this direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Undoes all cuts.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// When the copies of a frame arrive: none if it is lost.
    pub fn arrivals(
        &mut self,
        random: &mut SplitMix64,
        trouble: &Trouble,
        now: u64,
        link: (usize, usize, Lane),
    ) -> [Option<u64>; 2] {
        if self.is_cut(link.0, link.1) || random.random_range(0..10_000) < trouble.loss {
            return [None, None];
        }
        let first = self.arrival(random, trouble, now, link);
        if random.random_range(0..10_000) >= trouble.duplication {
            return [Some(first), None];
        }
        let second = if trouble.stragglers && random.random_bool(0.7) {
            now + random.random_range(0..1_500_000)
        } else {
            self.arrival(random, trouble, now, link)
        };
        [Some(first), Some(second)]
    }

    fn arrival(
        &mut self,
        random: &mut SplitMix64,
        trouble: &Trouble,
        now: u64,
        link: (usize, usize, Lane),
    ) -> u64 {
        let at = now + trouble.delay + random.random_range(0..=trouble.jitter);
        if trouble.reorder {
            return at;
        }
        let last = self.last_arrival.entry(link).or_default();
        *last = at.max(*last + 1);
        *last
    }
}
